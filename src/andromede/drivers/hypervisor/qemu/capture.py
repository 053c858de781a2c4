"""Copies of disks: a backup job of QEMU while the guest runs, `qemu-img convert` while it does not.

A job keeps the content of the moment when it began: what the guest writes meanwhile is copied before it is overwritten. The job
lives in QEMU and is found again by its name; a copy that is not whole has another name than the one that was asked for.
"""

import asyncio
import contextlib
import os
from pathlib import Path

from andromede.core.errors import DriverError
from andromede.drivers.hypervisor import Capture, Guest
from andromede.drivers.hypervisor.qemu import files, guest_agent, image_tool
from andromede.drivers.hypervisor.qemu.process import sanitise
from andromede.drivers.hypervisor.qemu.qmp import Monitor, MonitorError
from andromede.drivers.hypervisor.qemu.store import Record

_JOB = "capture-"


class Captures:
    """The copies under way on one host; conversions are ours, jobs are QEMU's."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._conversions: dict[tuple[str, str], asyncio.subprocess.Process] = {}

    async def converge(self, guest: Guest, record: Record, monitor: Monitor | None, *, up: bool) -> bool:
        """Move each copy one step on; whether `record` has changed. up: whether the guest has a process.

        Raises MonitorError where QEMU does not answer.
        """
        wanted = {one.id: one for one in guest.captures}
        before = (record.captures, dict(record.parts))
        record.captures = {id_: fault for id_, fault in record.captures.items() if id_ in wanted}
        for key in [key for key in self._conversions if key[0] == guest.id and (key[1] not in wanted or up)]:
            await self._abandon(key)
        if monitor is not None:
            await _cancel(monitor, {f"{_JOB}{id_}" for id_ in wanted})
        for id_ in record.parts.keys() - wanted.keys():
            Path(record.parts.pop(id_)).unlink(missing_ok=True)
        for one in guest.captures:
            if one.id in record.captures or (up and monitor is None):
                continue
            record.parts[one.id] = str(_part(one))
            try:
                whole = await (self._convert(guest.id, one) if monitor is None else self._back_up(monitor, one, record))
            except (DriverError, OSError) as error:
                record.captures[one.id] = error.message if isinstance(error, DriverError) else "The host has no room for the copy."
                _part(one).unlink(missing_ok=True)
                del record.parts[one.id]
            else:
                if whole:
                    await asyncio.to_thread(_finish, one)
                    record.captures[one.id] = ""
                    del record.parts[one.id]
        return before != (record.captures, record.parts)

    async def forget(self, record: Record) -> None:
        """Stop whatever is converted of a guest."""
        for key in [key for key in self._conversions if key[0] == record.id]:
            await self._abandon(key)

    async def remove(self, record: Record) -> None:
        """Stop, and delete what is not whole."""
        await self.forget(record)
        for part in record.parts.values():
            Path(part).unlink(missing_ok=True)

    def busy(self, guest_id: str) -> bool:
        """Whether a disk of a guest is being read by a conversion of ours."""
        return any(key[0] == guest_id for key in self._conversions)

    async def _abandon(self, key: tuple[str, str]) -> None:
        process = self._conversions.pop(key)
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()

    async def _convert(self, guest_id: str, one: Capture) -> bool:
        key = (guest_id, one.id)
        process = self._conversions.get(key)
        if process is None:
            source = self._root / guest_id / f"{one.disk}.qcow2"
            self._conversions[key] = await image_tool.start("convert", "-q", "-f", "qcow2", "-O", "qcow2", str(source), str(_part(one)))
            return False
        if process.returncode is None:
            return False
        del self._conversions[key]
        _, errors = await process.communicate()
        if process.returncode:
            raise image_tool.complaint(errors)
        return True

    async def _back_up(self, monitor: Monitor, one: Capture, record: Record) -> bool:
        name = f"{_JOB}{one.id}"
        node = _node(one.id)
        job = next((job for job in await monitor.run("query-jobs") if job["id"] == name), None)
        if job is None:
            await self._begin(monitor, one, record, name, node)
            return False
        if job["status"] != "concluded":
            return False
        await monitor.run("job-dismiss", id=name)
        await _let_go(monitor, node)
        if "error" in job:
            raise DriverError(f"The disk could not be copied: {sanitise(str(job['error']))}")
        return True

    async def _begin(self, monitor: Monitor, one: Capture, record: Record, name: str, node: str) -> None:
        numbers = {disk.id: number for number, disk in enumerate(record.guest.disks if record.guest else ())}
        if one.disk not in numbers:
            raise DriverError("The server has no such disk to copy.")
        await _let_go(monitor, node)
        part = _part(one)
        await image_tool.create(part, files.virtual_size(self._root / record.id / f"{one.disk}.qcow2"))
        handle = os.open(part, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            number = await monitor.give_set(handle, node)
        finally:
            os.close(handle)
        file = {"driver": "file", "filename": f"/dev/fdset/{number}"}
        await monitor.send("blockdev-add", {"driver": "qcow2", "node-name": node, "file": file, "discard": "unmap"})
        async with guest_agent.at_rest(self._root / record.id / "agent.sock"):
            await monitor.send(
                "blockdev-backup",
                {"job-id": name, "device": f"disk{numbers[one.disk]}", "target": node, "sync": "full", "auto-dismiss": False},
            )


def _part(one: Capture) -> Path:
    return Path(f"{one.path}.part")


def _node(id_: str) -> str:
    """Node names have 31 characters at most."""
    return f"copy-{id_.replace('-', '')[:24]}"


async def _cancel(monitor: Monitor, wanted: set[str]) -> None:
    """End jobs that nobody wants, with what they held."""
    for job in await monitor.run("query-jobs"):
        if not job["id"].startswith(_JOB) or job["id"] in wanted:
            continue
        if job["status"] == "concluded":
            await monitor.run("job-dismiss", id=job["id"])
            await _let_go(monitor, _node(job["id"].removeprefix(_JOB)))
        elif job["status"] not in ("aborting", "null"):
            with contextlib.suppress(MonitorError):
                await monitor.run("job-cancel", id=job["id"])


async def _let_go(monitor: Monitor, node: str) -> None:
    """Close a target; there may be none."""
    with contextlib.suppress(MonitorError):
        await monitor.run("blockdev-del", node_name=node)
    for one in await monitor.run("query-fdsets"):
        if any(fd.get("opaque") == node for fd in one["fds"]):
            await monitor.run("remove-fd", fdset_id=one["fdset-id"])


def _finish(one: Capture) -> None:
    """Give the copy to the owner of its folder, under its name."""
    part, target = _part(one), Path(one.path)
    with part.open("rb") as file:
        os.fsync(file.fileno())
    owner = target.parent.stat()
    os.chown(part, owner.st_uid, owner.st_gid)
    part.chmod(0o640)
    part.replace(target)
