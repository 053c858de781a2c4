"""Compute's microversions after 2.96: what they add, and what is not taken any more."""

import pytest

from tests.api.test_servers import V, new, show

C = "/compute/v2.1"


def at(version):
    return {V: f"compute {version}"}


def test_a_server_is_shown_with_its_image_s_properties_and_its_hints(ready):
    group = ready.user.post(f"{C}/os-server-groups", {"server_group": {"name": "g", "policies": ["affinity"]}}).json["server_group"]["id"]
    first = new(ready)["id"]
    id_ = new(ready, hints={"group": group, "same_host": first})["id"]
    assert "properties" not in show(ready, id_, version="2.97")["image"]
    assert show(ready, id_, version="2.98")["image"]["properties"] == {}
    assert "scheduler_hints" not in show(ready, id_, version="2.99")
    assert show(ready, id_, version="2.100")["scheduler_hints"] == {"group": group, "same_host": first}
    assert show(ready, first, version="2.100")["scheduler_hints"] == {}


def test_there_are_no_shares(ready):
    id_, share = new(ready)["id"], "5f1b4b1c-0b52-4f63-8b8b-2d4a1f8a9c11"
    path = f"{C}/servers/{id_}/shares"
    assert ready.user.get(path, headers=at("2.96")).status == 404
    assert ready.user.get(path, headers=at("2.97")).json == {"shares": []}
    assert ready.user.get(f"{path}?x=1", headers=at("2.97")).status == 400
    wanted = {"share": {"share_id": share}}
    for method, where, body in (("POST", path, wanted), ("GET", f"{path}/{share}", None), ("DELETE", f"{path}/{share}", None)):
        answer = ready.user(method, where, body, headers=at("2.97"))
        assert (answer.status, "could not be found" in answer.json["itemNotFound"]["message"]) == (404, True)
    assert ready.user.post(path, {"share": {"share_id": "none"}}, headers=at("2.97")).status == 400


def test_a_volume_is_attached_without_a_word(ready):
    id_ = new(ready)["id"]
    for version, status in (("2.100", 200), ("2.101", 202)):
        made = ready.user.post("/volume/v3/volumes", {"volume": {"size": 1}}).json["volume"]["id"]
        ready.settle()
        answer = ready.user.post(f"{C}/servers/{id_}/os-volume_attachments", {"volumeAttachment": {"volumeId": made}}, headers=at(version))
        ready.settle()
        assert (answer.status, bool(answer.body)) == (status, status == 200)
        assert ready.user.get(f"/volume/v3/volumes/{made}").json["volume"]["status"] == "in-use"


def test_flavors_lose_two_fields_and_are_found_by_name(ready):
    def flavors(query, version="2.102"):
        return [one["name"] for one in ready.user.get(f"{C}/flavors{query}", headers=at(version)).json["flavors"]]

    every = flavors("")
    assert flavors(f"?name={every[0]}") == [every[0]]
    assert flavors(f"?name={every[0]}", "2.74") == every
    old = ready.user.get(f"{C}/flavors/1", headers=at("2.101")).json["flavor"]
    newer = ready.user.get(f"{C}/flavors/1", headers=at("2.102")).json["flavor"]
    assert old.keys() - newer.keys() == {"rxtx_factor", "OS-FLV-DISABLED:disabled"}
    wanted = {"flavor": {"name": "f", "ram": 64, "vcpus": 1, "disk": 1, "rxtx_factor": 2.0}}
    assert ready.admin.post(f"{C}/flavors", wanted, headers=at("2.102")).status == 400
    assert ready.admin.post(f"{C}/flavors", wanted, headers=at("2.101")).json["flavor"]["rxtx_factor"] == 2.0
    assert ready.user.get(f"{C}/flavors?sort_key=rxtx_factor", headers=at("2.102")).status == 400


@pytest.mark.parametrize(
    ("path", "since"),
    [("/servers", "2.75"), ("/servers/detail", "2.75"), ("/flavors", "2.75"), ("/limits", "2.75"), ("/os-keypairs", "2.75"),
     ("/os-availability-zone", "2.102"), ("/servers/{id}", "2.102"), ("/servers/{id}/ips", "2.102"), ("/servers/{id}/tags", "2.102"),
     ("/servers/{id}/os-instance-actions", "2.58"), ("/os-server-groups", "2.75")],
)  # fmt: skip
def test_queries_may_not_name_what_nobody_knows(ready, path, since):
    path = path.replace("{id}", new(ready)["id"])
    first, second = since.split(".")
    assert ready.user.get(f"{C}{path}?wrong=1", headers=at(f"{first}.{int(second) - 1}")).status == 200
    answer = ready.user.get(f"{C}{path}?wrong=1", headers=at(since))
    assert (answer.status, "'wrong' was unexpected" in answer.json["badRequest"]["message"]) == (400, True)
    assert ready.user.get(f"{C}{path}", headers=at(since)).status == 200


def test_consoles_of_spice_are_not_to_be_had(ready):
    id_ = new(ready)["id"]
    path, wanted = f"{C}/servers/{id_}/remote-consoles", {"remote_console": {"protocol": "spice", "type": "spice-direct"}}
    for version in ("2.98", "2.99"):
        assert ready.user.post(path, wanted, headers=at(version)).status == 400
    url = ready.user.post(path, {"remote_console": {"protocol": "vnc", "type": "novnc"}}, headers=at("2.99")).json["remote_console"]["url"]
    token = url.rpartition("%3D")[2]
    shown = ready.admin.get(f"{C}/os-console-auth-tokens/{token}", headers=at("2.99")).json["console"]
    assert (shown["instance_uuid"], shown["tls_port"]) == (id_, None)
    assert "tls_port" not in ready.admin.get(f"{C}/os-console-auth-tokens/{token}", headers=at("2.98")).json["console"]


def test_a_server_is_unpinned_from_its_zone_and_pinned_again(ready):
    id_ = new(ready, availability_zone="nova")["id"]
    field = "pinned_availability_zone"

    def pin(zone, status=200, version="2.104"):
        answer = ready.user.put(f"{C}/servers/{id_}", {"server": {field: zone}}, headers=at(version))
        assert answer.status == status, answer
        return answer.json["server"][field] if status == 200 else None

    pin(None, 400, "2.103")
    assert pin("nova") == "nova"
    pin("elsewhere", 409)
    assert pin(None) is None
    assert show(ready, id_, version="2.104")[field] is None
    pin("elsewhere", 409)
    assert pin("nova") == "nova"
    assert show(ready, id_, version="2.104")[field] == "nova"
