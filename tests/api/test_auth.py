"""Signing in, validating and revoking tokens."""

import time

from tests.cloud import USER_PASSWORD


def test_a_password_gives_a_token_that_says_who_and_where(cloud):
    answer = cloud.user.get("/identity/v3/auth/tokens", headers={"x-subject-token": cloud.user.token})
    token = answer.json["token"]
    assert answer.status == 200
    assert token["user"]["name"] == "demo"
    assert token["project"]["name"] == "demo"
    assert {role["name"] for role in token["roles"]} == {"member", "reader"}
    assert "identity" in {service["type"] for service in token["catalog"]}


def test_whatever_is_wrong_the_refusal_reads_the_same(cloud):
    def refused(name, password):
        who = {"user": {"name": name, "domain": {"id": "default"}, "password": password}}
        body = {"auth": {"identity": {"methods": ["password"], "password": who}}}
        answer = cloud.anyone.post("/identity/v3/auth/tokens", body)
        assert answer.status == 401
        return answer.json

    assert refused("demo", "wrong") == refused("nobody", USER_PASSWORD)


def test_a_known_token_is_validated_without_the_database_and_revoked_within_a_second(cloud):
    mine = {"x-subject-token": cloud.user.token}
    time.sleep(0.4)
    for _ in range(2):
        assert cloud.admin.get("/identity/v3/auth/tokens", headers=mine).status == 200
    assert cloud.signing.known.quick(cloud.user.token) is not None
    assert cloud.user.delete("/identity/v3/auth/tokens", headers=mine).status == 204
    time.sleep(1)
    assert cloud.admin.get("/identity/v3/auth/tokens", headers=mine).status == 404
    assert cloud.user.get("/identity/v3/auth/catalog").status == 401


def test_a_schema_error_names_the_field(cloud):
    answer = cloud.anyone.post("/identity/v3/auth/tokens", {"auth": {"identity": {"methods": "password"}}})
    assert answer.status == 400
    assert "auth.identity.methods" in answer.json["error"]["message"]


def test_unknown_paths_and_methods(cloud):
    assert cloud.anyone.get("/identity/v3/nothing").status == 404
    answer = cloud.anyone.put("/identity/v3/auth/catalog", {})
    assert answer.status == 405
    assert answer.headers["allow"] == "GET, HEAD"
    assert cloud.anyone.get("/identity/v3/auth/catalog").status == 401


def test_what_is_remembered_of_signing_in_holds_until_a_role_is_taken(cloud):
    cloud.other("again", "member", "manager")
    user, project = cloud.id_of("users", "again"), cloud.id_of("projects", "again")

    def roles():
        token = cloud.sign_in("again", USER_PASSWORD, "again").token
        described = cloud.admin.get("/identity/v3/auth/tokens", headers={"x-subject-token": token}).json["token"]
        return {role["name"] for role in described["roles"]}, described["audit_ids"]

    first, second = roles(), roles()
    assert first[0] == second[0] == {"manager", "member", "reader"}
    assert first[1] != second[1]
    manager = cloud.id_of("roles", "manager")
    assert cloud.admin.delete(f"/identity/v3/projects/{project}/users/{user}/roles/{manager}").status == 204
    assert roles()[0] == {"member", "reader"}
    assert cloud.admin.patch(f"/identity/v3/users/{user}", {"user": {"enabled": False}}).status == 200
    who = {"user": {"name": "again", "domain": {"id": "default"}, "password": USER_PASSWORD}}
    scope = {"project": {"id": project}}
    body = {"auth": {"identity": {"methods": ["password"], "password": who}, "scope": scope}}
    assert cloud.anyone.post("/identity/v3/auth/tokens", body).status == 401


def test_signing_in_shows_the_same_as_validating(cloud):
    who = {"user": {"name": "demo", "domain": {"id": "default"}, "password": USER_PASSWORD}}
    body = {"auth": {"identity": {"methods": ["password"], "password": who}, "scope": {"project": {"name": "demo", "domain": {"id": "default"}}}}}
    for _ in range(2):
        answer = cloud.anyone.post("/identity/v3/auth/tokens", body)
        shown = cloud.admin.get("/identity/v3/auth/tokens", headers={"x-subject-token": answer.headers["x-subject-token"]})
        assert shown.json == answer.json
        without = cloud.anyone.post("/identity/v3/auth/tokens?nocatalog", body).json["token"]
        assert "catalog" not in without
        assert "catalog" in answer.json["token"]
