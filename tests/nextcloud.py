"""A computer of somebody's, synchronised by Nextcloud's own command line client."""

import contextlib
import http.client
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.real import RealCloud

PROGRAM = shutil.which("nextcloudcmd")
_CHUNKS = ("OWNCLOUD_CHUNK_SIZE", "OWNCLOUD_MIN_CHUNK_SIZE", "OWNCLOUD_MAX_CHUNK_SIZE")


class Computer:
    """`computer.sync()` makes its folder equal to the drive; `tree()` is what is in it, by path: bytes, or None for a folder."""

    def __init__(self, folder: Path, url: str, user: str, password: str, *, chunk: int = 0) -> None:
        self.files, self._home = folder / "files", folder / "home"
        self.url, self._user, self._password = url, user, password
        self.files.mkdir(parents=True)
        self._home.mkdir()
        self._chunks = {**dict.fromkeys(_CHUNKS, str(chunk)), "OWNCLOUD_TARGET_CHUNK_UPLOAD_DURATION": "0"} if chunk else {}
        self.said = ""

    @staticmethod
    def answers(place: str) -> bool:
        """Whether a drive serves there."""
        connection = http.client.HTTPConnection(place, timeout=5)
        try:
            connection.request("GET", "/status.php")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def start(self) -> subprocess.Popen[str]:
        """The program, on its way."""
        assert PROGRAM is not None
        command = [PROGRAM, "--non-interactive", "--trust", "-u", self._user, "-p", self._password, str(self.files), self.url]
        env = {**os.environ, "HOME": str(self._home), "QT_QPA_PLATFORM": "offscreen", "XDG_RUNTIME_DIR": str(self._home), "LC_ALL": "C.UTF-8"}
        env |= self._chunks
        env.pop("XDG_CONFIG_HOME", None)
        return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")

    def end(self, process: subprocess.Popen[str], seconds: float = 120) -> int:
        """Wait for it; how it ended."""
        try:
            self.said, _ = process.communicate(timeout=seconds)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        return process.returncode

    def sync(self, seconds: float = 120) -> None:
        """Once up and down; it must go well."""
        code = self.end(self.start(), seconds)
        assert code == 0, (code, self.said[-6000:])

    def tree(self) -> dict[str, bytes | None]:
        found: dict[str, bytes | None] = {}
        for path in sorted(self.files.rglob("*")):
            if not path.name.startswith((".sync_", "._sync_", ".owncloudsync", ".nextcloudsync")):
                found[str(path.relative_to(self.files))] = None if path.is_dir() else path.read_bytes()
        return found


@contextlib.contextmanager
def serving() -> Iterator[RealCloud]:
    """A real cloud whose servers are made up: its drive is what is used."""
    made = RealCloud('[compute]\nhypervisor = "fake"')
    try:
        made.cli("up")
        yield made
    finally:
        made.destroy()


def address(cloud: RealCloud) -> str:
    """Where its drive is."""
    return f"http://127.0.0.1:{cloud.drive_port}"


def two(cloud: RealCloud, folder: Path, **more: Any) -> list[Computer]:
    """Two computers of a user of their own."""
    name = f"user-{os.urandom(4).hex()}"
    password = f"secret-of-{name}"
    cloud.admin.post("/identity/v3/users", {"user": {"name": name, "password": password}})
    return [Computer(folder / f"computer-{number}", address(cloud), name, password, **more) for number in (1, 2)]
