"""A daemon that an earlier run of this program began: found again, so that our end is none of its."""

import os
import signal
import subprocess
import time
from pathlib import Path


class Adopted:
    """A process that is no child of ours, with those methods of Popen that its keeper uses."""

    def __init__(self, pid: int, name: str) -> None:
        self.pid, self._name = pid, name.encode()

    def poll(self) -> int | None:
        """None while it runs."""
        return None if self._name in words(self.pid) else -1

    def send_signal(self, number: int) -> None:
        """As kill(2), where it still runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it by force."""
        self.send_signal(signal.SIGKILL)

    def wait(self, timeout: float = 10) -> int:
        """Wait for its end. Errors: subprocess.TimeoutExpired."""
        until = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() > until:
                raise subprocess.TimeoutExpired(self._name.decode(), timeout)
            time.sleep(0.05)
        return -1


def find(name: str, proc: Path = Path("/proc")) -> Adopted | None:
    """The process with `name` as one of its words; None where there is none."""
    for folder in proc.iterdir():
        if folder.name.isdigit() and name.encode() in words(int(folder.name), proc):
            return Adopted(int(folder.name), name)
    return None


def words(pid: int, proc: Path = Path("/proc")) -> list[bytes]:
    """The command line of a process; none where it is gone or has ended."""
    try:
        return (proc / str(pid) / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return []
