"""What is measured: a guest's counters in the keys of Compute's diagnostics 2.48, and what the host offers."""

import asyncio
import os
import platform
import re
import time
from pathlib import Path
from typing import Any

from andromede.core.errors import DriverError
from andromede.core.ids import tap_name
from andromede.core.units import MIB
from andromede.drivers.hypervisor import SECURE_BOOT, TPM, Guest, Host, Seen, State
from andromede.drivers.hypervisor.qemu import files, process, tpm
from andromede.drivers.hypervisor.qemu.live import Live
from andromede.drivers.hypervisor.qemu.probe import Acceleration
from andromede.drivers.hypervisor.qemu.process import BINARY
from andromede.drivers.hypervisor.qemu.qmp import Monitor, MonitorError

_TICK = os.sysconf("SC_CLK_TCK")


async def of(live: Live | None, guest: Guest | None, seen: Seen, hypervisor: str) -> dict[str, object]:
    """The counters of a guest as it is seen now. Raises DriverError (409) where it does not run or does not answer."""
    if live is None or live.monitor is None or guest is None:
        raise DriverError("The server does not run, so it has no counters.", status=409)
    try:
        return await diagnostics(live.monitor, guest, pid=live.process.pid, started=seen.started, state=seen.state, hypervisor=hypervisor)
    except MonitorError as error:
        raise DriverError("The hypervisor process of the server does not answer.", status=409) from error


async def diagnostics(
    monitor: Monitor, guest: Guest, *, pid: int, started: float, state: State, hypervisor: str
) -> dict[str, object]:
    """Counters since the guest was started. Times in nanoseconds, memory in MiB; received and sent as the guest sees them."""
    uptime = max(0, int(time.time() - started))
    cpus, blocks, balloon = await asyncio.gather(
        monitor.run("query-cpus-fast"), monitor.run("query-blockstats"), monitor.run("query-balloon")
    )
    return {
        "state": str(state),
        "driver": "qemu",
        "hypervisor": hypervisor,
        "hypervisor_os": operating_system(),
        "uptime": uptime,
        "config_drive": guest.config_drive is not None,
        "num_cpus": guest.vcpus,
        "num_nics": len(guest.nics),
        "num_disks": len(guest.disks),
        "cpu_details": [_cpu(pid, cpu, uptime) for cpu in cpus],
        "nic_details": _nics(guest),
        "disk_details": [_disk(block["stats"]) for block in blocks if str(block.get("qdev", "")).find("dev-disk") >= 0],
        "memory_details": {"maximum": int(balloon["actual"]) // MIB, "used": _resident(pid) // MIB},
    }


async def host(state_dir: Path, acceleration: Acceleration, limits: str) -> Host:
    """What the host offers now."""
    memory = _meminfo()
    disk = os.statvfs(state_dir)
    return Host(
        hypervisor="QEMU",
        version=await version(),
        acceleration=acceleration.name,
        why=acceleration.why,
        vcpus=len(os.sched_getaffinity(0)),
        memory=memory["MemTotal"],
        memory_free=memory["MemAvailable"],
        disk=disk.f_blocks * disk.f_frsize,
        disk_free=disk.f_bavail * disk.f_frsize,
        cpu_model=_cpu_model(),
        limits=limits,
        traits=_traits(),
        booted=int(_booted()),
    )


def _traits() -> tuple[str, ...]:
    """What guests here can have, in the words of os-traits."""
    secure = any(code.exists() and variables.exists() for code, variables in files.SECURE)
    known = {
        TPM: tpm.installed(), SECURE_BOOT: secure, "COMPUTE_GRAPHICS_MODEL_VGA": True, "COMPUTE_GRAPHICS_MODEL_VIRTIO": True,
        "COMPUTE_NET_VIF_MODEL_VIRTIO": True, "COMPUTE_NET_VIF_MODEL_E1000": True, "COMPUTE_STORAGE_BUS_VIRTIO": True,
        "COMPUTE_STORAGE_BUS_SCSI": True, "COMPUTE_STORAGE_BUS_SATA": True, "COMPUTE_STORAGE_BUS_IDE": True, "COMPUTE_RESCUE_BFV": False,
    }  # fmt: skip
    return tuple(sorted(name for name, has in known.items() if has))


def _booted() -> float:
    """When the host was started, in seconds since the epoch."""
    match = re.search(r"^btime (\d+)", Path("/proc/stat").read_text(), re.MULTILINE)
    return float(match[1]) if match else 0.0


async def version() -> int:
    """QEMU's version as Compute writes it: 7.2.22 is 7002022. Raises DriverError when QEMU is not there."""
    try:
        process = await asyncio.create_subprocess_exec(
            BINARY,
            "-version",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except FileNotFoundError as error:
        raise missing() from error
    output, _ = await process.communicate()
    match = re.search(rb"version (\d+)\.(\d+)\.(\d+)", output)
    if match is None:
        raise DriverError(f"The hypervisor program {BINARY} does not tell its version.")
    major, minor, micro = (int(part) for part in match.groups())
    return major * 1_000_000 + minor * 1_000 + micro


async def cannot_start(folder: Path) -> DriverError:
    """Why a guest's QEMU did not come up: it is not there, or what it said last."""
    try:
        await version()
    except DriverError as error:
        return error
    words = process.last_words(folder / "qemu.log")
    return DriverError(f"The server could not be started: {words}" if words else "The server did not start in time.")


def missing() -> DriverError:
    """The error for a host without QEMU."""
    return DriverError(f"The hypervisor program {BINARY} is not installed on the host.")


def operating_system() -> str:
    """The host's distribution, as `debian`; `linux` where it does not tell."""
    try:
        return platform.freedesktop_os_release().get("ID", "linux")
    except OSError:
        return "linux"


def _cpu(pid: int, cpu: dict[str, Any], uptime: int) -> dict[str, object]:
    try:
        fields = Path(f"/proc/{pid}/task/{cpu['thread-id']}/stat").read_text().rpartition(")")[2].split()
        used = (int(fields[11]) + int(fields[12])) / _TICK
    except OSError:
        used = 0.0
    return {"id": int(cpu["cpu-index"]), "time": int(used * 1e9), "utilisation": min(100, int(100 * used / max(uptime, 1)))}


def _nics(guest: Guest) -> list[dict[str, object]]:
    """Counters of the taps, from the network namespace we are in; what the host's end sends is what the guest receives."""
    lines = (line.partition(":") for line in Path("/proc/thread-self/net/dev").read_text().splitlines())
    known = {name.strip(): [int(word) for word in numbers.split()] for name, colon, numbers in lines if colon}
    return [_nic(nic.mac, known.get(tap_name(nic.port_id), [0] * 16)) for nic in guest.nics]


def _nic(mac: str, numbers: list[int]) -> dict[str, object]:
    details: dict[str, object] = {"mac_address": mac}
    for ours, first in (("tx", 0), ("rx", 8)):
        details |= dict(zip((f"{ours}_{key}" for key in ("octets", "packets", "errors", "drop")), numbers[first:], strict=False))
        details[f"{ours}_rate"] = None
    return details


def _disk(stats: dict[str, Any]) -> dict[str, object]:
    return {
        "read_bytes": int(stats["rd_bytes"]),
        "read_requests": int(stats["rd_operations"]),
        "write_bytes": int(stats["wr_bytes"]),
        "write_requests": int(stats["wr_operations"]),
        "errors_count": sum(int(stats[f"failed_{kind}_operations"]) for kind in ("rd", "wr", "flush")),
    }


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def _number(path: Path) -> int:
    try:
        return int(path.read_text())
    except OSError:
        return 0


def _meminfo() -> dict[str, int]:
    lines = Path("/proc/meminfo").read_text().splitlines()
    return {name: int(rest.split()[0]) * 1024 for name, _, rest in (line.partition(":") for line in lines)}


def _cpu_model() -> str:
    match = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return match[1] if match else platform.machine()
