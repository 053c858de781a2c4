"""The later life of servers through the API: resize, rebuild, rescue, images, shelving, with the real engine and agents over fakes."""

import pytest

from andromede.drivers.hypervisor import State
from tests.api.test_servers import V, act, new, show

IMAGES = "/image/v2/images"


def guest(cloud, id_, host="host-1"):
    return cloud.hypervisors[host]._books[id_].guest


def another(cloud, **properties):
    wanted = {"name": "other", "disk_format": "raw", "container_format": "bare", "visibility": "public", **properties}
    made = cloud.admin.post(IMAGES, wanted).json
    cloud.admin.put(f"{IMAGES}/{made['id']}/file", b"\1" * 4096, headers={"content-type": "application/octet-stream"})
    return made["id"]


def test_suspend_and_resume(ready):
    id_ = new(ready)["id"]
    act(ready, id_, "suspend")
    shown = show(ready, id_)
    assert (shown["status"], shown["OS-EXT-STS:power_state"]) == ("SUSPENDED", 4)
    act(ready, id_, "os-stop", status=409)
    act(ready, id_, "resume")
    assert show(ready, id_)["status"] == "ACTIVE"
    act(ready, id_, "resume", status=409)


def test_resize_and_confirm(ready):
    id_ = new(ready)["id"]
    act(ready, id_, "resize", {"flavorRef": "1"}, status=400)
    act(ready, id_, "resize", {"flavorRef": "none"}, status=400)
    act(ready, id_, "resize", {"flavorRef": None}, status=400)
    act(ready, id_, "resize", {"flavorRef": "3"})
    shown = show(ready, id_)
    assert (shown["status"], shown["flavor"]["id"]) == ("VERIFY_RESIZE", "3")
    assert guest(ready, id_).memory == 512 << 20
    assert guest(ready, id_).disks[0].points
    assert ready.user.get("/compute/v2.1/limits").json["limits"]["absolute"]["totalRAMUsed"] == 512
    act(ready, id_, "confirmResize", status=204)
    shown = show(ready, id_)
    assert (shown["status"], shown["flavor"]["id"]) == ("ACTIVE", "3")
    act(ready, id_, "confirmResize", status=409)
    act(ready, id_, "resize", {"flavorRef": "1"}, status=400)


def test_resize_and_revert(ready):
    id_ = new(ready)["id"]
    act(ready, id_, "os-stop")
    act(ready, id_, "resize", {"flavorRef": "3"})
    assert show(ready, id_)["status"] == "VERIFY_RESIZE"
    act(ready, id_, "revertResize")
    shown = show(ready, id_)
    assert (shown["status"], shown["flavor"]["id"]) == ("SHUTOFF", "1")
    act(ready, id_, "os-start")
    assert guest(ready, id_).memory == 128 << 20
    assert guest(ready, id_).disks[0].past[0] == id_
    act(ready, id_, "resize", {"flavorRef": "2"})
    act(ready, id_, "revertResize")
    assert show(ready, id_)["status"] == "ACTIVE"
    act(ready, id_, "revertResize", status=409)


def test_a_resize_that_finds_no_room_changes_nothing(ready):
    huge = {"name": "huge", "vcpus": 1, "ram": 1 << 30, "disk": 1, "id": "huge"}
    assert ready.admin.post("/compute/v2.1/flavors", {"flavor": huge}).status == 200
    limits = {"quota_set": {"ram": -1}}
    project = ready.id_of("projects", "demo")
    assert ready.admin.put(f"/compute/v2.1/os-quota-sets/{project}", limits).status == 200
    id_ = new(ready)["id"]
    act(ready, id_, "resize", {"flavorRef": "huge"})
    shown = show(ready, id_)
    assert (shown["status"], shown["flavor"]["id"]) == ("ACTIVE", "1")
    actions = ready.user.get(f"/compute/v2.1/servers/{id_}/os-instance-actions").json["instanceActions"]
    assert (actions[0]["action"], actions[0]["message"]) == ("resize", "No valid host was found. There are not enough hosts available.")


def test_a_resize_over_the_quota_is_refused(ready):
    project = ready.id_of("projects", "demo")
    assert ready.admin.put(f"/compute/v2.1/os-quota-sets/{project}", {"quota_set": {"ram": 200}}).status == 200
    id_ = new(ready)["id"]
    act(ready, id_, "resize", {"flavorRef": "3"}, status=403)


def test_a_resize_is_confirmed_by_itself(ready):
    ready.parts.settings.compute.resize_confirm_window = 1
    id_ = new(ready)["id"]
    act(ready, id_, "resize", {"flavorRef": "2"})

    def confirmed():
        ready.settle()
        return show(ready, id_)["status"] == "ACTIVE"

    until(confirmed)


def until(check, seconds=10.0):
    import time

    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := check():
            return found
        time.sleep(0.05)
    raise AssertionError("it did not come about")


def test_rebuild_with_other_facts(ready):
    id_ = new(ready)["id"]
    image = another(ready)
    wanted = {"imageRef": image, "name": "again", "metadata": {"a": "b"}, "accessIPv4": "192.0.2.1"}
    answer = act(ready, id_, "rebuild", wanted)
    shown = answer.json["server"]
    assert (shown["status"], shown["image"]["id"], shown["name"]) == ("REBUILD", image, "again")
    assert "adminPass" in shown
    assert "OS-EXT-STS:vm_state" not in shown
    assert answer.headers["location"].endswith(id_)
    shown = show(ready, id_)
    assert (shown["status"], shown["image"]["id"], shown["metadata"], shown["accessIPv4"]) == ("ACTIVE", image, {"a": "b"}, "192.0.2.1")
    assert guest(ready, id_).disks[0].id == f"{id_}.1"
    act(ready, id_, "os-stop")
    newest = act(ready, id_, "rebuild", {"imageRef": ready.image, "user_data": "aGVsbG8=", "description": None}, version="2.96")
    assert newest.json["server"]["user_data"] == "aGVsbG8="
    assert show(ready, id_)["status"] == "SHUTOFF"


@pytest.mark.parametrize(
    "values",
    [
        {"imageRef": "none"}, {"name": " "}, {"accessIPv4": "x"}, {"OS-DCF:diskConfig": "MAYBE"}, {"preserve_ephemeral": True},
        {"personality": [{"path": "/a", "contents": "%"}]}, {"metadata": {"k": "v" * 256}},
    ],
)  # fmt: skip
def test_what_cannot_be_rebuilt(ready, values):
    id_ = new(ready)["id"]
    act(ready, id_, "rebuild", {"imageRef": ready.image, **values}, status=400)
    assert show(ready, id_)["status"] == "ACTIVE"


def test_rebuild_with_later_fields(ready):
    id_ = new(ready)["id"]
    image = {"imageRef": ready.image}
    act(ready, id_, "rebuild", image | {"trusted_image_certificates": ["x"]}, status=400, version="2.63")
    act(ready, id_, "rebuild", image | {"key_name": "none"}, status=400, version="2.54")
    act(ready, id_, "rebuild", image | {"user_data": "%"}, status=400, version="2.57")
    act(ready, id_, "rebuild", image | {"key_name": None, "hostname": "other"}, version="2.90")
    assert show(ready, id_, ready.admin, version="2.90")["OS-EXT-SRV-ATTR:hostname"] == "other"


def test_rescue_and_unrescue(ready):
    id_ = new(ready)["id"]
    password = act(ready, id_, "rescue", {"adminPass": "word"}, status=200).json["adminPass"]
    assert password == "word"
    assert show(ready, id_)["status"] == "RESCUE"
    assert [disk.id for disk in guest(ready, id_).disks] == [f"{id_}.rescue", id_]
    act(ready, id_, "unrescue")
    assert show(ready, id_)["status"] == "ACTIVE"
    assert [disk.id for disk in guest(ready, id_).disks] == [id_]
    stable = another(ready, hw_rescue_device="cdrom", hw_rescue_bus="sata")
    act(ready, id_, "rescue", {"rescue_image_ref": stable}, status=200)
    described = guest(ready, id_)
    assert [disk.id for disk in described.disks] == [id_, f"{id_}.rescue"]
    assert (described.boot_from, described.disks[1].bus, described.disks[1].cdrom) == (f"{id_}.rescue", "sata", True)
    act(ready, id_, "rescue", {}, status=409)
    act(ready, id_, "unrescue")
    act(ready, id_, "rescue", {"rescue_image_ref": "none"}, status=400)
    act(ready, id_, "unrescue", status=409)


def test_an_image_of_a_server(ready):
    id_ = new(ready)["id"]
    answer = act(ready, id_, "createImage", {"name": "kept", "metadata": {"colour": "blue"}})
    image_id = answer.headers["location"].rpartition("/")[2]
    image = ready.user.get(f"{IMAGES}/{image_id}").json
    assert (image["status"], image["image_type"], image["instance_uuid"], image["colour"]) == ("active", "snapshot", id_, "blue")
    assert (image["disk_format"], image["min_disk"], image["visibility"]) == ("qcow2", 1, "private")
    assert show(ready, id_)["status"] == "ACTIVE"
    newer = act(ready, id_, "createImage", {"name": "newer"}, version="2.45").json
    made = new(ready, imageRef=newer["image_id"])
    assert show(ready, made["id"])["status"] == "ACTIVE"
    assert guest(ready, made["id"]).disks[0].base_format == "qcow2"


def test_an_image_whose_copy_fails_leaves_nothing(ready):
    id_ = new(ready)["id"]
    ready.hypervisors["host-1"].fail_next("capture", id_, "No room.")
    act(ready, id_, "createImage", {"name": "kept"})
    assert ready.user.get(f"{IMAGES}?name=kept").json["images"] == []
    assert show(ready, id_)["OS-EXT-STS:task_state"] is None
    actions = ready.user.get(f"/compute/v2.1/servers/{id_}/os-instance-actions").json["instanceActions"]
    assert actions[0]["message"] == "No room."


def test_an_image_that_is_deleted_meanwhile(ready):
    id_ = new(ready)["id"]
    url = f"/compute/v2.1/servers/{id_}/action"
    image = ready.user.post(url, {"createImage": {"name": "kept"}}, headers={V: "compute 2.45"}).json["image_id"]
    assert ready.user.delete(f"{IMAGES}/{image}").status == 204
    ready.settle()
    assert show(ready, id_)["OS-EXT-STS:task_state"] is None


def test_a_server_that_is_deleted_while_an_image_is_made(ready):
    id_ = new(ready)["id"]
    url = f"/compute/v2.1/servers/{id_}/action"
    assert ready.user.post(url, {"createImage": {"name": "kept"}}).status == 202
    assert ready.user.delete(f"/compute/v2.1/servers/{id_}").status == 204
    ready.settle()
    assert ready.user.get(f"{IMAGES}?name=kept").json["images"] == []
    other = new(ready)["id"]
    assert ready.user.post(f"/compute/v2.1/servers/{other}/action", {"shelve": None}).status == 202
    assert ready.user.delete(f"/compute/v2.1/servers/{other}").status == 204
    ready.settle()
    assert ready.user.get(f"{IMAGES}?name=one-shelved").json["images"] == []
    until(lambda: list((ready.folder / "images" / "stage").iterdir()) == [])


def test_backups_and_their_rotation(ready):
    id_ = new(ready)["id"]
    made = []
    for number in range(3):
        body = {"name": f"b{number}", "backup_type": "daily", "rotation": 2}
        made.append(act(ready, id_, "createBackup", body, version="2.45").json["image_id"])
    left = {image["id"] for image in ready.user.get(f"{IMAGES}?image_type=backup").json["images"]}
    assert left == set(made[1:])
    act(ready, id_, "createBackup", {"name": "x", "backup_type": "daily", "rotation": -1}, status=400)


def test_shelve_and_unshelve(ready):
    id_ = new(ready)["id"]
    act(ready, id_, "shelve")
    shown = show(ready, id_)
    assert (shown["status"], shown["OS-EXT-STS:power_state"], shown["hostId"]) == ("SHELVED_OFFLOADED", 0, "")
    assert ready.hypervisors["host-1"]._books == {}
    (image,) = ready.user.get(f"{IMAGES}?name=one-shelved").json["images"]
    act(ready, id_, "os-start", status=409)
    act(ready, id_, "unshelve", {"availability_zone": "moon"}, version="2.77", status=400)
    act(ready, id_, "unshelve", {"host": "host-1"}, version="2.91", status=403)
    act(ready, id_, "unshelve", {"host": "host-1"}, version="2.91", client=ready.admin)
    assert show(ready, id_)["status"] == "ACTIVE"
    assert ready.user.get(f"{IMAGES}/{image['id']}").status == 404
    assert guest(ready, id_).disks[0].base_format == "qcow2"


def test_a_server_that_stays_on_its_host_while_it_is_shelved(ready):
    ready.parts.settings.compute.offload_shelved = False
    id_ = new(ready)["id"]
    act(ready, id_, "shelve")
    assert show(ready, id_)["status"] == "SHELVED"
    act(ready, id_, "unshelve", {"availability_zone": "nova"}, version="2.77", status=409)
    act(ready, id_, "unshelve")
    assert show(ready, id_)["status"] == "ACTIVE"
    act(ready, id_, "shelve")
    act(ready, id_, "shelveOffload")
    assert show(ready, id_)["status"] == "SHELVED_OFFLOADED"
    assert ready.user.delete(f"/compute/v2.1/servers/{id_}").status == 204
    ready.settle()
    assert ready.user.get(f"{IMAGES}?name=one-shelved").json["images"] == []


def test_a_deleted_server_can_be_restored_for_a_while(ready):
    ready.parts.settings.compute.reclaim_interval = 3600
    ids = [new(ready)["id"] for _ in range(3)]
    for id_ in ids:
        assert ready.user.delete(f"/compute/v2.1/servers/{id_}").status == 204
    ready.settle()
    assert [show(ready, id_)["status"] for id_ in ids] == ["SOFT_DELETED"] * 3
    assert ready.user.get("/compute/v2.1/servers").json["servers"] == []
    act(ready, ids[0], "restore")
    assert show(ready, ids[0])["status"] == "ACTIVE"
    act(ready, ids[1], "forceDelete")
    assert ready.user.get(f"/compute/v2.1/servers/{ids[1]}").status == 404
    ready.parts.settings.compute.reclaim_interval = 0
    assert ready.user.delete(f"/compute/v2.1/servers/{ids[2]}").status == 204
    ready.settle()
    assert ready.user.get(f"/compute/v2.1/servers/{ids[2]}").status == 404


def test_a_crash_while_suspended_is_told_of(ready):
    id_ = new(ready)["id"]
    ready.hypervisors["host-1"].crash(id_)
    until(lambda: ready.hypervisors["host-1"]._books[id_].state is State.CRASHED)
    until(lambda: show(ready, id_)["status"] == "SHUTOFF")
    act(ready, id_, "suspend", status=409)


def test_events_of_an_action(ready):
    id_ = new(ready)["id"]
    act(ready, id_, "resize", {"flavorRef": "2"})
    url = f"/compute/v2.1/servers/{id_}/os-instance-actions"
    first = ready.user.get(url).json["instanceActions"][0]
    events = ready.user.get(f"{url}/{first['request_id']}", headers={V: "compute 2.51"}).json["instanceAction"]["events"]
    assert [event["event"] for event in events][:1] == ["compute_resize_reach"]
    assert {event["result"] for event in events} == {"Success"}
    assert "traceback" not in events[0]
    admin = ready.admin.get(f"{url}/{first['request_id']}", headers={V: "compute 2.84"}).json["instanceAction"]["events"]
    assert {"traceback", "host", "hostId", "details"} <= admin[0].keys()
