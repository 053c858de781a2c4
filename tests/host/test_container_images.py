"""Images of containers, made of real ones: what an archive holds, and what is made of it."""

import asyncio
import os
import tarfile
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest

from andromede.core.clock import monotonic
from andromede.core.units import MIB
from andromede.drivers.hypervisor import Capture, Disk, Power, State
from andromede.drivers.hypervisor.lxc import captures, groups, mounts
from tests.host.hypervisors import HAVE_LXC, WHY_NO_LXC, LxcWorld

pytestmark = [pytest.mark.timeout(120), pytest.mark.skipif(not HAVE_LXC, reason=WHY_NO_LXC)]


def told(folder: Path, story: Callable[[LxcWorld], Awaitable[None]]) -> None:
    async def run() -> None:
        world = LxcWorld(folder)
        try:
            await story(world)
        finally:
            await world.end()

    asyncio.run(run())


async def faulted(world: LxcWorld, guest, id_: str) -> str:
    deadline = monotonic() + 30
    while not (seen := await world.driver.ensure(guest)).captures.get(id_):
        assert id_ not in seen.captures
        assert monotonic() < deadline
        await asyncio.sleep(0.03)
    return seen.captures[id_]


def test_an_archive_holds_what_was_written_and_nothing_of_what_was_removed(tmp_path):
    async def story(world: LxcWorld) -> None:
        guest = world.guest()
        await world.until(guest, State.RUNNING)
        await world.up(guest.id)
        root = world.folder / guest.id / "root"
        owner = root.stat().st_uid
        (root / "note").write_text("kept")
        os.chown(root / "note", owner + 1000, owner + 1000)
        with (root / "holes").open("wb") as file:
            file.truncate(20 << 30)
        (root / "tmp").rmdir()
        one = Capture(id="copy", disk="root", path=str(tmp_path / "copy"))
        await world.captured(msgspec.structs.replace(guest, captures=(one,)), "copy")
        with tarfile.open(one.path) as archive:
            entries = {entry.name: entry for entry in archive}
        assert {"./note", "./sbin/init", "./bin/busybox", "./control", "./dev"} <= entries.keys()
        assert "./tmp" not in entries
        assert (entries["./note"].uid, entries["./sbin/init"].uid, entries["./holes"].size) == (1000, 0, 20 << 30)
        assert Path(one.path).stat().st_size < 4 * MIB
        # it makes another container, with a disk that is as empty as any
        other = world.guest(disks=(Disk(id="root", size=32 * MIB, base=one.path),))
        await world.until(other, State.RUNNING)
        await world.up(other.id)
        again = world.folder / other.id / "root"
        assert (again / "note").read_text() == "kept"
        assert (again / "note").stat().st_uid == again.stat().st_uid + 1000
        assert not (again / "tmp").exists()
        Path(one.path).unlink()

    told(tmp_path, story)


def test_groups_are_not_swept_away_under_a_container_that_starts(tmp_path):
    async def story(world: LxcWorld) -> None:
        hierarchies, tag, guest = world.driver._hierarchies, world.tag, world.guest()
        places = [root / "andromede" / tag for root in groups._roots(hierarchies)]
        with groups.hold(hierarchies, tag, guest.id):
            groups.sweep(hierarchies, tag, lambda: {guest.id})
            assert all(place.exists() for place in places)
            for place in places:  # on a machine that never had a container, too
                below = place / f"hold-{guest.id}" / "below"
                below.mkdir()
                sleeper = await asyncio.create_subprocess_exec("sleep", "60")
                (below / "cgroup.procs").write_text(str(sleeper.pid))
                sleeper.kill()
                await sleeper.wait()
                below.rmdir()
        groups.sweep(hierarchies, tag, set)
        assert not any(place.exists() for place in places)
        # what somebody who was killed held
        for place in places:
            (place / f"hold-{guest.id}").mkdir(parents=True)
        groups.sweep(hierarchies, tag, set)
        assert not any(place.exists() for place in places)
        over = threading.Event()

        def sweeping() -> None:
            while not over.is_set():
                groups.sweep(hierarchies, tag, world.driver._store.ids)

        sweeper = threading.Thread(target=sweeping)
        sweeper.start()
        try:
            for _ in range(8):
                await world.until(guest, State.RUNNING)
                await world.driver.remove(guest.id)
        finally:
            over.set()
            sweeper.join()

    told(tmp_path, story)


def test_a_copy_that_a_restart_of_ours_interrupts_is_made_anew(tmp_path):
    async def story(world: LxcWorld) -> None:
        guest = world.guest()
        await world.until(guest, State.RUNNING)
        one = Capture(id="copy", disk="root", path=str(tmp_path / "copy"))
        wanted = msgspec.structs.replace(guest, captures=(one,))
        assert (await world.driver.ensure(wanted)).captures == {}
        # as whoever was killed in the midst of it leaves it
        mounts.freeze(world.folder / guest.id / "disk", on=True)
        await world.restart()
        await world.captured(wanted, "copy")
        await world.up(guest.id)
        await world.alive(guest.id)
        assert not list((world.folder / guest.id / "copies").iterdir())
        Path(one.path).unlink()

    told(tmp_path, story)


def test_what_cannot_be_copied_is_told_and_leaves_nothing(tmp_path, monkeypatch):
    async def story(world: LxcWorld) -> None:
        guest = world.guest()
        await world.until(guest, State.RUNNING)
        root = world.folder / guest.id / "root"
        (root / "large").write_bytes(os.urandom(8 * MIB))

        def asked(id_: str, power: Power = Power.RUNNING):
            one = Capture(id=id_, disk="root", path=str(tmp_path / "copies" / id_))
            return msgspec.structs.replace(guest, power=power, captures=(one,))

        assert "no room" in await faulted(world, asked("nowhere"), "nowhere")
        (tmp_path / "copies").mkdir()
        with monkeypatch.context() as patch:
            patch.setattr(captures.roots, "most", lambda _size: MIB)
            assert "more files" in await faulted(world, asked("large"), "large")
        with monkeypatch.context() as patch:
            patch.setattr(captures.os, "statvfs", lambda _path: os.statvfs_result((1, 1, 0, 0, 0, 0, 0, 0, 0, 255)))
            assert "no room" in await faulted(world, asked("full"), "full")
        with monkeypatch.context() as patch:
            patch.setattr(captures, "_PIPE", 1)
            patch.setattr(captures.roots, "most", lambda _size: MIB)
            assert "could not be archived" in await faulted(world, asked("broken"), "broken")
        assert not list((tmp_path / "copies").iterdir())
        assert not list((world.folder / guest.id / "copies").iterdir())
        await world.captured(asked("stopped", Power.STOPPED), "stopped")
        # a host that was started anew has nothing mounted
        for name in ("root", "lower", "disk"):
            mounts.unmount(world.folder / guest.id / name)
        await world.captured(asked("again", Power.STOPPED), "again")
        with tarfile.open(tmp_path / "copies/again") as archive:
            assert "./large" in archive.getnames()

    told(tmp_path, story)
