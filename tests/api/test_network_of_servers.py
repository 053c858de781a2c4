"""Network's face for Compute: ports that servers get, lose and are found by."""

import threading

import pytest
from sqlalchemy import event

from andromede.core.context import Caller, Context
from andromede.core.errors import BadRequest, Conflict, Forbidden, QuotaExceeded
from andromede.services.network import service
from andromede.services.network.service import Wanted
from andromede.services.quota import service as quota
from tests.api.test_network_basics import V, make, net, public, refused

assert net
assert public
SERVER = "11111111-2222-3333-4444-555555555555"


@pytest.fixture
def project(net):
    return net[0]["project_id"]


@pytest.fixture
def within(cloud, project):
    """Runs a function with the context of a request of the project, in a transaction."""

    def run(work, **facts):
        caller = Caller(user_id="u", user_name="u", user_domain_id="d", project_id=project, roles=frozenset({"member", "reader"}), **facts)
        ctx = Context(request_id="req", caller=caller, parts=cloud.parts, quota=quota.take)
        return cloud.database.run(lambda db: work(ctx.bind(db)))

    return run


def test_a_server_gets_a_port_on_a_network_and_gives_it_back(cloud, net, within):
    network, subnet = net
    (id_,) = within(lambda ctx: service.attach(ctx, SERVER, [Wanted(network_id=network["id"], address="10.0.0.9")], hostname="web"))
    port = cloud.user.get(f"{V}/ports/{id_}").json["port"]
    assert (port["device_id"], port["device_owner"], port["dns_name"]) == (SERVER, "compute:nova", "web")
    (attached,) = cloud.database.look(lambda db: service.ports_of(db, [SERVER]))[SERVER]
    assert (attached.network_name, attached.mtu, attached.groups, attached.security) == ("private", 1442, ["default"], True)
    assert [(each.address, each.version, each.subnet_id) for each in attached.fixed] == [("10.0.0.9", 4, subnet["id"])]
    cloud.database.run(lambda db: service.bind(db, cloud.parts.operations, SERVER, "host-1"))
    assert cloud.admin.get(f"{V}/ports/{id_}").json["port"]["binding:host_id"] == "host-1"
    cloud.settle()
    assert cloud.fabric.get("port", id_).host == "host-1"
    found = cloud.database.look(lambda db: list(db.scalars(service.servers_by_address(db, r"^10\.0\.0\."))))
    assert found == [SERVER]
    for _ in range(2):
        cloud.database.run(lambda db: service.release(db, cloud.parts.operations, SERVER))
    assert cloud.user.get(f"{V}/ports/{id_}").status == 404
    cloud.settle()
    assert cloud.fabric.get("port", id_) is None


def test_a_port_that_was_there_outlives_the_server(cloud, net, within):
    port = make(cloud.user, "port", network_id=net[0]["id"])
    asked = [Wanted(port_id=port["id"]), Wanted(network_id=net[0]["id"])]
    ids = within(lambda ctx: service.attach(ctx, SERVER, asked, hostname="web"))
    assert ids[0] == port["id"]
    assert [each.port_id for each in cloud.database.look(lambda db: service.ports_of(db, [SERVER]))[SERVER]] == ids
    with pytest.raises(Conflict, match="still in use"):
        within(lambda ctx: service.attach(ctx, "other", [Wanted(port_id=port["id"])]))
    cloud.database.run(lambda db: service.release(db, cloud.parts.operations, SERVER))
    left = cloud.user.get(f"{V}/ports").json["ports"]
    assert port["id"] in [each["id"] for each in left]
    assert ids[1] not in [each["id"] for each in left]
    after = next(each for each in left if each["id"] == port["id"])
    assert (after["device_id"], after["device_owner"]) == ("", "")


def test_what_cannot_be_had_is_refused(cloud, net, public, within):
    empty = make(cloud.user, "network", name="empty")
    theirs = make(cloud.other(), "network")

    def tried(error, match, *asked, **more):
        with pytest.raises(error, match=match) as caught:
            within(lambda ctx: service.attach(ctx, SERVER, list(asked), **more))
        return caught.value

    tried(BadRequest, "requires a subnet", Wanted(network_id=empty["id"]))
    tried(BadRequest, "could not be found", Wanted(network_id=theirs["id"]))
    tried(BadRequest, "could not be found", Wanted(port_id="nothing"))
    tried(Forbidden, "external network", Wanted(network_id=public[0]["id"]))
    tried(BadRequest, "Security group no-such not found", Wanted(network_id=net[0]["id"]), groups=["no-such"])
    tried(BadRequest, "not a valid IP", Wanted(network_id=net[0]["id"], address="10.7.0.1"))
    for _ in range(2):
        make(cloud.user, "security_group", name="twice")
    tried(Conflict, "Multiple security groups", Wanted(network_id=net[0]["id"]), groups=["twice"])
    cloud.admin.put(f"{V}/quotas/{net[0]['project_id']}", {"quota": {"port": 0}})
    assert tried(QuotaExceeded, "port", Wanted(network_id=net[0]["id"])).status == 403
    assert cloud.database.look(lambda db: service.ports_of(db, [SERVER])) == {}


def test_the_only_network_is_taken_unasked(cloud, net, public, within):
    assert within(service.automatic) == [Wanted(network_id=net[0]["id"])]
    make(cloud.user, "network")
    with pytest.raises(Conflict, match="Multiple possible networks"):
        within(service.automatic)


def test_one_more_port_and_one_less(cloud, net, within):
    attached = within(lambda ctx: service.attach_one(ctx, SERVER, Wanted(network_id=net[0]["id"])))
    assert attached.status == "DOWN"
    for _ in range(2):
        cloud.database.run(lambda db: service.detach_one(db, cloud.parts.operations, attached.port_id))
    refused(cloud.user.get(f"{V}/ports/{attached.port_id}"), 404, "PortNotFound")


def test_floating_ips_are_told_and_many_servers_cost_no_more_queries_than_one(cloud, net, public, within):
    network, subnet = net
    router = make(cloud.user, "router", external_gateway_info={"network_id": public[0]["id"]})
    cloud.user.put(f"{V}/routers/{router['id']}/add_router_interface", {"subnet_id": subnet["id"]})
    for number in range(20):
        within(lambda ctx, number=number: service.attach(ctx, f"server-{number}", [Wanted(network_id=network["id"])]))
    port = cloud.user.get(f"{V}/ports?device_id=server-3").json["ports"][0]
    floating = make(cloud.user, "floatingip", floating_network_id=public[0]["id"], port_id=port["id"])

    def queries(ids):
        by = []
        event.listen(cloud.database.engine, "before_cursor_execute", listener := lambda *_: by.append(threading.get_ident()))
        found = cloud.database.look(lambda db: service.ports_of(db, ids))
        event.remove(cloud.database.engine, "before_cursor_execute", listener)
        return by.count(threading.get_ident()), found  # another thread reads the epoch of tokens meanwhile

    one, _ = queries(["server-3"])
    many, found = queries([f"server-{number}" for number in range(20)])
    assert one == many
    assert found["server-3"][0].fixed[0].floating == floating["floating_ip_address"]
    assert len(found) == 20


def test_where_metadata_is_served(cloud, net):
    (end,) = cloud.database.look(lambda db: service.metadata_ends(db, [net[0]["id"], "nothing"]))
    assert end.network_id == net[0]["id"]
    assert end.addresses == ("10.0.0.2/24",)
    cloud.settle()
    assert cloud.fabric.get("subnet", net[1]["id"]).metadata == end.addresses[0].removesuffix("/24")
    assert cloud.fabric.get("port", end.port_id).metadata is True
    cloud.user.put(f"{V}/subnets/{net[1]['id']}", {"subnet": {"enable_dhcp": False}})
    assert cloud.database.look(lambda db: service.metadata_ends(db, [net[0]["id"]])) == []
