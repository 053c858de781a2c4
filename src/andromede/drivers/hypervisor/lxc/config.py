"""The configuration that LXC starts a container with. Source: lxc.container.conf(5)."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from andromede.core.ids import peer_name
from andromede.drivers.hypervisor import Guest, Nic
from andromede.drivers.hypervisor.cgroup import Hierarchy, settings
from andromede.drivers.hypervisor.lxc.mounts import RANGE

TOP = "andromede"
_SECCOMP = Path("/usr/share/lxc/config/common.seccomp")
_APPARMOR = Path("/sys/kernel/security/apparmor")
_DROPPED = "mac_admin mac_override sys_time sys_module sys_rawio"
_PERIOD = 100_000
_PRODUCT = "OpenStack Nova"
"""By which cloud-init knows, where there is no firmware to ask, that the metadata service is there to be asked."""


def text(
    guest: Guest, folder: Path, *, first: int, tag: str, hierarchies: Sequence[Hierarchy], signal: str, seed: Path | None = None,
    volumes: Mapping[str, Path] | None = None,
) -> str:
    """All of it. first: of the container's ids; signal: what ends its init; seed: a folder with the files of its config drive;
    volumes: where each of its volumes is mounted."""
    lines = [
        ("lxc.rootfs.path", f"dir:{folder / 'root'}"),
        ("lxc.uts.name", guest.id),
        ("lxc.idmap", f"u 0 {first} {RANGE}"),
        ("lxc.idmap", f"g 0 {first} {RANGE}"),
        ("lxc.mount.auto", "proc:mixed sys:mixed cgroup:mixed"),
        ("lxc.pty.max", "1024"),
        ("lxc.tty.max", "0"),
        ("lxc.console.logfile", str(folder / "console.log")),
        ("lxc.cap.drop", _DROPPED),
        ("lxc.environment", f"container_uuid={guest.id}"),
        ("lxc.environment", f"product_name={_PRODUCT}"),
        ("lxc.signal.halt", signal),
        ("lxc.hook.post-stop", f"/usr/bin/touch {folder / 'ended'}"),
        ("lxc.cgroup.dir.container", f"{TOP}/{tag}/container-{guest.id}"),
        ("lxc.cgroup.dir.container.inner", "inner"),
        ("lxc.cgroup.dir.monitor", f"{TOP}/{tag}/monitor-{guest.id}"),
        ("lxc.cgroup.dir.monitor.pivot", f"{TOP}/{tag}/pivot-{guest.id}"),
    ]
    if _SECCOMP.exists():
        lines.append(("lxc.seccomp.profile", str(_SECCOMP)))
    if _APPARMOR.exists():
        lines.append(("lxc.apparmor.profile", "generated"))
    if seed is not None:
        lines.append(("lxc.mount.entry", f"{seed} var/lib/cloud/seed/config_drive none bind,ro,create=dir 0 0"))
    for name, path in (volumes or {}).items():
        lines.append(("lxc.mount.entry", f"{path} mnt/{name} none bind,nosuid,nodev,create=dir 0 0"))
    lines += limits(guest, hierarchies)
    lines += nics(guest.nics)
    return "".join(f"{name} = {value}\n" for name, value in lines)


def nics(wanted: Sequence[Nic]) -> list[tuple[str, str]]:
    """The cards that it begins with: the near ends of their ports become its own."""
    if not wanted:
        return [("lxc.net.0.type", "empty")]
    lines = []
    for number, nic in enumerate(wanted):
        begin = f"lxc.net.{number}"
        lines += [(f"{begin}.type", "phys"), (f"{begin}.link", peer_name(nic.port_id)), (f"{begin}.name", f"eth{number}")]
    return lines


def limits(guest: Guest, hierarchies: Sequence[Hierarchy]) -> list[tuple[str, str]]:
    """What the host's cgroups hold it to: its share and number of CPUs, its memory, how many processes it has."""
    shares = guest.vcpus * 1024 if guest.cpu_shares is None else guest.cpu_shares
    lines = []
    for hierarchy in hierarchies:
        begin = "lxc.cgroup2" if hierarchy.unified else "lxc.cgroup"
        for name in hierarchy.controllers:
            pids = 4096 + 1024 * guest.vcpus
            found = settings(name, unified=hierarchy.unified, shares=shares, memory=guest.memory, pids=pids)
            if name == "cpu":
                quota = str(guest.vcpus * _PERIOD)
                found = [*found, ("cpu.max", f"{quota} {_PERIOD}") if hierarchy.unified else ("cpu.cfs_quota_us", quota)]
            lines += [(f"{begin}.{file}", value) for file, value in found]
    return lines
