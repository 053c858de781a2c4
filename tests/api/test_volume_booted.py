"""The later life of servers that boot from a volume: images that name snapshots, rebuild, rescue, resize, shelving; as Nova does it."""

import json

import pytest

from tests.api.images import active
from tests.api.test_server_life import another
from tests.api.test_servers import act, new
from tests.api.test_volumes import C, V, attach, guest, volume
from tests.api.test_volumes import show as volume_of
from tests.api.test_volumes import shown as server_of

IMAGES = "/image/v2/images"


@pytest.fixture
def bare(ready):
    return active(ready.admin, b"BOOT" + b"\0" * 65532, visibility="public")["id"]


@pytest.fixture
def booted(ready, bare):
    """A server that boots from a volume, and its volume's id."""
    device = {"source_type": "image", "destination_type": "volume", "uuid": bare, "boot_index": 0, "volume_size": 1, "delete_on_termination": True}
    id_ = new(ready, imageRef="", block_device_mapping_v2=[device])["id"]
    found = server_of(ready, id_)
    assert found["status"] == "ACTIVE", found.get("fault")
    return id_, found["os-extended-volumes:volumes_attached"][0]["id"]


def keep(cloud, id_):
    """Write to a volume what its image does not hold."""
    cloud.blocks["host-1"].scribble(id_, b"KEPT")


def wait_for(cloud, id_, status):
    cloud.settle()
    assert server_of(cloud, id_)["status"] == status, server_of(cloud, id_).get("fault")


def golden(ready, booted):
    id_, root = booted
    data = volume(ready, 2)
    attach(ready, id_, data, tag="data")
    made = act(ready, id_, "createImage", {"name": "golden", "metadata": {"own": "x"}}, version="2.45").json["image_id"]
    found = ready.user.get(f"{IMAGES}/{made}").json
    assert (found["status"], found["size"], found["own"], found["root_device_name"]) == ("active", 0, "x", "/dev/vda")
    assert (found["instance_uuid"], found["bdm_v2"]) == (id_, "True")
    assert ready.user.get(f"{IMAGES}/{made}/file").status == 204
    mapping = json.loads(found["block_device_mapping"])
    assert [(one["source_type"], one["destination_type"], one["boot_index"], one["volume_size"], one["device_name"]) for one in mapping] == [
        ("snapshot", "volume", 0, 1, "/dev/vda"), ("snapshot", "volume", None, 2, "/dev/vdb"),
    ]  # fmt: skip
    snapshots = {one["id"]: one for one in ready.user.get(f"{V}/snapshots").json["snapshots"]}
    assert [snapshots[one["snapshot_id"]]["volume_id"] for one in mapping] == [root, data]
    assert {(one["status"], one["name"]) for one in snapshots.values()} == {("available", "snapshot for golden")}
    actions = ready.user.get(f"{C}/servers/{id_}/os-instance-actions").json["instanceActions"]
    assert "createImage" in [one["action"] for one in actions]
    return made


def test_its_image_names_snapshots_and_holds_no_data(ready, booted):
    assert golden(ready, booted)


def test_a_server_is_made_from_such_an_image(ready, booted):
    made = golden(ready, booted)
    id_ = new(ready, imageRef=made)["id"]
    found = server_of(ready, id_)
    assert (found["status"], found["image"]["id"]) == ("ACTIVE", made), found.get("fault")
    root, data = [one["id"] for one in found["os-extended-volumes:volumes_attached"]]
    assert root != booted[1]
    assert ready.blocks["host-1"].content(root).startswith(b"BOOT")
    assert volume_of(ready, root)["volume_image_metadata"]["image_id"] == volume_of(ready, booted[1])["volume_image_metadata"]["image_id"]
    assert guest(ready, id_).guest.disks == ()
    ready.user.delete(f"{C}/servers/{id_}")
    ready.settle()
    assert (volume_of(ready, root)["status"], volume_of(ready, data)["status"]) == (404, "available")
    # a device of the request takes the place of the image's
    own = {"source_type": "volume", "destination_type": "volume", "uuid": data, "boot_index": -1, "device_name": "vdb"}
    again = new(ready, imageRef=made, block_device_mapping_v2=[own])["id"]
    assert data in [one["id"] for one in server_of(ready, again)["os-extended-volumes:volumes_attached"]]
    assert ready.user.post(f"{V}/volumes", {"volume": {"size": 1, "imageRef": made}}).status == 400
    # as openstackclient asks for it
    itself = {"source_type": "image", "destination_type": "local", "uuid": made, "boot_index": 0, "delete_on_termination": True}
    third = new(ready, imageRef=made, block_device_mapping_v2=[itself])["id"]
    assert server_of(ready, third)["status"] == "ACTIVE"
    assert guest(ready, third).guest.disks == ()


@pytest.mark.parametrize("text", ["no", "[1]", '[{"boot_index": {}}]', '[{"source_type": "moon"}]'])
def test_an_image_whose_mapping_cannot_be_understood_is_refused(ready, text):
    broken = another(ready, block_device_mapping=text)
    new(ready, imageRef=broken, status=400)


def test_an_image_over_the_quota_of_snapshots_is_not_made(ready, booted):
    project = ready.id_of("projects", "demo")
    assert ready.admin.put(f"{V}/os-quota-sets/{project}", {"quota_set": {"snapshots": 0}}).status == 200
    before = len(ready.user.get(IMAGES).json["images"])
    answer = ready.user.post(f"{C}/servers/{booted[0]}/action", {"createImage": {"name": "golden"}})
    assert answer.status in (403, 413)
    assert len(ready.user.get(IMAGES).json["images"]) == before
    assert ready.user.get(f"{V}/snapshots").json["snapshots"] == []


def test_it_has_no_backups(ready, booted):
    answer = act(ready, booted[0], "createBackup", {"name": "b", "backup_type": "daily", "rotation": 1}, status=400)
    assert "Backup is not supported for volume-backed instances" in str(answer.json)


def test_a_resize_takes_no_local_disk(ready, booted):
    id_, root = booted

    def used():
        return ready.admin.get(f"{C}/os-hypervisors/detail").json["hypervisors"][0]["local_gb_used"]

    before = used()
    act(ready, id_, "resize", {"flavorRef": "3"})
    wait_for(ready, id_, "VERIFY_RESIZE")
    assert (used(), guest(ready, id_).guest.disks) == (before, ())
    assert guest(ready, id_).guest.memory == 512 << 20
    act(ready, id_, "revertResize")
    wait_for(ready, id_, "ACTIVE")
    act(ready, id_, "resize", {"flavorRef": "3"})
    act(ready, id_, "confirmResize", status=204)
    wait_for(ready, id_, "ACTIVE")
    act(ready, id_, "resize", {"flavorRef": "1"})
    act(ready, id_, "confirmResize", status=204)
    wait_for(ready, id_, "ACTIVE")
    assert used() == before
    assert [one.id for one in guest(ready, id_).drives] == [root]


def test_shelving_makes_no_image_and_leaves_the_host_at_once(ready, booted):
    id_, root = booted
    images = len(ready.user.get(IMAGES).json["images"])
    act(ready, id_, "shelve")
    wait_for(ready, id_, "SHELVED_OFFLOADED")
    assert len(ready.user.get(IMAGES).json["images"]) == images
    assert id_ not in ready.hypervisors["host-1"]._books
    assert volume_of(ready, root)["attachments"][0]["server_id"] == id_
    keep(ready, root)
    act(ready, id_, "unshelve")
    wait_for(ready, id_, "ACTIVE")
    assert [one.id for one in guest(ready, id_).drives] == [root]
    assert ready.blocks["host-1"].content(root).startswith(b"KEPT")
    act(ready, id_, "os-stop")
    act(ready, id_, "shelve")
    wait_for(ready, id_, "SHELVED_OFFLOADED")
    ready.user.delete(f"{C}/servers/{id_}")
    ready.settle()
    assert volume_of(ready, root)["status"] == 404


def test_it_is_rescued_only_with_an_image_that_is_plugged_in_beside(ready, booted):
    id_, root = booted
    plain, beside = another(ready), another(ready, hw_rescue_bus="virtio", hw_rescue_device="disk")
    for wanted, version in ((None, "2.95"), ({"rescue_image_ref": plain}, "2.95"), ({"rescue_image_ref": beside}, "2.86")):
        answer = act(ready, id_, "rescue", wanted, status=400, version=version)
        assert "Cannot rescue a volume-backed instance" in str(answer.json)
    act(ready, id_, "rescue", {"rescue_image_ref": beside}, status=200, version="2.87")
    wait_for(ready, id_, "RESCUE")
    described = guest(ready, id_).guest
    assert [disk.id for disk in described.disks] == [described.boot_from]
    assert [drive.id for drive in described.drives] == [root]
    act(ready, id_, "unrescue")
    wait_for(ready, id_, "ACTIVE")
    assert guest(ready, id_).guest.disks == ()


def test_a_rebuild_keeps_the_volume_and_its_image_before_2_93(ready, booted, bare):
    id_, root = booted
    answer = act(ready, id_, "rebuild", {"imageRef": another(ready)}, status=400, version="2.92")
    assert "Unable to rebuild with a different image for a volume-backed server" in str(answer.json)
    keep(ready, root)
    act(ready, id_, "rebuild", {"imageRef": bare, "name": "renamed"}, version="2.92")
    wait_for(ready, id_, "ACTIVE")
    assert server_of(ready, id_)["name"] == "renamed"
    assert ready.blocks["host-1"].content(root).startswith(b"KEPT")


def test_from_2_93_on_a_rebuild_makes_the_volume_anew(ready, booted):
    id_, root = booted
    other = another(ready)
    act(ready, id_, "rebuild", {"imageRef": other}, version="2.93")
    wait_for(ready, id_, "ACTIVE")
    assert ready.blocks["host-1"].content(root).startswith(b"\1\1")
    found = volume_of(ready, root)
    assert (found["status"], found["volume_image_metadata"]["image_id"]) == ("in-use", other)
    assert server_of(ready, id_)["image"] == ""
    assert [one.id for one in guest(ready, id_).drives] == [root]
    act(ready, id_, "os-stop")
    act(ready, id_, "rebuild", {"imageRef": other}, version="2.93")
    wait_for(ready, id_, "SHUTOFF")
    act(ready, id_, "createImage", {"name": "kept"})
    act(ready, id_, "rebuild", {"imageRef": other}, version="2.93", status=400)


def test_a_volume_that_cannot_be_made_anew_says_so_and_keeps_what_it_was(ready, booted):
    id_, root = booted
    real = ready.blocks["host-1"].ensure

    async def never(_volume):
        from andromede.core.errors import DriverError

        raise DriverError("The host has no disk space left for the volume.")

    ready.blocks["host-1"].ensure = never
    act(ready, id_, "rebuild", {"imageRef": another(ready)}, version="2.93")
    ready.blocks["host-1"].ensure = real
    found = server_of(ready, id_)
    assert found["status"] == "ERROR"
    assert "no disk space" in found["fault"]["message"]
    assert ready.blocks["host-1"].content(root).startswith(b"BOOT")


def test_a_volume_is_made_anew_by_itself(ready, image):
    id_, other, newer = volume(ready, 1, imageRef=image), another(ready), {"openstack-api-version": "volume 3.68"}

    def reimage(**values):
        answer = ready.user.post(f"{V}/volumes/{id_}/action", {"os-reimage": values}, headers=newer)
        ready.settle()
        return answer.status

    assert reimage(image_id=other) == 202
    assert volume_of(ready, id_)["status"] == "available"
    assert ready.blocks["host-1"].content(id_).startswith(b"\1\1")
    assert reimage(image_id="no") == 400
    assert reimage(image_id=id_) == 400
    assert ready.user.post(f"{V}/volumes/{id_}/action", {"os-reimage": {"image_id": other}}).status in (400, 404)
