"""The worlds that the hypervisor contract runs in: the fake, QEMU with guests of a few bytes, and LXC with busybox for a guest."""

# ruff: noqa: ASYNC221 - a story waits for what it looks at, and nothing else runs meanwhile

import asyncio
import os
import shutil
import socket
import subprocess
import tarfile
import tempfile
import uuid
from pathlib import Path
from typing import Any

from andromede.core.clock import monotonic
from andromede.core.ids import new_id, peer_name, tap_name
from andromede.core.units import MIB
from andromede.drivers.hypervisor import Disk, Guest, Hypervisor, Nic, Power, Seen, State
from andromede.drivers.hypervisor.fake import Fake
from andromede.drivers.hypervisor.lxc import Lxc, counters, mounts
from andromede.drivers.hypervisor.lxc import processes as monitors
from andromede.drivers.hypervisor.qemu import Acceleration, Qemu
from andromede.drivers.hypervisor.qemu import process as processes
from andromede.drivers.hypervisor.qemu.qmp import short_path

# A boot sector that arms the ACPI power button (port 0x602), says so on the serial line, and then does as its input says:
# p power off, d ignore the power button, r reset, x panic (pvpanic). It powers off when the button is pressed. Unless it ignores
# the button it also lets go of cards (ports 0xcc4, 0xcc8 and 0xcd0: docs/specs/acpi_pci_hotplug.txt of QEMU).
BOOT_SECTOR = bytes.fromhex(
    "31c08ed8ba0206b80001efbe8d7cac84c07406baf803eeebf5fbf4ba0006edf6c4017560ba0206edf6c401742031c9bad00c660fb7c166efbac40c"
    "66ed6685c07405bac80c66ef4180f91072e2bafd03eca80174c4baf803ec3c7074273c6474183c72740c3c7875b0ba0505b001eeeba8baf90cb006"
    "eeeba0ba020631c0efbe9b7ceb8aba0406b80020efeb8c67756573742069732075700d0a00677565737420697320646561660d0a00"
)
HAVE_QEMU = os.geteuid() == 0 and shutil.which(processes.BINARY) is not None
WHY_NOT = "needs root and qemu-system-x86_64"
TCG = Acceleration("tcg", "The test asks for it.")
UID_BASE = 1_300_000
LETTING_GO = 2.0


def boot_image(path: Path) -> Path:
    """A raw disk that boots the boot sector."""
    path.write_bytes((BOOT_SECTOR.ljust(510, b"\0") + b"\x55\xaa").ljust(MIB, b"\0"))
    return path


class World:
    """A driver, and a hand that reaches into its guests."""

    driver: Hypervisor
    folder: Path
    copied = b"QFI\xfb"
    """What copies of disks begin with."""
    resting = (Power.RUNNING, Power.SUSPENDED, Power.STOPPED)

    def guest(self, **changes: Any) -> Guest:
        """A guest that can boot."""
        return Guest(**({"id": str(uuid.uuid4()), "vcpus": 1, "memory": 32 * MIB} | changes))

    async def until(self, guest: Guest, *states: State, patience: float = 20.0) -> Seen:
        """Call ensure until it says one of the states."""
        deadline = monotonic() + patience
        while True:
            seen = await self.driver.ensure(guest)
            if seen.state in states:
                return seen
            assert monotonic() < deadline, f"{seen} is none of {states}"
            await asyncio.sleep(0.03)

    async def seen(self, guest_id: str) -> Seen | None:
        """What observe says of one guest."""
        return next((seen for seen in await self.driver.observe() if seen.id == guest_id), None)

    async def says(self, guest_id: str, text: bytes, times: int = 1, patience: float = 20.0) -> None:
        """Wait until the console holds the text so many times."""
        deadline = monotonic() + patience
        while (console := await self.driver.console(guest_id)).count(text) < times:
            assert monotonic() < deadline, console
            await asyncio.sleep(0.03)

    async def up(self, guest_id: str, times: int = 1) -> None:
        """Wait until the guest has booted so many times."""

    async def plugged(self, guest: Guest, patience: float = 20.0) -> None:
        """Call ensure until the guest has exactly its cards."""
        deadline = monotonic() + patience
        while set((await self.driver.ensure(guest)).nics) != {nic.port_id for nic in guest.nics}:
            assert monotonic() < deadline
            await asyncio.sleep(0.03)

    async def captured(self, guest: Guest, id_: str, patience: float = 20.0) -> None:
        """Call ensure until a copy is whole."""
        deadline = monotonic() + patience
        while (seen := await self.driver.ensure(guest)).captures.get(id_) != "":
            assert id_ not in seen.captures, seen
            assert monotonic() < deadline
            await asyncio.sleep(0.03)

    async def alive(self, guest_id: str) -> None:
        """Make sure that the guest answers what is typed."""

    async def restart(self) -> None:
        """A fresh driver object, as after our process was started anew."""

    async def power_off(self, guest_id: str) -> None:
        """The guest switches itself off."""

    async def crash(self, guest_id: str) -> None:
        """The guest's process vanishes."""

    async def panic(self, guest_id: str) -> None:
        """The guest panics."""

    async def deafen(self, guest_id: str) -> None:
        """The guest ignores its power button."""

    async def damage(self, guest_id: str) -> None:
        """What is recorded of the guest becomes unreadable."""

    async def nic(self, guest_id: str) -> Nic:
        """A card for the guest, its tap made."""
        return Nic(port_id=new_id(), mac="fa:16:3e:" + ":".join(f"{octet:02x}" for octet in os.urandom(3)), mtu=1442)

    async def cards(self, guest_id: str) -> set[str]:
        """Ports of the cards in the guest, as the hypervisor itself knows them."""
        seen = await self.seen(guest_id)
        return set(seen.nics) if seen else set()

    async def end(self) -> None:
        """Remove every guest; nothing may be left."""
        for seen in await self.driver.observe():
            await self.driver.remove(seen.id)
        assert await self.driver.observe() == []
        await self.driver.close()


class FakeWorld(World):
    def __init__(self, folder: Path) -> None:
        self.folder = folder / "state"
        self.driver: Fake = Fake(self.folder, letting_go=LETTING_GO)

    async def up(self, guest_id: str, times: int = 1) -> None:
        await self.says(guest_id, b"Linux version", times)

    async def restart(self) -> None:
        await self.driver.close()
        self.driver = Fake(self.folder, letting_go=LETTING_GO)

    async def power_off(self, guest_id: str) -> None:
        self.driver.power_off(guest_id)

    async def crash(self, guest_id: str) -> None:
        self.driver.crash(guest_id)

    async def panic(self, guest_id: str) -> None:
        self.driver.panic(guest_id)

    async def deafen(self, guest_id: str) -> None:
        self.driver.ignore_acpi(guest_id)

    async def damage(self, guest_id: str) -> None:
        (self.folder / f"{guest_id}.json").write_text("{")


class QemuWorld(World):
    def __init__(self, folder: Path, **options: Any) -> None:
        self.folder = folder / "state"
        self.image = boot_image(folder / "boot.raw")
        self.tag = f"test-{uuid.uuid4().hex[:8]}"
        self.options = {"uid_base": UID_BASE, "tag": self.tag, "acceleration": TCG, "letting_go": LETTING_GO} | options
        self.taps: list[str] = []
        self.driver: Qemu = Qemu(self.folder, **self.options)

    def guest(self, **changes: Any) -> Guest:
        return super().guest(**({"disks": (Disk(id="root", size=2 * MIB, base=str(self.image)),)} | changes))

    async def up(self, guest_id: str, times: int = 1) -> None:
        await self.says(guest_id, b"guest is up", times)

    async def restart(self) -> None:
        await self.driver.close()
        self.driver = Qemu(self.folder, **self.options)

    def type(self, guest_id: str, text: bytes) -> None:
        with socket.socket(socket.AF_UNIX) as line, short_path(self.folder / guest_id / "serial.sock") as name:
            line.connect(name)
            line.sendall(text)

    def pids(self, guest_id: str) -> list[int]:
        return [found.pid for found in processes.scan(self.tag) if found.guest_id == guest_id]

    async def alive(self, guest_id: str) -> None:
        self.type(guest_id, b"d")
        await self.says(guest_id, b"guest is deaf")

    async def power_off(self, guest_id: str) -> None:
        await self.up(guest_id)
        self.type(guest_id, b"p")

    async def crash(self, guest_id: str) -> None:
        for pid in self.pids(guest_id):
            os.kill(pid, 9)

    async def panic(self, guest_id: str) -> None:
        await self.up(guest_id)
        self.type(guest_id, b"x")

    async def deafen(self, guest_id: str) -> None:
        await self.up(guest_id)
        self.type(guest_id, b"d")
        await self.says(guest_id, b"guest is deaf")

    async def damage(self, guest_id: str) -> None:
        (self.folder / guest_id / "guest.json").write_text("{")

    async def nic(self, guest_id: str) -> Nic:
        nic = await super().nic(guest_id)
        name, uid = tap_name(nic.port_id), await self.driver.owner(guest_id)
        subprocess.run(["ip", "tuntap", "add", "dev", name, "mode", "tap", "user", str(uid)], check=True, timeout=10)
        self.taps.append(name)
        return nic

    async def cards(self, guest_id: str) -> set[str]:
        monitor = self.driver._live[guest_id].monitor
        devices = await monitor.run("qom-list", path="/machine/peripheral")
        return {device["name"].removeprefix("nic-") for device in devices if device["name"].startswith("nic-")}

    async def end(self) -> None:
        await super().end()
        for name in self.taps:
            subprocess.run(["ip", "link", "del", name], check=True, timeout=10)
        assert processes.scan(self.tag) == []
        assert sorted(path.name for path in self.folder.rglob("*") if path.name != "acceleration.json") == ["uids"]
        assert self.cgroups() == []

    def cgroups(self) -> list[Path]:
        return list(Path("/sys/fs/cgroup").glob(f"**/andromede/{self.tag}"))


# It says when it is up, and then does as its input says: p power off, d ignore that it is asked to end. It ends when it is asked to.
INIT = """#!/bin/busybox sh
trap 'exit 0' PWR
echo "guest is up"
while :; do
    read -r -t 1 word <>/control
    case $word in
    p) exit 0 ;;
    d) trap '' PWR; echo "guest is deaf" ;;
    esac
    word=
done
"""
BUSYBOX = Path("/bin/busybox")
HAVE_LXC = os.geteuid() == 0 and not counters.missing() and BUSYBOX.exists()
WHY_NO_LXC = "needs root, LXC and busybox-static"


def root_archive(path: Path) -> Path:
    """A root file system with an init."""
    tree = path.with_suffix(".tree")
    for name in ("bin", "sbin", "proc", "sys", "dev", "tmp"):
        (tree / name).mkdir(parents=True)
    shutil.copy2(BUSYBOX, tree / "bin/busybox")
    (tree / "sbin/init").write_text(INIT)
    (tree / "sbin/init").chmod(0o755)
    os.mkfifo(tree / "control")
    with tarfile.open(path, "w:gz") as archive:
        archive.add(tree, ".", filter=_as_root)
    shutil.rmtree(tree)
    return path


def _as_root(about: tarfile.TarInfo) -> tarfile.TarInfo:
    about.uid = about.gid = 0
    return about


class Joined(Lxc):
    """The driver, with the ends of ports made before it needs them, as an agent makes them."""

    async def ensure(self, guest: Guest) -> Seen:
        for nic in guest.nics:
            name = tap_name(nic.port_id)
            if subprocess.run(["ip", "link", "show", name], capture_output=True, timeout=10, check=False).returncode:
                pair = ["ip", "link", "add", name, "type", "veth", "peer", "name", peer_name(nic.port_id)]
                subprocess.run(pair, check=True, timeout=10)
        return await super().ensure(guest)


class LxcWorld(World):
    copied = b"\x1f\x8b"
    resting = (Power.RUNNING, Power.PAUSED, Power.STOPPED)

    def __init__(self, folder: Path) -> None:
        # Not below pytest's own folder: whoever starts pytest shuts that to others, and a container's root has to pass.
        self.home = Path(tempfile.mkdtemp(prefix="andromede-lxc-", dir=os.environ.get("ANDROMEDE_TEST_WORK", "/var/tmp")))
        self.home.chmod(0o711)
        self.folder = self.home / "state"
        self.image = root_archive(folder / "root.tar.gz")
        self.tag = f"test-{uuid.uuid4().hex[:8]}"
        self.driver: Lxc = Joined(self.folder, tag=self.tag)
        self.taps: list[str] = []

    def guest(self, **changes: Any) -> Guest:
        disk = Disk(id="root", size=32 * MIB, base=str(self.image))
        return super().guest(**({"disks": (disk,), "hypervisor": "lxc"} | changes))

    async def up(self, guest_id: str, times: int = 1) -> None:
        await self.says(guest_id, b"guest is up", times)

    async def restart(self) -> None:
        await self.driver.close()
        self.driver = Joined(self.folder, tag=self.tag)

    def type(self, guest_id: str, text: bytes) -> None:
        with (self.folder / guest_id / "root/control").open("wb", buffering=0) as control:
            control.write(text + b"\n")

    async def alive(self, guest_id: str) -> None:
        self.type(guest_id, b"d")
        await self.says(guest_id, b"guest is deaf")

    async def power_off(self, guest_id: str) -> None:
        await self.up(guest_id)
        self.type(guest_id, b"p")

    async def crash(self, guest_id: str) -> None:
        found = monitors.find(self.folder, guest_id)
        assert found is not None
        os.kill(found.pid, 9)

    async def deafen(self, guest_id: str) -> None:
        await self.up(guest_id)
        self.type(guest_id, b"d")
        await self.says(guest_id, b"guest is deaf")

    async def damage(self, guest_id: str) -> None:
        (self.folder / guest_id / "guest.json").write_text("{")

    async def nic(self, guest_id: str) -> Nic:
        nic = await super().nic(guest_id)
        self.taps.append(tap_name(nic.port_id))
        return nic

    async def cards(self, guest_id: str) -> set[str]:
        """By what the ends on the host lead to: cards inside have other names."""
        found = monitors.find(self.folder, guest_id)
        assert found is not None
        inside = len(monitors.cards(found) - {"lo"})
        known = await super().cards(guest_id)
        assert inside == len(known)
        return known

    async def end(self) -> None:
        await super().end()
        for name in self.taps:
            subprocess.run(["ip", "link", "del", name], check=False, capture_output=True, timeout=10)
        assert monitors.scan(self.folder) == []
        assert not [line for line in Path("/proc/mounts").read_text().splitlines() if str(self.folder) in line]
        assert sorted(path.name for path in self.folder.iterdir()) == ["images", "ranges"]
        assert list((self.folder / "ranges").iterdir()) == []
        assert mounts.mounted(self.folder) is False
        assert list(Path("/sys/fs/cgroup").glob(f"*/andromede/{self.tag}")) == []
        shutil.rmtree(self.home)
