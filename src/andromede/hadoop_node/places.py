"""Where things are on a node. A root other than / is for tests."""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Places:
    """Folders and files; all of them derive from `root`."""

    root: Path = Path("/")

    @property
    def conf(self) -> Path:
        """The sites."""
        return self.root / "etc/hadoop"

    @property
    def share(self) -> Path:
        """What the image brings: archives, the options of each kind of Java process, a formatted name directory."""
        return self.root / "usr/lib/hadoop"

    @property
    def state(self) -> Path:
        """What must last: names, blocks, jobs."""
        return self.root / "var/lib/hadoop"

    @property
    def logs(self) -> Path:
        """Logs of daemons, and below `userlogs` of tasks."""
        return self.root / "var/log/hadoop"

    @property
    def hosts(self) -> Path:
        """The table of names."""
        return self.root / "etc/hosts"


def write(path: Path, content: str, mode: int = 0o644, owner: int = 0) -> bool:
    """Make `path` say `content`; whether it did not before. A reader sees the old or the new, never a part.

    owner: uid and gid, where we are root.
    """
    try:
        if path.read_text() == content and path.stat().st_mode & 0o777 == mode:
            return False
    except OSError:
        pass
    fresh = path.with_name(f".{path.name}.new")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(handle, "w") as file:
        os.fchmod(file.fileno(), mode)
        if os.geteuid() == 0:
            os.fchown(file.fileno(), owner, owner)
        file.write(content)
    fresh.rename(path)
    return True


def folder(path: Path, owner: int, mode: int = 0o755) -> Path:
    """A folder of `owner` (uid and gid, where we are root), made with those above it where it is not there."""
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(mode)
    if os.geteuid() == 0:
        os.chown(path, owner, owner)
    return path
