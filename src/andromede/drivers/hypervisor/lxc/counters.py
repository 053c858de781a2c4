"""What is measured: a container's counters in the keys of Compute's diagnostics 2.48, and what the host offers."""

import functools
import os
import platform
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from andromede.core.errors import DriverError
from andromede.core.units import MIB
from andromede.drivers.hypervisor import Guest, Host, State
from andromede.drivers.hypervisor.cgroup import Hierarchy
from andromede.drivers.hypervisor.lxc import mounts
from andromede.drivers.hypervisor.lxc.groups import leaf

_PROGRAMS = ("lxc-start", "lxc-freeze", "nsenter", "unshare", "mke2fs")


def missing() -> str:
    """Why this host runs no containers, in a sentence; empty where it does."""
    absent = [name for name in _PROGRAMS if shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin") is None]
    if absent:
        return f"{absent[0]} is not installed."
    if not Path("/proc/self/ns/user").exists():
        return "The kernel has no user namespaces."
    if "overlay" not in Path("/proc/filesystems").read_text() and shutil.which("modprobe") is None:
        return "The kernel has no overlay file system."
    return ""


@functools.cache
def _version() -> int:
    """As Compute writes it: 5.0.2 is 5000002. Asked once: a host is looked at every few seconds."""
    words = mounts.run(["lxc-start", "--version"], cause="LXC does not answer.").split("-")[0].split(".")
    major, minor, micro = (int(word) for word in [*words, "0", "0"][:3])
    return major * 1_000_000 + minor * 1000 + micro


def host(root: Path, limits: str) -> Host:
    """What the host offers to containers. Raises DriverError where it runs none."""
    why = missing()
    if why:
        raise DriverError(why)
    facts = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    memory = {name: int(facts[name].split()[0]) * 1024 for name in ("MemTotal", "MemAvailable")}
    disk = os.statvfs(root)
    return Host(
        hypervisor="LXC", version=_version(), acceleration="kvm", why="",
        vcpus=len(os.sched_getaffinity(0)), memory=memory["MemTotal"], memory_free=memory["MemAvailable"],
        disk=disk.f_blocks * disk.f_frsize, disk_free=disk.f_bavail * disk.f_frsize, cpu_model=platform.machine(), limits=limits,
    )  # fmt: skip


def diagnostics(
    guest: Guest, init: int, hierarchies: Sequence[Hierarchy], tag: str, *, started: float, state: State, disk: Path
) -> dict[str, object]:
    """Counters since the container was started. Times in nanoseconds, memory in MiB. It has no CPUs of its own: the first one has the
    time of all. disk: where its disk is mounted."""
    uptime, used, spent = max(0, int(time.time() - started)), 0, 0
    for one in hierarchies:
        place = leaf(one.root, tag, guest.id)
        used = used or _number(place / "memory.current") or _number(place / "memory.usage_in_bytes")
        spent = spent or _usage(place / "cpu.stat")
    spent = spent or _number(leaf(Path("/sys/fs/cgroup/cpuacct"), tag, guest.id) / "cpuacct.usage")
    return {
        "state": str(state),
        "driver": "lxc",
        "hypervisor": "lxc",
        "hypervisor_os": platform.system().lower(),
        "uptime": uptime,
        "config_drive": guest.config_drive is not None,
        "num_cpus": guest.vcpus,
        "num_nics": len(guest.nics),
        "num_disks": len(guest.disks),
        "cpu_details": [{"id": number, "time": 0 if number else spent, "utilisation": None} for number in range(guest.vcpus)],
        "nic_details": _cards(guest, init),
        "disk_details": [_disk(disk)],
        "memory_details": {"maximum": guest.memory // MIB, "used": used // MIB},
    }


def _disk(place: Path) -> dict[str, int]:
    """What was read and written since it was mounted. Source: Documentation/block/stat.rst of Linux."""
    device = place.stat().st_dev
    fields = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}/stat").read_text().split()
    reads, read, writes, written = (int(fields[at]) for at in (0, 2, 4, 6))
    return {"read_requests": reads, "read_bytes": read * 512, "write_requests": writes, "write_bytes": written * 512, "errors_count": -1}


def _cards(guest: Guest, init: int) -> list[dict[str, object]]:
    lines = Path(f"/proc/{init}/net/dev").read_text().splitlines()[2:]
    found = {line.partition(":")[0].strip(): [int(word) for word in line.partition(":")[2].split()] for line in lines}
    names = sorted(name for name in found if name != "lo")
    return [
        {
            "mac_address": nic.mac, "rx_octets": found[name][0], "rx_packets": found[name][1], "rx_errors": found[name][2],
            "rx_drop": found[name][3], "rx_rate": None, "tx_octets": found[name][8], "tx_packets": found[name][9],
            "tx_errors": found[name][10], "tx_drop": found[name][11], "tx_rate": None,
        }
        for nic, name in zip(guest.nics, names, strict=False)
    ]  # fmt: skip


def _number(path: Path) -> int:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return 0


def _usage(path: Path) -> int:
    """Nanoseconds, from the statistics of cgroup 2."""
    try:
        facts = dict(line.split() for line in path.read_text().splitlines())
    except (OSError, ValueError):
        return 0
    return int(facts.get("usage_usec", 0)) * 1000
