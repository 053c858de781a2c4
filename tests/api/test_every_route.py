"""Every route that is declared, tried as nobody, as a member of another project, as reader, member and admin."""

import inspect
import re
import typing
from collections.abc import AsyncIterator

import msgspec
import pytest

from andromede.http.api import parameters
from andromede.http.policy import Level
from andromede.run import wiring
from andromede.services.identity import bootstrap
from tests import hadoop
from tests.api.images import active
from tests.cloud import HASHER, USER_PASSWORD, Cloud

ROUTES = [route for api in wiring.apis() for route in api.routes]
HELD = {
    "reader": {Level.PUBLIC, Level.USER, Level.READER},
    "member": {Level.PUBLIC, Level.USER, Level.READER, Level.MEMBER},
    "stranger": {Level.PUBLIC, Level.USER, Level.READER, Level.MEMBER},
    "admin": set(Level),
}
BODILESS = re.compile(
    r"PUT /(?!image/v2/metadefs/).*/(tags|roles|implies|groups/{group_id}/users)/{\w+}(/inherited_to_projects)?"
    r"|POST /image/v2/images/{image_id}/actions/(de|re)activate|POST /image/v2/metadefs/namespaces/{namespace}/tags/{name}"
    r"|PUT /identity/v3/OS-EP-FILTER/.*|POST /identity/v3/OS-OAUTH1/(request|access)_token"
    r"|PUT /network/v2.0/ports/{port_id}/bindings/{host}/activate"
    r"|POST /compute/v2.1/servers/{server_id}/action (os-start|os-stop|pause|unpause|unlock|forceDelete|suspend|resume|"
    r"confirmResize|revertResize|unrescue|shelve|shelveOffload|restore|injectNetworkInfo)"
    r"|POST /compute/v2.1/servers/{server_id}/migrations/{migration_id}/action force_complete"
    r"|POST /volume/v3/volumes/{volume_id}/action os-(show_image_metadata|(un)?reserve|(begin|roll)_detaching|force_delete)"
    r"|POST /volume/v3/snapshots/{snapshot_id}/action os-force_delete"
    r"|POST /volume/v3/backups/{backup_id}/action os-force_delete"
)
FOR_ONESELF = "POST /identity/v3/users/{user_id}/application_credentials"
COMMON = {"project_id", "domain_id", "role_id", "name", "tag", "key", "label", "store", "request_id", "member_id"}
MADE_UP = "0f0f0f0f-0000-4000-8000-0f0f0f0f0f0f"


@pytest.fixture(scope="module")
def busy(tmp_path_factory):
    """A cloud whose project demo has one of everything: `busy.things` is their ids by API and path parameter."""
    cloud = Cloud(tmp_path_factory.mktemp("cloud"))
    try:
        cloud.stranger = cloud.other("stranger")
        cloud.database.run(
            lambda db: bootstrap.person(db, HASHER, name="looker", secret=USER_PASSWORD, project_name="demo", roles=("reader",))
        )
        cloud.reader, cloud.member = cloud.sign_in("looker", USER_PASSWORD, "demo"), cloud.user
        cloud.things = furnish(cloud)
        yield cloud
    finally:
        cloud.close()


def furnish(cloud):
    def make(path, kind, id_="id", client=cloud.user, **values):
        answer = client.post(path, {kind: values})
        assert answer.status in (200, 201, 202), answer
        return answer.json[kind][id_]

    n, c, i = "/network/v2.0", "/compute/v2.1", "/identity/v3"
    outside = make(f"{n}/networks", "network", client=cloud.admin, name="outside", **{"router:external": True})
    make(f"{n}/subnets", "subnet", client=cloud.admin, network_id=outside, ip_version=4, cidr="203.0.113.0/24")
    network = make(f"{n}/networks", "network", name="net")
    subnet = make(f"{n}/subnets", "subnet", network_id=network, ip_version=4, cidr="10.1.0.0/24")
    router = make(f"{n}/routers", "router", name="router", external_gateway_info={"network_id": outside})
    group = make(f"{n}/security-groups", "security_group", name="group")
    user = cloud.id_of("users", "demo")
    project = cloud.id_of("projects", "demo")
    role = cloud.id_of("roles", "member")
    application = cloud.user.post(f"{i}/users/{user}/application_credentials", {"application_credential": {"name": "app"}})
    assert application.status == 201, application
    image = active(cloud.user)["id"]
    server = make(f"{c}/servers", "server", name="one", imageRef=image, flavorRef="1", networks=[{"uuid": network}])
    cloud.settle()
    port = cloud.user.get(f"{n}/ports?device_id={server}").json["ports"][0]["id"]
    actions = cloud.user.get(f"{c}/servers/{server}/os-instance-actions").json["instanceActions"]
    v = "/volume/v3"
    volume, given = make(f"{v}/volumes", "volume", size=1, metadata={"key": "x"}), make(f"{v}/volumes", "volume", size=1)
    cloud.settle()
    snapshot = make(f"{v}/snapshots", "snapshot", volume_id=volume)
    transfer = make(f"{v}/os-volume-transfer", "transfer", volume_id=given)
    newer = {"openstack-api-version": "volume 3.70"}
    attachment = cloud.user.post(f"{v}/attachments", {"attachment": {"volume_uuid": volume}}, headers=newer)
    assert attachment.status == 200, attachment
    held = make(f"{v}/volumes", "volume", size=1)
    cloud.settle()
    backup = make(f"{v}/backups", "backup", volume_id=held)
    shape = cloud.admin.post(f"{v}/group_types", {"group_type": {"name": "gt", "group_specs": {"key": "x"}}}, headers=newer).json["group_type"]["id"]
    wanted = {"group_type": shape, "volume_types": ["__DEFAULT__"], "name": "g"}
    together = cloud.user.post(f"{v}/groups", {"group": wanted}, headers=newer).json["group"]["id"]
    k = "/key-manager/v1"
    secret = cloud.user.post(f"{k}/secrets", {"name": "s", "payload": "x", "payload_content_type": "text/plain"}).json["secret_ref"]
    container = cloud.user.post(f"{k}/containers", {"type": "generic", "secret_refs": [{"secret_ref": secret}]}).json["container_ref"]
    order = {"type": "key", "meta": {"algorithm": "aes", "bit_length": 256}}
    ordered = cloud.user.post(f"{k}/orders", order).json["order_ref"]
    assert cloud.user.post(f"{secret}/metadata".removeprefix("http://cloud.test"), {"key": "key", "value": "x"}).status == 201
    cloud.settle()
    return {
        "hadoop": processing(cloud, network) | {"project_id": project},
        "network": {
            "network_id": network, "subnet_id": subnet, "router_id": router, "group_id": group, "port_id": port, "project_id": project,
            "rule_id": make(f"{n}/security-group-rules", "security_group_rule", security_group_id=group, direction="ingress", protocol="tcp"),
            "floatingip_id": make(f"{n}/floatingips", "floatingip", floating_network_id=outside),
            "pool_id": make(f"{n}/subnetpools", "subnetpool", name="pool", prefixes=["10.9.0.0/16"]),
            "scope_id": make(f"{n}/address-scopes", "address_scope", name="scope", ip_version=4),
            "policy_id": make(f"{n}/rbac-policies", "rbac_policy", object_type="network", object_id=network, target_tenant=MADE_UP,
                              action="access_as_shared"),
            "name": "blue", "agent_id": cloud.admin.get(f"{n}/agents").json["agents"][0]["id"],
        },
        "compute": {
            "server_id": server, "port_id": port, "project_id": project, "label": "net", "tag": "blue", "key": "blue",
            "request_id": actions[0]["request_id"],
            "server_group_id": make(f"{c}/os-server-groups", "server_group", name="group", policies=["affinity"]),
        },
        "volume": {
            "volume_id": volume, "snapshot_id": snapshot, "transfer_id": transfer, "project_id": project, "key": "key",
            "attachment_id": attachment.json["attachment"]["id"], "backup_id": backup, "group_id": together,
        },
        "keys": {
            "secret_id": secret.rpartition("/")[2], "container_id": container.rpartition("/")[2], "order_id": ordered.rpartition("/")[2],
            "project_id": project, "key": "key",
        },
        "image": {"image_id": image, "tag": "blue", "store": "file", "member_id": project},
        "identity": {
            "user_id": user, "project_id": project, "role_id": role, "tag": "blue", "domain_id": "default",
            "application_credential_id": application.json["application_credential"]["id"],
            "credential_id": make(f"{i}/credentials", "credential", blob="{}", type="thing", user_id=user),
        },
    }  # fmt: skip


def processing(cloud, network):
    """One of everything that Data Processing keeps."""

    def keep(path, key, **values):
        answer = cloud.user.post(f"{hadoop.V1}/{path}", values)
        assert answer.status == 202, answer
        return answer.json[key]["id"]

    hadoop.image(cloud)
    mine = active(cloud.user, name="mine")["id"]
    assert cloud.user.post(f"{hadoop.V1}/images/{mine}", {"username": "debian"}).status == 202
    binary = keep("job-binaries", "job_binary", name="run.sh", url="swift://box/run.sh")
    plugin = {"plugin_name": "hadoop", "hadoop_version": "3.5.0"}
    return {
        "image_id": mine, "job_binary_id": binary, "job_template_id": keep("jobs", "job", name="run", type="Shell", mains=[binary]),
        "node_group_template_id": keep(
            "node-group-templates", "node_group_template", name="worker", flavor_id="1", node_processes=hadoop.WORKER, **plugin
        ),
        "cluster_template_id": keep("cluster-templates", "cluster_template", name="small", node_groups=hadoop.groups(), **plugin),
        "data_source_id": keep("data-sources", "data_source", name="in", type="hdfs", url="/in"),
        "internal_id": cloud.user.put(f"{hadoop.V1}/job-binary-internals/run.sh", b"true").json["job_binary_internal"]["id"],
        "cluster_id": keep("clusters", "cluster", neutron_management_network=network, **hadoop.wanted()),
    }  # fmt: skip


def call(client, route, things=None):
    """Call a route with things' ids, or with made-up ones; a body of the simplest kind that its type takes."""
    names = dict.fromkeys(parameters(route.path), MADE_UP) | (things or {})
    path = re.sub(r"{(\w+)}", lambda found: names[found[1]], route.path) or "/"
    body = None if route.body is None else simplest(route.body)
    if route.api.name == "identity" and body == {}:
        last = next(part for part in reversed(route.path.split("/")) if not part.startswith("{"))
        body = {"tags": []} if last == "tags" else {last.removesuffix("s"): {}}
    if route.action:
        body = {route.action: body}
    version = max(route.first, min(route.last, route.api.versions.highest)) if route.api.versions else None
    headers = {"openstack-api-version": f"{route.api.versions.service} {version[0]}.{version[1]}"} if version else {}
    if route.stream:
        headers["content-type"] = "application/octet-stream"
    if route.path == "/image/v2/images/{image_id}" and route.method == "PATCH":
        headers["content-type"], body = "application/openstack-images-v2.1-json-patch", []
    return client(route.method, path, body, headers=headers)


def simplest(kind):
    """The smallest JSON that decodes as a type: fields that must be there, the first of several types."""
    return b"data" if typing.get_origin(kind) is AsyncIterator else _simplest(msgspec.inspect.type_info(kind))


def _simplest(info):
    match info:
        case msgspec.inspect.StructType(fields=fields):
            return {field.encode_name: _simplest(field.type) for field in fields if field.required}
        case msgspec.inspect.UnionType(types=several):
            return _simplest(several[0])
        case msgspec.inspect.StrType(min_length=length):
            return MADE_UP if length is None or length <= len(MADE_UP) else "x" * length
        case msgspec.inspect.IntType(ge=least):
            return least or 1
        case msgspec.inspect.BoolType():
            return True
        case msgspec.inspect.LiteralType(values=values) | msgspec.inspect.EnumType(cls=values):
            return next(iter(values))
        case msgspec.inspect.ListType(item_type=item, min_length=length):
            return [_simplest(item)] * (length or 0)
        case msgspec.inspect.DictType() | msgspec.inspect.AnyType():
            return {}
        case msgspec.inspect.NoneType():
            return None
        case msgspec.inspect.BytesType():
            return b"[]"
    raise AssertionError(f"say what the simplest {info} is")


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_it_is_declared_whole(route):
    assert inspect.getdoc(route.handler), "a route says in its docstring what it does"
    assert re.fullmatch(r"[a-z0-9]+(:[a-z0-9_-]+)+", route.policy.name)
    assert route.policy.name.partition(":")[0] == route.api.name
    if route.method in ("POST", "PUT", "PATCH"):
        assert (route.body is None) == bool(BODILESS.fullmatch(route.name)), "a body has a type, or the route is listed as having none"
    if route.method in ("GET", "HEAD"):
        assert route.body is None
        assert route.tx != "write"


def test_a_policy_name_means_one_rule_and_a_route_is_declared_once():
    rules, seen = {}, set()
    for route in ROUTES:
        rule = (route.policy.level, route.policy.wide)
        assert rules.setdefault(route.policy.name, rule) == rule, route.name
        key = (route.name, route.first)
        assert key not in seen, route.name
        seen.add(key)


def test_nobody_gets_in_without_a_token(busy):
    for route in ROUTES:
        answer = call(busy.anyone, route)
        if route.policy.level is Level.PUBLIC:
            assert answer.status < 500, (route.name, answer)
        else:
            assert answer.status == 401, (route.name, answer)
            assert answer.headers["www-authenticate"].startswith("Keystone uri="), route.name


@pytest.mark.parametrize("who", HELD)
def test_a_caller_gets_what_the_level_says(busy, who):
    for route in ROUTES:
        if route.method == "DELETE" and route.path.endswith("/auth/tokens"):
            continue
        answer = call(getattr(busy, who), route)
        if route.policy.level not in HELD[who]:
            assert answer.status == 403, (route.name, answer)
            assert route.policy.name.encode() in answer.body, (route.name, answer)
        else:
            assert answer.status < 500, (route.name, answer)
            assert answer.status != 401 or route.policy.level is Level.PUBLIC, (route.name, answer)
            if who == "admin" and route.name != FOR_ONESELF:
                assert answer.status != 403, (route.name, answer)


def test_things_of_another_project_are_not_there(busy):
    tried = 0
    for route in ROUTES:
        things = busy.things.get(route.api.name, {})
        names = set(parameters(route.path))
        belongs = names - (COMMON - {"project_id"} if route.api.name != "image" else COMMON)
        if route.path.endswith("/{transfer_id}/accept"):
            continue  # whoever has the key may take it
        if route.name.startswith("PUT") and route.path.endswith("/{internal_id}"):
            continue  # it is the name of one to be made
        if not belongs or not names <= things.keys() or route.policy.level is Level.PUBLIC or re.search("/defaults?$", route.path):
            continue
        answer = call(busy.stranger, route, things)
        assert answer.status in (403, 404), (route.name, answer)
        tried += 1
    assert tried > 120


def test_lists_show_nothing_of_another_project(busy):
    ids = {id_ for things in busy.things.values() for name, id_ in things.items() if name not in COMMON}
    for route in ROUTES:
        if route.method == "GET" and not parameters(route.path) and route.policy.level in HELD["stranger"]:
            answer = call(busy.stranger, route)
            if route.path == "/audit/v1/events":  # tells what the stranger asked for, by what names ever
                assert {one["event"]["initiator"]["name"] for one in answer.json["events"]} == {"stranger"}
                continue
            found = [id_ for id_ in ids if id_.encode() in answer.body]
            assert not found, (route.name, found)
