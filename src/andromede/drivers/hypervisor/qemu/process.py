"""QEMU's processes: started apart from us and unprivileged, found again by their command line, ended by pidfd.

A process counts as ours only where its command line names the guest and this instance's tag, and, when it is known
already, its start time matches; a pid by itself is never trusted.
"""

import os
import re
import select
import signal
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from andromede.core.errors import DriverError
from andromede.core.ids import guest_name, is_id

BINARY = "qemu-system-x86_64"
_PROC = Path("/proc")
_MONITOR = re.compile(r"socket,id=qmp-(?P<tag>[A-Za-z0-9_.-]+)-boots(?P<boots>\d+),")

# A shell of its own session forks QEMU and ends, so that QEMU is nobody's child. `echo 0` joins a cgroup by oneself.
_LAUNCH = """
ulimit -c 0; ulimit -n 4096
{
    while [ "$1" != -- ]; do echo 0 > "$1"; shift; done
    shift
    exec "$@" >&2
} &
echo $!
"""


class Found(msgspec.Struct, frozen=True):
    """A running QEMU of ours: guest id, pid, start time in clock ticks since boot, uid, and the boots it was started at."""

    guest_id: str
    pid: int
    ticks: int
    uid: int
    boots: int


class Process:
    """A running QEMU that we hold by pidfd; its pid cannot be taken over by another while we do."""

    def __init__(self, pid: int, fd: int, ticks: int) -> None:
        self.pid, self.fd, self.ticks = pid, fd, ticks

    @property
    def alive(self) -> bool:
        """Whether it still runs; false as soon as it has ended, reaped or not."""
        poll = select.poll()
        poll.register(self.fd, select.POLLIN)
        return not poll.poll(0)

    def kill(self) -> None:
        """SIGKILL; nothing when it has ended already."""
        try:
            signal.pidfd_send_signal(self.fd, signal.SIGKILL)
        except ProcessLookupError:
            return

    def close(self) -> None:
        """Let go of it; it goes on."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def identify(arguments: Sequence[str], tag: str) -> tuple[str, int] | None:
    """The guest id and boots that a command line of ours names; None for any other."""
    if not arguments or Path(arguments[0]).name != BINARY or "-name" not in arguments[:-1]:
        return None
    name = arguments[arguments.index("-name") + 1].partition(",")[0].removeprefix("guest=")
    guest_id = name.removeprefix(guest_name(""))
    if name == guest_id or not is_id(guest_id):
        return None
    for argument in arguments:
        match = _MONITOR.match(argument)
        if match and match["tag"] == tag:
            return guest_id, int(match["boots"])
    return None


def scan(tag: str) -> list[Found]:
    """Every running QEMU of this instance."""
    return [found for path in _PROC.iterdir() if path.name.isdigit() and (found := _find(int(path.name), tag)) is not None]


def hold(found: Found, tag: str) -> Process | None:
    """Take hold of the very process that was found; None when it has ended since."""
    process = adopt(found.pid)
    if process is not None and _find(found.pid, tag) == found:
        return process
    if process is not None:
        process.close()
    return None


def adopt(pid: int) -> Process | None:
    """Take hold of a process that we have just started; None when it has ended."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    ticks = _ticks(pid)
    if ticks is None:
        os.close(fd)
        return None
    return Process(pid, fd, ticks)


def recorded(guest_id: str, pid: int, ticks: int, tag: str) -> Found | None:
    """The process that a record names, where it is still that one."""
    found = _find(pid, tag) if pid else None
    return found if found is not None and (found.guest_id, found.ticks) == (guest_id, ticks) else None


def launch(
    arguments: Sequence[str], *, uid: int, gid: int, groups: Iterable[Path] = (), fds: Sequence[int] = (), log: Path
) -> int:
    """Start QEMU as `uid`, with no other right, in these cgroups and with these open files; answers its pid at once.

    arguments: QEMU's, its program first. log: gets what it prints. Raises DriverError where it cannot be started.
    """
    drop = [f"--reuid={uid}", f"--regid={gid}", "--clear-groups", "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"]
    command = ["/bin/sh", "-c", _LAUNCH, "sh", *map(str, groups), "--", "setpriv", *drop, "--", *arguments]
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8"}
    with log.open("wb") as output:
        log.chmod(0o600)
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=output,
            pass_fds=fds,
            start_new_session=True,
            cwd="/",
            env=environment,
            umask=0o077,
            timeout=30,
            check=False,
        )
    if not done.stdout.strip().isdigit():
        raise DriverError("The hypervisor could not be started on the host.")
    return int(done.stdout)


def obituary(log: Path, *, restarted: bool) -> str:
    """The sentence for a process that is gone, with what it said last. restarted: the host was, meanwhile."""
    fault = "The host was restarted while the server ran." if restarted else "The hypervisor process of the server ended unexpectedly."
    words = last_words(log)
    return f"{fault[:-1]}: {words}" if words else fault


def last_words(log: Path) -> str:
    """The last line QEMU printed, without paths of the host and control characters; empty when there is none."""
    try:
        lines = log.read_bytes()[-4096:].decode(errors="replace").splitlines()
    except OSError:
        return ""
    return sanitise(next((line for line in reversed(lines) if line.strip() and "warning:" not in line), ""))


def sanitise(line: str) -> str:
    """A line a program printed, fit for the public: no path of the host, no control character, at most 200 characters."""
    line = re.sub(r"^[\w-]*qemu[\w-]*: ", "", line.strip())
    line = re.sub(r"(?<![\w.])/[^\s:,;'\"]+", "…", line)
    return "".join(char for char in line if char.isprintable())[:200]


def _find(pid: int, tag: str) -> Found | None:
    try:
        arguments = (_PROC / str(pid) / "cmdline").read_bytes().decode(errors="replace").split("\0")
        identity = identify(arguments, tag)
        if identity is None:
            return None
        uid = (_PROC / str(pid)).stat().st_uid
    except OSError:
        return None
    ticks = _ticks(pid)
    return None if ticks is None else Found(identity[0], pid, ticks, uid, identity[1])


def _ticks(pid: int) -> int | None:
    try:
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in {"Z", "X"} else int(fields[19])
