"""Domains, projects, users, groups: their rules, and who may manage them."""

import pytest

from tests.cloud import USER_PASSWORD

V3 = "/identity/v3"


def make(client, kind, plural=None, **facts):
    answer = client.post(f"{V3}/{plural or kind + 's'}", {kind: facts})
    assert answer.status == 201, answer.body
    return answer.json[kind]


def grant(cloud, target, actor, role):
    answer = cloud.admin.put(f"{V3}/{target}/{actor}/roles/{cloud.id_of('roles', role)}")
    assert answer.status == 204, answer.body


def sign(cloud, user_id, secret, **scope):
    body = {"identity": {"methods": ["password"], "password": {"user": {"id": user_id, "password": secret}}}, **scope}
    return cloud.anyone.post(f"{V3}/auth/tokens", {"auth": body})


def client_of(cloud, user_id, secret, **scope):
    answer = sign(cloud, user_id, secret, **scope)
    assert answer.status == 201, answer.body
    return type(cloud.anyone)(cloud.app, answer.headers["x-subject-token"])


def test_a_domain_is_disabled_before_it_is_deleted_and_takes_all_along(cloud):
    domain = make(cloud.admin, "domain", name="acme", color="red")
    assert domain["color"] == "red"
    assert cloud.admin.post(f"{V3}/domains", {"domain": {"name": "acme"}}).status == 409
    top = make(cloud.admin, "project", name="top", domain_id=domain["id"])
    make(cloud.admin, "project", name="below", parent_id=top["id"])
    user = make(cloud.admin, "user", name="ann", domain_id=domain["id"], password="pw")
    make(cloud.admin, "group", name="all", domain_id=domain["id"])
    role = make(cloud.admin, "role", name="own", domain_id=domain["id"])
    path = f"{V3}/domains/{domain['id']}"
    assert cloud.admin.delete(path).status == 403
    assert sign(cloud, user["id"], "pw").status == 201
    assert cloud.admin.patch(path, {"domain": {"enabled": False}}).status == 200
    assert sign(cloud, user["id"], "pw").status == 401
    assert cloud.admin.delete(path).status == 204
    for gone in (path, f"{V3}/projects/{top['id']}", f"{V3}/users/{user['id']}", f"{V3}/roles/{role['id']}"):
        assert cloud.admin.get(gone).status == 404


def test_the_tree_of_projects(cloud):
    line = [make(cloud.admin, "project", name="p0", tags=["b", "a"])]
    for number in range(1, 5):
        line.append(make(cloud.admin, "project", name=f"p{number}", parent_id=line[-1]["id"]))
    ids = [one["id"] for one in line]
    assert line[0]["parent_id"] == line[0]["domain_id"] == "default"
    assert cloud.admin.post(f"{V3}/projects", {"project": {"name": "p5", "parent_id": ids[4]}}).status == 403
    deep = cloud.admin.get(f"{V3}/projects/{ids[2]}?parents_as_ids&subtree_as_ids").json["project"]
    assert deep["parents"] == {ids[1]: {ids[0]: {"default": None}}}
    assert deep["subtree"] == {ids[3]: {ids[4]: None}}
    listed = cloud.admin.get(f"{V3}/projects/{ids[2]}?parents_as_list&subtree_as_list").json["project"]
    assert {one["project"]["id"] for one in listed["parents"]} == set(ids[:2])
    assert {one["project"]["id"] for one in listed["subtree"]} == set(ids[3:])
    assert cloud.admin.delete(f"{V3}/projects/{ids[0]}").status == 403
    assert cloud.admin.patch(f"{V3}/projects/{ids[0]}", {"project": {"enabled": False}}).status == 403
    assert cloud.admin.patch(f"{V3}/projects/{ids[4]}", {"project": {"parent_id": ids[0]}}).status == 403
    assert cloud.admin.patch(f"{V3}/projects/{ids[4]}", {"project": {"name": "p0"}}).status == 409
    assert cloud.admin.patch(f"{V3}/projects/{ids[4]}", {"project": {"options": {"immutable": True}}}).status == 200
    assert cloud.admin.patch(f"{V3}/projects/{ids[4]}", {"project": {"name": "x"}}).status == 403
    assert cloud.admin.delete(f"{V3}/projects/{ids[4]}").status == 403
    assert cloud.admin.patch(f"{V3}/projects/{ids[4]}", {"project": {"options": {"immutable": None}}}).status == 200
    assert cloud.admin.delete(f"{V3}/projects/{ids[4]}").status == 204


def test_filters_tags_and_pages(cloud):
    for name, tags in (("one", ["x", "y"]), ("two", ["x"]), ("three", [])):
        make(cloud.admin, "project", name=f"filter-{name}", tags=tags)

    def names(query):
        found = cloud.admin.get(f"{V3}/projects?name__startswith=filter-&{query}").json["projects"]
        return sorted(one["name"].removeprefix("filter-") for one in found)

    assert names("") == ["one", "three", "two"]
    assert names("name__contains=ter-t") == ["three", "two"]
    assert names("tags=x,y") == ["one"]
    assert names("tags-any=x,y") == ["one", "two"]
    assert names("not-tags=x,y") == ["three", "two"]
    assert names("not-tags-any=y") == ["three", "two"]
    assert names("enabled=false") == []
    seen, url = [], f"{V3}/projects?limit=2"
    while url:
        page = cloud.admin.get(url).json
        assert len(page["projects"]) <= 2
        seen += [one["id"] for one in page["projects"]]
        url = (page["links"]["next"] or "").removeprefix("http://cloud.test")
    assert sorted(seen) == sorted(one["id"] for one in cloud.admin.get(f"{V3}/projects").json["projects"])
    project = cloud.id_of("projects", "filter-one")
    tags = f"{V3}/projects/{project}/tags"
    assert cloud.admin.put(f"{tags}/z").status == 201
    assert cloud.admin.get(f"{tags}/z").status == 204
    assert cloud.admin("HEAD", tags).status == 200
    assert cloud.admin.delete(f"{tags}/z").status == 204
    assert cloud.admin.get(f"{tags}/z").status == 404
    assert cloud.admin.put(tags, {"tags": ["a,b"]}).status == 400


@pytest.mark.parametrize(
    ("kind", "facts", "field"),
    [
        ("project", {"name": ""}, "name"), ("project", {"name": "x" * 65}, "name"), ("project", {"name": "x", "enabled": "yes"}, "enabled"),
        ("project", {}, "name"), ("user", {"name": "x", "options": {"strange": True}}, "options"), ("group", {"name": "x" * 65}, "name"),
        ("user", {"name": "x", "options": {"multi_factor_auth_rules": [["magic"]]}}, "multi_factor_auth_rules"),
        ("domain", {"name": " "}, "name"), ("role", {"name": 7}, "name"),
    ],
)  # fmt: skip
def test_wrong_fields_are_named(cloud, kind, facts, field):
    answer = cloud.admin.post(f"{V3}/{kind}s", {kind: facts})
    assert answer.status == 400
    assert field in answer.json["error"]["message"]


def test_people_change_their_password_and_lose_their_tokens(cloud):
    me = cloud.id_of("users", "demo")
    path = f"{V3}/users/{me}/password"
    wrong = {"user": {"original_password": "wrong", "password": "new"}}
    assert cloud.anyone.post(path, wrong).json == cloud.anyone.post(f"{V3}/users/nobody/password", wrong).json
    assert cloud.anyone.post(path, wrong).status == 401
    assert cloud.user.post(path, {"user": {"original_password": USER_PASSWORD, "password": "new"}}).status == 204
    cloud.signing.known._proofs.clear()
    assert cloud.user.get(f"{V3}/users/{me}").status == 401
    assert sign(cloud, me, USER_PASSWORD).status == 401
    mine = client_of(cloud, me, "new")
    shown = mine.get(f"{V3}/users/{me}")
    assert shown.status == 200
    assert "password" not in shown.json["user"]
    assert cloud.admin.patch(f"{V3}/users/{me}", {"user": {"options": {"lock_password": True}}}).status == 200
    assert cloud.anyone.post(path, {"user": {"original_password": "new", "password": "newer"}}).status == 400
    assert cloud.admin.patch(f"{V3}/users/{me}", {"user": {"enabled": False}}).status == 200
    assert cloud.admin.patch(f"{V3}/users/{me}", {"user": {"enabled": True}}).status == 200
    cloud.signing.known._proofs.clear()
    assert mine.get(f"{V3}/users/{me}").status == 401


def test_the_history_of_passwords_when_users_change_them(cloud):
    import msgspec

    rules = msgspec.structs.replace(cloud.signing.rules, unique_last_password_count=2, password_regex="^.{3,}$")
    cloud.parts.signing = msgspec.structs.replace(cloud.signing, rules=rules)
    path = f"{V3}/users/{cloud.id_of('users', 'demo')}"

    def change(old, new):
        return cloud.anyone.post(f"{path}/password", {"user": {"original_password": old, "password": new}}).status

    assert change(USER_PASSWORD, USER_PASSWORD) == 400
    assert change(USER_PASSWORD, "ab") == 400
    assert change(USER_PASSWORD, "two") == 204
    assert change("two", USER_PASSWORD) == 400
    assert change("two", "three") == 204
    assert change("three", USER_PASSWORD) == 204
    assert cloud.admin.patch(path, {"user": {"password": "three"}}).status == 200, "an admin is not held to the history"
    shown = cloud.admin.get(f"{V3}/domains/default/config/security_compliance").json["config"]["security_compliance"]
    assert shown["password_regex"] == "^.{3,}$"


def test_a_missing_factor_gives_a_receipt_that_stands_for_the_first(cloud):
    import base64
    import time

    from cryptography.hazmat.primitives.hashes import SHA1
    from cryptography.hazmat.primitives.twofactor.totp import TOTP

    me, key = cloud.id_of("users", "demo"), b"12345678901234567890"
    credential = {"type": "totp", "blob": base64.b32encode(key).decode(), "user_id": me}
    assert cloud.user.post(f"{V3}/credentials", {"credential": credential}).status == 201
    options = {"multi_factor_auth_enabled": True, "multi_factor_auth_rules": [["password", "totp"]]}
    assert cloud.admin.patch(f"{V3}/users/{me}", {"user": {"options": options}}).status == 200
    first = sign(cloud, me, USER_PASSWORD)
    assert first.status == 401
    receipt = first.headers["openstack-auth-receipt"]
    assert first.json["required_auth_methods"] == [["password", "totp"]]
    assert first.json["receipt"]["methods"] == ["password"]
    assert cloud.anyone.get(f"{V3}/auth/catalog", headers={"x-auth-token": receipt}).status == 401, "a receipt is no token"
    code = TOTP(key, 6, SHA1(), 30, enforce_key_length=False).generate(int(time.time())).decode()
    second = {"auth": {"identity": {"methods": ["totp"], "totp": {"user": {"id": me, "passcode": code}}}}}
    alone = cloud.anyone.post(f"{V3}/auth/tokens", {"auth": {"identity": {"methods": ["totp"], "totp": {"user": {"id": me, "passcode": "000000"}}}}})
    assert alone.status == 401
    assert "openstack-auth-receipt" not in alone.headers
    answer = cloud.anyone.post(f"{V3}/auth/tokens", second, headers={"openstack-auth-receipt": receipt})
    assert answer.status == 201, answer.body
    assert set(answer.json["token"]["methods"]) == {"password", "totp"}


def test_groups_give_their_roles_to_who_is_in_them(cloud):
    user, group = make(cloud.admin, "user", name="ann", password="pw"), make(cloud.admin, "group", name="team")
    project = make(cloud.admin, "project", name="ours")
    grant(cloud, f"projects/{project['id']}", f"groups/{group['id']}", "member")
    scope = {"scope": {"project": {"id": project["id"]}}}
    inside = f"{V3}/groups/{group['id']}/users/{user['id']}"
    assert cloud.admin.get(inside).status == 404
    assert sign(cloud, user["id"], "pw", **scope).status == 401
    assert cloud.admin.put(inside).status == 204
    assert cloud.admin.put(inside).status == 204
    assert cloud.admin("HEAD", inside).status == 204
    token = client_of(cloud, user["id"], "pw", **scope)
    assert [one["id"] for one in token.get(f"{V3}/users/{user['id']}/groups").json["groups"]] == [group["id"]]
    assert [one["id"] for one in token.get(f"{V3}/users/{user['id']}/projects").json["projects"]] == [project["id"]]
    assert [one["id"] for one in token.get(f"{V3}/auth/projects").json["projects"]] == [project["id"]]
    assert [one["name"] for one in cloud.admin.get(f"{V3}/groups/{group['id']}/users").json["users"]] == ["ann"]
    assert cloud.admin.delete(inside).status == 204
    assert cloud.admin.delete(inside).status == 404
    cloud.signing.known._proofs.clear()
    assert token.get(f"{V3}/auth/projects").status == 401


def test_a_manager_runs_its_own_domain(cloud):
    mine, theirs = make(cloud.admin, "domain", name="mine"), make(cloud.admin, "domain", name="theirs")
    boss = make(cloud.admin, "user", name="boss", domain_id=mine["id"], password="pw")
    stranger = make(cloud.admin, "user", name="stranger", domain_id=theirs["id"])
    grant(cloud, f"domains/{mine['id']}", f"users/{boss['id']}", "manager")
    manager = client_of(cloud, boss["id"], "pw", scope={"domain": {"id": mine["id"]}})
    user, project = make(manager, "user", name="new", password="pw"), make(manager, "project", name="new")
    group = make(manager, "group", name="new")
    assert {one["domain_id"] for one in (user, project, group)} == {mine["id"]}
    member, admin = cloud.id_of("roles", "member"), cloud.id_of("roles", "admin")
    assert manager.put(f"{V3}/projects/{project['id']}/users/{user['id']}/roles/{member}").status == 204
    assert manager.put(f"{V3}/projects/{project['id']}/users/{user['id']}/roles/{admin}").status == 403
    assert manager.put(f"{V3}/projects/{project['id']}/users/{stranger['id']}/roles/{member}").status == 404
    assert manager.put(f"{V3}/system/users/{user['id']}/roles/{member}").status == 403
    assert manager.put(f"{V3}/groups/{group['id']}/users/{stranger['id']}").status == 404
    assert {one["name"] for one in manager.get(f"{V3}/users").json["users"]} == {"boss", "new"}
    assert [one["name"] for one in manager.get(f"{V3}/domains").json["domains"]] == ["mine"]
    assert len(manager.get(f"{V3}/role_assignments").json["role_assignments"]) == 2
    for call in (manager.get, manager.delete):
        assert call(f"{V3}/users/{stranger['id']}").status == 404
    assert manager.patch(f"{V3}/users/{stranger['id']}", {"user": {"name": "mine"}}).status == 404
    assert manager.post(f"{V3}/users", {"user": {"name": "x", "domain_id": theirs["id"]}}).status == 404
    assert manager.patch(f"{V3}/domains/{mine['id']}", {"domain": {"name": "x"}}).status == 403
    assert manager.post(f"{V3}/roles", {"role": {"name": "x"}}).status == 403
    assert manager.get(f"{V3}/roles").status == 200


def test_a_member_sees_itself_alone(cloud):
    me, other = cloud.id_of("users", "demo"), cloud.id_of("users", "admin")
    assert cloud.user.get(f"{V3}/users/{me}").status == 200
    assert cloud.user.get(f"{V3}/users/{other}").status == 403
    assert cloud.user.get(f"{V3}/users/nobody").status == 403
    for kind in ("users", "projects", "domains", "groups", "roles", "services", "endpoints", "policies", "role_assignments"):
        assert cloud.user.get(f"{V3}/{kind}").status == 403, kind
    for kind in ("regions", "credentials", "limits", "registered_limits"):
        assert cloud.user.get(f"{V3}/{kind}").status == 200, kind
    assert cloud.user.get(f"{V3}/projects/{cloud.id_of('projects', 'demo')}").status == 200
    assert cloud.user.get(f"{V3}/projects/{cloud.id_of('projects', 'admin')}").status == 403
    assert cloud.user.get(f"{V3}/domains/default").status == 200
    assert cloud.user.get(f"{V3}/role_assignments?user.id={me}&effective&include_names").status == 200
    assert cloud.user.patch(f"{V3}/users/{me}", {"user": {"name": "x"}}).status == 403
