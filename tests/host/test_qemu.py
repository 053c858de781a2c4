"""What is QEMU's alone: confinement, adoption after a kill, damage of every kind, and a real Linux."""

# ruff: noqa: ASYNC221 - a story waits for what it looks at, and nothing else runs meanwhile

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import msgspec
import pytest

from andromede.core.errors import DriverError
from andromede.core.ids import new_id, tap_name
from andromede.core.units import MIB
from andromede.drivers.hypervisor import Disk, Guest, Nic, Power, State
from andromede.drivers.hypervisor.qemu import Qemu, counters, files, live, probe
from andromede.drivers.hypervisor.qemu import process as processes
from andromede.drivers.hypervisor.qemu.qmp import Monitor, MonitorError
from tests.host.hypervisors import HAVE_QEMU, LETTING_GO, TCG, UID_BASE, WHY_NOT, QemuWorld
from tests.host.linux import linux

pytestmark = [pytest.mark.timeout(180), pytest.mark.skipif(not HAVE_QEMU, reason=WHY_NOT)]


def real(story: Callable[[QemuWorld], Awaitable[None]]) -> Callable[[Path], None]:
    def test(tmp_path: Path) -> None:
        async def run() -> None:
            async with _world(tmp_path) as world:
                await story(world)

        asyncio.run(run())

    test.__name__ = story.__name__
    return test


@contextlib.asynccontextmanager
async def _world(folder: Path) -> AsyncIterator[QemuWorld]:
    world = QemuWorld(folder)
    try:
        yield world
    finally:
        await world.end()


def asked(guest: Guest, **changes: object) -> Guest:
    return msgspec.structs.replace(guest, **changes)


@real
async def test_a_guest_is_confined(world):
    guest = world.guest()
    uid = await world.driver.owner(guest.id)
    await world.driver.ensure(guest)
    (pid,) = world.pids(guest.id)
    assert (world.folder / guest.id / "qemu.pid").read_text() == f"{pid}\n"
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)
    assert status["Uid"].split() == [str(uid)] * 4
    assert status["Gid"].split() == [str(uid)] * 4
    assert status["Groups"].strip() == ""
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"
    assert {status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert int(status["PPid"]) != os.getpid()
    assert os.getsid(pid) != os.getsid(0)
    joined = [line.split(":", 2)[2] for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines()]
    held = len(world.driver._cgroups.hierarchies)
    assert joined.count(f"/andromede/{world.tag}/guest-{guest.id}") == held > 0
    for path in [world.folder, *world.folder.rglob("*")]:
        assert path.is_symlink() or path.stat().st_mode & 0o077 == 0, path


@real
async def test_no_secret_lies_open_in_the_guest_s_process(world):
    """Beside its own files it holds only its base image, which is shared and cannot be written."""
    guest, other = world.guest(), world.guest()
    await asyncio.gather(world.driver.ensure(guest), world.driver.ensure(other))
    (pid,) = world.pids(guest.id)
    for link in Path(f"/proc/{pid}/fd").iterdir():
        target = str(link.readlink())
        if target.startswith(str(world.folder)):
            assert guest.id in target
        if target == str(world.image):
            assert link.lstat().st_mode & 0o200 == 0


@real
async def test_a_guest_outlives_a_kill_of_ours(world):
    guest = world.guest(boots=2)
    script = f"""
        import asyncio, msgspec, time
        from pathlib import Path
        from andromede.drivers.hypervisor import Guest
        from andromede.drivers.hypervisor.qemu import Acceleration, Qemu
        async def main():
            tcg = Acceleration("tcg", "The test asks for it.")
            driver = Qemu(Path({str(world.folder)!r}), uid_base={UID_BASE}, tag={world.tag!r}, acceleration=tcg)
            await driver.ensure(msgspec.json.decode({msgspec.json.encode(guest)!r}, type=Guest))
            print("started", flush=True)
            time.sleep(60)
        asyncio.run(main())
    """
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", textwrap.dedent(script), stdout=asyncio.subprocess.PIPE, start_new_session=True
    )
    assert await child.stdout.readline() == b"started\n"
    before = world.pids(guest.id)
    os.killpg(child.pid, signal.SIGKILL)
    await child.wait()
    await asyncio.sleep(0.2)
    assert world.pids(guest.id) == before
    assert (await world.seen(guest.id)).boots == 2
    assert (await world.driver.ensure(guest)).state is State.RUNNING
    assert world.pids(guest.id) == before
    await world.up(guest.id)
    await world.power_off(guest.id)
    await world.until(guest, State.STOPPED)


@real
async def test_a_damaged_record_of_a_running_guest_restarts_nothing(world):
    guest = world.guest(boots=5)
    await world.driver.ensure(guest)
    before = world.pids(guest.id)
    await world.damage(guest.id)
    await world.restart()
    seen = await world.seen(guest.id)
    assert (seen.state, seen.boots) == (State.RUNNING, 5)
    with pytest.raises(DriverError):
        await world.driver.diagnostics(guest.id)
    assert (await world.driver.ensure(guest)).boots == 5
    assert world.pids(guest.id) == before
    assert (await world.driver.diagnostics(guest.id))["num_cpus"] == 1


@real
async def test_a_guest_whose_folder_is_gone_is_found_and_removed(world):
    guest = world.guest()
    await world.driver.ensure(guest)
    await world.driver.close()
    shutil.rmtree(world.folder / guest.id)
    (uid,) = (world.folder / "uids").iterdir()
    uid.unlink()
    await world.restart()
    seen = await world.seen(guest.id)
    assert seen.state is State.RUNNING
    assert "does not answer" in seen.fault
    assert await world.driver.owner(new_id()) != int(uid.name), "the uid still runs a process"
    assert (await world.driver.ensure(guest)).state is State.RUNNING
    assert (await world.driver.ensure(asked(guest, power=Power.STOPPED, soft=True))).state is State.STOPPING
    await world.driver.remove(guest.id)
    assert world.pids(guest.id) == []


@real
async def test_a_fresh_driver_removes_what_it_has_not_looked_at(world):
    guest = world.guest()
    await world.driver.ensure(guest)
    await world.restart()
    await world.driver.remove(guest.id)
    assert world.pids(guest.id) == []


@real
async def test_half_made_guests_are_seen_and_removed(world):
    folder, cgroup = new_id(), new_id()
    (world.folder / folder).mkdir()
    (world.folder / folder / "root.new").write_text("")
    world.driver._cgroups.prepare(cgroup, shares=1, memory=MIB, pids=1)
    assert {seen.id: seen.state for seen in await world.driver.observe()} == {folder: State.ABSENT, cgroup: State.ABSENT}
    assert (await world.driver.ensure(world.guest(id=folder))).state is State.RUNNING


@real
async def test_a_process_that_does_not_answer(world):
    world.options["greeting"] = 1.0
    guest = world.guest()
    await world.driver.ensure(guest)
    (pid,) = world.pids(guest.id)
    os.kill(pid, signal.SIGSTOP)
    real_run = Monitor.run

    async def hasty(self, command, patience=0.3, **arguments):
        return await real_run(self, command, min(patience, 0.3), **arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Monitor, "run", hasty)
        seen = await world.seen(guest.id)
        assert (seen.state, "does not answer" in seen.fault) == (State.RUNNING, True)
        with pytest.raises(DriverError) as error:
            await world.driver.diagnostics(guest.id)
        assert error.value.status == 409
        os.kill(pid, signal.SIGCONT)
        assert (await world.until(guest, State.RUNNING)).fault is None
        os.kill(pid, signal.SIGSTOP)
        assert (await world.driver.ensure(asked(guest, power=Power.STOPPED))).state is State.STOPPED
    assert world.pids(guest.id) == []


@real
async def test_a_host_that_was_restarted_is_told_of(world):
    guest = world.guest()
    await world.driver.ensure(guest)
    record, _ = world.driver._store.load(guest.id)
    record.host_boot = "another"
    world.driver._store.save(record)
    await world.crash(guest.id)
    assert (await world.until(guest, State.CRASHED)).fault == "The host was restarted while the server ran."


@real
async def test_a_start_that_fails_says_why_and_may_be_tried_again(world):
    guest = world.guest()
    await world.driver.ensure(asked(guest, power=Power.STOPPED))
    image = world.folder / guest.id / "root.qcow2"
    whole = image.read_bytes()
    image.write_bytes(b"QFI\xfb" + bytes(100))
    for _ in range(2):
        with pytest.raises(DriverError, match="could not be started: ") as error:
            await world.driver.ensure(guest)
        assert str(world.folder) not in error.value.message
    assert (await world.seen(guest.id)).state is State.STOPPED
    image.write_bytes(whole)
    assert (await world.driver.ensure(guest)).state is State.RUNNING


@real
async def test_what_is_missing_is_named(world):
    cases = {
        "image": {"disks": (Disk(id="root", size=MIB, base="/nonexistent"),)},
        "config drive": {"config_drive": "/nonexistent"},
        "kernel": {"kernel": "/nonexistent"},
        "initrd": {"kernel": str(world.image), "initrd": "/nonexistent"},
        "network interface tapabsent": {"nics": (Nic(port_id="absent", mac="fa:16:3e:00:00:01"),)},
    }
    for what, changes in cases.items():
        with pytest.raises(DriverError, match=what) as error:
            await world.driver.ensure(world.guest(**changes))
        assert "nonexistent" not in error.value.message


@real
async def test_programs_that_are_missing_are_named(world):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(world.folder))
        with pytest.raises(DriverError, match="qemu-img is not installed"):
            await world.driver.ensure(world.guest())
        with pytest.raises(DriverError, match="qemu-system-x86_64 is not installed"):
            await world.driver.host()
        only = world.folder.parent / "bin"
        only.mkdir()
        for name in ("qemu-img", "setpriv", "sh"):
            (only / name).symlink_to(shutil.which(name, path="/usr/bin:/bin"))
        patch.setenv("PATH", str(only))
        with pytest.raises(DriverError, match="qemu-system-x86_64 is not installed"):
            await world.driver.ensure(world.guest())


@real
async def test_a_full_disk_is_told_of(world):
    guest = world.guest()
    mount = world.folder / guest.id
    mount.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k,mode=700", "tmpfs", mount], check=True, timeout=10)
    try:
        with pytest.raises(DriverError, match="no disk space left"):
            await world.driver.ensure(guest)
    finally:
        subprocess.run(["umount", mount], check=True, timeout=10)


@real
async def test_qemu_img_s_other_complaints_are_passed_on(world):
    with pytest.raises(DriverError, match="could not be made"):
        await world.driver.ensure(world.guest(disks=(Disk(id="root", size=1 << 63),)))


@real
async def test_disks_grow_running_or_not_and_go_when_they_are_not_described(world):
    guest = world.guest()
    bigger = asked(guest, disks=(asked(guest.disks[0], size=4 * MIB), Disk(id="more", size=MIB)))
    path = world.folder / guest.id / "root.qcow2"
    await world.driver.ensure(guest)
    assert (await world.driver.ensure(bigger)).state is State.RUNNING
    assert files.virtual_size(path) == 4 * MIB
    await world.driver.ensure(asked(bigger, power=Power.STOPPED))
    biggest = asked(bigger, disks=(asked(guest.disks[0], size=8 * MIB), bigger.disks[1]))
    await world.driver.ensure(biggest)
    assert files.virtual_size(path) == 8 * MIB
    assert (world.folder / guest.id / "more.qcow2").exists()
    await world.driver.ensure(asked(guest, boots=1))
    assert not (world.folder / guest.id / "more.qcow2").exists()


@real
async def test_a_tap_is_handed_over_open(world):
    port = new_id()
    name = tap_name(port)
    guest = world.guest(nics=(Nic(port_id=port, mac="fa:16:3e:00:00:01", mtu=1442),))
    uid = await world.driver.owner(guest.id)
    subprocess.run(["ip", "tuntap", "add", "dev", name, "mode", "tap", "user", str(uid)], check=True, timeout=10)
    try:
        await world.driver.ensure(guest)
        await world.up(guest.id)
        (nic,) = (await world.driver.diagnostics(guest.id))["nic_details"]
        assert nic["mac_address"] == "fa:16:3e:00:00:01"
        assert nic["rx_octets"] >= 0
        shown = subprocess.run(["ip", "-d", "-j", "link", "show", name], check=True, capture_output=True, timeout=10).stdout
        about = json.loads(shown)[0]["linkinfo"]["info_data"]
        assert (about["type"], about["persist"], about["vnet_hdr"]) == ("tap", True, False)
        with pytest.raises(DriverError, match="cannot be used"):
            files.open_tap(name, vnet_hdr=False)
        await world.driver.remove(guest.id)
        os.close(files.open_tap(name, vnet_hdr=True))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(files, "_IFF_PERSIST", 1 << 15)
            with pytest.raises(DriverError, match="not there"):
                files.open_tap(name, vnet_hdr=False)
    finally:
        subprocess.run(["ip", "link", "del", name], check=False, timeout=10)


@real
async def test_what_a_crash_left_of_plugging_a_card_is_brought_to_its_end(world):
    guest = world.guest()
    nic = await world.nic(guest.id)
    plugged = asked(guest, nics=(nic,))
    await world.driver.ensure(guest)
    await world.up(guest.id)
    with pytest.MonkeyPatch.context() as patch:

        async def killed(self, command, arguments, patience=5.0):
            if command in {"device_add", "netdev_del"}:
                raise MonitorError(command)
            return await send(self, command, arguments, patience)

        send = Monitor.send
        patch.setattr(Monitor, "send", killed)
        with pytest.raises(DriverError, match="could not plug"):
            await world.driver.ensure(plugged)
    with pytest.raises(DriverError, match="cannot be used"):
        files.open_tap(tap_name(nic.port_id), vnet_hdr=False)
    await world.restart()
    assert (await world.driver.ensure(guest)).nics == ()
    os.close(files.open_tap(tap_name(nic.port_id), vnet_hdr=False))
    await world.driver.ensure(plugged)
    assert await world.cards(guest.id) == {nic.port_id}


@real
async def test_a_card_without_a_tap_is_told_of_and_plugged_in_later(world):
    guest = world.guest()
    await world.driver.ensure(guest)
    absent = Nic(port_id="absent", mac="fa:16:3e:00:00:01")
    with pytest.raises(DriverError, match="tapabsent"):
        await world.driver.ensure(asked(guest, nics=(absent,)))
    assert (await world.driver.ensure(guest)).nics == ()


@real
async def test_a_card_that_the_guest_kept_cannot_be_plugged_in_again(world):
    guest = world.guest()
    nic = await world.nic(guest.id)
    plugged = asked(guest, nics=(nic,))
    await world.driver.ensure(plugged)
    await world.deafen(guest.id)
    await world.driver.ensure(guest)
    await asyncio.sleep(LETTING_GO)
    assert (await world.driver.ensure(guest)).nics == ()
    os.close(files.open_tap(tap_name(nic.port_id), vnet_hdr=False))
    await world.restart()
    assert (await world.driver.ensure(guest)).nics == ()
    with pytest.raises(DriverError, match="has not let go"):
        await world.driver.ensure(plugged)


@real
async def test_the_older_machine_takes_cards_too(world):
    guest = world.guest(disks=(Disk(id="root", size=2 * MIB, base=str(world.image), bus="ide"),))
    nic = await world.nic(guest.id)
    await world.driver.ensure(guest)
    assert (await world.driver.ensure(asked(guest, nics=(nic,)))).nics == (nic.port_id,)


@pytest.mark.parametrize("bus", ["scsi", "sata", "ide", "usb"])
def test_other_buses_boot_too(tmp_path, bus):
    async def story():
        async with _world(tmp_path) as world:
            guest = world.guest(disks=(Disk(id="root", size=2 * MIB, base=str(world.image), bus=bus),))
            await world.driver.ensure(guest)
            await world.up(guest.id)

    asyncio.run(story())


@real
async def test_uefi_starts(world):
    guest = world.guest(firmware="uefi", memory=128 * MIB)
    await world.driver.ensure(guest)
    await world.says(guest.id, b"BdsDxe", patience=60)
    assert (world.folder / guest.id / "nvram.fd").stat().st_size > 0


@real
async def test_a_chatty_guest_fills_no_disk(world):
    world.options["tending"] = 0.05
    await world.restart()
    guest = world.guest()
    await world.driver.ensure(guest)
    await world.up(guest.id)
    log = world.folder / guest.id / "console.log"
    with log.open("ab") as file:
        file.write(b"x" * 2 * MIB)
    async with asyncio.timeout(10):
        while log.stat().st_blocks * 512 > 300_000:
            await asyncio.sleep(0.05)
    assert len(await world.driver.console(guest.id)) == 100 * 1024


@real
async def test_a_process_that_cannot_be_ended_is_told_of(world):
    guest = world.guest()
    await world.driver.ensure(guest)

    async def never(self, patience):
        return False

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(live.Live, "ended", never)
        with pytest.raises(DriverError, match="could not be ended"):
            await world.driver.remove(guest.id)


@real
async def test_a_launcher_that_fails_is_told_of(world):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(processes, "_LAUNCH", "exit 1")
        with pytest.raises(DriverError, match="could not be started on the host"):
            await world.driver.ensure(world.guest())


@real
async def test_a_command_that_qemu_refuses_is_told_of(world):
    guest = world.guest()
    await world.driver.ensure(guest)
    run = Monitor.run

    async def refuse(self, command, patience=5.0, **arguments):
        if command in {"stop", "query-cpus-fast"}:
            raise MonitorError(command)
        return await run(self, command, patience, **arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Monitor, "run", refuse)
        with pytest.raises(DriverError, match="does not answer"):
            await world.driver.ensure(asked(guest, power=Power.PAUSED))
        with pytest.raises(DriverError, match="does not answer"):
            await world.driver.diagnostics(guest.id)


def test_the_payload_runs_in_long_mode(tmp_path):
    assert asyncio.run(probe.run_payload("tcg", tmp_path, limit=30)) is None
    assert asyncio.run(probe.run_payload("tcg", tmp_path, limit=30, user=(UID_BASE, UID_BASE))) is None
    assert list(tmp_path.iterdir()) == []


def test_a_guest_that_does_not_finish_is_no_proof(tmp_path):
    assert "did not finish" in asyncio.run(probe.run_payload("tcg", tmp_path, limit=0.01))


def test_the_host_is_probed_once(tmp_path):
    async def story():
        driver = Qemu(tmp_path, uid_base=UID_BASE, tag="probe")
        host = await driver.host()
        assert host.acceleration in {"kvm", "tcg"}
        assert bool(host.why) == (host.acceleration == "tcg")
        assert host.version > 6_000_000
        assert await Qemu(tmp_path, uid_base=UID_BASE, tag="probe").acceleration() == await driver.acceleration()

    asyncio.run(story())


def test_counters_of_what_is_gone_are_zero():
    assert counters._resident(2**22 - 1) == 0
    assert counters._cpu(2**22 - 1, {"thread-id": 2**22 - 1, "cpu-index": 0}, 1)["time"] == 0
    gone = Guest(id=new_id(), vcpus=1, memory=MIB, nics=(Nic(port_id=new_id(), mac="m", mtu=1442),))
    assert [(nic["mac_address"], nic["rx_octets"], nic["tx_drop"]) for nic in counters._nics(gone)] == [("m", 0, 0)]
    assert TCG.group is None


@real
async def test_linux_lives_a_whole_life(world):
    found = linux()
    if found is None:
        pytest.skip("needs busybox-static and Debian's cloud kernel")
    kernel, initrd = found
    private = world.folder.parent / "initrd"
    shutil.copyfile(initrd, private)
    private.chmod(0o600)
    drive = world.folder.parent / "config"
    drive.write_bytes(b"drive!".ljust(MIB, b"\0"))
    guest = world.guest(
        memory=256 * MIB,
        disks=(Disk(id=new_id(), size=16 * MIB),),
        kernel=str(kernel),
        initrd=str(private),
        cmdline="console=ttyS0 quiet",
        config_drive=str(drive),
    )
    assert (await world.driver.ensure(guest)).state is State.RUNNING
    await world.says(guest.id, b"userspace is up", patience=90)
    text = (await world.driver.console(guest.id)).decode()
    assert f"vendor Andromède uuid {guest.id}" in text
    assert f"disk vda serial {guest.disks[0].id[:20]} sectors 32768 0" in text
    assert "disk vdb serial config-2 sectors 2048 1" in text
    assert "config drive!" in text
    soft = asked(guest, boots=1, soft=True)
    assert (await world.driver.ensure(soft)).state is State.STOPPING
    assert (await world.until(soft, State.RUNNING, patience=60)).boots == 1
    assert b"button was pressed" in await world.driver.console(guest.id)
    await world.says(guest.id, b"userspace is up", times=2, patience=90)
    details = await world.driver.diagnostics(guest.id)
    assert details["config_drive"] is True
    assert details["disk_details"][0]["write_bytes"] > 0
    stop = asked(soft, power=Power.STOPPED)
    await world.until(stop, State.STOPPED, patience=60)
