"""Compute's small resources that need a running server: tags, interfaces, group members, usage."""

import asyncio
import time

from andromede.drivers.hypervisor import MOST_NICS
from tests.api.test_compute_small import V, at, ok
from tests.api.test_servers import new, show


def test_tags(ready):
    made = new(ready)
    path = f"{V}/servers/{made['id']}/tags"
    newer = at("2.26")
    assert ready.user.get(path).status == 404
    assert ready.user.put(f"{path}/blue", headers=newer).status == 201
    assert ready.user.put(f"{path}/blue", headers=newer).status == 204
    assert ready.user.get(f"{path}/blue", headers=newer).status == 204
    assert ready.user.get(f"{path}/red", headers=newer).status == 404
    assert ok(ready.user.put(path, {"tags": ["b", "a"]}, headers=newer)) == {"tags": ["a", "b"]}
    for wrong in (["a,b"], ["x" * 61], [""], [f"t{number}" for number in range(51)]):
        assert ready.user.put(path, {"tags": wrong}, headers=newer).status == 400
    assert ready.user.delete(f"{path}/a", headers=newer).status == 204
    assert ready.user.delete(f"{path}/a", headers=newer).status == 404
    assert ready.user.delete(path, headers=newer).status == 204
    assert ok(ready.user.get(path, headers=newer)) == {"tags": []}


def test_interfaces_come_and_go_while_the_guest_runs(ready):
    made = new(ready)
    path = f"{V}/servers/{made['id']}/os-interface"
    (first,) = ok(ready.user.get(path))["interfaceAttachments"]
    assert set(first) == {"port_id", "net_id", "mac_addr", "port_state", "fixed_ips"}
    more = ok(ready.user.post(path, {"interfaceAttachment": {"net_id": ready.network}}))["interfaceAttachment"]
    ready.settle()
    assert len(show(ready, made["id"])["addresses"]["net"]) == 2
    in_guest(ready, made["id"], first["port_id"], more["port_id"])
    assert ok(ready.user.get(f"{path}/{more['port_id']}"))["interfaceAttachment"]["net_id"] == ready.network
    assert "tag" in ok(ready.user.get(f"{path}/{more['port_id']}", headers=at("2.70")))["interfaceAttachment"]
    assert ready.user.delete(f"{path}/{more['port_id']}").status == 202
    ready.settle()
    in_guest(ready, made["id"], first["port_id"])
    assert ready.user.get(f"{path}/{more['port_id']}").status == 404
    assert ready.user.get(f"/network/v2.0/ports/{more['port_id']}").status == 404, "it was made for the server"
    port = ready.user.post("/network/v2.0/ports", {"port": {"network_id": ready.network}}).json["port"]
    assert ready.user.post(path, {"interfaceAttachment": {"port_id": port["id"]}}).status == 200
    assert ready.user.post(path, {"interfaceAttachment": {"port_id": port["id"]}}).status == 409
    for wrong in ({"port_id": port["id"], "net_id": ready.network}, {"port_id": "x"}, {"fixed_ips": [{"ip_address": "10.1.0.9"}]}):
        assert ready.user.post(path, {"interfaceAttachment": wrong}).status == 400, wrong
    assert ready.user.delete(f"{path}/{port['id']}").status == 202
    assert ready.user.get(f"/network/v2.0/ports/{port['id']}").json["port"]["device_id"] == ""
    for _ in range(MOST_NICS - 1):
        ok(ready.user.post(path, {"interfaceAttachment": {"net_id": ready.network}}))
    refused = ready.user.post(path, {"interfaceAttachment": {"net_id": ready.network}})
    assert (refused.status, refused.json["forbidden"]["message"]) == (403, f"A server can have at most {MOST_NICS} network interfaces.")


def in_guest(cloud, server_id, *ports):
    """The running guest itself has these cards."""
    end = time.monotonic() + 5
    while {one.id: one.nics for one in asyncio.run(cloud.hypervisors["host-1"].observe())}[server_id] != ports:
        assert time.monotonic() < end
        time.sleep(0.02)


def test_members_of_groups(ready):
    group = ok(ready.user.post(f"{V}/os-server-groups", {"server_group": {"name": "g", "policies": ["anti-affinity"]}}))["server_group"]
    hints = {"group": group["id"]}
    one = new(ready, hints=hints)
    assert ok(ready.user.get(f"{V}/os-server-groups/{group['id']}"))["server_group"]["members"] == [one["id"]]
    assert show(ready, new(ready, hints=hints)["id"])["status"] == "ERROR", "there is one host only"
    wide = {"name": "w", "policy": "anti-affinity", "rules": {"max_server_per_host": 2}}
    group = ok(ready.user.post(f"{V}/os-server-groups", {"server_group": wide}, headers=at("2.64")))["server_group"]
    for status in ("ACTIVE", "ACTIVE", "ERROR"):
        assert show(ready, new(ready, hints={"group": group["id"]})["id"])["status"] == status
    ok(ready.admin.put(f"{V}/os-quota-sets/{ready.id_of('projects', 'demo')}", {"quota_set": {"server_group_members": 3}}))
    new(ready, hints={"group": group["id"]}, status=403)


def test_usage_and_hypervisors_count_servers(ready):
    project = ready.id_of("projects", "demo")
    made = new(ready)
    usage = ok(ready.user.get(f"{V}/os-simple-tenant-usage/{project}"))["tenant_usage"]
    (server,) = usage["server_usages"]
    assert server["instance_id"] == made["id"]
    assert server["state"] == "active"
    assert usage["total_memory_mb_usage"] == server["hours"] * server["memory_mb"]
    (line,) = ok(ready.admin.get(f"{V}/os-simple-tenant-usage?detailed=1", headers=at("2.40")))["tenant_usages"]
    assert line["tenant_id"] == project
    (hypervisor,) = ok(ready.admin.get(f"{V}/os-hypervisors/detail"))["hypervisors"]
    assert hypervisor["running_vms"] == 1
    assert hypervisor["memory_mb_used"] == server["memory_mb"]
    assert ok(ready.admin.get(f"{V}/os-hypervisors/host-1/servers"))["hypervisors"][0]["servers"][0]["uuid"] == made["id"]
    (service,) = ok(ready.admin.get(f"{V}/os-services", headers=at("2.53")))["services"]
    assert ready.admin.delete(f"{V}/os-services/{service['id']}", headers=at("2.53")).status == 409
    detail = ok(ready.user.get(f"{V}/os-quota-sets/{project}/detail"))["quota_set"]
    assert detail["instances"]["in_use"] == 1
    assert ready.admin.put(f"{V}/os-quota-sets/{project}", {"quota_set": {"instances": 0}}).status == 400
    assert ready.admin.put(f"{V}/os-quota-sets/{project}", {"quota_set": {"instances": 0, "force": True}}).status == 200


def test_security_groups_of_servers(ready):
    made = new(ready)
    path, action = f"{V}/servers/{made['id']}/os-security-groups", f"{V}/servers/{made['id']}/action"
    assert [one["name"] for one in ok(ready.user.get(path))["security_groups"]] == ["default"]
    group = ok(ready.user.post(f"{V}/os-security-groups", {"security_group": {"name": "web", "description": "d"}}))["security_group"]
    assert ready.user.post(action, {"addSecurityGroup": {"name": "none"}}).status == 404
    assert ready.user.post(action, {"removeSecurityGroup": {"name": "web"}}).status == 404
    assert ready.user.post(action, {"addSecurityGroup": {"name": "web"}}).status == 202
    assert {one["name"] for one in ok(ready.user.get(path))["security_groups"]} == {"default", "web"}
    assert {one["name"] for one in show(ready, made["id"])["security_groups"]} == {"default", "web"}
    assert ready.user.delete(f"{V}/os-security-groups/{group['id']}").status == 400, "it is in use"
    assert ready.user.post(action, {"removeSecurityGroup": {"name": group["id"]}}).status == 202
    assert ready.user.delete(f"{V}/os-security-groups/{group['id']}").status == 202
    assert ready.other().get(path).status == 404


def test_the_old_face_of_security_groups(ready):
    path, rules = f"{V}/os-security-groups", f"{V}/os-security-group-rules"
    assert [one["name"] for one in ok(ready.user.get(path))["security_groups"]] == ["default"]
    group = ok(ready.user.post(path, {"security_group": {"name": "web", "description": "d"}}))["security_group"]
    assert set(group) == {"id", "name", "description", "tenant_id", "rules"}
    facts = {"parent_group_id": group["id"], "ip_protocol": "tcp", "from_port": 22, "to_port": 22}
    rule = ok(ready.user.post(rules, {"security_group_rule": facts}))["security_group_rule"]
    assert rule["ip_range"] == {"cidr": "0.0.0.0/0"}
    assert rule["group"] == {}
    assert ready.user.post(rules, {"security_group_rule": facts}).status == 400, "it is there already"
    for wrong in ({"ip_protocol": "x"}, {"from_port": 23}, {"from_port": -2}, {"to_port": 65536}, {"cidr": "x"}):
        assert ready.user.post(rules, {"security_group_rule": facts | wrong}).status == 400, wrong
    assert ready.user.post(rules, {"security_group_rule": facts | {"parent_group_id": "0" * 8}}).status == 400
    assert ready.user.post(rules, {"security_group_rule": facts | {"parent_group_id": ready.network}}).status == 404
    echo = {"parent_group_id": group["id"], "ip_protocol": "icmp", "from_port": -1, "to_port": -1, "group_id": group["id"]}
    made = ok(ready.user.post(rules, {"security_group_rule": echo}))["security_group_rule"]
    assert made["group"]["name"] == "web"
    assert (made["from_port"], made["to_port"]) == (-1, -1)
    assert len(ok(ready.user.get(f"{path}/{group['id']}"))["security_group"]["rules"]) == 2
    assert ready.user.delete(f"{rules}/{rule['id']}").status == 202
    assert ready.user.delete(f"{rules}/{rule['id']}").status == 404
    new_name = {"security_group": {"name": "new", "description": "e"}}
    assert ok(ready.user.put(f"{path}/{group['id']}", new_name))["security_group"]["name"] == "new"
    for wrong in ({"name": "", "description": ""}, {"name": "x" * 256, "description": ""}, {"name": "x"}):
        assert ready.user.post(path, {"security_group": wrong}).status == 400
    (default,) = [one for one in ok(ready.user.get(path))["security_groups"] if one["name"] == "default"]
    assert ready.user.delete(f"{path}/{default['id']}").status == 400
    assert ready.user.get(path, headers=at("2.36")).status == 404
    assert ready.user.delete(f"{path}/{group['id']}").status == 202
    assert ready.user.get(f"{path}/{group['id']}").status == 404
