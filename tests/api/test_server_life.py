"""The later life of servers through the API: resize, rebuild, rescue, images, shelving, with the real engine and agents over fakes."""

import asyncio
from types import SimpleNamespace

import pytest

from andromede.core.errors import Unauthorized
from andromede.drivers.hypervisor import State
from andromede.services.compute import consoles
from tests.api.test_servers import V, act, new, show
from tests.waiting import until

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
    assert show(ready, id_, version="2.90")["OS-EXT-SRV-ATTR:hostname"] == "other"
    assert "OS-EXT-SRV-ATTR:hostname" not in show(ready, id_, version="2.89")


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


def test_consoles_and_their_tokens(ready):
    id_ = new(ready)["id"]
    url = f"/compute/v2.1/servers/{id_}/remote-consoles"

    def ask(protocol, kind, status=200):
        answer = ready.user.post(url, {"remote_console": {"protocol": protocol, "type": kind}}, headers={V: "compute 2.6"})
        assert answer.status == status, answer
        return answer.json.get("remote_console")

    vnc = ask("vnc", "novnc")
    assert vnc["url"].startswith("http://cloud.test/console/vnc.html?path=console%2Fws%3Ftoken%3D")
    assert ask("serial", "serial")["url"].startswith("ws://cloud.test/console/ws?token=")
    ask("spice", "spice-html5", 400)
    ask("nonsense", "novnc", 400)
    assert act(ready, id_, "os-getVNCConsole", {"type": "novnc"}, status=200).json["console"]["type"] == "novnc"
    assert act(ready, id_, "os-getSerialConsole", {"type": "serial"}, status=200).json["console"]["url"].startswith("ws:")
    act(ready, id_, "os-getVNCConsole", {"type": "xvpvnc"}, status=400)
    token = vnc["url"].rpartition("%3D")[2]
    shown = ready.admin.get(f"/compute/v2.1/os-console-auth-tokens/{token}", headers={V: "compute 2.31"}).json["console"]
    assert (shown["instance_uuid"], shown["host"]) == (id_, "host-1")
    assert ready.admin.get("/compute/v2.1/os-console-auth-tokens/x", headers={V: "compute 2.31"}).status == 404
    with consoles.connect(ready.parts, token) as line:
        assert line.recv(12) == b"RFB 003.008\n"
    act(ready, id_, "os-stop")
    ask("vnc", "novnc", 409)
    ready.user.delete(f"/compute/v2.1/servers/{id_}")
    ready.settle()
    with pytest.raises(Unauthorized):
        consoles.connect(ready.parts, token)
    page = ready.anyone.get("/console/vnc.html?path=x")
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    for path in ("viewer.js", "viewer.css", "novnc/core/rfb.js", "novnc/core/util/events.js", "novnc/vendor/pako/lib/zlib/inflate.js"):
        assert ready.anyone.get(f"/console/{path}").status == 200, path
    assert ready.anyone.get("/console/novnc/core/none.js").status == 404


class Wire:
    """RSGI's protocol and transport of one WebSocket, as a browser's end would use them."""

    def __init__(self, *sent):
        self.sent, self.got, self.closed = list(sent), asyncio.Queue(), None

    async def accept(self):
        return self

    def close(self, status=None):
        self.closed = status or 1000

    async def send_bytes(self, data):
        await self.got.put(data)

    async def receive(self):
        if self.sent:
            return SimpleNamespace(kind=1, data=self.sent.pop(0))
        await asyncio.sleep(0.3)
        return SimpleNamespace(kind=0, data=b"")


def test_a_console_s_bytes_pass_both_ways(ready):
    id_ = new(ready)["id"]
    address = act(ready, id_, "os-getSerialConsole", {"type": "serial"}, status=200).json["console"]["url"]

    async def talk(token, *sent):
        wire = Wire(*sent)
        await consoles.relay(ready.parts, {"token": token}, wire)
        return wire, b"".join(wire.got.get_nowait() for _ in range(wire.got.qsize()))

    wire, said = asyncio.run(talk(address.rpartition("=")[2], b"hello", "text"))
    assert said.startswith(f"guest-{id_}".encode())
    assert said.endswith(b"hellotext")
    assert wire.closed == 1000
    assert asyncio.run(talk("nonsense"))[0].closed == 401


def test_images_as_compute_knew_them(ready):
    id_ = new(ready)["id"]
    made = act(ready, id_, "createImage", {"name": "kept", "metadata": {"a": "b"}}, version="2.45").json["image_id"]
    base = "/compute/v2.1/images"

    def names(query):
        return [one["name"] for one in ready.user.get(f"{base}?{query}").json["images"]]

    assert names("type=snapshot") == names(f"server={id_}") == names("name=kept") == ["kept"]
    assert names("status=SAVING") == []
    assert len(names("limit=1")) == 1
    assert names("changes-since=2100-01-01T00:00:00Z") == []
    assert ready.user.get(f"{base}?changes-since=x").status == 400
    image = ready.user.get(f"{base}/{made}").json["image"]
    assert (image["status"], image["progress"], image["server"]["id"], image["metadata"]["a"]) == ("ACTIVE", 100, id_, "b")
    assert ready.user.get(f"{base}/detail").json["images"][0]["id"] == made
    meta = f"{base}/{made}/metadata"
    assert ready.user.put(meta, {"metadata": {"x": "1"}}).json == {"metadata": {"x": "1"}}
    assert ready.user.post(meta, {"metadata": {"y": "2"}}).json == {"metadata": {"x": "1", "y": "2"}}
    assert ready.user.put(f"{meta}/x", {"meta": {"x": "3"}}).json == {"meta": {"x": "3"}}
    assert ready.user.put(f"{meta}/x", {"meta": {"z": "3"}}).status == 400
    assert ready.user.get(f"{meta}/x").json == {"meta": {"x": "3"}}
    assert ready.user.get(f"{meta}/none").status == ready.user.delete(f"{meta}/none").status == 404
    assert ready.user.delete(f"{meta}/x").status == 204
    assert ready.user.get(meta).json == {"metadata": {"y": "2"}}
    assert ready.user.delete(f"{base}/{made}").status == 204
    assert ready.user.get(f"{base}/{made}").status == 404
    assert ready.user.get(base, headers={V: "compute 2.36"}).status == 404


def test_external_events_and_the_audit_log(ready):
    id_ = new(ready)["id"]
    url, unknown = "/compute/v2.1/os-server-external-events", "0f0f0f0f-0000-4000-8000-0f0f0f0f0f0f"
    event = {"name": "network-changed", "server_uuid": id_}
    assert ready.user.post(url, {"events": [event]}).status == 403
    answer = ready.admin.post(url, {"events": [event | {"tag": "x"}]})
    assert answer.json["events"] == [event | {"status": "completed", "code": 200, "tag": "x"}]
    mixed = ready.admin.post(url, {"events": [event, event | {"server_uuid": unknown}]})
    assert (mixed.status, [one["code"] for one in mixed.json["events"]]) == (207, [200, 404])
    assert ready.admin.post(url, {"events": [event | {"server_uuid": unknown}]}).status == 404
    assert ready.admin.post(url, {"events": [event | {"name": "volume-extended"}]}).status == 400
    log = ready.admin.get("/compute/v2.1/os-instance_usage_audit_log").json["instance_usage_audit_logs"]
    assert log["hosts_not_run"] == []
    assert ready.admin.get("/compute/v2.1/os-instance_usage_audit_log/2026-01-01 00:00:00").status == 200
    assert ready.admin.get("/compute/v2.1/os-instance_usage_audit_log/never").status == 400


def test_what_a_machine_cannot_be_is_refused_by_name(ready):
    for number, (name, value) in enumerate(
        (
            ("hw_disk_bus", "xen"), ("hw_vif_model", "ne2k"), ("hw_machine_type", "sparc"), ("os_secure_boot", "required"),
            ("hw_mem_page_size", "huge"), ("hw_video_model", "cirrus"),
        )
    ):  # fmt: skip
        image = another(ready, **{name: value})
        refused = new(ready, imageRef=image, status=400, name=f"n{number}")
        assert name in refused["badRequest"]["message"]
    wanted = {
        "hw_disk_bus": "sata", "hw_vif_model": "e1000", "hw_machine_type": "q35", "os_type": "windows", "hw_firmware_type": "uefi",
        "os_secure_boot": "required", "hw_tpm_version": "2.0", "hw_video_model": "bochs", "hw_mem_page_size": "large",
    }  # fmt: skip
    described = guest(ready, new(ready, imageRef=another(ready, **wanted))["id"])
    assert (described.disks[0].bus, described.nics[0].model, described.machine, described.local_time) == ("sata", "e1000", "q35", True)
    assert (described.firmware, described.secure_boot, described.tpm, described.video) == ("uefi", True, "tpm-crb", "bochs")
    assert described.huge_pages
    many = guest(ready, new(ready, flavorRef="3", imageRef=another(ready, hw_vif_multiqueue_enabled="true"))["id"])
    assert many.nics[0].queues == 2
