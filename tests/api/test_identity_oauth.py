"""Programs that users let act for them (OAuth 1.0), and what projects' catalogs are limited to."""

from datetime import timedelta
from urllib.parse import parse_qs

import pytest
from sqlalchemy import update
from tempest.lib.services.identity.v3.oauth_token_client import OAUTHTokenClient

from andromede.core.clock import now
from andromede.services.identity.tables import request_token
from tests.api.test_identity_people import V3
from tests.cloud import URL, Client
from tests.waiting import until

OAUTH = f"{V3}/OS-OAUTH1"


class Program:
    """A consumer, which signs as Tempest's client does."""

    def __init__(self, cloud):
        answer = cloud.admin.post(f"{OAUTH}/consumers", {"consumer": {"description": "a program"}})
        assert answer.status == 201, answer
        self.cloud, self.key, self.secret = cloud, answer.json["consumer"]["id"], answer.json["consumer"]["secret"]
        self.client = OAUTHTokenClient(None, "identity", "RegionOne")

    def headers(self, path, *, secret=None, **more):
        signed = self.client._generate_params_with_signature(
            self.key, URL + path, client_secret=secret or self.secret, http_method="POST", **more
        )
        return self.client._generate_oauth_header(signed)

    def ask(self, path, *, project=None, **more):
        headers = self.headers(path, **more) | ({"requested-project-id": project} if project else {})
        return self.cloud.anyone.post(path, headers=headers)

    def token(self, project):
        """A request token: its key and secret."""
        return pair(self.ask(f"{OAUTH}/request_token", project=project, callback_uri="oob"))

    def access(self, key, secret, verifier, **more):
        return self.ask(f"{OAUTH}/access_token", resource_owner_key=key, resource_owner_secret=secret, verifier=verifier, **more)

    def sign_in(self, key, secret, **more):
        path = f"{V3}/auth/tokens"
        headers = self.headers(path, resource_owner_key=key, resource_owner_secret=secret)
        return self.cloud.anyone.post(path, {"auth": {"identity": {"methods": ["oauth1"], "oauth1": {}}, **more}}, headers=headers)


def pair(answer):
    assert answer.status == 201, answer
    assert answer.headers["content-type"] == "application/x-www-form-urlencoded"
    values = parse_qs(answer.body.decode())
    assert values["oauth_expires_at"]
    return values["oauth_token"][0], values["oauth_token_secret"][0]


@pytest.fixture
def program(cloud):
    return Program(cloud)


def authorize(client, key, *roles, status=200):
    answer = client.put(f"{OAUTH}/authorize/{key}", {"roles": list(roles)})
    assert answer.status == status, answer
    return answer.json["token"]["oauth_verifier"] if status == 200 else None


def test_a_program_acts_for_a_user_with_the_roles_it_was_let(cloud, program):
    project, me, reader = cloud.id_of("projects", "demo"), cloud.id_of("users", "demo"), cloud.id_of("roles", "reader")
    key, secret = program.token(project)
    access, access_secret = pair(program.access(key, secret, authorize(cloud.user, key, {"name": "reader"})))
    answer = program.sign_in(access, access_secret)
    assert answer.status == 201, answer
    token = answer.json["token"]
    assert (token["user"]["id"], token["project"]["id"], token["methods"]) == (me, project, ["oauth1"])
    assert [one["id"] for one in token["roles"]] == [reader]
    assert token["OS-OAUTH1"] == {"access_token_id": access, "consumer_id": program.key}
    assert "OS-TRUST:trust" not in token
    acting = Client(cloud.app, answer.headers["x-subject-token"])
    assert acting.get("/compute/v2.1/servers").status == 200
    assert acting.post("/compute/v2.1/os-keypairs", {"keypair": {"name": "k"}}).status == 403, "a reader"
    # what was lent is not lent on, nor kept by other means
    assert acting.post(f"{V3}/users/{me}/application_credentials", {"application_credential": {"name": "a"}}).status == 403
    other, _ = program.token(project)
    authorize(acting, other, {"id": reader}, status=403)
    assert acting.delete(f"{V3}/users/{me}/OS-OAUTH1/access_tokens/{access}").status == 403
    again = {"identity": {"methods": ["token"], "token": {"id": acting.token}}}
    assert cloud.anyone.post(f"{V3}/auth/tokens", {"auth": again}).status == 403
    assert program.sign_in(access, access_secret, scope={"project": {"id": project}}).status == 401
    assert cloud.user.get(f"{V3}/OS-TRUST/trusts?trustor_user_id={me}").json["trusts"] == []
    # what the user sees of it
    path = f"{V3}/users/{me}/OS-OAUTH1/access_tokens"
    (shown,) = cloud.user.get(path).json["access_tokens"]
    assert shown == cloud.user.get(f"{path}/{access}").json["access_token"] == cloud.admin.get(f"{path}/{access}").json["access_token"]
    assert (shown["consumer_id"], shown["project_id"], shown["authorizing_user_id"]) == (program.key, project, me)
    assert [one["name"] for one in cloud.user.get(f"{path}/{access}/roles").json["roles"]] == ["reader"]
    assert cloud.user.get(f"{path}/{access}/roles/{reader}").json["role"]["name"] == "reader"
    assert cloud.user.get(f"{path}/{access}/roles/none").status == 404
    assert cloud.other().get(path).status == 403
    assert cloud.user.delete(f"{path}/{access}").status == 204
    assert cloud.user.get(f"{path}/{access}").status == 404
    assert program.sign_in(access, access_secret).status == 401
    until(lambda: acting.get("/compute/v2.1/servers").status == 401)


def test_what_is_refused_on_the_way(cloud, program):
    project = cloud.id_of("projects", "demo")
    path = f"{OAUTH}/request_token"
    assert cloud.anyone.post(path).status == 401
    assert program.ask(path, secret="other", project=project).status == 401
    assert program.ask(path).status == 400
    assert program.ask(path, project="none").status == 404
    headers = program.headers(path)
    for before, after in (("HMAC-SHA1", "PLAINTEXT"), ('timestamp="', 'timestamp="1'), ("oauth_nonce", "oauth_other"), (program.key, "none")):
        changed = headers["Authorization"].replace(before, after)
        assert cloud.anyone.post(path, headers={"authorization": changed, "requested-project-id": project}).status == 401, before
    twice = headers["Authorization"] + ', oauth_version="1.0"'
    assert cloud.anyone.post(path, headers={"authorization": twice, "requested-project-id": project}).status == 401
    key, secret = program.token(project)
    assert program.access(key, secret, "early").status == 401
    for roles in ([], [{}], "reader", [{"id": None}]):
        assert cloud.user.put(f"{OAUTH}/authorize/{key}", {"roles": roles}).status in (400, 403), roles
    authorize(cloud.user, key, {"name": "admin"}, status=403)
    authorize(cloud.other(), key, {"name": "member"}, status=403)
    verifier = authorize(cloud.user, key, {"id": cloud.id_of("roles", "member")})
    authorize(cloud.user, key, {"name": "member"}, status=403)
    assert program.access(key, secret, "wrong").status == 401
    assert program.access(key, "wrong", verifier).status == 401
    assert Program(cloud).access(key, secret, verifier).status == 401, "another program's"
    access, access_secret = pair(program.access(key, secret, verifier))
    assert program.access(key, secret, verifier).status == 401, "it is used up"
    assert program.sign_in(access, "wrong").status == 401
    assert cloud.anyone.post(f"{V3}/auth/tokens", {"auth": {"identity": {"methods": ["oauth1"], "oauth1": {}}}}).status == 401
    late, _ = program.token(project)
    cloud.database.run(lambda db: db.execute(update(request_token).values(expires=now() - timedelta(seconds=1))))
    authorize(cloud.user, late, {"name": "member"}, status=403)
    authorize(cloud.user, "none", {"name": "member"}, status=404)
    # without its program, an access token is nothing
    acting = Client(cloud.app, program.sign_in(access, access_secret).headers["x-subject-token"])
    assert acting.get("/compute/v2.1/servers").status == 200
    assert cloud.admin.delete(f"{OAUTH}/consumers/{program.key}").status == 204
    until(lambda: acting.get("/compute/v2.1/servers").status == 401)
    with cloud.database.read() as db:
        kept = str([list(db.exec_driver_sql(f"select * from identity_{name}")) for name in ("consumer", "request_token", "access_token")])
    assert secret not in kept
    assert program.secret not in kept


def test_consumers(cloud, program):
    path = f"{OAUTH}/consumers/{program.key}"
    assert cloud.admin.get(path).json["consumer"]["description"] == "a program"
    assert "secret" not in cloud.admin.get(path).json["consumer"]
    assert cloud.admin.patch(path, {"consumer": {"description": "other", "mark": 1}}).json["consumer"]["mark"] == 1
    assert cloud.admin.patch(path, {"consumer": {"secret": "mine"}}).status == 400
    assert [one["id"] for one in cloud.admin.get(f"{OAUTH}/consumers").json["consumers"]] == [program.key]
    assert cloud.user.get(f"{OAUTH}/consumers").status == 403
    assert cloud.admin.get(f"{OAUTH}/consumers/none").status == 404


def kinds(client):
    return {one["type"] for one in client.get(f"{V3}/auth/catalog").json["catalog"]}


def test_a_catalog_is_limited_to_endpoints_and_groups(cloud):
    ep, project = f"{V3}/OS-EP-FILTER", cloud.id_of("projects", "demo")
    whole = kinds(cloud.user)
    by_type = {one["type"]: one["id"] for one in cloud.admin.get(f"{V3}/services").json["services"]}
    image = next(one["id"] for one in cloud.admin.get(f"{V3}/endpoints?interface=public").json["endpoints"] if one["service_id"] == by_type["image"])
    assert cloud.admin.put(f"{ep}/projects/{project}/endpoints/{image}").status == 204
    assert cloud.admin.put(f"{ep}/projects/{project}/endpoints/{image}").status == 204
    assert kinds(cloud.user) == {"image"}
    assert kinds(cloud.admin) == whole
    filters = {"service_id": by_type["compute"], "interface": "public"}
    group = cloud.admin.post(f"{ep}/endpoint_groups", {"endpoint_group": {"name": "g", "filters": filters}})
    assert group.status == 201, group
    id_ = group.json["endpoint_group"]["id"]
    assert cloud.admin.get(f"{ep}/endpoint_groups/{id_}/projects/{project}").status == 404
    assert cloud.admin.put(f"{ep}/endpoint_groups/{id_}/projects/{project}").status == 204
    assert kinds(cloud.user) == {"image", "compute"}
    one = cloud.admin.get(f"{ep}/endpoint_groups/{id_}/projects/{project}").json["endpoint_group"]
    assert [one] == cloud.admin.get(f"{ep}/projects/{project}/endpoint_groups").json["endpoint_groups"]
    assert [one] == cloud.admin.get(f"{ep}/endpoint_groups").json["endpoint_groups"]
    assert {each["id"] for each in cloud.admin.get(f"{ep}/projects/{project}/endpoints").json["endpoints"]} >= {image}
    (meant,) = cloud.admin.get(f"{ep}/endpoint_groups/{id_}/endpoints").json["endpoints"]
    assert meant["service_id"] == by_type["compute"]
    for path in (f"endpoint_groups/{id_}/projects", f"endpoints/{image}/projects"):
        assert [each["id"] for each in cloud.admin.get(f"{ep}/{path}").json["projects"]] == [project]
    change = {"endpoint_group": {"description": "d", "filters": {"service_id": by_type["network"]}}}
    assert cloud.admin.patch(f"{ep}/endpoint_groups/{id_}", change).json["endpoint_group"]["description"] == "d"
    assert kinds(cloud.user) == {"image", "network"}
    assert cloud.admin.delete(f"{ep}/endpoint_groups/{id_}/projects/{project}").status == 204
    assert cloud.admin.put(f"{ep}/endpoint_groups/{id_}/projects/{project}").status == 204
    assert cloud.admin.delete(f"{ep}/endpoint_groups/{id_}").status == 204
    assert cloud.admin.get(f"{ep}/projects/{project}/endpoints/{image}").status == 204
    assert cloud.admin.delete(f"{ep}/projects/{project}/endpoints/{image}").status == 204
    assert cloud.admin.delete(f"{ep}/projects/{project}/endpoints/{image}").status == 404
    assert cloud.admin.get(f"{ep}/projects/{project}/endpoints").json["endpoints"] == []
    assert kinds(cloud.user) == whole


def test_endpoint_groups_refuse(cloud):
    ep = f"{V3}/OS-EP-FILTER/endpoint_groups"
    for facts in ({"name": "g"}, {"filters": {"interface": "public"}}, {"name": "g", "filters": {}}, {"name": "g", "filters": {"other": "x"}},
                  {"name": "g", "filters": {"interface": "inner"}}, {"name": "g", "filters": {"interface": "public"}, "more": 1}):  # fmt: skip
        assert cloud.admin.post(ep, {"endpoint_group": facts}).status == 400, facts
    assert cloud.admin.get(f"{ep}/none").status == 404
    assert cloud.user.get(ep).status == 403
    assert cloud.admin.put(f"{V3}/OS-EP-FILTER/projects/none/endpoints/none").status == 404
