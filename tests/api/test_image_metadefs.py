"""Metadata definitions: namespaces, what is in them, who sees them."""

import pytest

M = "/image/v2/metadefs"
N = f"{M}/namespaces"


def ok(answer, status=200):
    assert answer.status == status, answer
    return answer.json if answer.body else None


@pytest.fixture
def namespace(cloud):
    types = [{"name": "OS::Glance::Image", "prefix": "hw_"}]
    facts = {"namespace": "OS::Test", "display_name": "Test", "visibility": "public", "resource_type_associations": types}
    return ok(cloud.admin.post(N, facts), 201)


def test_a_namespace_is_made_shown_changed_and_deleted(cloud, namespace):
    assert namespace["self"] == "/v2/metadefs/namespaces/OS::Test"
    assert (namespace["visibility"], namespace["protected"]) == ("public", False)
    assert namespace["resource_type_associations"][0]["prefix"] == "hw_"
    assert cloud.admin.post(N, {"namespace": "OS::Test"}).status == 409
    assert cloud.user.post(N, {"namespace": "mine"}).status == 403
    changed = ok(cloud.admin.put(f"{N}/OS::Test", {"namespace": "OS::Other", "visibility": "private", "protected": True}))
    assert (changed["visibility"], changed["protected"], "display_name" in changed) == ("private", True, False)
    assert cloud.admin.get(f"{N}/OS::Test").status == 404
    assert cloud.admin.delete(f"{N}/OS::Other").status == 403
    ok(cloud.admin.put(f"{N}/OS::Other", {"namespace": "OS::Other"}))
    ok(cloud.admin.delete(f"{N}/OS::Other"), 204)
    assert cloud.admin.get(f"{N}/OS::Other").status == 404


def test_private_namespaces_are_their_projects_alone(cloud, namespace):
    project = cloud.user.get("/identity/v3/auth/tokens", headers={"x-subject-token": cloud.user.token}).json["token"]["project"]["id"]
    ok(cloud.admin.post(N, {"namespace": "hidden"}), 201)
    ok(cloud.admin.post(N, {"namespace": "theirs", "owner": project}), 201)
    seen = ok(cloud.user.get(N))
    assert {one["namespace"] for one in seen["namespaces"]} == {"OS::Test", "theirs"}
    assert cloud.user.get(f"{N}/hidden").status == 404
    assert [one["namespace"] for one in ok(cloud.user.get(f"{N}?visibility=private"))["namespaces"]] == ["theirs"]
    assert [one["namespace"] for one in ok(cloud.user.get(f"{N}?resource_types=OS::Glance::Image"))["namespaces"]] == ["OS::Test"]
    first = ok(cloud.admin.get(f"{N}?limit=2&sort_key=namespace&sort_dir=asc"))
    assert [one["namespace"] for one in first["namespaces"]] == ["OS::Test", "hidden"]
    assert [one["namespace"] for one in ok(cloud.admin.get(f"/image{first['next']}"))["namespaces"]] == ["theirs"]


def test_properties_objects_and_tags(cloud, namespace):
    base = f"{N}/OS::Test"
    facts = {"name": "cpus", "title": "CPUs", "type": "integer", "minimum": 1, "operators": ["<or>"]}
    assert ok(cloud.admin.post(f"{base}/properties", facts), 201) == facts
    assert cloud.admin.post(f"{base}/properties", facts).status == 409
    assert "type" in cloud.admin.post(f"{base}/properties", facts | {"name": "x", "type": "nothing"}).json["message"]
    assert ok(cloud.user.get(f"{base}/properties/hw_cpus?resource_type=OS::Glance::Image"))["name"] == "hw_cpus"
    ok(cloud.admin.put(f"{base}/properties/cpus", facts | {"name": "cores"}))
    assert list(ok(cloud.user.get(f"{base}/properties"))["properties"]) == ["cores"]
    thing = ok(cloud.admin.post(f"{base}/objects", {"name": "o", "properties": {"a": {"title": "A", "type": "string"}}}), 201)
    assert thing["required"] == []
    assert thing["properties"]["a"]["title"] == "A"
    assert ok(cloud.admin.put(f"{base}/objects/o", {"name": "p"}))["self"].endswith("/objects/p")
    assert [one["name"] for one in ok(cloud.user.get(f"{base}/objects"))["objects"]] == ["p"]
    ok(cloud.admin.post(f"{base}/tags", {"tags": [{"name": "b"}, {"name": "a"}]}), 201)
    ok(cloud.admin.post(f"{base}/tags/c"), 201)
    assert cloud.admin.post(f"{base}/tags/c").status == 409
    ok(cloud.admin.put(f"{base}/tags/c", {"name": "d"}))
    assert [one["name"] for one in ok(cloud.user.get(f"{base}/tags?marker=a"))["tags"]] == ["b", "d"]
    whole = ok(cloud.user.get(base))
    assert ([one["name"] for one in whole["tags"]], list(whole["properties"])) == (["a", "b", "d"], ["cores"])
    assert whole["objects"][0]["name"] == "p"
    ok(cloud.admin.post(f"{base}/tags", {"tags": [{"name": "e"}]}, headers={"x-openstack-append": "true"}), 201)
    ok(cloud.admin.post(f"{base}/tags", {"tags": [{"name": "e"}]}), 201)
    assert ok(cloud.user.get(f"{base}/tags"))["tags"] == [{"name": "e"}]
    for path in ("tags/e", "objects/p", "properties/cores", "resource_types/OS::Glance::Image"):
        assert cloud.user.delete(f"{base}/{path}").status == 403
        ok(cloud.admin.delete(f"{base}/{path}"), 204)
        assert cloud.admin.delete(f"{base}/{path}").status == 404
    for kind in ("tags", "objects", "properties"):
        ok(cloud.admin.delete(f"{base}/{kind}"), 204)


def test_kinds_of_resources_and_schemas(cloud, namespace):
    ok(cloud.admin.post(f"{N}/OS::Test/resource_types", {"name": "OS::Own::Thing"}), 201)
    assert "OS::Own::Thing" in [one["name"] for one in ok(cloud.user.get(f"{M}/resource_types"))["resource_types"]]
    named = ok(cloud.user.get(f"{N}/OS::Test/resource_types"))["resource_type_associations"]
    assert [one["name"] for one in named] == ["OS::Glance::Image", "OS::Own::Thing"]
    assert ok(cloud.user.get("/image/v2/schemas/metadefs/resource_type"))["name"] == "resource_type_association"
    assert cloud.user.get("/image/v2/schemas/metadefs/nothing").status == 404


def test_a_namespace_fits_its_schema(cloud, namespace):
    from jsonschema import validate

    ok(cloud.admin.post(f"{N}/OS::Test/tags/t"), 201)
    validate(ok(cloud.user.get(f"{N}/OS::Test")), ok(cloud.user.get("/image/v2/schemas/metadefs/namespace")))
    validate(ok(cloud.user.get(N)), ok(cloud.user.get("/image/v2/schemas/metadefs/namespaces")))
