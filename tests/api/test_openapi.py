"""The description of the API is whole and valid; whatever is sent that it allows, and much that it does not, no route breaks."""

import random
import re
import warnings

import msgspec
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from andromede.http.api import parameters
from andromede.http.openapi import document
from andromede.http.versions import show
from andromede.run import wiring
from tests.api.images import active, create
from tests.api.test_every_route import MADE_UP, ROUTES, furnish, simplest
from tests.cloud import Cloud

EXAMPLES = 4
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f]|[^\x00-\xff]")
JUNK = (
    None, True, False, 0, -1, 1.5, 10**30, "", " ", "x" * 300, "\0", "é☃", "../..", "%", "null", "-1", "10000000000000000000000", MADE_UP,
    [], [None], [[]], ["x", 1], {}, {"": None}, {"id": MADE_UP}, {"name": {}}, [{}], "2026-13-45", "10.0.0.0/99", "::/0", "fe80::1%x", "\x7f",
)  # fmt: skip
FIELDS = (
    "name", "description", "enabled", "domain_id", "parent_id", "options", "tags", "password", "original_password", "email", "type", "url",
    "interface", "region_id", "service_id", "links", "blob", "project_id", "user_id", "roles", "id", "parent_region_id", "is_domain",
    "default_project_id", "expires_at", "access_rules", "unrestricted", "secret", "trustor_user_id", "trustee_user_id", "impersonation",
    "remaining_uses", "allow_redelegation", "resource_name", "default_limit", "resource_limit", "auth", "tenant_id", "disk_format",
    "container_format", "visibility", "min_disk", "min_ram", "protected", "os_hidden", "locations", "owner", "status", "size", "cores",
    "instances", "ram", "force", "signature", "access", "params", "host", "verb", "path", "headers", "token", "string",
)  # fmt: skip
QUERIES = (
    "limit", "marker", "sort_key", "sort_dir", "sort", "name", "id", "fields", "status", "all_tenants", "changes-since", "changes-before",
    "ip", "ip6", "host", "tags", "not-tags", "tags-any", "page_reverse", "created_at", "updated_at", "size_min", "visibility", "owner",
    "member_status", "project_id", "domain_id", "user_id", "effective", "include_names", "role.id", "scope.project.id", "group.id",
    "include_subtree", "scope.system", "enabled", "parent_id", "password_expires_at", "start", "end", "detailed", "fixed_ips", "cidr",
    "ip_version", "admin_state_up", "router:external", "mtu", "protocol", "port_range_min", "device_id", "mac_address", "revision_number",
    "deleted", "locked", "flavor", "image", "reservation_id", "is_public", "minRam", "minDisk", "binary", "with_servers", "nocatalog",
)  # fmt: skip


@pytest.fixture(scope="module")
def description():
    return msgspec.json.decode(msgspec.json.encode(document(wiring.apis())))


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """A furnished cloud, with clients that may break it."""
    cloud = Cloud(tmp_path_factory.mktemp("cloud"))
    try:
        cloud.things = furnish(cloud)
        cloud.things["image"]["image_id"] = active(cloud.user)["id"]
        create(cloud.user)
        yield cloud
    finally:
        cloud.close()


def test_it_is_served_to_anyone_and_names_every_route(cloud, description):
    answer = cloud.anyone.get("/openapi.json")
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json["openapi"] == "3.1.0"
    assert answer.json["paths"].keys() == description["paths"].keys()
    for route in ROUTES:
        operation = description["paths"][route.path][route.method.lower()]
        rules = operation["x-openstack-actions"][route.action] if route.action else operation
        assert rules["summary"]
        assert rules["x-policy"]["level"] == route.policy.level.value
        if route.api.versions:
            assert "x-openstack-max-microversion" in rules
        assert {one["name"] for one in operation.get("parameters", []) if one.get("in") == "path"} == set(parameters(route.path))


def test_it_is_a_valid_description_with_an_id_for_each_operation(description):
    schemathesis.openapi.from_dict(description).validate()
    ids = [operation["operationId"] for path in description["paths"].values() for operation in path.values()]
    assert len(ids) == len(set(ids))
    assert all(re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", id_) for id_ in ids)
    field = description["components"]["schemas"]["NewServer"]["properties"]["tags"]
    assert field["x-openstack-min-microversion"] == "2.52"
    actions = description["paths"]["/compute/v2.1/servers/{server_id}/action"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert {"os-stop"} in [one["properties"].keys() for one in actions["oneOf"]]


def path_of(template, values):
    return re.sub(r"{(\w+)}", lambda found: _FORBIDDEN.sub("x", str(values[found[1]])).replace("/", "x") or "x", template)


def version_headers(route):
    return {"openstack-api-version": f"compute {show(route.api.versions.highest)}"} if route.api.versions else {}


def send(full, method, path, body, headers=None):
    """As an admin and as a member; never an error of the server."""
    for client in (full.user, full.admin):
        answer = client(method, path, body, headers=headers)
        assert answer.status < 500, (method, path, body, answer)


def test_no_operation_breaks_on_what_its_description_allows(full, description):
    """Schemathesis makes the requests; ids of things that exist take the place of made-up ones half the time."""
    schema = schemathesis.openapi.from_dict(description)
    apis = {route.path: route for route in ROUTES}

    def check(operation):
        route = apis[operation.path]

        @seed(20260131)
        @settings(max_examples=EXAMPLES, database=None, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy(), real=st.booleans())
        def run(case, real):
            things = full.things.get(route.api.name, {}) if real and operation.method.upper() != "DELETE" else {}
            path = path_of(operation.path, {**(case.path_parameters or {}), **{k: v for k, v in things.items() if k in parameters(operation.path)}})
            given_body = case.body if not isinstance(case.body, schemathesis.core.NotSet) else None
            send(full, operation.method.upper(), path, given_body, version_headers(route))

        run()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for found in schema.get_all_operations():
            operation = found.ok()
            if "application/json" in operation.get_request_payload_content_types():
                check(operation)


def test_no_route_breaks_on_free_bodies_of_junk(full):
    """For bodies that the services look through themselves, and for a wrong value in each field of the others."""
    chance = random.Random(20260131)
    for route in ROUTES:
        if route.body is None or (route.method == "POST" and route.path.endswith("/auth/tokens")):
            continue
        things = {**dict.fromkeys(parameters(route.path), MADE_UP), **full.things.get(route.api.name, {})}
        path, headers = path_of(route.path, things), version_headers(route)
        if route.method == "PATCH" and route.api.name == "image":
            headers["content-type"] = "application/openstack-images-v2.1-json-patch"
        for _ in range(8):
            body = junk(route, chance)
            send(full, route.method, path, {route.action: body} if route.action else body, headers)


def junk(route, chance):
    """A body of roughly the right shape with wrong values in it."""
    if route.body is bytes:
        return [
            {chance.choice(("op", "add", "replace")): chance.choice(("add", "remove", "replace", "move")),
             "op": chance.choice(("add", "replace", "remove", "x")), "path": "/" + chance.choice(FIELDS), "value": chance.choice(JUNK)}
            for _ in range(2)
        ]  # fmt: skip
    try:
        body = simplest(route.body)
    except AssertionError:
        return b"\0"
    if not isinstance(body, dict):
        return chance.choice(JUNK)
    if not body:
        last = next(part for part in reversed(route.path.split("/")) if not part.startswith("{"))
        values = {name: chance.choice(JUNK) for name in chance.sample(FIELDS, 6)} | {"name": chance.choice(JUNK[7:20])}
        return values if route.api.name == "image" else {last.removesuffix("s").replace("-", "_"): values}
    name = chance.choice(list(body))
    inner = body[name]
    if isinstance(inner, dict):
        known = fields_of(route.body, name)
        body[name] = {**inner, **{key: chance.choice(JUNK) for key in chance.sample(known, min(2, len(known)))}}
    else:
        body[name] = chance.choice(JUNK)
    return body


def fields_of(kind, name):
    info = msgspec.inspect.type_info(kind)
    for field in getattr(info, "fields", ()):
        if field.encode_name == name:
            return [one.encode_name for one in getattr(field.type, "fields", ())]
    return []


def test_no_list_breaks_on_queries_of_junk(full):
    chance = random.Random(20260131)
    texts = [str(value) for value in JUNK] + ["lt:2026-01-01", "in:a,b", "like:%", "id:asc", "name:up", "nin:", "2026-01-01T00:00:00Z", "["]
    for route in ROUTES:
        if route.method != "GET":
            continue
        things = {**dict.fromkeys(parameters(route.path), MADE_UP), **full.things.get(route.api.name, {})}
        for _ in range(5 if parameters(route.path) else 25):
            pairs = [f"{chance.choice(QUERIES)}={quoted(chance.choice(texts))}" for _ in range(chance.randint(1, 3))]
            send(full, "GET", f"{path_of(route.path, things)}?{'&'.join(pairs)}", None, version_headers(route))


def test_the_character_nul_is_refused_wherever_it_stands(cloud):
    for path in ("/identity/v3/groups?name=%00", "/compute/v2.1/servers/a\0b", "/network/v2.0/networks?%00=1"):
        assert cloud.admin.get(path).status == 400
    assert cloud.user.post("/network/v2.0/networks", b'{"network": {"name": "a\\u0000"}}').status == 400
    assert cloud.user.post("/network/v2.0/networks", b'{"network": {"name": "a\\\\u0000"}}').json["network"]["name"] == "a\\u0000"


def quoted(text):
    return "".join(f"%{byte:02X}" for byte in text.encode())
