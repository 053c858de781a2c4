"""Compute's small resources: flavors, key pairs, limits and quotas, server groups, and what operators see."""

import pytest
from cryptography.hazmat.primitives.serialization import load_ssh_private_key

V = "/compute/v2.1"


def at(version):
    return {"x-openstack-nova-api-version": version}


def ok(answer, status=200):
    assert answer.status == status, answer
    return answer.json if answer.body else None


def flavor(cloud, **more):
    facts = {"name": "mine", "ram": 64, "vcpus": 1, "disk": 1} | more
    return ok(cloud.admin.post(f"{V}/flavors", {"flavor": facts}))["flavor"]


def test_flavors_are_made_and_deleted_by_admins(cloud):
    made = flavor(cloud, id=1234, ram="64")
    assert made["id"] == "1234"
    assert made["ram"] == 64
    assert made["swap"] == ""
    assert set(made) == {
        "id", "name", "links", "ram", "vcpus", "disk", "swap", "OS-FLV-DISABLED:disabled", "OS-FLV-EXT-DATA:ephemeral",
        "os-flavor-access:is_public", "rxtx_factor",
    }  # fmt: skip
    assert cloud.admin.post(f"{V}/flavors", {"flavor": {"name": "mine", "ram": 1, "vcpus": 1, "disk": 0}}).status == 409
    assert cloud.admin.post(f"{V}/flavors", {"flavor": {"name": "x", "ram": 1, "vcpus": 1, "disk": 0, "id": "1234"}}).status == 409
    for wrong in ({"ram": 0}, {"vcpus": "x"}, {"name": " "}, {"id": " a"}, {"id": "a/b"}, {"description": "x"}, {"rxtx_factor": 0}):
        answer = cloud.admin.post(f"{V}/flavors", {"flavor": {"name": "y", "ram": 1, "vcpus": 1, "disk": 0} | wrong})
        assert answer.status == 400, wrong
    assert cloud.user.post(f"{V}/flavors", {"flavor": {"name": "y", "ram": 1, "vcpus": 1, "disk": 0}}).status == 403
    new = ok(cloud.admin.put(f"{V}/flavors/1234", {"flavor": {"description": "for tests"}}, headers=at("2.61")))["flavor"]
    assert new["description"] == "for tests"
    assert new["extra_specs"] == {}
    assert ok(cloud.user.get(f"{V}/flavors/1234", headers=at("2.75")))["flavor"]["swap"] == 0
    assert cloud.admin.delete(f"{V}/flavors/1234").status == 202
    assert cloud.user.get(f"{V}/flavors/1234").status == 404


def test_lists_of_flavors(cloud):
    def ids(query="", path="flavors"):
        return [one["id"] for one in ok(cloud.user.get(f"{V}/{path}?{query}"))["flavors"]]

    every = ids()
    assert every == sorted(every)
    detail = {one["id"]: one for one in ok(cloud.user.get(f"{V}/flavors/detail"))["flavors"]}
    assert ids("minRam=8192") == [id_ for id_ in every if detail[id_]["ram"] >= 8192]
    assert ids("minDisk=2&minRam=512", "flavors/detail") == [id_ for id_ in every if detail[id_]["disk"] >= 2 and detail[id_]["ram"] >= 512]
    by_ram = ids("sort_key=memory_mb&sort_dir=desc")
    assert [detail[id_]["ram"] for id_ in by_ram] == sorted((detail[id_]["ram"] for id_ in every), reverse=True)
    page = ok(cloud.user.get(f"{V}/flavors?limit=2"))
    assert [one["id"] for one in page["flavors"]] == every[:2]
    again = ok(cloud.user.get(page["flavors_links"][0]["href"].removeprefix("http://cloud.test")))
    assert [one["id"] for one in again["flavors"]] == every[2:4]
    for wrong in ("minRam=x", "sort_key=color", "marker=nothing", "limit=-1"):
        assert cloud.user.get(f"{V}/flavors?{wrong}").status == 400, wrong


def test_flavors_that_are_not_public(cloud):
    made = flavor(cloud, **{"os-flavor-access:is_public": False})
    path, project = f"{V}/flavors/{made['id']}", cloud.id_of("projects", "demo")
    assert cloud.user.get(path).status == 404
    assert made["id"] in {one["id"] for one in ok(cloud.admin.get(f"{V}/flavors?is_public=None"))["flavors"]}
    assert [one["id"] for one in ok(cloud.admin.get(f"{V}/flavors?is_public=false"))["flavors"]] == [made["id"]]
    add, remove = ({f"{verb}TenantAccess": {"tenant": project}} for verb in ("add", "remove"))
    assert cloud.user.post(f"{path}/action", add).status == 403
    assert ok(cloud.admin.post(f"{path}/action", add))["flavor_access"] == [{"flavor_id": made["id"], "tenant_id": project}]
    assert cloud.admin.post(f"{path}/action", add).status == 409
    assert cloud.admin.post(f"{path}/action", {"addTenantAccess": {"tenant": "nobody"}}).status == 400
    assert cloud.user.get(path).status == 200
    assert len(ok(cloud.admin.get(f"{path}/os-flavor-access"))["flavor_access"]) == 1
    assert ok(cloud.admin.post(f"{path}/action", remove))["flavor_access"] == []
    assert cloud.admin.post(f"{path}/action", remove).status == 404
    assert cloud.admin.get(f"{V}/flavors/1/os-flavor-access").status == 404


def test_extra_specs(cloud):
    path = f"{V}/flavors/{flavor(cloud)['id']}/os-extra_specs"
    assert ok(cloud.admin.post(path, {"extra_specs": {"hw:numa_nodes": 1, "a": "b"}})) == {"extra_specs": {"hw:numa_nodes": "1", "a": "b"}}
    assert ok(cloud.user.get(f"{path}/a")) == {"a": "b"}
    assert ok(cloud.admin.put(f"{path}/a", {"a": "c"})) == {"a": "c"}
    assert cloud.admin.put(f"{path}/a", {"b": "c"}).status == 400
    assert cloud.admin.put(f"{path}/a", {"a": "c", "b": "c"}).status == 400
    assert cloud.admin.post(path, {"extra_specs": {"a/b": "c"}}).status == 400
    assert cloud.user.delete(f"{path}/a").status == 403
    assert cloud.admin.delete(f"{path}/a").status == 200
    assert cloud.admin.delete(f"{path}/a").status == 404
    assert ok(cloud.user.get(path)) == {"extra_specs": {"hw:numa_nodes": "1"}}


KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl someone@somewhere"


def test_key_pairs(cloud):
    path = f"{V}/os-keypairs"
    made = ok(cloud.user.post(path, {"keypair": {"name": "made"}}))["keypair"]
    load_ssh_private_key(made["private_key"].encode(), None)
    assert set(made) == {"name", "public_key", "private_key", "fingerprint", "user_id"}
    imported = ok(cloud.user.post(path, {"keypair": {"name": "mine", "public_key": KEY, "type": "ssh"}}, headers=at("2.2")), 201)["keypair"]
    assert imported["fingerprint"].count(":") == 15
    assert imported["public_key"] == KEY
    assert "private_key" not in imported
    assert cloud.user.post(path, {"keypair": {"name": "mine", "public_key": KEY}}).status == 409
    for wrong in ({"name": ""}, {"name": "x" * 256}, {"name": "a@b"}, {"name": "a", "public_key": "JUNK"}, {"name": "a", "public_key": ""},
                  {"name": "a", "type": "ssh"}, {"name": " a"}, {"name": "a", "strange": 1}):  # fmt: skip
        assert cloud.user.post(path, {"keypair": wrong}).status == 400, wrong
    assert cloud.user.post(path, {"keypair": {"name": "a@b"}}, headers=at("2.92")).status == 400, "not made any more"
    assert cloud.user.post(path, {"keypair": {"name": "a@b", "public_key": KEY}}, headers=at("2.92")).status == 201
    assert [one["keypair"]["name"] for one in ok(cloud.user.get(path))["keypairs"]] == ["a@b", "made", "mine"]
    page = ok(cloud.user.get(f"{path}?limit=2", headers=at("2.35")))
    assert "marker=made" in page["keypairs_links"][0]["href"]
    assert len(ok(cloud.user.get(f"{path}?limit=2&marker=made", headers=at("2.35")))["keypairs"]) == 1
    shown = ok(cloud.user.get(f"{path}/mine", headers=at("2.2")))["keypair"]
    assert shown["type"] == "ssh"
    assert shown["deleted"] is False
    me = cloud.id_of("users", "demo")
    assert ok(cloud.admin.get(path))["keypairs"] == []
    assert len(ok(cloud.admin.get(f"{path}?user_id={me}", headers=at("2.10")))["keypairs"]) == 3
    assert cloud.user.get(f"{path}?user_id={cloud.id_of('users', 'admin')}", headers=at("2.10")).status == 403
    assert cloud.user.delete(f"{path}/made").status == 202
    assert cloud.user.delete(f"{path}/mine", headers=at("2.2")).status == 204
    assert cloud.user.get(f"{path}/mine").status == 404
    quota = f"{V}/os-quota-sets/{cloud.id_of('projects', 'demo')}"
    ok(cloud.admin.put(quota, {"quota_set": {"key_pairs": 1}}))
    assert cloud.user.post(path, {"keypair": {"name": "one more"}}).status == 403


def test_quotas_and_limits(cloud):
    project = cloud.id_of("projects", "demo")
    path = f"{V}/os-quota-sets/{project}"
    assert ok(cloud.user.get(path))["quota_set"]["cores"] == 40
    assert {"id", "fixed_ips", "injected_files", "key_pairs", "server_groups"} <= set(ok(cloud.user.get(path))["quota_set"])
    assert set(ok(cloud.user.get(path, headers=at("2.57")))["quota_set"]) == {
        "id", "instances", "cores", "ram", "metadata_items", "key_pairs", "server_groups", "server_group_members",
    }  # fmt: skip
    assert cloud.user.get(f"{V}/os-quota-sets/{cloud.id_of('projects', 'admin')}").status == 403
    assert cloud.user.put(path, {"quota_set": {"cores": 3}}).status == 403
    assert ok(cloud.admin.put(path, {"quota_set": {"cores": "3", "ram": -1}}))["quota_set"]["cores"] == 3
    for wrong in ({"cores": -2}, {"cores": "x"}, {"wheels": 4}, {"injected_files": 1, "cores": None}):
        assert cloud.admin.put(path, {"quota_set": wrong}).status == 400, wrong
    assert cloud.admin.put(f"{V}/os-quota-sets/nobody", {"quota_set": {"cores": 1}}).status == 400
    assert cloud.admin.put(path, {"quota_set": {"floating_ips": 1}}, headers=at("2.36")).status == 400
    detail = ok(cloud.user.get(f"{path}/detail"))["quota_set"]
    assert detail["cores"] == {"limit": 3, "in_use": 0, "reserved": 0}
    assert ok(cloud.user.get(f"{path}/defaults"))["quota_set"]["cores"] == 40
    limits = ok(cloud.user.get(f"{V}/limits"))["limits"]
    assert limits["rate"] == []
    assert limits["absolute"]["maxTotalCores"] == 3
    assert limits["absolute"]["maxTotalRAMSize"] == -1
    assert {"maxImageMeta", "maxPersonality", "maxSecurityGroups", "totalFloatingIpsUsed"} <= set(limits["absolute"])
    newer = ok(cloud.user.get(f"{V}/limits", headers=at("2.57")))["limits"]["absolute"]
    assert {"maxImageMeta", "maxPersonality", "maxSecurityGroups"}.isdisjoint(newer)
    assert cloud.user.get(f"{V}/limits?tenant_id=other").status == 403
    assert cloud.admin.delete(path).status == 202
    assert ok(cloud.user.get(path))["quota_set"]["cores"] == 40
    classes = f"{V}/os-quota-class-sets/default"
    assert "server_groups" not in ok(cloud.admin.get(classes))["quota_class_set"]
    assert ok(cloud.admin.put(classes, {"quota_class_set": {"cores": 41}}))["quota_class_set"]["cores"] == 41
    assert ok(cloud.user.get(path))["quota_set"]["cores"] == 41
    assert cloud.user.get(classes).status == 403


def test_server_groups(cloud):
    path = f"{V}/os-server-groups"
    made = ok(cloud.user.post(path, {"server_group": {"name": "g", "policies": ["affinity"]}}))["server_group"]
    assert set(made) == {"id", "name", "policies", "members", "metadata"}
    newer = {"name": "n", "policy": "anti-affinity", "rules": {"max_server_per_host": 2}}
    shown = ok(cloud.user.post(path, {"server_group": newer}, headers=at("2.64")))["server_group"]
    assert shown["rules"] == {"max_server_per_host": 2}
    assert shown["project_id"] == cloud.id_of("projects", "demo")
    old = ({"name": "x", "policies": []}, {"name": "x", "policies": ["affinity", "anti-affinity"]}, {"name": "x", "policies": ["soft-affinity"]},
           {"name": "x", "policy": "affinity"}, {"name": "", "policies": ["affinity"]})  # fmt: skip
    for wrong in old:
        assert cloud.user.post(path, {"server_group": wrong}).status == 400, wrong
    rules = {"name": "x", "policy": "affinity", "rules": {"max_server_per_host": 2}}
    assert cloud.user.post(path, {"server_group": rules}, headers=at("2.64")).status == 400
    assert len(ok(cloud.user.get(path))["server_groups"]) == 2
    assert len(ok(cloud.user.get(f"{path}?limit=1&offset=1"))["server_groups"]) == 1
    assert ok(cloud.admin.get(path))["server_groups"] == []
    assert len(ok(cloud.admin.get(f"{path}?all_projects"))["server_groups"]) == 2
    other = cloud.other()
    assert other.get(f"{path}/{made['id']}").status == 404
    assert other.delete(f"{path}/{made['id']}").status == 404
    assert cloud.user.delete(f"{path}/{made['id']}").status == 204
    assert cloud.user.get(f"{path}/{made['id']}").status == 404
    ok(cloud.admin.put(f"{V}/os-quota-sets/{cloud.id_of('projects', 'demo')}", {"quota_set": {"server_groups": 1}}))
    assert cloud.user.post(path, {"server_group": {"name": "g", "policies": ["affinity"]}}).status == 403


@pytest.mark.parametrize("path", ["os-hypervisors", "os-hypervisors/detail", "os-hypervisors/statistics", "os-services", "os-hosts",
                                  "os-availability-zone/detail", "os-simple-tenant-usage"])  # fmt: skip
def test_operators_alone_see_hosts(cloud, path):
    assert cloud.user.get(f"{V}/{path}").status == 403
    assert cloud.admin.get(f"{V}/{path}").status == 200


def test_what_operators_see_and_change(cloud):
    cloud.settle()
    assert ok(cloud.user.get(f"{V}/os-availability-zone"))["availabilityZoneInfo"] == [
        {"zoneName": "nova", "zoneState": {"available": True}, "hosts": None}
    ]
    (hypervisor,) = ok(cloud.admin.get(f"{V}/os-hypervisors/detail"))["hypervisors"]
    assert isinstance(hypervisor["id"], int)
    assert isinstance(hypervisor["cpu_info"], str)
    assert hypervisor["state"] == "up"
    assert ok(cloud.admin.get(f"{V}/os-hypervisors/{hypervisor['id']}"))["hypervisor"]["vcpus"] == hypervisor["vcpus"] > 0
    assert " up 0 days, " in ok(cloud.admin.get(f"{V}/os-hypervisors/{hypervisor['id']}/uptime"))["hypervisor"]["uptime"]
    (newer,) = ok(cloud.admin.get(f"{V}/os-hypervisors/detail?with_servers=true", headers=at("2.88")))["hypervisors"]
    assert "vcpus" not in newer
    assert newer["servers"] == []
    assert cloud.admin.get(f"{V}/os-hypervisors/{newer['id']}", headers=at("2.53")).status == 200
    assert cloud.admin.get(f"{V}/os-hypervisors/17", headers=at("2.53")).status == 400
    assert cloud.admin.get(f"{V}/os-hypervisors/17").status == 404
    assert cloud.admin.get(f"{V}/os-hypervisors/statistics", headers=at("2.88")).status in (400, 404)
    assert ok(cloud.admin.get(f"{V}/os-hypervisors/host/search"))["hypervisors"][0]["hypervisor_hostname"] == "host-1"
    assert cloud.admin.get(f"{V}/os-hypervisors/nothing/search").status == 404
    assert ok(cloud.admin.get(f"{V}/os-hypervisors/statistics"))["hypervisor_statistics"]["count"] == 1
    (service,) = ok(cloud.admin.get(f"{V}/os-services?binary=nova-compute", headers=at("2.53")))["services"]
    assert ok(cloud.admin.get(f"{V}/os-services?host=x"))["services"] == []
    path = f"{V}/os-services/{service['id']}"
    change = {"status": "disabled", "disabled_reason": "repair"}
    assert ok(cloud.admin.put(path, change, headers=at("2.53")))["service"]["disabled_reason"] == "repair"
    assert cloud.admin.put(path, {"disabled_reason": "x"}, headers=at("2.53")).status == 400
    named = {"host": "host-1", "binary": "nova-compute"}
    assert ok(cloud.admin.put(f"{V}/os-services/enable", named))["service"]["status"] == "enabled"
    assert ok(cloud.admin.put(f"{V}/os-services/force-down", named | {"forced_down": True}, headers=at("2.11")))["service"]["forced_down"]
    assert ok(cloud.admin.get(f"{V}/os-services"))["services"][0]["state"] == "down"
    assert cloud.admin.put(f"{V}/os-services/enable", {"host": "x", "binary": "nova-compute"}).status == 404
    assert ok(cloud.admin.put(f"{V}/os-hosts/host-1", {"status": "disable"})) == {"host": "host-1", "status": "disabled"}
    assert cloud.admin.put(f"{V}/os-hosts/host-1", {"status": "perhaps"}).status == 400
    assert ok(cloud.admin.get(f"{V}/os-hosts/host-1"))["host"][0]["resource"]["project"] == "(total)"
    assert cloud.admin.get(f"{V}/os-hosts/host-1", headers=at("2.43")).status == 404
    powers = {"host-1/startup": 501, "host-1/sleep": 404, "elsewhere/shutdown": 404}
    assert {path: cloud.admin.get(f"{V}/os-hosts/{path}").status for path in powers} == powers


def test_usage_and_extensions(cloud):
    project = cloud.id_of("projects", "demo")
    assert ok(cloud.user.get(f"{V}/os-simple-tenant-usage/{project}")) == {"tenant_usage": {}}
    assert cloud.user.get(f"{V}/os-simple-tenant-usage/other").status == 403
    assert cloud.user.get(f"{V}/os-simple-tenant-usage/{project}?start=x").status == 400
    assert cloud.user.get(f"{V}/os-simple-tenant-usage/{project}?start=2020-01-02&end=2020-01-01").status == 400
    aliases = {one["alias"] for one in ok(cloud.user.get(f"{V}/extensions"))["extensions"]}
    assert "os-keypairs" in aliases
    assert cloud.user.get(f"{V}/extensions/os-keypairs").status == 200
    assert cloud.user.get(f"{V}/extensions/os-cells").status == 404
