"""Volumes as older clients of Compute know them, and what servers in odd states may do with theirs."""

from tests.api.test_volumes import C, V, attach, server, show, volume


def ok(answer, status=200):
    assert answer.status == status, answer
    return answer.json if answer.body else None


def test_volumes_and_snapshots_through_compute(cloud):
    made = ok(cloud.user.post(f"{C}/os-volumes", {"volume": {"size": 1, "display_name": "old", "metadata": {"a": "b"}}}))["volume"]
    assert made["attachments"] == [{}]
    assert (made["displayName"], made["size"], made["metadata"], made["snapshotId"]) == ("old", 1, {"a": "b"}, None)
    cloud.settle()
    (listed,) = ok(cloud.user.get(f"{C}/os-volumes?limit=1"))["volumes"]
    assert listed == ok(cloud.user.get(f"{C}/os-volumes/{made['id']}"))["volume"] == ok(cloud.user.get(f"{C}/os-volumes/detail"))["volumes"][0]
    assert listed["status"] == show(cloud, made["id"])["status"] == "available"
    assert ok(cloud.user.get(f"{C}/os-volumes?offset=1"))["volumes"] == []
    taken = ok(cloud.user.post(f"{C}/os-snapshots", {"snapshot": {"volume_id": made["id"], "display_name": "s"}}))["snapshot"]
    cloud.settle()
    (kept,) = ok(cloud.user.get(f"{C}/os-snapshots"))["snapshots"]
    assert kept == ok(cloud.user.get(f"{C}/os-snapshots/{taken['id']}"))["snapshot"] == ok(cloud.user.get(f"{C}/os-snapshots/detail"))["snapshots"][0]
    assert (kept["volumeId"], kept["displayName"], kept["status"]) == (made["id"], "s", "available")
    assert cloud.user.delete(f"{C}/os-volumes/{made['id']}").status == 400
    ok(cloud.user.delete(f"{C}/os-snapshots/{taken['id']}"), 202)
    cloud.settle()
    ok(cloud.user.delete(f"{C}/os-volumes/{made['id']}"), 202)
    cloud.settle()
    assert cloud.user.get(f"{C}/os-volumes/{made['id']}").status == 404


def test_what_compute_refuses_of_them(cloud):
    for facts in ({}, {"size": "#$%"}, {"size": 0}, {"size": "-1"}, {"size": 1, "snapshot_id": "what"}):
        assert cloud.user.post(f"{C}/os-volumes", {"volume": facts}).status == 400, facts
    assert cloud.user.get(f"{C}/os-volumes?offset=x").status == 400
    assert cloud.user.post(f"{C}/os-volumes", {"volume": {"size": 100000}}).status == 413
    newer = {"openstack-api-version": "compute 2.36"}
    assert cloud.user.get(f"{C}/os-volumes", headers=newer).status == 404
    assert cloud.user.get(f"{C}/os-snapshots", headers=newer).status == 404
    other = volume(cloud)
    stranger = cloud.other()
    assert stranger.get(f"{C}/os-volumes/{other}").status == 404
    assert stranger.post(f"{C}/os-snapshots", {"snapshot": {"volume_id": other}}).status == 404
    assert stranger.get(f"{C}/os-volumes").json == {"volumes": []}


def test_a_rescued_server_keeps_its_volumes(cloud, image, network):
    server_id, first, second = server(cloud, network, imageRef=image), volume(cloud), volume(cloud)
    attach(cloud, server_id, first)
    ok(cloud.user.post(f"{C}/servers/{server_id}/action", {"rescue": {}}))
    cloud.settle()
    path = f"{C}/servers/{server_id}/os-volume_attachments"
    assert cloud.user.post(path, {"volumeAttachment": {"volumeId": second}}).status == 409
    assert cloud.user.delete(f"{path}/{first}").status == 409
    ok(cloud.user.post(f"{C}/servers/{server_id}/action", {"unrescue": None}), 202)
    cloud.settle()
    ok(cloud.user.delete(f"{path}/{first}"), 202)


def test_a_server_without_a_host_is_given_volumes(cloud, image, network):
    server_id, first, second = server(cloud, network, imageRef=image), volume(cloud), volume(cloud)
    action, path = f"{C}/servers/{server_id}/action", f"{C}/servers/{server_id}/os-volume_attachments"
    ok(cloud.user.post(action, {"shelve": None}), 202)
    cloud.settle()
    assert ok(cloud.user.get(f"{C}/servers/{server_id}"))["server"]["status"] == "SHELVED_OFFLOADED"
    attach(cloud, server_id, first)
    attach(cloud, server_id, second)
    ok(cloud.user.delete(f"{path}/{second}"), 202)
    cloud.settle()
    assert (show(cloud, first)["status"], show(cloud, second)["status"]) == ("in-use", "available")
    ok(cloud.user.post(action, {"unshelve": None}), 202)
    cloud.settle()
    assert [drive.id for drive in cloud.hypervisors["host-1"]._books[server_id].drives] == [first]


def test_a_frozen_host_takes_no_volumes(cloud):
    cloud.settle()
    assert cloud.admin.put(f"{V}/os-services/freeze", {"host": "elsewhere"}).status == 400
    assert cloud.admin.put(f"{V}/os-services/thaw", {"host": "elsewhere"}).status == 400
    assert cloud.user.put(f"{V}/os-services/freeze", {"host": "host-1"}).status == 403
    ok(cloud.admin.put(f"{V}/os-services/freeze", {"host": "host-1"}))
    (service,) = ok(cloud.admin.get(f"{V}/os-services?binary=cinder-volume"))["services"]
    assert (service["frozen"], service["status"], service["disabled_reason"]) == (True, "disabled", "frozen")
    assert show(cloud, volume(cloud))["status"] == "error"
    ok(cloud.admin.put(f"{V}/os-services/thaw", {"host": "host-1"}))
    assert show(cloud, volume(cloud))["status"] == "available"
