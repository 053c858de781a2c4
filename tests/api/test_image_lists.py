"""Images: lists, visibility, sharing."""

import pytest

from tests.api.images import active, create, patch


def names(client, query=""):
    answer = client.get(f"/image/v2/images?{query}")
    assert answer.status == 200, answer.body
    return sorted(image["name"] for image in answer.json["images"])


@pytest.fixture
def shelf(cloud):
    """Three images of the user's."""
    active(cloud.user, b"x" * 100, name="a", tags=["red", "big"], os_distro="debian", visibility="private")
    active(cloud.user, b"x" * 200, name="b, c", disk_format="ami", container_format="ami", tags=["red"], min_ram=64)
    create(cloud.user, name="d", protected=True, os_distro="fedora", visibility="community")
    return cloud


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["a", "b, c", "d"]),
        ("name=a", ["a"]),
        ('name=in:a,"b%2C c"', ["a", "b, c"]),
        ("status=active", ["a", "b, c"]),
        ("status=in:queued,saving", ["d"]),
        ("visibility=private", ["a"]),
        ("visibility=community", ["d"]),
        ("visibility=all", ["a", "b, c", "d"]),
        ("tag=red", ["a", "b, c"]),
        ("tag=red&tag=big", ["a"]),
        ("size_min=150", ["b, c"]),
        ("size_max=150", ["a"]),
        ("size=100", ["a"]),
        ("min_ram=64", ["b, c"]),
        ("disk_format=in:ami,iso", ["b, c"]),
        ("protected=true", ["d"]),
        ("os_distro=debian", ["a"]),
        ("os_distro=debian&status=queued", []),
        ("created_at=gte:2020-01-01T00:00:00Z", ["a", "b, c", "d"]),
        ("created_at=lt:2020-01-01T00:00:00Z", []),
        ("updated_at=gt:2020-01-01T00:00:00+01:00", ["a", "b, c", "d"]),
        ("os_hidden=true", []),
        ("owner=nobody", []),
    ],
)
def test_filters(shelf, query, found):
    assert names(shelf.user, query) == found


@pytest.mark.parametrize(
    "query",
    [
        "visibility=x", "size_min=x", "protected=x", "member_status=x", "created_at=gte:never", "sort_key=secret", "sort=name:up",
        "sort=name&sort_key=name", "limit=-1", "limit=x", "marker=none", 'name=in:"a', "limit=1&limit=2", "sort_dir=asc&sort_dir=desc&sort_key=id",
    ],
)  # fmt: skip
def test_what_a_list_refuses(shelf, query):
    assert shelf.user.get(f"/image/v2/images?{query}").status == 400


def test_order_and_pages(shelf):
    def order(query):
        return [image["name"] for image in shelf.user.get(f"/image/v2/images?{query}").json["images"]]

    assert order("sort=name:asc") == ["a", "b, c", "d"]
    assert order("sort_key=size&sort_dir=desc") == ["b, c", "a", "d"]
    assert order("sort_key=name") == ["d", "b, c", "a"]
    assert order("") == ["d", "b, c", "a"]
    seen, path = [], "/v2/images?limit=1&sort=name:asc"
    while path:
        answer = shelf.user.get("/image" + path).json
        assert answer["first"] == "/v2/images?limit=1&sort=name%3Aasc"
        seen += [image["name"] for image in answer["images"]]
        path = answer.get("next")
    assert seen == ["a", "b, c", "d"]


def test_hidden_images_are_listed_when_asked_for(cloud):
    image = create(cloud.user, os_hidden=True)
    assert names(cloud.user) == []
    assert names(cloud.user, "os_hidden=true") == ["one"]
    patch(cloud.user, image["id"], {"op": "replace", "path": "/os_hidden", "value": False})
    assert names(cloud.user) == ["one"]


def test_who_sees_what(cloud):
    other, project = cloud.other(), create(cloud.user)["owner"]
    ids = {kind: create(cloud.user, name=kind, visibility=kind)["id"] for kind in ("private", "shared", "community")}
    ids["public"] = create(cloud.admin, name="public", visibility="public", owner=project)["id"]
    assert names(other) == ["public"]
    assert names(other, "visibility=community") == ["community"]
    assert {kind for kind, id_ in ids.items() if other.get(f"/image/v2/images/{id_}").status == 200} == {"public", "community"}
    assert names(cloud.admin) == ["community", "one", "private", "public", "shared"]
    change = {"op": "replace", "path": "/name", "value": "mine"}
    assert [patch(other, ids[kind], change).status for kind in ("public", "private")] == [403, 404]
    assert [other.delete(f"/image/v2/images/{ids[kind]}").status for kind in ("public", "private")] == [403, 404]
    assert patch(cloud.user, ids["public"], change).status == 200


def test_readers_only_read(cloud):
    reader = cloud.other("reader", "reader")
    assert reader.get("/image/v2/images").status == 200
    assert reader.post("/image/v2/images", {}).status == 403
    assert cloud.anyone.get("/image/v2/images").status == 401


def test_sharing(cloud):
    other = cloud.other()
    image = create(cloud.user)
    mine = create(other, name="theirs")["owner"]
    path = f"/image/v2/images/{image['id']}/members"
    assert other.get(path).status == 404
    member = cloud.user.post(path, {"member": mine})
    assert (member.status, member.json["status"], member.json["member_id"], member.json["image_id"]) == (200, "pending", mine, image["id"])
    assert cloud.user.post(path, {"member": mine}).status == 409
    assert names(other) == ["theirs"]
    assert names(other, "visibility=shared&member_status=pending") == ["one", "theirs"]
    assert names(other, "visibility=shared&member_status=all&name=one") == ["one"]
    assert cloud.user.put(f"{path}/{mine}", {"status": "accepted"}).status == 403
    assert other.put(f"{path}/{mine}", {"status": "maybe"}).status == 400
    assert other.put(f"{path}/{mine}", {"status": "accepted"}).json["status"] == "accepted"
    assert names(other) == ["one", "theirs"]
    assert [one["member_id"] for one in other.get(path).json["members"]] == [mine]
    assert cloud.user.get(f"{path}/{mine}").json["status"] == "accepted"
    assert cloud.user.get(f"{path}/nobody").status == 404
    assert other.post(path, {"member": "third"}).status == 403
    assert other.delete(f"{path}/{mine}").status == 403
    cloud.user.post(path, {"member": "third"})
    assert [one["member_id"] for one in other.get(path).json["members"]] == [mine]
    assert other.get(f"{path}/third").status == 404
    assert len(cloud.user.get(path).json["members"]) == 2
    assert other.put(f"{path}/{mine}", {"status": "rejected"}).status == 200
    assert names(other) == ["theirs"]
    assert other.get(f"/image/v2/images/{image['id']}").status == 200
    assert cloud.user.delete(f"{path}/{mine}").status == 204
    assert cloud.user.delete(f"{path}/{mine}").status == 404
    assert other.get(f"/image/v2/images/{image['id']}").status == 404


def test_only_shared_images_have_members(cloud):
    image = create(cloud.user, visibility="private")
    path = f"/image/v2/images/{image['id']}/members"
    assert cloud.user.post(path, {"member": "x"}).status == 403
    assert cloud.user.get(path).status == 403


def test_admins_choose_owners(cloud):
    image = create(cloud.admin, owner="somebody")
    assert image["owner"] == "somebody"
    assert patch(cloud.admin, image["id"], {"op": "replace", "path": "/owner", "value": "another"}).json["owner"] == "another"


def test_versions_schemas_and_info(cloud):
    answer = cloud.anyone.get("/image")
    assert answer.status == 300
    assert [one["id"] for one in answer.json["versions"] if one["status"] == "CURRENT"] == ["v2.15"]
    assert cloud.anyone.get("/image/").json["versions"][0]["links"][0]["href"] == "http://cloud.test/image/v2/"
    assert cloud.anyone.get("/image/versions").status == 200
    for name in ("image", "images", "member", "members", "task", "tasks"):
        assert cloud.user.get(f"/image/v2/schemas/{name}").json["name"] == name
    assert cloud.user.get("/image/v2/schemas/metadef").status == 404
    assert cloud.user.get("/image/v2/info/import").json["import-methods"]["value"] == ["glance-direct", "web-download"]
    assert [one["id"] for one in cloud.user.get("/image/v2/info/stores").json["stores"]] == ["file"]
    assert cloud.user.get("/image/v2/info/stores/detail").status == 403
    assert cloud.admin.get("/image/v2/info/stores/detail").json["stores"][0]["type"] == "file"
    image = active(cloud.user)
    assert cloud.user.delete(f"/image/v2/stores/file/{image['id']}").status == 403
    assert cloud.user.delete(f"/image/v2/stores/other/{image['id']}").status == 404


def test_an_image_fits_its_schema(cloud):
    from jsonschema import validate

    image = active(cloud.user, own="x")
    validate(image, cloud.user.get("/image/v2/schemas/image").json)
    validate(cloud.user.get("/image/v2/images").json, cloud.user.get("/image/v2/schemas/images").json)
