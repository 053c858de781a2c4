"""Servers through the API, with the real engine and agents over the fake hypervisor."""

import base64

import pytest

from andromede.core.errors import DriverError
from andromede.drivers.hypervisor import State
from andromede.services.compute import hosts

V = "openstack-api-version"


def new(cloud, client=None, *, version="2.1", status=202, settle=True, **values):
    body = {"name": "one", "imageRef": cloud.image, "flavorRef": "1", "networks": [{"uuid": cloud.network}], **values}
    body = {key: value for key, value in body.items() if value is not None}
    hints = {"os:scheduler_hints": body.pop("hints")} if "hints" in body else {}
    answer = (client or cloud.user).post("/compute/v2.1/servers", {"server": body, **hints}, headers={V: f"compute {version}"})
    assert answer.status == status, answer
    if settle and status == 202:
        cloud.settle()
    return answer.json.get("server", answer.json)


def show(cloud, id_, client=None, version="2.1"):
    answer = (client or cloud.user).get(f"/compute/v2.1/servers/{id_}", headers={V: f"compute {version}"})
    assert answer.status == 200, answer
    return answer.json["server"]


def act(cloud, id_, name, value=None, *, status=202, client=None, version="2.1"):
    url = f"/compute/v2.1/servers/{id_}/action"
    answer = (client or cloud.user).post(url, {name: value}, headers={V: f"compute {version}"})
    assert answer.status == status, answer
    cloud.settle()
    return answer


def test_a_server_is_built_shown_and_deleted_with_everything_it_had(ready):
    made = new(ready)
    server = show(ready, made["id"])
    assert (server["status"], server["OS-EXT-STS:vm_state"], server["OS-EXT-STS:power_state"]) == ("ACTIVE", "active", 1)
    assert server["addresses"]["net"][0]["addr"].startswith("10.1.0.")
    assert server["flavor"]["id"] == "1"
    assert "OS-EXT-SRV-ATTR:host" not in server
    assert show(ready, made["id"], ready.admin)["OS-EXT-SRV-ATTR:host"] == "host-1"
    ports = ready.user.get(f"/network/v2.0/ports?device_id={made['id']}").json["ports"]
    assert len(ports) == 1
    assert ready.user.delete(f"/compute/v2.1/servers/{made['id']}").status == 204
    ready.settle()
    assert ready.user.get(f"/compute/v2.1/servers/{made['id']}").status == 404
    assert ready.user.get(f"/network/v2.0/ports?device_id={made['id']}").json["ports"] == []
    assert ready.plugs["host-1"].taps == {}


def test_fields_follow_the_microversion(ready):
    made = new(ready, version="2.52", tags=["blue"], description="words")
    old, new_ = show(ready, made["id"]), show(ready, made["id"], version="2.96")
    assert "tags" not in old
    assert "locked" not in old
    assert new_["tags"] == ["blue"]
    assert new_["description"] == "words"
    assert new_["flavor"]["original_name"] == "petit-1"
    assert "id" not in new_["flavor"]
    refused = new(ready, version="2.51", status=400, tags=["blue"])
    assert "tags" in refused["badRequest"]["message"]


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"imageRef": "0" * 8}, "image"),
        ({"flavorRef": "none"}, "Flavor"),
        ({"networks": [{"uuid": "00000000-0000-4000-8000-000000000000"}]}, "etwork"),
        ({"networks": [{"uuid": "nonsense"}]}, "uuid"),
        ({"networks": [{}]}, "uuid"),
        ({"key_name": "none"}, "key_name"),
        ({"name": ""}, "name"),
        ({"name": "x" * 256}, "name"),
        ({"user_data": "%%%"}, "ser"),
        ({"accessIPv4": "::1"}, "accessIPv4"),
        ({"min_count": 3, "max_count": 2}, "min_count"),
        ({"min_count": 0}, "min_count"),
        ({"metadata": {"k": "v" * 256}}, "metadata"),
        ({"availability_zone": "moon"}, "zone"),
        ({"OS-DCF:diskConfig": "MAYBE"}, "diskConfig"),
        ({"security_groups": [{"name": "nobody"}]}, "ecurity"),
        ({"unknown": 1}, "unknown"),
        ({"hints": {"group": "x"}}, "group"),
        ({"hints": {"same_host": "x"}}, "same_host"),
        ({"imageRef": None}, "imageRef"),
        ({"personality": [{"path": "/a", "contents": "%"}]}, "/a"),
    ],
)
def test_what_cannot_be_is_refused_by_name_and_leaves_nothing(ready, values, word):
    refused = new(ready, status=400, **values)
    assert word in refused["badRequest"]["message"]
    assert ready.user.get("/compute/v2.1/servers").json["servers"] == []
    assert not [port for port in ready.user.get("/network/v2.0/ports").json["ports"] if port["device_owner"].startswith("compute")]


@pytest.mark.parametrize("disk", ["swap", "OS-FLV-EXT-DATA:ephemeral"])
def test_a_flavor_that_promises_other_disks_is_refused(ready, disk):
    facts = {"name": "more", "ram": 128, "vcpus": 1, "disk": 1, disk: 1}
    made = ready.admin.post("/compute/v2.1/flavors", {"flavor": facts}).json["flavor"]
    refused = new(ready, status=400, flavorRef=made["id"])
    assert "give them volumes" in refused["badRequest"]["message"]


def test_power_and_its_states(ready):
    id_ = new(ready)["id"]
    act(ready, id_, "os-stop")
    assert show(ready, id_)["status"] == "SHUTOFF"
    act(ready, id_, "os-stop", status=409)
    act(ready, id_, "os-start")
    assert show(ready, id_)["status"] == "ACTIVE"
    act(ready, id_, "pause")
    assert show(ready, id_)["status"] == "PAUSED"
    act(ready, id_, "reboot", {"type": "SOFT"}, status=409)
    act(ready, id_, "unpause")
    act(ready, id_, "reboot", {"type": "SOFT"})
    act(ready, id_, "reboot", {"type": "HARD"})
    assert show(ready, id_)["status"] == "ACTIVE"
    act(ready, id_, "reboot", {"type": "GENTLE"}, status=400)
    act(ready, id_, "fly", status=400)
    actions = ready.user.get(f"/compute/v2.1/servers/{id_}/os-instance-actions").json["instanceActions"]
    assert [one["action"] for one in actions] == ["reboot", "reboot", "unpause", "pause", "start", "stop", "create"]
    one = ready.user.get(f"/compute/v2.1/servers/{id_}/os-instance-actions/{actions[0]['request_id']}", headers={V: "compute 2.51"})
    one = one.json["instanceAction"]
    assert one["events"][0]["result"] == "Success"
    assert ready.user.get(f"/compute/v2.1/servers/{id_}/os-instance-actions/none").status == 404


def test_a_guest_that_shuts_itself_down_is_a_stopped_server_that_starts_again(ready):
    id_ = new(ready)["id"]
    ready.hosts._loop.call_soon_threadsafe(ready.hypervisors["host-1"].power_off, id_)
    for _ in range(100):
        ready.settle()
        if show(ready, id_)["status"] == "SHUTOFF":
            break
    assert show(ready, id_)["status"] == "SHUTOFF"
    act(ready, id_, "os-start")
    assert show(ready, id_)["status"] == "ACTIVE"


def test_a_host_that_cannot_start_a_guest_ends_in_error_with_the_reason_and_can_be_deleted(ready):
    async def full(guest):
        raise DriverError("The host has no memory left.")

    ready.hypervisors["host-1"].ensure = full
    id_ = new(ready)["id"]
    server = show(ready, id_)
    assert server["status"] == "ERROR"
    assert server["fault"]["message"] == "The host has no memory left."
    assert ready.user.delete(f"/compute/v2.1/servers/{id_}").status == 204
    ready.settle()
    assert ready.user.get(f"/compute/v2.1/servers/{id_}").status == 404


def test_without_room_a_server_ends_in_error(ready):
    assert show(ready, new(ready, flavorRef="SCS-16V-32")["id"])["status"] in ("ERROR", "ACTIVE")
    id_ = new(ready, ready.admin, availability_zone="nova:elsewhere")["id"]
    server = show(ready, id_, ready.admin)
    assert server["status"] == "ERROR"
    assert "No valid host" in server["fault"]["message"]


def test_quotas_hold_and_several_are_built_at_once(ready):
    many = new(ready, min_count=2, max_count=30, return_reservation_id=True)
    rows = ready.user.get("/compute/v2.1/servers/detail").json["servers"]
    assert len(rows) == 20
    assert many["reservation_id"]
    assert rows[0]["name"].startswith("one-")
    refused = new(ready, status=403)
    assert "instances" in refused["forbidden"]["message"]


def test_lists_are_paged_sorted_and_filtered(ready):
    names = ["a", "b", "c", "d"]
    ids = {name: new(ready, name=name, settle=False, metadata={"n": name})["id"] for name in names}
    ready.settle()

    def listed(query, client=ready.user, version="2.96"):
        answer = client.get(f"/compute/v2.1/servers/detail?{query}", headers={V: f"compute {version}"})
        assert answer.status == 200, answer
        return answer.json

    first = listed("limit=3&sort_key=display_name&sort_dir=asc")
    assert [one["name"] for one in first["servers"]] == ["a", "b", "c"]
    (link,) = first["servers_links"]
    rest = ready.user.get(link["href"].removeprefix("http://cloud.test")).json
    assert [one["name"] for one in rest["servers"]] == ["d"]
    assert "servers_links" not in rest
    assert [one["name"] for one in listed("name=%5Eb$")["servers"]] == ["b"]
    assert len(listed("status=ACTIVE")["servers"]) == 4
    assert listed("status=SHUTOFF")["servers"] == []
    assert listed("status=nonsense")["servers"] == []
    address = show(ready, ids["c"])["addresses"]["net"][0]["addr"]
    assert [one["name"] for one in listed(f"ip=%5E{address}$")["servers"]] == ["c"]
    assert len(listed(f"image={ready.image}&flavor=1")["servers"]) == 4
    assert listed("changes-since=2100-01-01T00:00:00Z")["servers"] == []
    assert listed("", ready.admin)["servers"] == []
    assert len(listed("all_tenants=1", ready.admin)["servers"]) == 4
    ready.user.delete(f"/compute/v2.1/servers/{ids['a']}")
    ready.settle()
    assert [one["status"] for one in listed("deleted=true&all_tenants=1", ready.admin)["servers"]] == ["DELETED"]
    for query in ("limit=-1", "marker=none", "sort_key=secret", "changes-since=never"):
        assert ready.user.get(f"/compute/v2.1/servers?{query}").status == 400
    assert ready.user.get("/compute/v2.1/servers?all_tenants=1").status == 403


def test_metadata_and_addresses(ready):
    id_ = new(ready, metadata={"a": "1"})["id"]
    url = f"/compute/v2.1/servers/{id_}"
    assert ready.user.post(f"{url}/metadata", {"metadata": {"b": "2"}}).json == {"metadata": {"a": "1", "b": "2"}}
    assert ready.user.put(f"{url}/metadata/a", {"meta": {"a": "3"}}).json == {"meta": {"a": "3"}}
    assert ready.user.put(f"{url}/metadata/a", {"meta": {"c": "3"}}).status == 400
    assert ready.user.get(f"{url}/metadata/a").json == {"meta": {"a": "3"}}
    assert ready.user.delete(f"{url}/metadata/a").status == 204
    assert ready.user.delete(f"{url}/metadata/a").status == 404
    assert ready.user.get(f"{url}/metadata/a").status == 404
    assert ready.user.put(f"{url}/metadata", {"metadata": {}}).json == {"metadata": {}}
    assert list(ready.user.get(f"{url}/ips").json["addresses"]) == ["net"]
    assert len(ready.user.get(f"{url}/ips/net").json["net"]) == 1
    assert ready.user.get(f"{url}/ips/none").status == 404


def test_changes_locks_and_admin_acts(ready):
    id_ = new(ready)["id"]
    url = f"/compute/v2.1/servers/{id_}"
    changed = ready.user.put(url, {"server": {"name": "two", "accessIPv4": "192.0.2.1"}}).json["server"]
    assert (changed["name"], changed["accessIPv4"]) == ("two", "192.0.2.1")
    assert ready.user.put(url, {"server": {"name": " "}}).status == 400
    act(ready, id_, "lock", {"locked_reason": "do not touch"}, version="2.73")
    assert show(ready, id_, version="2.73")["locked_reason"] == "do not touch"
    act(ready, id_, "unlock")
    act(ready, id_, "lock", client=ready.admin)
    act(ready, id_, "os-stop", status=409)
    assert ready.user.delete(url).status == 409
    act(ready, id_, "unlock", status=403)
    act(ready, id_, "unlock", client=ready.admin)
    act(ready, id_, "os-resetState", {"state": "error"}, status=403)
    act(ready, id_, "os-resetState", {"state": "error"}, client=ready.admin)
    assert show(ready, id_)["status"] == "ERROR"
    act(ready, id_, "os-resetState", {"state": "gone"}, client=ready.admin, status=400)
    act(ready, id_, "reboot", {"type": "HARD"})
    assert show(ready, id_)["status"] == "ACTIVE"
    act(ready, id_, "forceDelete")
    assert ready.user.get(url).status == 404


def test_console_and_diagnostics(ready):
    id_ = new(ready)["id"]
    text = act(ready, id_, "os-getConsoleOutput", {}, status=200).json["output"]
    assert text
    assert len(act(ready, id_, "os-getConsoleOutput", {"length": 1}, status=200).json["output"].splitlines()) <= 2
    act(ready, id_, "os-getConsoleOutput", {"length": -5}, status=400)
    assert ready.admin.get(f"/compute/v2.1/servers/{id_}/diagnostics").json["state"] == "running"
    assert ready.user.get(f"/compute/v2.1/servers/{id_}/diagnostics").status == 403
    act(ready, id_, "os-stop")
    assert ready.admin.get(f"/compute/v2.1/servers/{id_}/diagnostics").status == 409


def test_another_project_sees_nothing(ready):
    id_ = new(ready)["id"]
    stranger = ready.other()
    for method, path, body in (
        ("GET", "", None), ("PUT", "", {"server": {"name": "x"}}), ("DELETE", "", None), ("POST", "/action", {"os-stop": None}),
        ("GET", "/metadata", None), ("GET", "/ips", None), ("GET", "/os-instance-actions", None),
        ("POST", "/action", {"os-getConsoleOutput": {}}),
    ):  # fmt: skip
        assert stranger(method, f"/compute/v2.1/servers/{id_}{path}", body).status == 404
    assert stranger.get("/compute/v2.1/servers").json["servers"] == []
    looker = ready.other("looker", "reader")
    refused = looker.post("/compute/v2.1/servers", {"server": {"name": "x", "imageRef": ready.image, "flavorRef": "1"}})
    assert refused.status == 403


def test_a_delete_outranks_a_build_that_hangs(ready):
    async def never(guest):
        raise DriverError("not now")

    ready.hypervisors["host-1"].ensure = never
    ready.start()
    id_ = new(ready, settle=False)["id"]
    assert ready.user.delete(f"/compute/v2.1/servers/{id_}").status == 204
    ready.settle()
    assert ready.user.get(f"/compute/v2.1/servers/{id_}").status == 404


def test_user_data_and_keys_reach_the_guests_metadata(ready):
    data = base64.b64encode(b"#!/bin/sh\necho hi\n").decode()
    id_ = new(ready, user_data=data, config_drive=True)["id"]
    files = ready.hosts._loops["host-1"]._wishes[id_].files
    assert files["openstack/latest/user_data"] == b"#!/bin/sh\necho hi\n"
    assert files["latest/meta-data/local-ipv4"].startswith(b"10.1.0.")
    assert show(ready, id_)["config_drive"] == "True"
    assert next(seen for seen in ready.hosts.wait({"host-1": 0}, 1)["host-1"].guests).state is State.RUNNING


def test_addresses_are_added_and_taken(ready):
    id_ = new(ready)["id"]
    first = show(ready, id_)["addresses"]["net"][0]["addr"]
    act(ready, id_, "addFixedIp", {"networkId": ready.network})
    both = [one["addr"] for one in show(ready, id_)["addresses"]["net"]]
    assert first in both
    assert len(both) == 2
    act(ready, id_, "removeFixedIp", {"address": first})
    assert [one["addr"] for one in show(ready, id_)["addresses"]["net"]] == [one for one in both if one != first]
    act(ready, id_, "removeFixedIp", {"address": first}, status=404)
    act(ready, id_, "addFixedIp", {"networkId": "00000000-0000-4000-8000-000000000000"}, status=404)
    act(ready, id_, "addFixedIp", {"networkId": ready.network}, version="2.44", status=400)
    assert ready.user.get(f"/compute/v2.1/servers/{id_}/os-server-password").json == {"password": ""}


DISK = {"source_type": "image", "destination_type": "local", "boot_index": 0, "delete_on_termination": True}


def test_the_disk_as_clients_ask_for_it(ready):
    """The standard client names the image twice: in `imageRef` and as a block device."""
    disk = DISK | {"uuid": ready.image}
    for named in (ready.image, None):
        made = new(ready, imageRef=named, block_device_mapping_v2=[disk])
        assert show(ready, made["id"])["image"]["id"] == ready.image
    for wrong in (
        [disk, {"source_type": "blank", "destination_type": "local", "boot_index": -1, "guest_format": "swap", "volume_size": 1}],
        [disk, disk],
        [disk | {"uuid": "another"}],
    ):
        refused = new(ready, block_device_mapping_v2=wrong, status=400)
        assert refused["badRequest"]["message"].startswith("Block Device Mapping is Invalid")
    assert "image" in new(ready, imageRef=None, status=400)["badRequest"]["message"]


def test_a_floating_address_reaches_the_metadata_of_a_running_server(ready):
    facts = {"name": "public", "router:external": True, "provider:network_type": "flat", "provider:physical_network": "public"}
    public = ready.admin.post("/network/v2.0/networks", {"network": facts}).json["network"]["id"]
    outside = {"network_id": public, "ip_version": 4, "cidr": "203.0.113.0/24", "enable_dhcp": False}
    assert ready.admin.post("/network/v2.0/subnets", {"subnet": outside}).status == 201
    router = ready.user.post("/network/v2.0/routers", {"router": {"external_gateway_info": {"network_id": public}}}).json["router"]["id"]
    subnet = ready.user.get(f"/network/v2.0/subnets?network_id={ready.network}").json["subnets"][0]["id"]
    assert ready.user.put(f"/network/v2.0/routers/{router}/add_router_interface", {"subnet_id": subnet}).status == 200
    id_ = new(ready)["id"]
    port = ready.user.get(f"/network/v2.0/ports?device_id={id_}").json["ports"][0]["id"]
    made = ready.user.post("/network/v2.0/floatingips", {"floatingip": {"floating_network_id": public, "port_id": port}})
    assert made.status == 201, made
    for _ in range(20):
        ready.settle()
        files = ready.hosts._loops["host-1"]._wishes[id_].files
        if files["latest/meta-data/public-ipv4"]:
            break
    assert files["latest/meta-data/public-ipv4"].decode() == made.json["floatingip"]["floating_ip_address"]


def test_only_what_changed_of_a_host_is_made_again(ready):
    wishes = hosts.Wishes(ready.parts.sealer)
    made = [new(ready, name=f"s{number}", settle=number == 1)["id"] for number in range(2)]

    def of():
        with ready.database.read() as db:
            return {wish.id: wish for wish in wishes.of(db, "host-1").guests}

    before = of()
    assert before.keys() == set(made)
    assert all(after is before[id_] for id_, after in of().items())
    path = f"/compute/v2.1/servers/{made[0]}/metadata"
    assert ready.user.post(path, {"metadata": {"colour": "blue"}}).status == 200
    after = of()
    assert b"blue" in after[made[0]].files["openstack/latest/meta_data.json"]
    assert after[made[1]] is before[made[1]]
    (port,) = ready.user.get(f"/network/v2.0/ports?device_id={made[1]}").json["ports"]
    (subnet,) = ready.user.get(f"/network/v2.0/subnets?network_id={ready.network}").json["subnets"]
    answer = ready.user.put(f"/network/v2.0/subnets/{subnet['id']}", {"subnet": {"dns_nameservers": ["192.0.2.53"]}})
    assert answer.status == 200
    assert b"192.0.2.53" in of()[made[1]].files["openstack/latest/network_data.json"]
    fixed = {"fixed_ips": [{"subnet_id": subnet["id"], "ip_address": "10.1.0.77"}]}
    assert ready.user.put(f"/network/v2.0/ports/{port['id']}", {"port": fixed}).status == 200
    assert of()[made[1]].nics[0].addresses == ("10.1.0.77",)
