"""Settings: a TOML file, all of it optional. Every option is a field here with its default and its meaning.

`docs/operations/settings.md` is made from these docstrings; an unknown option is refused with its name.
"""

from pathlib import Path

import msgspec

from andromede.core.errors import CloudError


class SettingsError(CloudError):
    """The settings cannot be used; the message says which, and where."""

    status, kind = 400, "SettingsError"


class Section(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A table of the file."""


class Api(Section):
    """The HTTP API."""

    listen: str = "127.0.0.1"
    """Address to listen on. Any but loopback requires `tls_certificate` and `tls_key`."""
    port: int = 5000
    """Port of all OpenStack APIs."""
    threads: int = 12
    """Requests that do database work at once."""
    public_url: str = ""
    """Where clients reach the API; from `listen` and `port` when empty."""
    tls_certificate: str = ""
    """PEM file of the certificate and its chain."""
    tls_key: str = ""
    """PEM file of the private key."""


class Database(Section):
    """Where the cloud keeps its rows."""

    url: str = ""
    """SQLAlchemy URL, `postgresql+psycopg://…`; SQLite in the state directory when empty."""


class Identity(Section):
    """Users, passwords, tokens."""

    region: str = "RegionOne"
    """Name of the region in the catalog."""
    token_lifetime: int = 3600
    """Seconds a token is valid."""
    password_hash: str = "argon2id"  # noqa: S105 - the name of a scheme
    """`argon2id` or `bcrypt`, for new passwords."""
    bcrypt_rounds: int = 12
    """Cost of bcrypt, 4 to 31."""
    lockout_failure_attempts: int = 10
    """Wrong passwords in a row that lock an account; 0 for never."""
    lockout_duration: int = 60
    """Seconds an account stays locked."""
    password_expires_days: int = 0
    """Days a password is valid; 0 for ever."""
    unique_last_password_count: int = 0
    """How many earlier passwords may not be used again."""
    minimum_password_age: int = 0
    """Days before a user may change a password again."""
    password_regex: str = ""
    """What a new password must match."""
    password_regex_description: str = ""
    """The same in words, for people."""
    disable_user_account_days_inactive: int = 0
    """Days without signing in after which an account is disabled; 0 for never."""


class Network(Section):
    """The provider network `public` and the ranges of the cloud."""

    public_cidr: str = "172.24.4.0/24"
    """Range of the network `public`; the machine itself has its first address."""
    mtu: int = 1442
    """MTU of project networks."""
    masquerade: bool = False
    """Let servers reach beyond the machine, behind its own address (nftables)."""
    metadata_rate: float = 20.0
    """Requests a second that one server may make of metadata, and ten times as many at once; no limit when 0."""
    datapath: str = "auto"
    """`auto`, `system` (kernel) or `netdev` (userspace)."""


class Compute(Section):
    """Hosts and guests."""

    host: str = ""
    """Name of this host; the machine's own when empty."""
    cloud: str = ""
    """Directory of the cloud that this one is a host of, as `andromede host add` writes it; a cloud of its own when empty."""
    zone: str = "nova"
    """Availability zone of this host."""
    hypervisor: str = "qemu"
    """`qemu`, or `fake` for trying out the API without guests."""
    acceleration: str = "auto"
    """`auto` (KVM where a guest proves that it works), `kvm` or `tcg`."""
    cpu_ratio: float = 16.0
    """Virtual CPUs per real one."""
    ram_ratio: float = 1.0
    """Memory given out per memory there is."""
    disk_ratio: float = 1.0
    """Disk given out per disk there is."""
    resize_confirm_window: int = 0
    """Seconds after which a resize is confirmed by itself; never when 0."""
    offload_shelved: bool = True
    """Whether a shelved server leaves its host at once."""
    reclaim_interval: int = 0
    """Seconds for which a deleted server can be restored; none when 0."""
    console_lifetime: int = 600
    """Seconds in which a console's address can be opened."""
    isolation: str = ""
    """`vm` forbids system containers, which share the host's kernel."""
    uid_base: int = 1_500_000_000
    """First of 10,000 user ids: guests run as these, and what works on volumes as the last one."""


class Engine(Section):
    """What works in the background."""

    metrics_port: int = 0
    """Port of 127.0.0.1 where Prometheus finds the engine's metrics (`/metrics`); none when 0."""


class Image(Section):
    """The image store."""

    size_limit_gib: int = 1024
    """Largest image that is taken."""
    import_allowed_ports: tuple[int, ...] = (80, 443)
    """Ports that `web-download` may fetch from."""
    import_allowed_hosts: tuple[str, ...] = ()
    """Hosts that `web-download` may fetch from although they are inside (loopback, private ranges)."""


class StorageClass(Section):
    """A storage class NAME beside `standard` and `plain`; in Swift a storage policy of that name."""

    folders: tuple[str, ...] = ()
    """Folders, such as disks', each of which holds a copy of everything in the class; the store's own when none is named."""
    s3: str = ""
    """Name of the class in S3, such as `STANDARD_IA`; lifecycle rules can move objects to it."""


class Webhook(Section):
    """A target NAME of S3's notifications, which buckets mean by `arn:aws:sqs:REGION:any:NAME` (`sns` or `lambda:…:function` likewise)."""

    url: str
    """Where events are posted to; it may be inside."""
    secret: str = ""
    """Signs what is posted, in the header `X-Andromede-Signature`: `sha256=` and the HMAC of the body in hexadecimal."""


class Remote(Section):
    """Another S3 service NAME that buckets can be replicated to, as `arn:andromede:remote:NAME:BUCKET`."""

    url: str
    """Its address."""
    access_key: str
    """Access key that writes there."""
    secret_key: str
    """The key's secret."""
    region: str = "us-east-1"
    """Region that requests are signed for."""
    projects: tuple[str, ...] = ()
    """Ids of the projects that may use it."""


class Realm(Section):
    """A realm NAME of Swift's container sync: clusters that share a key."""

    key: str
    """The key that the clusters share."""
    key2: str = ""
    """The key before, or the next one, which is taken too."""
    clusters: dict[str, str] = {}
    """Address of each cluster by its name, up to the version: `{other = "https://swift.example.org/v1/"}`."""


class Object(Section):
    """The object store, through Swift and S3. It listens on the address of the API, with its certificate."""

    swift_port: int = 8080
    """Port of Swift."""
    s3_port: int = 9000
    """Port of S3, which is served at the root."""
    servers: bool = True
    """Serve S3 to servers too, without TLS at the machine's address in the network `public`, where only they come; their clusters need it."""
    s3_domain: str = ""
    """Domain under which buckets are hosts of their own (`bucket.DOMAIN`); paths only when empty."""
    workers: int = 0
    """Processes that serve objects; as many as the machine has cores when 0, eight at most."""
    folder: str = ""
    """Folder, such as a disk's, in which objects are kept; the state directory when empty."""
    deleted_project_hours: int = 168
    """Hours after which everything that a deleted project kept is removed, and its keys are destroyed; never when negative."""
    s3_website_domain: str = ""
    """Domain under which websites of buckets are hosts of their own (`bucket.DOMAIN`); none when empty."""
    s3_version2: bool = False
    """Whether signatures of version 2 are taken, which old clients make."""
    webhook_ports: tuple[int, ...] = (80, 443)
    """Ports that the webhooks of buckets' owners may have."""
    webhook_hosts: tuple[str, ...] = ()
    """Hosts that the webhooks of buckets' owners may be although these are inside."""
    swift_domain: str = ""
    """Domain under which Swift's accounts and containers are hosts of their own (`container.account.DOMAIN`); none when empty."""
    swift_policies: tuple[str, ...] = ()
    """Storage classes that Swift offers as policies, the first by default; all of them when none is named."""
    swift_digests: tuple[str, ...] = ("sha256", "sha512")
    """Digests with which temporary links and forms may be signed; `sha1` can be added."""
    swift_info_key: str = ""
    """Key that signs requests for the operator's part of `/info`; there is none when empty."""
    swift_writes_per_second: float = 0.0
    """Writes of one account in a second, in each process; any number when 0."""
    swift_read_only: bool = False
    """Whether nobody may write through Swift."""
    swift_origins: tuple[str, ...] = ()
    """Origins of web pages that may use every container, besides those that a container allows."""
    swift_crossdomain: str = ""
    """Policy that `/crossdomain.xml` tells, one or more `<allow-access-from … />`; there is no such file when empty."""
    sync_hosts: tuple[str, ...] = ()
    """Hosts that containers may be synchronized with by address; those of realms need not be named."""
    classes: dict[str, StorageClass] = {}
    webhooks: dict[str, Webhook] = {}
    remotes: dict[str, Remote] = {}
    realms: dict[str, Realm] = {}


class Drive(Section):
    """The drive: everybody's files, for the clients of Nextcloud and for WebDAV. It is served by the processes that serve objects."""

    enabled: bool = True
    """Whether there is a drive."""
    port: int = 8083
    """Port of the drive."""
    name: str = "Andromède"
    """What people see it called."""
    quota: int = 50_000_000_000
    """Bytes that everybody has for files, unless told otherwise."""
    bulk_from: str = "3.9.1"
    """Oldest version of Nextcloud's desktop client that is told of uploads in bulk: those before cannot send empty files so, and stop there."""


class Settings(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The whole file."""

    api: Api = msgspec.field(default_factory=Api)
    database: Database = msgspec.field(default_factory=Database)
    identity: Identity = msgspec.field(default_factory=Identity)
    network: Network = msgspec.field(default_factory=Network)
    compute: Compute = msgspec.field(default_factory=Compute)
    engine: Engine = msgspec.field(default_factory=Engine)
    image: Image = msgspec.field(default_factory=Image)
    object: Object = msgspec.field(default_factory=Object)
    drive: Drive = msgspec.field(default_factory=Drive)


LOOPBACK = ("127.", "::1", "localhost")


def load(path: Path) -> Settings:
    """The settings of a file; the defaults where there is none. Raises SettingsError."""
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return Settings()
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}.") from error
    try:
        settings = msgspec.toml.decode(text, type=Settings)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise SettingsError(f"{path}: {error}.") from error
    if not settings.api.listen.startswith(LOOPBACK) and not (settings.api.tls_certificate and settings.api.tls_key):
        raise SettingsError(f"{path}: listening on {settings.api.listen} needs api.tls_certificate and api.tls_key.")
    return settings
