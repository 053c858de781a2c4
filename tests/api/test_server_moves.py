"""Moving servers between hosts, and choosing among hosts, with several fake hosts in this process."""

import pytest

from andromede.core.errors import DriverError
from andromede.services.compute import hosts
from tests.api.test_servers import V, act, new, show
from tests.cloud import Cloud
from tests.waiting import until

AGGREGATES = "/compute/v2.1/os-aggregates"


@pytest.fixture
def two(tmp_path):
    """A cloud of two hosts, with an image and a network."""
    cloud = Cloud(tmp_path, hosts=("host-1", "host-2"))
    try:
        image = cloud.admin.post("/image/v2/images", {"name": "img", "disk_format": "raw", "container_format": "bare", "visibility": "public"}).json
        cloud.admin.put(f"/image/v2/images/{image['id']}/file", b"\0" * 65536, headers={"content-type": "application/octet-stream"})
        network = cloud.user.post("/network/v2.0/networks", {"network": {"name": "net"}}).json["network"]
        facts = {"network_id": network["id"], "ip_version": 4, "cidr": "10.1.0.0/24"}
        assert cloud.user.post("/network/v2.0/subnets", {"subnet": facts}).status == 201
        cloud.image, cloud.network = image["id"], network["id"]
        yield cloud
    finally:
        cloud.close()


def place(cloud, id_):
    return show(cloud, id_, cloud.admin)["OS-EXT-SRV-ATTR:host"]


def other(name):
    return "host-2" if name == "host-1" else "host-1"


def down(cloud, name, forced=True):
    services = cloud.admin.get("/compute/v2.1/os-services", headers={V: "compute 2.53"}).json["services"]
    (id_,) = [one["id"] for one in services if one["host"] == name]
    body = {"forced_down": forced}
    assert cloud.admin.put(f"/compute/v2.1/os-services/{id_}", body, headers={V: "compute 2.53"}).status == 200


@pytest.mark.parametrize("revert", [False, True])
def test_a_server_migrates_and_its_disk_with_it(two, revert):
    id_ = new(two)["id"]
    before = place(two, id_)
    act(two, id_, "migrate", status=403)
    act(two, id_, "migrate", {"host": before}, client=two.admin, status=400, version="2.56")
    act(two, id_, "migrate", {"host": "nowhere"}, client=two.admin, status=400, version="2.56")
    act(two, id_, "migrate", {"host": other(before)}, client=two.admin, version="2.56")
    assert show(two, id_)["status"] == "VERIFY_RESIZE"
    assert place(two, id_) == other(before)
    assert list(two.hypervisors[before]._books) == []
    guest = two.hypervisors[other(before)]._books[id_].guest
    assert guest.disks[0].base_format == "qcow2"
    (migration,) = two.admin.get("/compute/v2.1/os-migrations", headers={V: "compute 2.59"}).json["migrations"]
    expected = ("finished", "migration", before, other(before))
    assert tuple(migration[key] for key in ("status", "migration_type", "source_compute", "dest_compute")) == expected
    moved = two.folder / "images" / "moves"
    assert [path.name for path in moved.iterdir()] == [migration["uuid"]]
    act(two, id_, "revertResize" if revert else "confirmResize", status=202 if revert else 204)
    assert show(two, id_)["status"] == "ACTIVE"
    assert place(two, id_) == (before if revert else other(before))
    assert list(moved.iterdir()) == []
    assert two.user.delete(f"/compute/v2.1/servers/{id_}").status == 204
    two.settle()
    assert [list(one._books) for one in two.hypervisors.values()] == [[], []]


def test_a_resize_goes_where_there_is_room(two):
    id_ = new(two)["id"]
    before = place(two, id_)
    services = two.admin.get("/compute/v2.1/os-services", headers={V: "compute 2.53"}).json["services"]
    (service,) = [one["id"] for one in services if one["host"] == before]
    two.admin.put(f"/compute/v2.1/os-services/{service}", {"status": "disabled"}, headers={V: "compute 2.53"})
    act(two, id_, "resize", {"flavorRef": "3"})
    assert (place(two, id_), show(two, id_)["status"]) == (other(before), "VERIFY_RESIZE")
    act(two, id_, "revertResize")
    assert (place(two, id_), show(two, id_)["status"]) == (before, "ACTIVE")


def test_evacuation_from_a_host_that_is_down(two):
    id_ = new(two)["id"]
    before = place(two, id_)
    act(two, id_, "evacuate", {}, client=two.admin, status=400)
    down(two, before)
    act(two, id_, "evacuate", {"host": before}, client=two.admin, status=400)
    assert "adminPass" in act(two, id_, "evacuate", {}, client=two.admin, status=200).json
    assert (place(two, id_), show(two, id_)["status"]) == (other(before), "ACTIVE")
    down(two, before, forced=False)
    two.settle()
    down(two, other(before))
    act(two, id_, "evacuate", {}, client=two.admin, status=200, version="2.95")
    assert (place(two, id_), show(two, id_)["status"]) == (before, "SHUTOFF")
    statuses = {one["status"] for one in two.admin.get("/compute/v2.1/os-migrations").json["migrations"]}
    assert statuses == {"done"}


def live(cloud, id_, target=None, status=202, version="2.30"):
    return act(cloud, id_, "os-migrateLive", {"host": target, "block_migration": "auto"}, client=cloud.admin, status=status, version=version)


def guests(cloud):
    return {name: list(one._books) for name, one in cloud.hypervisors.items()}


def test_a_server_moves_while_it_runs(two):
    id_ = new(two)["id"]
    before = place(two, id_)
    act(two, id_, "os-migrateLive", {"host": None, "block_migration": "auto"}, status=403, version="2.30")
    live(two, id_, before, status=400)
    live(two, id_, "nowhere", status=400)
    act(two, id_, "os-migrateLive", {"host": None, "block_migration": False}, client=two.admin, status=400)
    act(two, id_, "os-migrateLive", {"host": None, "block_migration": "auto", "disk_over_commit": False}, client=two.admin, status=400)
    started = two.hypervisors[before]._books[id_].started
    live(two, id_, other(before))
    assert (place(two, id_), show(two, id_)["status"], show(two, id_)["OS-EXT-STS:power_state"]) == (other(before), "ACTIVE", 1)
    assert guests(two) == {before: [], other(before): [id_]}
    assert started
    assert two.hypervisors[other(before)]._books[id_].guest.disks[0].base is None
    (port,) = two.admin.get(f"/network/v2.0/ports?device_id={id_}").json["ports"]
    assert port["binding:host_id"] == other(before)
    assert len(two.admin.get(f"/network/v2.0/ports/{port['id']}/bindings").json["bindings"]) == 1
    (migration,) = two.admin.get("/compute/v2.1/os-migrations", headers={V: "compute 2.59"}).json["migrations"]
    expected = ("completed", "live-migration", before, other(before))
    assert tuple(migration[key] for key in ("status", "migration_type", "source_compute", "dest_compute")) == expected
    act(two, id_, "pause")
    live(two, id_)
    assert (place(two, id_), show(two, id_)["status"]) == (before, "PAUSED")
    act(two, id_, "unpause")
    actions = two.user.get(f"/compute/v2.1/servers/{id_}/os-instance-actions", headers={V: "compute 2.96"}).json["instanceActions"]
    assert [one["action"] for one in actions] == ["unpause", "live-migration", "pause", "live-migration", "create"]


def held(two, id_, verb):
    """Begin a live migration in which the other host fails `verb` for as long as `release` is not called."""
    before = place(two, id_)
    fake = two.hypervisors[before if verb == "reach" else other(before)]
    real = getattr(fake, verb)

    async def fails(*_arguments):
        raise DriverError("The host failed, as it was told to.")

    setattr(fake, verb, fails)
    body = {"os-migrateLive": {"host": None, "block_migration": "auto"}}
    assert two.admin.post(f"/compute/v2.1/servers/{id_}/action", body, headers={V: "compute 2.30"}).status == 202
    return lambda: setattr(fake, verb, real)


def under_way(two, id_, status):
    path = f"/compute/v2.1/servers/{id_}/migrations"

    def look():
        found = two.admin.get(path, headers={V: "compute 2.80"}).json["migrations"]
        return found and found[0]["status"] == status and found[0]

    return until(look)


def test_a_live_migration_is_aborted(two):
    id_ = new(two)["id"]
    two.settle()
    before = place(two, id_)
    path = f"/compute/v2.1/servers/{id_}/migrations"
    release = held(two, id_, "ensure")
    one = under_way(two, id_, "preparing")
    assert show(two, id_, two.admin)["status"] == "MIGRATING"
    assert two.admin.get(f"{path}/{one['id']}", headers={V: "compute 2.80"}).json["migration"]["dest_compute"] == other(before)
    force = {"force_complete": None}
    assert two.admin.post(f"{path}/{one['id']}/action", force, headers={V: "compute 2.22"}).status == 400
    assert two.admin.delete(f"{path}/{one['id']}", headers={V: "compute 2.24"}).status == 202
    two.settle()
    release()
    two.settle()
    assert (place(two, id_), show(two, id_)["status"]) == (before, "ACTIVE")
    until(lambda: guests(two) == {before: [id_], other(before): []})
    assert [one["status"] for one in two.admin.get("/compute/v2.1/os-migrations").json["migrations"]] == ["cancelled"]
    assert two.admin.delete(f"{path}/{one['id']}", headers={V: "compute 2.24"}).status == 404
    live(two, id_)
    assert place(two, id_) == other(before)


def test_what_has_been_sent_is_the_other_hosts_once_it_can_be_told(two):
    id_ = new(two)["id"]
    two.settle()
    before = place(two, id_)
    release = held(two, id_, "reach")
    one = under_way(two, id_, "running")
    until(lambda: two.hypervisors[before]._books[id_].move.phase == "sent")
    path = f"/compute/v2.1/servers/{id_}/migrations/{one['id']}"
    assert two.admin.post(f"{path}/action", {"force_complete": None}, headers={V: "compute 2.22"}).status == 202
    release()
    two.settle()
    assert (place(two, id_), show(two, id_)["status"]) == (other(before), "ACTIVE")


def test_a_server_that_cannot_be_sent_stays(two):
    id_ = new(two)["id"]
    two.settle()
    before = place(two, id_)
    two.hypervisors[before].fail_next("depart", id_)
    live(two, id_)
    assert (place(two, id_), show(two, id_)["status"]) == (before, "ACTIVE")
    until(lambda: guests(two) == {before: [id_], other(before): []})
    assert [one["status"] for one in two.admin.get("/compute/v2.1/os-migrations").json["migrations"]] == ["error"]
    (last, _) = two.user.get(f"/compute/v2.1/servers/{id_}/os-instance-actions").json["instanceActions"]
    assert (last["action"], last["message"]) == ("live-migration", "The host failed, as it was told to.")


def test_a_server_is_deleted_on_its_way(two):
    id_ = new(two)["id"]
    two.settle()
    release = held(two, id_, "ensure")
    under_way(two, id_, "preparing")
    assert two.user.delete(f"/compute/v2.1/servers/{id_}").status == 204
    release()
    two.settle()
    until(lambda: list(guests(two).values()) == [[], []])
    with two.database.read() as db:
        assert hosts.used(db) == {}


def migrate_volume(cloud, id_, host, status=202, client=None, **more):
    body = {"os-migrate_volume": {"host": host, **more}}
    answer = (client or cloud.admin).post(f"/volume/v3/volumes/{id_}/action", body)
    assert answer.status == status, answer
    cloud.settle()


def test_a_volume_moves_to_another_host(two):
    two.settle()
    id_ = two.user.post("/volume/v3/volumes", {"volume": {"size": 1}}).json["volume"]["id"]
    two.settle()

    def shown():
        return two.admin.get(f"/volume/v3/volumes/{id_}").json["volume"]

    before = shown()["os-vol-host-attr:host"].partition("@")[0]
    two.blocks[before].scribble(id_, b"data")
    migrate_volume(two, id_, other(before), 403, client=two.user)
    for wrong in ("nowhere", before, f"{other(before)}@else"):
        migrate_volume(two, id_, wrong, 400)
    migrate_volume(two, id_, other(before), 400, lock_volume="perhaps")
    snapshot = two.user.post("/volume/v3/snapshots", {"snapshot": {"volume_id": id_}}).json["snapshot"]["id"]
    two.settle()
    migrate_volume(two, id_, other(before), 400)
    assert two.user.delete(f"/volume/v3/snapshots/{snapshot}").status == 202
    two.settle()
    migrate_volume(two, id_, other(before), lock_volume=True)
    assert (shown()["status"], shown()["migration_status"]) == ("available", "success")
    assert shown()["os-vol-host-attr:host"] == f"{other(before)}@local#local"
    until(lambda: [name for name, one in two.blocks.items() if id_ in one._books] == [other(before)])
    assert two.blocks[other(before)].content(id_) == b"data"
    two.blocks[before].fail_next("write")
    migrate_volume(two, id_, f"{before}@local#local")
    assert shown()["os-vol-host-attr:host"].partition("@")[0] == before
    down(two, other(before))
    migrate_volume(two, id_, other(before), 400)


def with_volume(two):
    """A server that has a volume; the ids of both."""
    id_ = new(two)["id"]
    made = two.user.post("/volume/v3/volumes", {"volume": {"size": 1}}).json["volume"]["id"]
    two.settle()
    body = {"volumeAttachment": {"volumeId": made}}
    assert two.user.post(f"/compute/v2.1/servers/{id_}/os-volume_attachments", body).status == 200
    two.settle()
    return id_, made


def test_a_volume_is_brought_to_the_server_that_is_given_it(two):
    id_ = new(two)["id"]
    made = two.user.post("/volume/v3/volumes", {"volume": {"size": 1}}).json["volume"]["id"]
    two.settle()
    here = place(two, id_)
    if volume_of(two, made)["os-vol-host-attr:host"].partition("@")[0] == here:
        migrate_volume(two, made, other(here))
    two.blocks[other(here)].scribble(made, b"data")
    body = {"volumeAttachment": {"volumeId": made}}
    path = f"/compute/v2.1/servers/{id_}/os-volume_attachments"
    snapshot = two.user.post("/volume/v3/snapshots", {"snapshot": {"volume_id": made}}).json["snapshot"]["id"]
    two.settle()
    assert "snapshots" in two.user.post(path, body).json["conflictingRequest"]["message"]
    assert two.user.delete(f"/volume/v3/snapshots/{snapshot}").status == 202
    two.settle()
    assert two.user.post(path, body).status == 200
    two.settle()
    assert (volume_of(two, made)["status"], volume_of(two, made)["os-vol-host-attr:host"]) == ("in-use", f"{here}@local#local")
    assert [held.id for held in two.hypervisors[here]._books[id_].drives] == [made]
    until(lambda: carrying(two) == {here: [made], other(here): []})
    assert two.blocks[here].content(made) == b"data"


def volume_of(two, id_):
    return two.admin.get(f"/volume/v3/volumes/{id_}").json["volume"]


def carrying(two):
    return {name: list(one._books) for name, one in two.blocks.items()}


def test_a_volume_moves_with_the_server_that_runs_with_it(two):
    id_, made = with_volume(two)
    before = place(two, id_)
    snapshot = two.user.post("/volume/v3/snapshots", {"snapshot": {"volume_id": made, "force": True}}).json["snapshot"]["id"]
    two.settle()
    assert "snapshots" in live(two, id_, status=400).json["badRequest"]["message"]
    assert two.user.delete(f"/volume/v3/snapshots/{snapshot}").status == 202
    two.settle()
    two.hypervisors[before].fail_next("depart", id_)
    live(two, id_)
    assert (place(two, id_), volume_of(two, made)["status"]) == (before, "in-use")
    until(lambda: carrying(two) == {before: [made], other(before): []})
    live(two, id_)
    assert (place(two, id_), show(two, id_)["status"]) == (other(before), "ACTIVE")
    shown = volume_of(two, made)
    assert (shown["status"], shown["os-vol-host-attr:host"]) == ("in-use", f"{other(before)}@local#local")
    assert [one["host_name"] for one in shown["attachments"]] == [other(before)]
    until(lambda: carrying(two) == {before: [], other(before): [made]})
    assert two.user.delete(f"/compute/v2.1/servers/{id_}/os-volume_attachments/{made}").status == 202
    two.settle()
    assert volume_of(two, made)["status"] == "available"


def test_a_server_with_a_volume_is_deleted_on_its_way(two):
    id_, made = with_volume(two)
    before = place(two, id_)
    release = held(two, id_, "ensure")
    under_way(two, id_, "preparing")
    until(lambda: volume_of(two, made)["status"] == "maintenance")
    assert two.user.delete(f"/compute/v2.1/servers/{id_}").status == 204
    release()
    two.settle()
    assert volume_of(two, made)["status"] == "available"
    until(lambda: carrying(two) == {before: [made], other(before): []})


def test_a_migration_with_nowhere_to_go(two):
    id_ = new(two)["id"]
    down(two, other(place(two, id_)))
    act(two, id_, "migrate", client=two.admin, status=400)
    assert show(two, id_)["status"] == "ACTIVE"


def aggregate(cloud, name, **values):
    answer = cloud.admin.post(AGGREGATES, {"aggregate": {"name": name, **values}})
    assert answer.status == 200, answer
    return answer.json["aggregate"]["id"]


def tell(cloud, id_, action, status=200, **body):
    answer = cloud.admin.post(f"{AGGREGATES}/{id_}/action", {action: body})
    assert answer.status == status, answer
    return answer.json


def test_aggregates_and_their_zones(two):
    id_ = aggregate(two, "fast", availability_zone="here")
    assert two.user.get(AGGREGATES).status == 403
    assert two.admin.post(AGGREGATES, {"aggregate": {"name": "fast"}}).status == 409
    assert two.admin.post(AGGREGATES, {"aggregate": {"name": " "}}).status == 400
    assert two.admin.post(AGGREGATES, {"aggregate": {}}).status == 400
    tell(two, id_, "add_host", 404, host="nowhere")
    tell(two, id_, "add_host", host="host-1")
    tell(two, id_, "add_host", 409, host="host-1")
    zones = {zone["zoneName"] for zone in two.user.get("/compute/v2.1/os-availability-zone").json["availabilityZoneInfo"]}
    assert zones == {"here", "nova"}
    other_zone = aggregate(two, "elsewhere", availability_zone="there")
    tell(two, other_zone, "add_host", 409, host="host-1")
    two.settle()
    server = new(two, availability_zone="here")["id"]
    assert place(two, server) == "host-1"
    tell(two, id_, "remove_host", 409, host="host-1")
    assert two.admin.put(f"{AGGREGATES}/{id_}", {"aggregate": {"availability_zone": "moon"}}).status == 409
    assert two.admin.delete(f"{AGGREGATES}/{id_}").status == 400
    assert two.user.delete(f"/compute/v2.1/servers/{server}").status == 204
    two.settle()
    assert two.admin.put(f"{AGGREGATES}/{id_}", {"aggregate": {"name": "quick"}}).json["aggregate"]["hosts"] == ["host-1"]
    assert two.admin.put(f"{AGGREGATES}/{id_}", {"aggregate": {}}).status == 400
    assert "uuid" in two.admin.get(f"{AGGREGATES}/{id_}", headers={V: "compute 2.41"}).json["aggregate"]
    tell(two, id_, "remove_host", host="host-1")
    tell(two, id_, "remove_host", 404, host="host-1")
    assert two.admin.delete(f"{AGGREGATES}/{id_}").status == 200
    assert two.admin.get(f"{AGGREGATES}/{id_}").status == 404
    assert two.admin.get(f"{AGGREGATES}/x").status == 404
    assert len(two.admin.get(AGGREGATES).json["aggregates"]) == 1


def test_flavors_ask_for_aggregates_traits_and_projects_have_their_own_hosts(two):
    two.settle()
    id_ = aggregate(two, "fast")
    tell(two, id_, "add_host", host="host-2")
    shown = tell(two, id_, "set_metadata", metadata={"disk": "fast", "gone": "x"})["aggregate"]
    assert shown["metadata"] == {"disk": "fast", "gone": "x"}
    assert tell(two, id_, "set_metadata", metadata={"gone": None})["aggregate"]["metadata"] == {"disk": "fast"}
    tell(two, id_, "set_metadata", 400, metadata={})
    specs = {"extra_specs": {"aggregate_instance_extra_specs:disk": "fast"}}
    assert two.admin.post("/compute/v2.1/flavors/1/os-extra_specs", specs).status == 200
    assert {place(two, new(two)["id"]) for _ in range(3)} == {"host-2"}
    assert two.admin.delete("/compute/v2.1/flavors/1/os-extra_specs/aggregate_instance_extra_specs:disk").status == 200
    tell(two, id_, "set_metadata", metadata={"filter_tenant_id": "somebody"})
    assert {place(two, new(two)["id"]) for _ in range(3)} == {"host-1"}
    specs = {"extra_specs": {"trait:HW_CPU_X86_SGX": "required"}}
    assert two.admin.post("/compute/v2.1/flavors/2/os-extra_specs", specs).status == 200
    assert show(two, new(two, flavorRef="2")["id"])["status"] == "ERROR"


@pytest.mark.parametrize("revert", [False, True])
def test_a_server_that_is_off_takes_its_volumes_along(two, revert):
    id_, made = with_volume(two)
    before = place(two, id_)
    two.blocks[before].scribble(made, b"data")
    snapshot = two.user.post("/volume/v3/snapshots", {"snapshot": {"volume_id": made, "force": True}}).json["snapshot"]["id"]
    two.settle()
    assert "snapshots" in act(two, id_, "migrate", client=two.admin, status=400).json["badRequest"]["message"]
    assert two.user.delete(f"/volume/v3/snapshots/{snapshot}").status == 202
    two.settle()
    act(two, id_, "migrate", client=two.admin)
    assert (show(two, id_)["status"], place(two, id_)) == ("VERIFY_RESIZE", other(before))
    shown = volume_of(two, made)
    assert (shown["status"], shown["os-vol-host-attr:host"]) == ("in-use", f"{other(before)}@local#local")
    assert [one["host_name"] for one in shown["attachments"]] == [other(before)]
    assert [held.id for held in two.hypervisors[other(before)]._books[id_].drives] == [made]
    until(lambda: carrying(two) == {before: [], other(before): [made]})
    two.blocks[other(before)].scribble(made, b"more")
    act(two, id_, "revertResize" if revert else "confirmResize", status=202 if revert else 204)
    there = before if revert else other(before)
    assert (show(two, id_)["status"], place(two, id_)) == ("ACTIVE", there)
    assert volume_of(two, made)["os-vol-host-attr:host"] == f"{there}@local#local"
    until(lambda: carrying(two) == {there: [made], other(there): []})
    assert two.blocks[there].content(made) == b"more"


def test_a_move_that_fails_brings_the_volumes_back(two, monkeypatch):
    id_, made = with_volume(two)
    before = place(two, id_)
    there = two.blocks[other(before)]
    two.blocks[before].scribble(made, b"data")

    async def full(*_):
        raise DriverError("The disk is full.")

    # the volume does not come
    with monkeypatch.context() as patch:
        patch.setattr(there, "ensure", full)
        act(two, id_, "migrate", client=two.admin)
        assert (show(two, id_)["status"], place(two, id_), volume_of(two, made)["status"]) == ("ACTIVE", before, "in-use")
    # it comes, and the server does not
    with monkeypatch.context() as patch:
        patch.setattr(two.hypervisors[other(before)], "ensure", full)
        act(two, id_, "migrate", client=two.admin)
        assert (show(two, id_)["status"], place(two, id_)) == ("ACTIVE", before)
    assert volume_of(two, made)["os-vol-host-attr:host"] == f"{before}@local#local"
    until(lambda: carrying(two) == {before: [made], other(before): []})
    assert two.blocks[before].content(made) == b"data"
    # a way back on which it does not come: the server stays where it is, to be confirmed or taken back again
    act(two, id_, "migrate", client=two.admin)
    with monkeypatch.context() as patch:
        patch.setattr(two.blocks[before], "ensure", full)
        act(two, id_, "revertResize")
        assert (show(two, id_)["status"], place(two, id_)) == ("VERIFY_RESIZE", other(before))
    act(two, id_, "revertResize")
    assert (show(two, id_)["status"], place(two, id_), volume_of(two, made)["status"]) == ("ACTIVE", before, "in-use")


def test_a_server_that_boots_from_a_volume_is_migrated(two):
    root = {"boot_index": 0, "source_type": "image", "destination_type": "volume", "uuid": two.image, "volume_size": 1, "delete_on_termination": True}
    id_ = new(two, imageRef="", block_device_mapping_v2=[root])["id"]
    before = place(two, id_)
    ((made,),) = [names for names in carrying(two).values() if names]
    act(two, id_, "migrate", client=two.admin)
    assert (show(two, id_)["status"], place(two, id_)) == ("VERIFY_RESIZE", other(before))
    found = two.hypervisors[other(before)]._books[id_]
    assert (found.guest.disks, [held.id for held in found.drives]) == ((), [made])
    act(two, id_, "revertResize")
    assert (show(two, id_)["status"], place(two, id_)) == ("ACTIVE", before)
    act(two, id_, "migrate", client=two.admin)
    act(two, id_, "confirmResize", status=204)
    down(two, other(before))
    assert "has volumes" in act(two, id_, "evacuate", {}, client=two.admin, status=409).json["conflictingRequest"]["message"]
    down(two, other(before), forced=False)
    assert two.user.delete(f"/compute/v2.1/servers/{id_}").status == 204
    two.settle()
    until(lambda: carrying(two) == {before: [], other(before): []})


def test_a_server_with_a_tpm_does_not_leave_it_behind(two):
    extra = {"extra_specs": {"hw:tpm_version": "2.0"}}
    assert two.admin.post("/compute/v2.1/flavors/1/os-extra_specs", extra).status == 200
    id_ = new(two)["id"]
    before = place(two, id_)
    for action in ("migrate", "shelve"):
        answer = act(two, id_, action, client=two.admin, status=409)
        assert "TPM" in answer.json["conflictingRequest"]["message"]
    act(two, id_, "resize", {"flavorRef": "3"})
    assert (place(two, id_), show(two, id_)["status"]) == (before, "VERIFY_RESIZE")
    act(two, id_, "revertResize")
    live(two, id_, other(before))
    assert (place(two, id_), show(two, id_)["status"]) == (other(before), "ACTIVE")
    down(two, other(before))
    assert "TPM" in act(two, id_, "evacuate", {}, client=two.admin, status=409).json["conflictingRequest"]["message"]


def test_a_shelved_server_comes_back_on_another_host_with_its_volumes(two):
    id_, made = with_volume(two)
    before = place(two, id_)
    two.blocks[before].scribble(made, b"data")
    act(two, id_, "shelve")
    assert show(two, id_)["status"] == "SHELVED_OFFLOADED"
    act(two, id_, "unshelve")
    assert (place(two, id_), show(two, id_)["status"]) == (before, "ACTIVE")
    act(two, id_, "shelve")
    act(two, id_, "unshelve", {"host": other(before)}, client=two.admin, version="2.91")
    assert (place(two, id_), show(two, id_)["status"]) == (other(before), "ACTIVE")
    shown = volume_of(two, made)
    assert (shown["status"], [one["host_name"] for one in shown["attachments"]]) == ("in-use", [other(before)])
    until(lambda: carrying(two) == {before: [], other(before): [made]})
    assert two.blocks[other(before)].content(made) == b"data"
    # the host does not take it after all: it stays shelved, and the volume where it was
    act(two, id_, "shelve")

    async def full(*_):
        raise DriverError("The disk is full.")

    kept, two.hypervisors[before].ensure = two.hypervisors[before].ensure, full
    act(two, id_, "unshelve", {"host": before}, client=two.admin, version="2.91")
    assert show(two, id_)["status"] == "SHELVED_OFFLOADED"
    two.hypervisors[before].ensure = kept
    until(lambda: carrying(two) == {before: [], other(before): [made]})


def test_who_manages_a_project_moves_its_servers_and_sees_no_hosts(two):
    boss = two.other("boss", "manager")
    id_ = new(two, boss, networks="none", version="2.37")["id"]
    before, path = place(two, id_), f"/compute/v2.1/servers/{id_}/migrations"
    wanted = {"host": None, "block_migration": "auto"}
    assert "migrate_live:host" in str(act(two, id_, "os-migrateLive", wanted | {"host": other(before)}, client=boss, status=403, version="2.30").json)
    act(two, id_, "os-migrateLive", wanted, client=boss, version="2.30")
    assert place(two, id_) == other(before)
    assert boss.get(path, headers={V: "compute 2.80"}).json == {"migrations": []}
    (one,) = boss.get("/compute/v2.1/os-migrations", headers={V: "compute 2.80"}).json["migrations"]
    assert [one[name] for name in ("source_compute", "source_node", "dest_compute", "dest_node", "instance_uuid")] == [None] * 4 + [id_]
    (seen,) = two.admin.get("/compute/v2.1/os-migrations", headers={V: "compute 2.80"}).json["migrations"]
    assert (seen["source_compute"], seen["dest_compute"]) == (before, other(before))
    act(two, id_, "migrate", {"host": before}, client=boss, status=403, version="2.56")
    act(two, id_, "migrate", client=boss)
    assert (place(two, id_), show(two, id_, boss)["status"]) == (before, "VERIFY_RESIZE")
    mine = one["project_id"]
    assert len(boss.get(f"/compute/v2.1/os-migrations?project_id={mine}", headers={V: "compute 2.80"}).json["migrations"]) == 2
    for query in ("project_id=other", "host=host-1", "source_compute=host-1"):
        assert boss.get(f"/compute/v2.1/os-migrations?{query}", headers={V: "compute 2.80"}).status == 403
    stranger = two.other("stranger", "manager")
    assert stranger.get("/compute/v2.1/os-migrations").json == {"migrations": []}
    act(two, id_, "migrate", client=stranger, status=404)
