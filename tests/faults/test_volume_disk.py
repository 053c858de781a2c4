"""A host whose disk is full while volumes are made, extended, snapshotted, made anew and backed up, with the real driver on a disk of its own.

Each time a message says why, nothing half made is left, and it works again when there is room.
"""

import contextlib
import os
import random
import subprocess

import pytest

from andromede.drivers.block.local import Local
from tests.api.images import active
from tests.cloud import Cloud
from tests.waiting import until

V = "/volume/v3"
NEWEST = {"openstack-api-version": "volume 3.70"}
FULL = "The host has no disk space left for the volume."
MIB = 1 << 20


class Disk:
    """A cloud whose volumes lie on a disk of 48 MiB."""

    def __init__(self, folder):
        self.at = folder / "disk"
        self.at.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(self.at)], check=True, timeout=10)

        def local(_folder):
            return Local(self.at / "volumes", unseal=lambda sealed: sealed)

        self.cloud = Cloud(folder / "cloud", block=local)
        content = random.Random(1).randbytes(8 * MIB)
        self.image = active(self.cloud.admin, content, visibility="public")["id"]

    def close(self):
        self.cloud.close()
        subprocess.run(["umount", "-l", str(self.at)], check=False, timeout=10)

    @contextlib.contextmanager
    def full(self, left=0):
        """No room but for so many bytes."""
        filler = self.at / "filler"
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while self.room() > left + 65536:
                file.write(b"\1" * min(MIB, self.room() - left))
        if not left:
            with filler.open("ab", buffering=0) as file, contextlib.suppress(OSError):
                while True:
                    file.write(b"\1" * 4096)
        try:
            yield
        finally:
            filler.unlink()

    def room(self):
        found = os.statvfs(self.at)
        return found.f_bavail * found.f_frsize

    def files(self):
        return {str(path.relative_to(self.at)) for path in self.at.rglob("*") if path.is_file() and path.name != "filler"}

    def post(self, path, body, status=202):
        answer = self.cloud.user.post(f"{V}/{path}", body, headers=NEWEST)
        assert answer.status == status, answer
        self.cloud.settle(60)
        return answer.json if answer.body else {}

    def volume(self, **more):
        return self.post("volumes", {"volume": {"size": 1, **more}})["volume"]["id"]

    def show(self, kind, id_):
        answer = self.cloud.user.get(f"{V}/{kind}s/{id_}")
        return answer.json[kind] if answer.status == 200 else {"status": "gone"}

    def status(self, kind, id_):
        return self.show(kind, id_)["status"]

    def remove(self, kind, id_):
        assert self.cloud.user.delete(f"{V}/{kind}s/{id_}").status == 202
        self.cloud.settle(60)
        assert self.status(kind, id_) == "gone"

    def told(self, id_):
        """What the messages say of a thing."""
        found = self.cloud.user.get(f"{V}/messages?resource_uuid={id_}", headers=NEWEST).json["messages"]
        return [one["user_message"] for one in found if one["resource_uuid"] == id_]


@pytest.fixture
def disk(tmp_path):
    (tmp_path / "cloud").mkdir()
    disk = Disk(tmp_path)
    try:
        yield disk
    finally:
        disk.close()


def test_a_volume_that_finds_no_room_leaves_nothing_and_is_made_when_there_is(disk):
    for left, more in ((0, {}), (4 * MIB, {"imageRef": disk.image})):
        with disk.full(left):
            id_ = disk.volume(**more)
            assert disk.status("volume", id_) == "error"
            assert any(FULL in text for text in disk.told(id_)), disk.told(id_)
            until(lambda: disk.files() == set())
        disk.remove("volume", id_)
        id_ = disk.volume(**more)
        assert disk.status("volume", id_) == "available"
        disk.remove("volume", id_)
    until(lambda: disk.files() == set())


def test_what_is_there_stays_when_it_cannot_grow_or_be_made_anew(disk):
    id_ = disk.volume(imageRef=disk.image)
    (before,) = {path for path in disk.files() if "/disk-" in path}
    content, record = (disk.at / before).read_bytes(), disk.files()
    with disk.full(4 * MIB):
        disk.post(f"volumes/{id_}/action", {"os-reimage": {"image_id": disk.image}})
        assert disk.status("volume", id_) == "error"
        assert any(FULL in text for text in disk.told(id_)), disk.told(id_)
        until(lambda: disk.files() == record)
        assert (disk.at / before).read_bytes() == content
    disk.post(f"volumes/{id_}/action", {"os-reimage": {"image_id": disk.image}})
    assert disk.status("volume", id_) == "available"
    with disk.full():
        disk.post(f"volumes/{id_}/action", {"os-extend": {"new_size": 600}})
        grown = disk.status("volume", id_)
    if grown == "error_extending":  # the table of a larger disk needs room
        assert disk.show("volume", id_)["size"] == 1
        assert any(FULL in text for text in disk.told(id_)), disk.told(id_)
        assert disk.cloud.admin.post(f"{V}/volumes/{id_}/action", {"os-reset_status": {"status": "available"}}).status == 202
        disk.post(f"volumes/{id_}/action", {"os-extend": {"new_size": 600}})
    assert (disk.show("volume", id_)["size"], disk.status("volume", id_)) == (600, "available")
    disk.remove("volume", id_)


def test_a_snapshot_and_a_backup_that_find_no_room_leave_nothing_and_the_volume_as_it_was(disk):
    id_ = disk.volume(imageRef=disk.image)
    record = disk.files()
    with disk.full():
        snapshot = disk.post("snapshots", {"snapshot": {"volume_id": id_}})["snapshot"]["id"]
        assert disk.status("snapshot", snapshot) in ("error", "available")
    if disk.status("snapshot", snapshot) == "error":
        assert any(FULL in text for text in disk.told(snapshot)), disk.told(snapshot)
    disk.remove("snapshot", snapshot)
    with disk.full(4 * MIB):
        backup = disk.post("backups", {"backup": {"volume_id": id_}})["backup"]["id"]
        found = disk.show("backup", backup)
        assert (found["status"], found["fail_reason"]) == ("error", FULL)
        assert disk.status("volume", id_) == "available"
        until(lambda: disk.files() == record)
    disk.remove("backup", backup)
    assert disk.status("backup", disk.post("backups", {"backup": {"volume_id": id_}})["backup"]["id"]) == "available"
    until(lambda: disk.files() == record)
