"""Roles, what they imply, and assignments in all their forms."""

from tests.api.test_identity_people import V3, client_of, grant, make, sign


def test_implied_roles_and_a_domains_own(cloud):
    domain = make(cloud.admin, "domain", name="acme")
    ann = make(cloud.admin, "user", name="ann", domain_id=domain["id"], password="pw")
    project = make(cloud.admin, "project", name="p", domain_id=domain["id"])
    own = make(cloud.admin, "role", name="own", domain_id=domain["id"])
    audit, look = make(cloud.admin, "role", name="audit"), make(cloud.admin, "role", name="look")
    assert cloud.admin.put(f"{V3}/roles/{own['id']}/implies/{audit['id']}").status == 201
    answer = cloud.admin.put(f"{V3}/roles/{audit['id']}/implies/{look['id']}")
    assert answer.json["role_inference"]["implies"]["name"] == "look"
    assert cloud.admin.put(f"{V3}/roles/{look['id']}/implies/{audit['id']}").status == 400, "no circles"
    assert cloud.admin.put(f"{V3}/roles/{look['id']}/implies/{own['id']}").status == 403
    assert cloud.admin.put(f"{V3}/roles/{look['id']}/implies/{cloud.id_of('roles', 'admin')}").status == 403
    assert cloud.admin("HEAD", f"{V3}/roles/{own['id']}/implies/{audit['id']}").status == 204
    place = f"{V3}/projects/{project['id']}/users/{ann['id']}/roles/{own['id']}"
    assert cloud.admin.put(place).status == 204
    token = sign(cloud, ann["id"], "pw", scope={"project": {"id": project["id"]}}).json["token"]
    assert {role["name"] for role in token["roles"]} == {"audit", "look"}
    assert cloud.admin.put(f"{V3}/projects/{cloud.id_of('projects', 'demo')}/users/{ann['id']}/roles/{own['id']}").status == 403
    found = cloud.admin.get(f"{V3}/role_assignments?user.id={ann['id']}&effective").json["role_assignments"]
    assert {one["role"]["id"] for one in found} == {audit["id"], look["id"]}
    assert all("prior_role" in one["links"] for one in found)
    inferences = cloud.admin.get(f"{V3}/role_inferences").json["role_inferences"]
    assert {one["prior_role"]["name"] for one in inferences} >= {"admin", "manager", "member", "own", "audit"}
    assert cloud.admin.delete(f"{V3}/roles/{own['id']}").status == 204
    assert cloud.admin.get(place).status == 404


def test_inherited_roles_reach_what_is_below(cloud):
    ann = make(cloud.admin, "user", name="ann", password="pw")
    top = make(cloud.admin, "project", name="top")
    leaf = make(cloud.admin, "project", name="leaf", parent_id=top["id"])
    member = cloud.id_of("roles", "member")
    path = f"{V3}/OS-INHERIT/projects/{top['id']}/users/{ann['id']}/roles/{member}/inherited_to_projects"
    assert cloud.admin.put(path).status == 204
    assert cloud.admin("HEAD", path).status == 204
    assert sign(cloud, ann["id"], "pw", scope={"project": {"id": top["id"]}}).status == 401
    assert sign(cloud, ann["id"], "pw", scope={"project": {"id": leaf["id"]}}).status == 201
    raw = cloud.admin.get(f"{V3}/role_assignments?user.id={ann['id']}").json["role_assignments"]
    assert [one["scope"] for one in raw] == [{"project": {"id": top["id"]}, "OS-INHERIT:inherited_to": "projects"}]
    tree = cloud.admin.get(f"{V3}/role_assignments?scope.project.id={top['id']}&include_subtree&effective&include_names").json
    (names,) = {(one["user"]["name"], one["scope"]["project"]["name"]) for one in tree["role_assignments"]}
    assert names == ("ann", "leaf")
    assert cloud.admin.delete(path).status == 204
    domain = f"{V3}/OS-INHERIT/domains/default/users/{ann['id']}/roles"
    assert cloud.admin.put(f"{domain}/{member}/inherited_to_projects").status == 204
    assert len(cloud.admin.get(f"{domain}/inherited_to_projects").json["roles"]) == 1
    assert sign(cloud, ann["id"], "pw", scope={"project": {"id": top["id"]}}).status == 201
    assert sign(cloud, ann["id"], "pw", scope={"domain": {"id": "default"}}).status == 401


def test_roles_on_the_system(cloud):
    ann = make(cloud.admin, "user", name="ann", password="pw")
    grant(cloud, "system", f"users/{ann['id']}", "reader")
    assert [one["name"] for one in cloud.admin.get(f"{V3}/system/users/{ann['id']}/roles").json["roles"]] == ["reader"]
    reader = client_of(cloud, ann["id"], "pw", scope={"system": {"all": True}})
    assert reader.get(f"{V3}/auth/system").json["system"] == [{"all": True}]
    for kind in ("users", "projects", "domains", "groups", "roles", "services", "endpoints", "policies", "role_assignments", "OS-REVOKE/events"):
        assert reader.get(f"{V3}/{kind}").status == 200, kind
    assert reader.get(f"{V3}/users/{cloud.id_of('users', 'demo')}").status == 200
    assert reader.get(f"{V3}/users/nobody").status == 404
    assert reader.post(f"{V3}/users", {"user": {"name": "x"}}).status == 403
    found = cloud.admin.get(f"{V3}/role_assignments?scope.system=all&user.id={ann['id']}").json["role_assignments"]
    assert found[0]["scope"] == {"system": {"all": True}}


def test_filters_that_cannot_go_together(cloud):
    for query in ("user.id=a&group.id=b", "scope.project.id=a&scope.domain.id=b", "include_subtree", "effective&group.id=a",
                  "scope.OS-INHERIT:inherited_to=x"):  # fmt: skip
        assert cloud.admin.get(f"{V3}/role_assignments?{query}").status == 400, query


def test_grants_of_what_is_not_there(cloud):
    demo, member = cloud.id_of("users", "demo"), cloud.id_of("roles", "member")
    project = cloud.id_of("projects", "demo")
    for path in (f"projects/x/users/{demo}/roles/{member}", f"projects/{project}/users/x/roles/{member}",
                 f"projects/{project}/users/{demo}/roles/x"):  # fmt: skip
        assert cloud.admin.put(f"{V3}/{path}").status == 404
        assert cloud.user.put(f"{V3}/{path}").status == 403
    reader = cloud.id_of("roles", "reader")
    assert cloud.admin.delete(f"{V3}/projects/{project}/users/{demo}/roles/{reader}").status == 404
    place = f"{V3}/projects/{project}/users/{demo}/roles"
    assert [one["name"] for one in cloud.admin.get(place).json["roles"]] == ["member"]
    assert cloud.admin.delete(f"{place}/{member}").status == 204
    cloud.signing.known._proofs.clear()
    assert cloud.user.get(f"{V3}/auth/projects").status == 401
