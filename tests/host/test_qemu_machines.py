"""The machines that an image's properties ask for, with real QEMU: secure boot, a TPM, several queues, huge pages, other devices."""

# ruff: noqa: ASYNC221 - a story waits for what it looks at, and nothing else runs meanwhile

import re
import subprocess
from pathlib import Path

import pytest

from andromede.core.errors import DriverError
from andromede.core.ids import new_id, tap_name
from andromede.core.units import MIB
from andromede.drivers.hypervisor import Capture, Disk, Nic, Power, State
from andromede.drivers.hypervisor.qemu import tpm
from tests.host.hypervisors import HAVE_QEMU, WHY_NOT
from tests.host.test_hypervisor_contract import asked
from tests.host.test_qemu import real as alone

pytestmark = [pytest.mark.timeout(120), pytest.mark.skipif(not HAVE_QEMU, reason=WHY_NOT)]


async def monitor(world, guest):
    await world.driver.ensure(guest)
    return world.driver._live[guest.id].monitor


@alone
async def test_secure_boot_and_a_tpm_that_goes_along(world):
    if not tpm.installed():
        pytest.skip("needs swtpm")
    guest = world.guest(firmware="uefi", machine="q35", secure_boot=True, tpm="tpm-crb", memory=128 * MIB)
    await world.until(guest, State.RUNNING)
    line = await monitor(world, guest)
    assert [one["model"] for one in await line.run("query-tpm")] == ["tpm-crb"]
    assert await line.run("qom-get", path="/machine", property="smm") == "on"
    folder = world.folder / guest.id
    assert (folder / "nvram-secure.fd").exists()
    (pid,) = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit() and is_swtpm(path)]
    status = Path(f"/proc/{pid}/status").read_text()
    assert int(re.search(r"Uid:\s+(\d+)", status)[1]) == await world.driver.owner(guest.id)
    asleep = asked(guest, power=Power.SUSPENDED)
    await world.until(asleep, State.SUSPENDED)
    await world.until(guest, State.RUNNING)
    assert [one["model"] for one in await (await monitor(world, guest)).run("query-tpm")] == ["tpm-crb"]
    await world.until(asked(guest, power=Power.STOPPED), State.STOPPED)
    await until(lambda: not any(path.name.isdigit() and is_swtpm(path) for path in Path("/proc").iterdir()))


def is_swtpm(path):
    try:
        return (path / "comm").read_text().strip() == "swtpm"
    except OSError:
        return False


async def until(check):
    import asyncio

    for _ in range(200):
        if check():
            return
        await asyncio.sleep(0.05)
    raise AssertionError("it did not come about")


@alone
async def test_a_tpm_without_its_program_is_told_of(world):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tpm, "installed", lambda: False)
        with pytest.raises(DriverError, match="swtpm"):
            await world.driver.ensure(world.guest(tpm="tpm-tis"))


@alone
async def test_several_queues(world):
    guest_id = new_id()
    nic = Nic(port_id=new_id(), mac="fa:16:3e:00:00:01", queues=2)
    late = Nic(port_id=new_id(), mac="fa:16:3e:00:00:02", queues=2)
    uid = await world.driver.owner(guest_id)
    for one in (nic, late):
        name = tap_name(one.port_id)
        subprocess.run(["ip", "tuntap", "add", "dev", name, "mode", "tap", "multi_queue", "user", str(uid)], check=True, timeout=10)
        world.taps.append(name)
    guest = world.guest(id=guest_id, vcpus=2, nics=(nic,))
    await world.until(guest, State.RUNNING)
    await world.plugged(asked(guest, nics=(nic, late)))
    assert await world.cards(guest_id) == {nic.port_id, late.port_id}


@alone
async def test_other_machines(world):
    (root,) = world.guest().disks
    for machine, bus, video in (("pc", "ide", "none"), ("q35", "ide", "bochs"), ("pc", "scsi", "virtio"), ("pc-q35-7.2", "sata", "qxl")):
        extra = Disk(id="extra", size=MIB, bus="sata", cdrom=True) if machine != "pc" else Disk(id="extra", size=MIB, bus=bus)
        guest = world.guest(machine=machine, disks=(Disk(id=root.id, size=root.size, base=root.base, bus=bus), extra), video=video, local_time=True)
        await world.until(guest, State.RUNNING)
        await world.up(guest.id)
        await world.driver.remove(guest.id)


@alone
async def test_huge_pages_that_the_host_does_not_have_are_told_of(world):
    free = int(re.search(r"HugePages_Free:\s+(\d+)", Path("/proc/meminfo").read_text())[1])
    guest = world.guest(huge_pages=True, memory=(free * 2 + 64) * MIB)
    with pytest.raises(DriverError):
        await world.driver.ensure(guest)


@alone
async def test_what_does_not_go_together_is_refused(world):
    older = {"secure_boot": True, "firmware": "uefi", "machine": "pc"}
    for values in ({"secure_boot": True}, {"machine": "sparc"}, {"tpm": "1.2"}, {"video": "cga"}, older):
        with pytest.raises(DriverError):
            await world.driver.ensure(world.guest(**values))


@alone
async def test_memory_that_cannot_be_read_is_told_of_and_a_restart_helps(world):
    guest = world.guest()
    await world.until(guest, State.RUNNING)
    await world.until(asked(guest, power=Power.SUSPENDED), State.SUSPENDED)
    state = world.folder / guest.id / "memory.state"
    state.write_bytes(state.read_bytes()[:1000])
    with pytest.raises(DriverError):
        await world.driver.ensure(guest)
    assert (await world.seen(guest.id)).state is State.SUSPENDED
    await world.until(asked(guest, boots=1), State.RUNNING)
    assert not state.exists()


@alone
async def test_copies_that_cannot_be_made_say_why(world):
    guest = world.guest()
    await world.until(guest, State.RUNNING)
    nowhere = Capture(id="one", disk=guest.disks[0].id, path=str(world.folder / "none" / "copy"))
    seen = await world.driver.ensure(asked(guest, captures=(nowhere,)))
    assert seen.captures["one"]
    stopped = asked(guest, power=Power.STOPPED, captures=(Capture(id="two", disk=guest.disks[0].id, path=nowhere.path),))
    await world.until(stopped, State.STOPPED)
    for _ in range(100):
        if (seen := await world.driver.ensure(stopped)).captures.get("two"):
            break
    assert seen.captures["two"]
    assert (await world.driver.ensure(asked(guest, power=Power.STOPPED))).captures == {}


@alone
async def test_a_point_that_is_not_there_is_told_of(world):
    guest = world.guest()
    (root,) = guest.disks
    gone = Disk(id="root.1", size=root.size, base=root.base, past=("nothing", "before"))
    with pytest.raises(DriverError, match="go back"):
        await world.driver.ensure(asked(guest, disks=(gone,)))
    await world.until(guest, State.RUNNING)
    with pytest.raises(DriverError):
        await world.driver.ensure(asked(guest, boots=1, disks=(Disk(id="root.1", size=root.size, base=root.base, past=(root.id, "before")),)))
    await world.until(asked(guest, boots=2), State.RUNNING)
