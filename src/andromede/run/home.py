"""Where a cloud keeps its things: one directory, `/var/lib/andromede` unless told otherwise. Paths only, and their modes."""

import grp
import hashlib
import os
import pwd
import socket
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from andromede.core.errors import CloudError
from andromede.run.settings import Settings, load

DEFAULT = Path("/var/lib/andromede")
CONFIG = Path("/etc/andromede/andromede.toml")
USER = "andromede"


class Home(msgspec.Struct, frozen=True):
    """One cloud's directory, and its settings file (in the directory itself for a second cloud)."""

    path: Path
    config: Path

    @classmethod
    def at(cls, directory: Path | None) -> "Home":
        """The default cloud, or the one in `directory`."""
        if directory is None or directory.resolve() == DEFAULT:
            return cls(DEFAULT, CONFIG)
        path = directory.resolve()
        return cls(path, path / "andromede.toml")

    @property
    def cloud(self) -> "Home":
        """The cloud that this is a host of: itself, but for a host that was added."""
        named = self.settings.compute.cloud
        return Home.at(Path(named)) if named else self

    @property
    def added(self) -> bool:
        """Whether this is only a host of the cloud in another directory."""
        return bool(self.settings.compute.cloud)

    @property
    def hosts(self) -> Path:
        """Which hosts were added to this cloud, a file each."""
        return self.path / "hosts"

    @property
    def name(self) -> str:
        """What the cloud is called in clouds.yaml."""
        return "andromede" if self.tag == "main" else f"andromede-{self.tag}"

    @property
    def tag(self) -> str:
        """`main` for the default cloud, else 7 hex digits: tells the clouds of a machine apart in names of links and namespaces."""
        return "main" if self.path == DEFAULT else hashlib.sha256(str(self.path).encode()).hexdigest()[:7]

    @property
    def settings(self) -> Settings:
        """The settings as they are now."""
        return load(self.config)

    @property
    def database_url(self) -> str:
        """The database of the settings, or SQLite here."""
        return self.settings.database.url or f"sqlite:///{self.path}/db/cloud.sqlite"

    @property
    def keys(self) -> Path:
        """Keys of tokens and credentials."""
        return self.path / "keys"

    @property
    def secrets_key(self) -> Path:
        """The master key of secrets and encrypted volumes."""
        return self.cloud.keys / "secrets.master"

    @property
    def audit_key(self) -> Path:
        """The key that the audit log is signed with."""
        return self.cloud.keys / "audit.ed25519"

    @property
    def log_name(self) -> str:
        """The name of the audit log: of this cloud, whichever of its hosts asks."""
        return f"andromede-{self.cloud.tag}/audit"

    @property
    def volumes(self) -> Path:
        """Data of volumes, of this host."""
        return self.path / "volumes"

    @property
    def images(self) -> Path:
        """Data of images."""
        return self.path / "images"

    @property
    def objects(self) -> Path:
        """Data and index of the object store."""
        given = self.settings.object.folder
        return Path(given) / f"objects-{self.tag}" if given else self.path / "objects"

    @property
    def object_classes(self) -> dict[str, tuple[Path, ...]]:
        """The storage classes of the object store, and the folders that each has its copies in; its own where there are none."""
        own: dict[str, tuple[Path, ...]] = {"standard": (), "plain": ()}
        named = self.settings.object.classes
        return own | {name: tuple(Path(folder) / f"objects-{self.tag}" / name for folder in each.folders) for name, each in named.items()}

    @property
    def run(self) -> Path:
        """Sockets and pid files."""
        return self.path / "run"

    @property
    def logs(self) -> Path:
        """Logs, one a process."""
        return self.path / "logs"

    @property
    def cache(self) -> Path:
        """What can be made again: built guest images. ANDROMEDE_CACHE shares it between clouds."""
        shared = os.environ.get("ANDROMEDE_CACHE")
        return Path(shared) if shared else self.path / "cache"

    @property
    def secrets(self) -> Path:
        """What only root may read: the first passwords, the key of the first server."""
        return self.path / "secrets"

    @property
    def host(self) -> str:
        """This host's name."""
        return self.settings.compute.host or socket.gethostname().partition(".")[0]

    @property
    def host_state(self) -> Path:
        """What the agent of this host keeps."""
        return self.path / "host"

    @property
    def agent_socket(self) -> Path:
        """The agent's end of the link."""
        return self.run / "agent.sock"

    @property
    def engine_socket(self) -> Path:
        """Where the engine is woken."""
        return self.run / "engine.sock"

    @property
    def metrics_socket(self) -> Path:
        """Where the engine tells its metrics."""
        return self.run / "metrics.sock"

    @property
    def url(self) -> str:
        """Where clients reach the API."""
        return self.settings.api.public_url.rstrip("/") or self._at(self.settings.api.port)

    @property
    def swift_url(self) -> str:
        """Where clients reach Swift."""
        return self._at(self.settings.object.swift_port)

    @property
    def s3_url(self) -> str:
        """Where clients reach S3."""
        return self._at(self.settings.object.s3_port)

    @property
    def drive_url(self) -> str:
        """Where clients reach the drive; empty where there is none."""
        return self._at(self.settings.drive.port) if self.settings.drive.enabled else ""

    def _at(self, port: int) -> str:
        """An address of ours: the public host of the API where one is set, at another port."""
        api = self.settings.api
        host = urlsplit(api.public_url).hostname or api.listen
        return f"{'https' if api.tls_certificate else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"

    def make(self) -> None:
        """The user, and the directories with their owners and modes; idempotent. Raises CloudError where the disk does not take them."""
        uid, gid = ensure_user()
        try:
            self._make(uid, gid)
        except OSError as error:
            raise CloudError(f"{error.filename} cannot be made ready: {error.strerror}. It must be writable, on a disk with room.") from error

    def _make(self, uid: int, gid: int) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        self.path.chmod(0o711)
        added = self.added
        ours = {} if added else {self.path / "db": 0o700, self.keys: 0o700, self.images: 0o750, self.objects: 0o700}
        roots = {self.logs: 0o700, self.cache: 0o700, self.secrets: 0o700, self.host_state: 0o711, self.volumes: 0o711}
        for folder in (each for found in self.object_classes.values() for each in found if not added):
            folder.parent.mkdir(exist_ok=True)
            os.chown(folder.parent, uid, gid)
            ours[folder] = 0o700
        shared = {self.run: 0o770, self.hosts: 0o750}
        for folder, mode in {**ours, **roots, **shared}.items():
            folder.mkdir(exist_ok=True)
            folder.chmod(mode)
        for folder in ours:
            os.chown(folder, uid, gid)
        for folder in shared:
            os.chown(folder, 0, gid)


def ensure_user() -> tuple[int, int]:
    """The uid and gid of the unprivileged user of ours; made where it is missing."""
    try:
        entry = pwd.getpwnam(USER)
    except KeyError:
        command = ["useradd", "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin", USER]
        subprocess.run(command, check=True, capture_output=True, timeout=30)
        entry = pwd.getpwnam(USER)
    return entry.pw_uid, grp.getgrnam(USER).gr_gid
