"""Volumes through the APIs, on hosts that only keep books: made, attached, detached, snapshotted, booted from, deleted."""

import pytest

from tests.waiting import until

V, C = "/volume/v3", "/compute/v2.1"
NEW = {"openstack-api-version": "compute 2.95"}


def volume(cloud, size=1, **more):
    answer = cloud.user.post(f"{V}/volumes", {"volume": {"size": size, "name": "v", **more}}, headers={"openstack-api-version": "volume 3.70"})
    assert answer.status == 202, answer
    cloud.settle()
    return answer.json["volume"]["id"]


def show(cloud, id_):
    answer = cloud.user.get(f"{V}/volumes/{id_}")
    return answer.json["volume"] if answer.status == 200 else {"status": answer.status}


def server(cloud, network, **more):
    wanted = {"name": "one", "flavorRef": "1", "networks": [{"uuid": network}], **more}
    answer = cloud.user.post(f"{C}/servers", {"server": wanted}, headers=NEW)
    assert answer.status == 202, answer
    cloud.settle()
    return answer.json["server"]["id"]


def shown(cloud, id_):
    return cloud.user.get(f"{C}/servers/{id_}", headers=NEW).json["server"]


def guest(cloud, id_):
    return cloud.hypervisors["host-1"]._books[id_]


def attach(cloud, server_id, volume_id, **more):
    answer = cloud.user.post(f"{C}/servers/{server_id}/os-volume_attachments", {"volumeAttachment": {"volumeId": volume_id, **more}}, headers=NEW)
    assert answer.status == 200, answer
    cloud.settle()
    return answer.json["volumeAttachment"]


def swap(cloud, server_id, old, new, client=None, status=202):
    body = {"volumeAttachment": {"volumeId": new}}
    answer = (client or cloud.admin).put(f"{C}/servers/{server_id}/os-volume_attachments/{old}", body, headers=NEW)
    assert answer.status == status, answer
    return answer


def test_a_volume_is_made_and_deleted(cloud):
    id_ = volume(cloud, 2, metadata={"a": "b"})
    found = show(cloud, id_)
    assert (found["status"], found["size"], found["metadata"], found["bootable"]) == ("available", 2, {"a": "b"}, "false")
    assert found["volume_type"] == "__DEFAULT__"
    assert cloud.blocks["host-1"]._books[id_].size == 2 << 30
    assert cloud.user.delete(f"{V}/volumes/{id_}").status == 202
    cloud.settle()
    assert show(cloud, id_)["status"] == 404
    assert cloud.blocks["host-1"]._books == {}


def test_a_volume_that_cannot_be_made_says_why(cloud):
    cloud.blocks["host-1"].fail_next("ensure", "The host has no disk space left for the volume.")
    real = cloud.blocks["host-1"].ensure

    async def never(_volume):
        from andromede.core.errors import DriverError

        raise DriverError("The host has no disk space left for the volume.")

    cloud.blocks["host-1"].ensure = never
    id_ = volume(cloud)
    assert show(cloud, id_)["status"] == "error"
    messages = cloud.user.get(f"{V}/messages", headers={"openstack-api-version": "volume 3.3"})
    assert messages.status in (200, 404)
    cloud.blocks["host-1"].ensure = real
    assert cloud.user.delete(f"{V}/volumes/{id_}").status == 202
    cloud.settle()
    assert show(cloud, id_)["status"] == 404


def test_it_goes_from_one_running_server_to_another_and_back(cloud, image, network):
    one, two = server(cloud, network, imageRef=image), server(cloud, network, imageRef=image)
    id_ = volume(cloud)
    made = attach(cloud, one, id_, delete_on_termination=False, tag="data")
    assert made["device"] == "/dev/vdb"
    found = show(cloud, id_)
    assert found["status"] == "in-use"
    assert [(each["server_id"], each["device"]) for each in found["attachments"]] == [(one, "/dev/vdb")]
    assert shown(cloud, one)["os-extended-volumes:volumes_attached"] == [{"id": id_, "delete_on_termination": False}]
    assert [held.id for held in guest(cloud, one).drives] == [id_]
    taken = cloud.user.post(f"{C}/servers/{two}/os-volume_attachments", {"volumeAttachment": {"volumeId": id_}}, headers=NEW)
    assert taken.status == 400
    listed = cloud.user.get(f"{C}/servers/{one}/os-volume_attachments", headers=NEW).json["volumeAttachments"]
    assert listed[0]["volumeId"] == id_
    assert listed[0]["tag"] == "data"
    assert "id" not in listed[0]
    assert cloud.user.delete(f"{V}/volumes/{id_}").status == 400
    assert cloud.user.delete(f"{C}/servers/{one}/os-volume_attachments/{id_}").status == 202
    cloud.settle()
    assert show(cloud, id_)["status"] == "available"
    assert guest(cloud, one).drives == ()
    attach(cloud, two, id_)
    assert [held.id for held in guest(cloud, two).drives] == [id_]
    cloud.user.delete(f"{C}/servers/{two}")
    cloud.settle()
    assert show(cloud, id_)["status"] == "available"


def test_a_volume_takes_the_place_of_another(cloud, image, network):
    """And the first one can come back, beside it or in its place."""
    one, first = server(cloud, network, imageRef=image), volume(cloud)
    second, small = volume(cloud, 2), volume(cloud)
    swap(cloud, one, first, second, status=404)
    device = attach(cloud, one, first, tag="data")["device"]
    swap(cloud, one, first, second, client=cloud.user, status=403)
    swap(cloud, one, first, "x", status=400)
    swap(cloud, one, first, second)
    cloud.settle()
    assert (show(cloud, first)["status"], show(cloud, second)["status"]) == ("available", "in-use")
    assert [(each["server_id"], each["device"]) for each in show(cloud, second)["attachments"]] == [(one, device)]
    assert [held.id for held in guest(cloud, one).drives] == [second]
    listed = cloud.user.get(f"{C}/servers/{one}/os-volume_attachments", headers=NEW).json["volumeAttachments"]
    assert [(each["volumeId"], each["tag"], each["device"]) for each in listed] == [(second, "data", device)]
    swap(cloud, one, second, small, status=400)
    attach(cloud, one, first)
    assert len({drive.slot or drive.id for drive in guest(cloud, one).guest.drives}) == 2
    swap(cloud, one, first, second, status=400)
    assert cloud.user.post(f"{C}/servers/{one}/action", {"os-stop": None}).status == 202
    cloud.settle()
    swap(cloud, one, first, small, status=409)
    actions = cloud.user.get(f"{C}/servers/{one}/os-instance-actions", headers=NEW).json["instanceActions"]
    assert "swap_volume" in [each["action"] for each in actions]


def test_a_guest_that_does_not_let_go_keeps_the_volume_until_it_does(cloud, image, network):
    one, id_ = server(cloud, network, imageRef=image), volume(cloud)
    attach(cloud, one, id_)
    cloud.hypervisors["host-1"].ignore_acpi(one)
    assert cloud.user.delete(f"{C}/servers/{one}/os-volume_attachments/{id_}").status == 202
    with pytest.raises(AssertionError, match="still under way"):
        cloud.settle(2)
    assert show(cloud, id_)["status"] == "detaching"
    guest(cloud, one).deaf = False
    cloud.settle()
    assert show(cloud, id_)["status"] == "available"


def test_a_server_boots_from_a_volume_made_of_an_image(cloud, image, network):
    device = {"source_type": "image", "destination_type": "volume", "uuid": image, "boot_index": 0, "volume_size": 1, "delete_on_termination": True}
    data = {"source_type": "blank", "destination_type": "volume", "boot_index": -1, "volume_size": 2}
    one = server(cloud, network, block_device_mapping_v2=[device, data])
    found = shown(cloud, one)
    assert found["status"] == "ACTIVE"
    assert found["image"] == ""
    root, second = [each["id"] for each in found["os-extended-volumes:volumes_attached"]]
    assert cloud.blocks["host-1"].content(root).startswith(b"BOOT")
    assert show(cloud, root)["bootable"] == "true"
    assert show(cloud, root)["volume_image_metadata"]["image_id"] == image
    assert show(cloud, second)["attachments"][0]["device"] == "/dev/vdb"
    assert guest(cloud, one).guest.disks == ()
    assert [drive.boot for drive in guest(cloud, one).guest.drives] == [0, -1]
    assert cloud.user.delete(f"{C}/servers/{one}/os-volume_attachments/{root}").status == 403
    cloud.user.delete(f"{C}/servers/{one}")
    cloud.settle()
    assert (show(cloud, root)["status"], show(cloud, second)["status"]) == (404, "available")
    again = server(cloud, network, block_device_mapping=[{"volume_id": volume(cloud, 1, imageRef=image), "device_name": "vda"}])
    assert shown(cloud, again)["status"] == "ACTIVE"


def test_a_volume_of_an_image_a_clone_and_what_a_snapshot_kept(cloud, image):
    first = volume(cloud, 1, imageRef=image)
    block = cloud.blocks["host-1"]
    assert block.content(first).startswith(b"BOOT")
    clone = volume(cloud, 2, source_volid=first)
    assert block.content(clone).startswith(b"BOOT")
    until(lambda: block._books[first].snapshots == {})
    assert show(cloud, clone)["source_volid"] == first
