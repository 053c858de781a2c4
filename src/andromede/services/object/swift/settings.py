"""What an operator sets of Swift's face, and the limits that `/info` tells."""

import msgspec


class Realm(msgspec.Struct, frozen=True):
    """A realm of container sync. keys: those that are taken, the first is used; clusters: addresses by name, up to the version."""

    keys: tuple[str, ...]
    clusters: dict[str, str] = {}


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Limits in bytes or counts, as upstream's defaults are.

    storage_domain: where set, `CONTAINER.ACCOUNT.storage_domain` and `ACCOUNT.storage_domain` are accounts' own hosts;
    digests: with which TempURL and FormPOST may be signed; info_key: signs the admin section of `/info`, which is refused
    where it is empty; writes_per_second: of one account, 0 for any number; longest_wait: seconds for a turn to write;
    origins: of everything (CORS), beside what containers allow; read_only: nobody writes; policies: the storage classes that
    are offered, the first by default, all of the driver's where none is named; heartbeat: seconds between signs of life;
    crossdomain: the policy that `/crossdomain.xml` tells, "" for none; realms: of container sync, by name, and sync_hosts: hosts
    that containers are synchronized with otherwise.
    """

    version: str = "2.38.0"
    max_file_size: int = 5_368_709_122
    max_meta_name_length: int = 128
    max_meta_value_length: int = 256
    max_meta_count: int = 90
    max_meta_overall_size: int = 4096
    max_header_size: int = 8192
    max_object_name_length: int = 1024
    max_container_name_length: int = 256
    max_account_name_length: int = 256
    listing_limit: int = 10_000
    max_manifest_segments: int = 1000
    max_manifest_size: int = 8 << 20
    max_deletes: int = 10_000
    max_failed: int = 1000
    max_extracted_containers: int = 10_000
    heartbeat: float = 10.0
    storage_domain: str = ""
    digests: tuple[str, ...] = ("sha256", "sha512")
    info_key: str = ""
    writes_per_second: float = 0.0
    longest_wait: float = 5.0
    origins: tuple[str, ...] = ()
    read_only: bool = False
    policies: tuple[str, ...] = ()
    crossdomain: str = ""
    realms: dict[str, Realm] = {}
    sync_hosts: tuple[str, ...] = ()
