"""Tags that a guest knows its network cards and volumes by."""

import msgspec

from tests.api.test_volumes import C, attach, server, volume

NEW = {"openstack-api-version": "compute 2.95"}


def devices(cloud, server_id):
    """What the metadata of a server tells of its tagged devices: type, and address or serial, by tag."""
    cloud.settle()
    (wish,) = [one for one in cloud.hosts._loops["host-1"]._desired.guests if one.id == server_id]
    told = msgspec.json.decode(wish.files["openstack/latest/meta_data.json"])["devices"]
    return {one["tags"][0]: (one["type"], one.get("mac") or one["serial"]) for one in told}


def test_cards_and_volumes_have_tags(cloud, image, network):
    server_id, disk = server(cloud, network, imageRef=image, networks=[{"uuid": network, "tag": "first"}, {"uuid": network}]), volume(cloud)
    path = f"{C}/servers/{server_id}/os-interface"
    cards = {one["tag"]: one for one in cloud.user.get(path, headers=NEW).json["interfaceAttachments"]}
    assert cards.keys() == {"first", None}
    assert devices(cloud, server_id) == {"first": ("nic", cards["first"]["mac_addr"])}
    attach(cloud, server_id, disk, tag="disk")
    answer = cloud.user.post(path, {"interfaceAttachment": {"net_id": network, "tag": "second"}}, headers=NEW)
    assert answer.status == 200, answer
    second = answer.json["interfaceAttachment"]
    assert second == cloud.user.get(f"{path}/{second['port_id']}", headers=NEW).json["interfaceAttachment"]
    assert devices(cloud, server_id) == {
        "first": ("nic", cards["first"]["mac_addr"]), "second": ("nic", second["mac_addr"]), "disk": ("disk", disk[:20]),
    }  # fmt: skip
    for tag in ("second", "with,comma", "with/slash", "", "x" * 61):
        assert cloud.user.post(path, {"interfaceAttachment": {"net_id": network, "tag": tag}}, headers=NEW).status == 400, tag
    answer = cloud.user.delete(f"{path}/{second['port_id']}", headers=NEW)
    assert answer.status == 202
    done = cloud.user.get(f"{C}/servers/{server_id}/os-instance-actions/{answer.headers['x-openstack-request-id']}", headers=NEW)
    assert [(one["event"], one["result"]) for one in done.json["instanceAction"]["events"]] == [("compute_detach_interface", "Success")]
    assert devices(cloud, server_id).keys() == {"first", "disk"}


def test_tags_of_a_new_servers_cards_differ(cloud, image, network):
    wanted = {"name": "one", "flavorRef": "1", "imageRef": image, "networks": [{"uuid": network, "tag": "same"}, {"uuid": network, "tag": "same"}]}
    assert cloud.user.post(f"{C}/servers", {"server": wanted}, headers=NEW).status == 400
    old = {"openstack-api-version": "compute 2.31"}
    assert cloud.user.post(f"{C}/servers", {"server": wanted | {"networks": [{"uuid": network, "tag": "x"}]}}, headers=old).status == 400
