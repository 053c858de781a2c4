"""A process that shows the data of one volume as a plain file: QEMU's storage daemon, with a FUSE export. Source: qemu-storage-daemon(1).

It reads what a volume is kept in (qcow2, raw, LUKS), holds it to its limits, and outlives us; it is found again by its socket.
"""

import contextlib
import json
import os
import socket
import time
from pathlib import Path
from typing import Any

from andromede.core.errors import DriverError
from andromede.drivers.hypervisor import Drive, Held
from andromede.drivers.hypervisor.lxc import mounts

PROGRAM = "qemu-storage-daemon"
EXPORT, _SOCKET, _PID = "export", "monitor", "pid"
_CAUSE = "The volume could not be opened for the container."
_LIMITS = {"bytes": "bps", "iops": "iops"}


class Monitor:
    """A conversation with the daemon of a folder. Raises OSError where there is none, DriverError for what it refuses."""

    def __init__(self, folder: Path) -> None:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self._link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._link.settimeout(30)
            self._link.connect(f"/proc/self/fd/{handle}/{_SOCKET}")
        except OSError:
            self._link.close()
            raise
        finally:
            os.close(handle)
        self._lines = self._link.makefile("rb")
        self._lines.readline()
        self.run("qmp_capabilities")

    def run(self, command: str, **arguments: Any) -> Any:
        """One command; its answer."""
        words = {"execute": command, "arguments": {key.replace("_", "-"): value for key, value in arguments.items()}}
        self._link.sendall(json.dumps(words).encode())
        while line := self._lines.readline():
            answer = json.loads(line)
            if "return" in answer:
                return answer["return"]
            if "error" in answer:
                raise DriverError(_CAUSE) from OSError(f"{command}: {answer['error']['desc']}")
        raise DriverError(_CAUSE) from OSError(f"{command}: no answer")

    def close(self) -> None:
        """End the conversation."""
        self._lines.close()
        self._link.close()


@contextlib.contextmanager
def talking(folder: Path) -> Any:
    """A monitor for a while."""
    monitor = Monitor(folder)
    try:
        yield monitor
    finally:
        monitor.close()


def runs(folder: Path) -> bool:
    """Whether there is a daemon."""
    try:
        with talking(folder):
            return True
    except (OSError, DriverError):
        return False


def start(folder: Path, drive: Drive, passphrase: bytes) -> None:
    """Show the volume as the file `export` of the folder, from a process that is begun."""
    end(folder)
    (folder / EXPORT).touch(mode=0o600)
    (folder / _SOCKET).unlink(missing_ok=True)
    command: list[str | Path] = [
        PROGRAM, "--daemonize", "--pidfile", _PID, "--chardev", f"socket,id=m,path={_SOCKET},server=on,wait=off", "--monitor", "chardev=m",
    ]  # fmt: skip
    mounts.run(command, cause=_CAUSE, folder=folder)
    with talking(folder) as monitor:
        if passphrase:
            monitor.run("object-add", **{"qom-type": "secret", "id": "key", "data": passphrase.decode()})
        monitor.run("object-add", **{"qom-type": "throttle-group", "id": "limits", "limits": limits(drive)})
        for node in _nodes(drive):
            monitor.run("blockdev-add", **node)
        what = {"type": "fuse", "id": "export", "node-name": "whole", "mountpoint": str(folder / EXPORT), "writable": not drive.readonly}
        monitor.run("block-export-add", **what)


def _nodes(drive: Drive) -> list[dict[str, Any]]:
    only: dict[str, Any] = {"read-only": True} if drive.readonly else {}
    whole: dict[str, Any] = {"driver": drive.format}
    if drive.format == "qcow2":
        whole |= {"backing": None} | ({"encrypt": {"format": "luks", "key-secret": "key"}} if drive.secret else {})
    elif drive.secret:
        whole = {"driver": "luks", "key-secret": "key"}
    return [
        {"driver": "file", "node-name": "file", "filename": drive.path, "discard": "unmap"} | only,
        {"driver": "throttle", "node-name": "limited", "file": "file", "throttle-group": "limits", "discard": "unmap"} | only,
        whole | {"node-name": "whole", "file": "limited", "discard": "unmap"} | only,  # snapshots want a node with none above
    ]


def limits(drive: Drive) -> dict[str, int]:
    """QoS specs as a throttle group has them; a sum and its parts exclude each other: the sum wins."""
    out: dict[str, int] = {}
    for ours, theirs in _LIMITS.items():
        parts = ("total",) if drive.limits.get(f"total_{ours}_sec") else ("read", "write")
        for part in ("total", "read", "write"):
            value = drive.limits.get(f"{part}_{ours}_sec", 0) if part in parts else 0
            most = drive.limits.get(f"{part}_{ours}_sec_max", 0)
            out |= {f"{theirs}-{part}": value, f"{theirs}-{part}-max": most if value and most >= value else 0}
    return out


def look(folder: Path, volume_id: str) -> Held:
    """What the daemon says of the volume. Raises OSError, DriverError."""
    with talking(folder) as monitor:
        nodes = {one["node-name"]: one["image"] for one in monitor.run("query-named-block-nodes", flat=True)}
    image = nodes["whole"]
    return Held(id=volume_id, size=image["virtual-size"], snapshots=tuple(sorted(one["name"] for one in image.get("snapshots", []))))


def process(folder: Path) -> int:
    """The daemon's process id; 0 where none is known."""
    try:
        return int((folder / _PID).read_text())
    except (OSError, ValueError):
        return 0


def end(folder: Path) -> None:
    """No daemon, and nothing shown."""
    number = process(folder)
    with contextlib.suppress(OSError, DriverError), talking(folder) as monitor:
        monitor.run("quit")
    deadline = time.monotonic() + 10
    while number and _is_daemon(number):
        if time.monotonic() > deadline:
            raise DriverError("The process that reads a volume does not end.")
        time.sleep(0.005)
    mounts.unmount(folder / EXPORT)
    (folder / _PID).unlink(missing_ok=True)


def _is_daemon(number: int) -> bool:
    try:
        fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")
        return PROGRAM[:15] in fields[0] and fields[2].split()[0] != "Z"
    except OSError:
        return False
