"""The processes of containers: LXC's own, whose title names the container, and the container's init, which is its child."""

import contextlib
import os
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import msgspec

_TITLE = b"[lxc monitor] "


class Found(msgspec.Struct, frozen=True):
    """A container that runs. pid, ticks: LXC's process and when that began. init: the container's first process, 0 where it ends."""

    guest_id: str
    pid: int
    ticks: int
    init: int


def scan(root: Path) -> list[Found]:
    """Every container below `root` that runs."""
    with os.scandir("/proc") as entries:
        read = (_read(root, int(entry.name)) for entry in entries if entry.name.isdigit())
        return [found for found in read if found is not None]


def find(root: Path, guest_id: str) -> Found | None:
    """One container, wherever its process is."""
    return next((found for found in scan(root) if found.guest_id == guest_id), None)


def recorded(root: Path, guest_id: str, pid: int, ticks: int) -> Found | None:
    """One container, where its process is the one that was written down."""
    found = _read(root, pid) if pid else None
    return found if found is not None and (found.guest_id, found.ticks) == (guest_id, ticks) else None


def settle(pid: int, ticks: int, patience: float = 5.0) -> None:
    """Wait until a process that is ending has ended: it loses its title before it lets go of sockets and cgroups."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return
        if fields[0] in "ZX" or int(fields[19]) != ticks:
            return
        time.sleep(0.005)


def tell(found: Found, number: int) -> None:
    """Send the container's init a signal; one that has ended hears none."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(found.init or found.pid, number)


def run_quietly(argv: list[str]) -> None:
    """Run a program whose failure means that there was nothing to do."""
    subprocess.run(argv, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}, capture_output=True, timeout=30, check=False)


def cards(found: Found) -> set[str]:
    """The names of the container's network cards."""
    with contextlib.suppress(OSError):
        lines = Path(f"/proc/{found.init}/net/dev").read_text().splitlines()[2:]
        return {line.partition(":")[0].strip() for line in lines}
    return set()


def console(root: Path, guest_id: str) -> socket.socket:
    """Both ways of the container's console, as a socket; whoever closes it leaves the console."""
    ours, theirs = socket.socketpair()
    command = ["lxc-console", "-P", str(root), "-n", guest_id, "-t", "0", "-e", "-1"]
    leader, follower = os.openpty()
    process = subprocess.Popen(
        command, stdin=follower, stdout=follower, stderr=subprocess.DEVNULL, start_new_session=True, env={"PATH": "/usr/bin:/bin", "TERM": "linux"}
    )
    os.close(follower)

    def out() -> None:
        with contextlib.suppress(OSError):
            while data := os.read(leader, 1 << 16):
                theirs.sendall(data)
        with contextlib.suppress(OSError):
            theirs.shutdown(socket.SHUT_RDWR)

    def back() -> None:
        with contextlib.suppress(OSError):
            while data := theirs.recv(1 << 16):
                os.write(leader, data)
        process.send_signal(signal.SIGTERM)
        process.wait()
        os.close(leader)
        theirs.close()

    for way in (out, back):
        threading.Thread(target=way, daemon=True).start()
    return ours


def _read(root: Path, pid: int) -> Found | None:
    try:
        title = Path(f"/proc/{pid}/cmdline").read_bytes()
        if not title.startswith(_TITLE):
            return None
        folder, _, guest_id = title.rstrip(b"\0 ").removeprefix(_TITLE).decode(errors="replace").rpartition(" ")
        if folder != str(root):
            return None
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else Found(guest_id, pid, int(fields[19]), int(children[0]) if children else 0)
