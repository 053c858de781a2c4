"""`andromede doctor`: what this machine can do, what follows from it, and what would make it better."""

import asyncio
import os
import shutil
import tempfile
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from andromede.core.units import GIB, show_bytes
from andromede.run.home import Home
from andromede.run.programs import OPTIONAL, PACKAGES, have

out = Console(highlight=False)


class Finding(msgspec.Struct):
    """What was looked at. `verdict`: good, weak (works, with a consequence) or bad (does not work)."""

    what: str
    verdict: str
    found: str
    consequence: str = ""
    remedy: str = ""


def doctor(home: Home) -> bool:
    """Print the findings; answers whether servers can run here."""
    found = [_programs(), _kvm(home), _datapath(), _containers(), _cgroups(), _memory(), _disk(home), _user(home)]
    colours = {"good": "green", "weak": "yellow", "bad": "red"}
    table = Table("What", "", "Found", "Consequence", "Remedy", box=None, pad_edge=False)
    for one in found:
        table.add_row(one.what, f"[{colours[one.verdict]}]{one.verdict}[/]", one.found, one.consequence, one.remedy)
    out.print(table)
    return all(one.verdict != "bad" for one in found)


def _programs() -> Finding:
    missing = {package for program, package in PACKAGES.items() if program not in OPTIONAL and not have(program)}
    if missing:
        remedy = "run ./andromede up, or apt-get install them"
        return Finding("programs", "bad", f"missing: {', '.join(sorted(missing))}", "no server can start", remedy)
    return Finding("programs", "good", "all there")


def _kvm(home: Home) -> Finding:
    from andromede.drivers.hypervisor.qemu.probe import probe

    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        chosen = asyncio.run(probe(Path(folder), uid=home.settings.compute.uid_base - 2))
    if chosen.name == "kvm":
        return Finding("KVM", "good", "a guest in 64-bit mode ran")
    return Finding(
        "KVM", "weak", chosen.why, "servers run under TCG, about ten times slower",
        "enable virtualisation in the firmware, or nested virtualisation on the machine that carries this one",
    )  # fmt: skip


def _containers() -> Finding:
    from andromede.drivers.hypervisor.lxc import counters

    why = counters.missing()
    if why:
        return Finding("containers", "weak", why, "images with hypervisor_type=lxc start no server here", "install lxc, on a kernel that has these")
    if not Path("/dev/fuse").exists() or not have("qemu-storage-daemon"):
        what = "LXC is there; /dev/fuse or qemu-storage-daemon is not"
        return Finding("containers", "weak", what, "containers get no volumes here", "modprobe fuse; apt-get install qemu-system-common")
    return Finding("containers", "good", "LXC is there")


def _datapath() -> Finding:
    from andromede.drivers.network.ovn.host import datapath

    chosen = datapath()
    if chosen.type == "system":
        return Finding("datapath", "good", chosen.reason)
    return Finding(
        "datapath", "weak", chosen.reason, "networks run in userspace: about 1 Gbit/s, and one busy core",
        "use a kernel with the openvswitch module",
    )  # fmt: skip


def _cgroups() -> Finding:
    root = Path("/sys/fs/cgroup")
    if (root / "cgroup.controllers").exists():
        have = (root / "cgroup.controllers").read_text().split()
        kind = "v2"
    else:
        have, kind = [path.name for path in root.iterdir()] if root.exists() else [], "v1"
    missing = [name for name in ("cpu", "memory", "pids") if name not in have]
    if missing:
        return Finding("cgroups", "weak", f"{kind} without {', '.join(missing)}", "servers are not held to these limits", "mount the controllers")
    return Finding("cgroups", "good", f"{kind} with cpu, memory, pids")


def _memory() -> Finding:
    facts = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    free = int(facts["MemAvailable"].split()[0]) * 1024
    if free < GIB:
        return Finding("memory", "weak", f"{show_bytes(free)} free", "only the smallest servers fit", "free some, or add some")
    return Finding("memory", "good", f"{show_bytes(free)} free")


def _disk(home: Home) -> Finding:
    place = next(path for path in (home.path, *home.path.parents) if path.exists())
    free = shutil.disk_usage(place).free
    if os.statvfs(place).f_flag & os.ST_RDONLY:
        return Finding("disk", "bad", f"{place} is read-only", "nothing can be stored", "remount it writable, or use --home")
    if free < 2 * GIB:
        return Finding("disk", "bad", f"{show_bytes(free)} free at {place}", "images and disks do not fit", "free some, or use --home")
    return Finding("disk", "good", f"{show_bytes(free)} free at {place}")


def _user(home: Home) -> Finding:
    count = home.settings.compute.uid_base
    limit = Path("/proc/self/uid_map").read_text().split()
    if int(limit[2]) < count:
        return Finding("user ids", "bad", f"only {limit[2]} here", "guests cannot run as users of their own", "set compute.uid_base lower")
    return Finding("user ids", "good", f"{count} and up for guests")
