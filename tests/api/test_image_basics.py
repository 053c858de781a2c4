"""Images: registering, uploading, reading, changing, deleting."""

import asyncio
import hashlib
import os
import threading

import msgspec
import pytest

from andromede.core.context import Context
from andromede.core.errors import BadRequest, NotFound
from andromede.services.image import service
from tests.api.images import (
    OCTETS,
    PATCH,
    active,
    create,
    descriptor,
    files,
    make,
    patch,
    qcow2_header,
    show,
    upload,
    with_backing,
)


def test_registered_uploaded_shown_and_downloaded(cloud):
    image = create(cloud.user, visibility="private", ramdisk_id="00000000-1111-2222-3333-444455556666", os_distro="debian")
    assert (image["status"], image["size"], image["checksum"], image["os_hash_algo"]) == ("queued", None, None, None)
    assert (image["ramdisk_id"], image["os_distro"], image["visibility"]) == ("00000000-1111-2222-3333-444455556666", "debian", "private")
    empty = cloud.user.get(f"/image/v2/images/{image['id']}/file")
    assert (empty.status, empty.body) == (204, b"")
    data = os.urandom(3_000_000)
    assert upload(cloud.user, image["id"], data).status == 204
    shown = show(cloud.user, image["id"])
    assert (shown["status"], shown["size"], shown["stores"]) == ("active", len(data), "file")
    assert shown["checksum"] == hashlib.md5(data).hexdigest()
    assert shown["os_hash_value"] == hashlib.sha512(data).hexdigest()
    assert (shown["os_hash_algo"], shown["virtual_size"]) == ("sha512", None)
    answer = cloud.user.get(f"/image/v2/images/{image['id']}/file")
    assert (answer.status, answer.body == data) == (200, True)
    assert answer.headers["content-md5"] == shown["checksum"]
    assert answer.headers["content-type"] == "application/octet-stream"
    head = cloud.user("HEAD", f"/image/v2/images/{image['id']}/file")
    assert (head.status, head.headers["content-length"], head.body) == (200, str(len(data)), b"")


def test_create_tells_where_and_how_to_go_on(cloud):
    answer = cloud.user.post("/image/v2/images", {"name": "one"})
    assert answer.status == 201
    assert answer.headers["location"] == f"http://cloud.test/image/v2/images/{answer.json['id']}"
    assert answer.headers["openstack-image-import-methods"] == "glance-direct,web-download"
    assert answer.headers["openstack-image-store-ids"] == "file"
    assert answer.json["visibility"] == "shared"
    assert answer.json["self"] == f"/v2/images/{answer.json['id']}"


@pytest.mark.parametrize(
    ("given", "status", "word"),
    [
        ({"disk_format": "wrong"}, 400, "disk_format"),
        ({"container_format": "wrong", "disk_format": "vhd"}, 400, "container_format"),
        ({"visibility": "wrong"}, 400, "visibility"),
        ({"min_disk": -1}, 400, "min_disk"),
        ({"name": "x" * 256}, 400, "name"),
        ({"tags": "no list"}, 400, "tags"),
        ({"id": "no-uuid"}, 400, "id"),
        ({"kernel_id": "no-uuid"}, 400, "kernel_id"),
        ({"own": 5}, 400, "own"),
        ({"os_glance_foo": "bar"}, 403, "os_glance_foo"),
        ({"status": "active"}, 403, "status"),
        ({"deleted": "1"}, 403, "deleted"),
        ({"owner": "somebody"}, 403, "somebody"),
        ({"visibility": "public"}, 403, "publicize_image"),
        ({"tags": [str(number) for number in range(129)]}, 413, "tags"),
        ({f"p{number}": "x" for number in range(129)}, 413, "properties"),
    ],
)
def test_what_create_refuses(cloud, given, status, word):
    answer = cloud.user.post("/image/v2/images", given)
    assert (answer.status, word in answer.json["message"]) == (status, True), answer.json


def test_an_id_of_ones_own_is_taken_once(cloud):
    one = {"id": "11111111-2222-3333-4444-555555555555"}
    assert cloud.user.post("/image/v2/images", one).json["id"] == one["id"]
    assert cloud.user.post("/image/v2/images", one).status == 409


def test_ranges(cloud):
    data = bytes(range(256)) * 10000
    path = f"/image/v2/images/{active(cloud.user, data)['id']}/file"

    def ask(text):
        return cloud.user.get(path, headers={"range": text})

    answer = ask("bytes=10-19")
    assert (answer.status, answer.body) == (206, data[10:20])
    assert answer.headers["content-range"] == f"bytes 10-19/{len(data)}"
    assert "content-md5" not in answer.headers
    assert ask("bytes=2559990-").body == data[-10:]
    assert ask("bytes=-5").body == data[-5:]
    assert ask("bytes=0-99999999").body == data
    assert [ask(text).status for text in ("bytes=2560000-", "bytes=9-3", "bytes=-", "bytes=0-1,4-5", "bytes=x")] == [416] * 5
    assert ask("lines=1-2").status == 200


def test_a_patch_changes_attributes_properties_and_tags(cloud):
    image = create(cloud.user, tags=["a"], own="x", other="y")
    answer = patch(
        cloud.user, image["id"], {"op": "replace", "path": "/name", "value": "two"}, {"op": "add", "path": "/new~1one", "value": "n"},
        {"op": "replace", "path": "/own", "value": "z"}, {"op": "remove", "path": "/other"}, {"op": "add", "path": "/tags/1", "value": "b"},
        {"op": "replace", "path": "/min_ram", "value": 64}, {"op": "add", "path": "/protected", "value": True},
    )  # fmt: skip
    assert answer.status == 200, answer.body
    told = answer.json
    assert (told["name"], told["new/one"], told["own"], told["tags"], told["min_ram"]) == ("two", "n", "z", ["a", "b"], 64)
    assert "other" not in told
    assert show(cloud.user, image["id"]) == told
    old = [{"replace": "/name", "value": "three"}, {"remove": "/own"}]
    media = {"content-type": "application/openstack-images-v2.0-json-patch"}
    assert cloud.user.patch(f"/image/v2/images/{image['id']}", old, headers=media).json["name"] == "three"


@pytest.mark.parametrize(
    ("operation", "status"),
    [
        ({"op": "replace", "path": "/status", "value": "active"}, 403),
        ({"op": "replace", "path": "/id", "value": "x"}, 403),
        ({"op": "remove", "path": "/name"}, 403),
        ({"op": "add", "path": "/os_glance_foo", "value": "x"}, 403),
        ({"op": "replace", "path": "/locations", "value": []}, 403),
        ({"op": "replace", "path": "/visibility", "value": "public"}, 403),
        ({"op": "replace", "path": "/owner", "value": "other"}, 403),
        ({"op": "replace", "path": "/missing", "value": "x"}, 409),
        ({"op": "remove", "path": "/missing"}, 409),
        ({"op": "add", "path": "/a/b", "value": "x"}, 400),
        ({"op": "add", "path": "name", "value": "x"}, 400),
        ({"op": "add", "path": "/number", "value": 5}, 400),
        ({"op": "add", "path": "/name"}, 400),
        ({"op": "move", "path": "/name", "value": "x"}, 400),
        ({"op": "add", "path": "/tags/7", "value": "x"}, 400),
        ({"op": "replace", "path": "/min_disk", "value": "x"}, 400),
        ({"op": "replace", "path": "/disk_format", "value": "x"}, 400),
    ],
)
def test_what_a_patch_refuses(cloud, operation, status):
    image = create(cloud.user)
    answer = patch(cloud.user, image["id"], operation)
    assert answer.status == status, answer.body
    assert show(cloud.user, image["id"]) == image


def test_a_patch_needs_its_content_type_and_a_list(cloud):
    path = f"/image/v2/images/{create(cloud.user)['id']}"
    assert cloud.user.patch(path, []).status == 415
    assert cloud.user.patch(path, {}, headers=PATCH).status == 400


def test_formats_change_only_while_queued(cloud):
    image = create(cloud.user)
    assert patch(cloud.user, image["id"], {"op": "replace", "path": "/disk_format", "value": "iso"}).json["disk_format"] == "iso"
    ready = active(cloud.user)
    assert patch(cloud.user, ready["id"], {"op": "replace", "path": "/disk_format", "value": "iso"}).status == 403


def test_delete_removes_the_file_and_hard_links_stay(cloud, tmp_path):
    image = active(cloud.user, b"kept")
    (name,) = files(cloud)
    (tmp_path / "held").hardlink_to(cloud.images.folder / "data" / name)
    assert cloud.user.delete(f"/image/v2/images/{image['id']}").status == 204
    assert files(cloud) == []
    assert (tmp_path / "held").read_bytes() == b"kept"
    assert cloud.user.get(f"/image/v2/images/{image['id']}").status == 404
    assert cloud.user.delete(f"/image/v2/images/{image['id']}").status == 404


def test_protected_images_stay(cloud):
    image = create(cloud.user, protected=True)
    assert cloud.user.delete(f"/image/v2/images/{image['id']}").status == 403
    patch(cloud.user, image["id"], {"op": "replace", "path": "/protected", "value": False})
    assert cloud.user.delete(f"/image/v2/images/{image['id']}").status == 204


def test_deactivated_images_are_not_read(cloud):
    image = active(cloud.user, b"data")
    path = f"/image/v2/images/{image['id']}"
    assert cloud.user.post(path + "/actions/deactivate").status == 204
    assert show(cloud.user, image["id"])["status"] == "deactivated"
    assert cloud.user.get(path + "/file").status == 403
    assert cloud.admin.get(path + "/file").body == b"data"
    assert cloud.user.post(path + "/actions/reactivate").status == 204
    assert cloud.user.get(path + "/file").body == b"data"
    queued = create(cloud.user)
    assert cloud.user.post(f"/image/v2/images/{queued['id']}/actions/deactivate").status == 403


def test_tags(cloud):
    image = create(cloud.user)
    path = f"/image/v2/images/{image['id']}/tags/"
    assert cloud.user.put(path + "one").status == 204
    assert cloud.user.put(path + "one").status == 204
    assert show(cloud.user, image["id"])["tags"] == ["one"]
    assert cloud.user.delete(path + "one").status == 204
    assert cloud.user.delete(path + "one").status == 404
    assert cloud.user.put(path + "x" * 256).status == 400


# uploads that fail


def test_an_upload_needs_formats_and_a_queued_image(cloud):
    bare = cloud.user.post("/image/v2/images", {"name": "one"}).json
    assert upload(cloud.user, bare["id"], b"x").status == 400
    assert upload(cloud.user, active(cloud.user)["id"], b"x").status == 409


def test_data_of_another_format_leaves_the_image_queued_without_a_file(cloud, tmp_path):
    hostile = {
        "backing": ("qcow2", with_backing(tmp_path)), "lie": ("raw", make(tmp_path, "qcow2")), "text": ("vmdk", descriptor()),
        "bomb": ("qcow2", qcow2_header(1 << 60)), "noise": ("qcow2", os.urandom(5000)), "hidden": ("raw", b"QFI\xfb"),
    }  # fmt: skip
    for name, (disk_format, data) in hostile.items():
        image = create(cloud.user, disk_format)
        answer = upload(cloud.user, image["id"], data)
        assert (name, answer.status) == (name, 400)
        assert show(cloud.user, image["id"])["status"] == "queued"
        assert files(cloud) == []


def test_a_real_qcow2_has_a_virtual_size(cloud, tmp_path):
    image = active(cloud.user, make(tmp_path, "qcow2"), "qcow2")
    assert image["virtual_size"] == 10 << 20


def test_a_broken_upload_leaves_nothing(cloud):
    image = create(cloud.user)
    pending = [
        {"type": "http.request", "body": b"x" * 2_000_000, "more_body": True},
        {"type": "http.disconnect"},
    ]
    assert _stream(cloud, image["id"], pending) == 400
    assert show(cloud.user, image["id"])["status"] == "queued"
    assert files(cloud) == []
    assert upload(cloud.user, image["id"], b"again").status == 204


def _stream(cloud, image_id, pending, seen=None):
    status = []
    headers = {"x-auth-token": cloud.user.token, **OCTETS}
    scope = {
        "type": "http", "method": "PUT", "path": f"/image/v2/images/{image_id}/file", "query_string": b"", "client": ("127.0.0.1", 1),
        "headers": [(key.encode(), value.encode()) for key, value in headers.items()],
    }  # fmt: skip

    async def receive():
        if seen is not None:
            await asyncio.to_thread(seen)
        return pending.pop(0)

    async def send(message):
        status.append(message.get("status"))

    asyncio.run(cloud.app(scope, receive, send))
    return status[0]


def test_one_upload_at_a_time(cloud):
    image = create(cloud.user)
    began, go = threading.Event(), threading.Event()
    pending = [{"type": "http.request", "body": b"first", "more_body": False}]

    def hold():
        began.set()
        go.wait(10)

    first = []
    thread = threading.Thread(target=lambda: first.append(_stream(cloud, image["id"], pending, hold)))
    thread.start()
    began.wait(10)
    assert show(cloud.user, image["id"])["status"] == "saving"
    assert upload(cloud.user, image["id"], b"second").status == 409
    assert cloud.user.get("/image/v2/info/usage").json["usage"]["image_count_uploading"]["usage"] == 1
    go.set()
    thread.join(10)
    assert first == [204]
    assert cloud.user.get(f"/image/v2/images/{image['id']}/file").body == b"first"


def test_an_image_deleted_while_it_comes_in_is_gone(cloud):
    image = create(cloud.user)
    pending = [{"type": "http.request", "body": b"first", "more_body": False}]
    assert _stream(cloud, image["id"], pending, lambda: cloud.user.delete(f"/image/v2/images/{image['id']}")) == 410
    assert files(cloud) == []


def test_sizes(cloud):
    image = create(cloud.user)
    assert upload(cloud.user, image["id"], b"abc", **{"x-openstack-image-size": "4"}).status == 400
    assert upload(cloud.user, image["id"], b"abc", **{"x-openstack-image-size": str(1 << 50)}).status == 413
    assert upload(cloud.user, image["id"], b"abc", **{"x-openstack-image-size": "-4"}).status == 400
    cloud.parts.settings.image.size_limit_gib = 0
    assert upload(cloud.user, image["id"], b"abc", **{"content-length": "0"}).status == 413
    assert show(cloud.user, image["id"])["status"] == "queued"
    assert files(cloud) == []


def test_quotas(cloud):
    from andromede.services.quota import service as quota

    project = create(cloud.user)["owner"]

    def allow(**values):
        cloud.database.run(lambda db: quota.change(db, project, values))

    allow(image_count_total=1)
    answer = cloud.user.post("/image/v2/images", {})
    assert (answer.status, "image_count_total" in answer.json["message"]) == (413, True)
    allow(image_count_total=9, image_size_total=1)
    image = create(cloud.user)
    assert upload(cloud.user, image["id"], b"x" * (1 << 21)).status == 413
    assert upload(cloud.user, image["id"], b"x" * (1 << 21), **{"content-length": "5"}).status == 413
    assert (show(cloud.user, image["id"])["status"], files(cloud)) == ("queued", [])
    assert upload(cloud.user, image["id"], b"x").status == 204
    usage = cloud.user.get("/image/v2/info/usage").json["usage"]
    assert usage["image_size_total"] == {"usage": 1, "limit": 1}
    assert usage["image_count_total"] == {"usage": 2, "limit": 9}
    allow(image_count_uploading=0)
    assert upload(cloud.user, create(cloud.user)["id"], b"x").status == 413


# what Compute sees


def _bootable(cloud, client, image_id):
    caller = cloud.signing.known.identify(client.token)
    caller = getattr(caller, "caller", caller)
    with cloud.database.read() as db:
        return service.bootable(Context(request_id="req-1", caller=caller, parts=cloud.parts).bind(db), image_id)


def test_bootable(cloud, tmp_path):
    image = active(cloud.user, make(tmp_path, "qcow2"), "qcow2", min_ram=64, hw_disk_bus="virtio", name=None)
    found = _bootable(cloud, cloud.user, image["id"])
    assert (found.format, found.size, found.virtual_size, found.min_ram, found.name) == ("qcow2", image["size"], 10 << 20, 64, "")
    assert found.properties == {"hw_disk_bus": "virtio"}
    with open(found.path, "rb") as file:  # noqa: PTH123
        assert len(file.read()) == image["size"]
    assert _bootable(cloud, cloud.user, create(cloud.user)["id"]).path == ""
    with pytest.raises(NotFound):
        _bootable(cloud, cloud.other(), image["id"])
    vmdk = active(cloud.user, make(tmp_path, "vmdk"), "vmdk")
    with pytest.raises(BadRequest, match="import"):
        _bootable(cloud, cloud.user, vmdk["id"])


def test_kernel_and_ramdisk(cloud):
    kernel = active(cloud.user, b"MZ kernel", "aki", container_format="aki")
    ramdisk = active(cloud.user, b"ramdisk", "ari", container_format="ari")
    image = active(cloud.user, b"disk", "ami", container_format="ami", kernel_id=kernel["id"], ramdisk_id=ramdisk["id"])
    found = _bootable(cloud, cloud.user, image["id"])
    assert found.format == "raw"
    assert (found.kernel["id"], found.kernel["format"], found.kernel["size"]) == (kernel["id"], "raw", 9)
    assert (found.ramdisk["id"], found.ramdisk["size"]) == (ramdisk["id"], 7)
    cloud.user.delete(f"/image/v2/images/{kernel['id']}")
    with pytest.raises(BadRequest, match="kernel"):
        _bootable(cloud, cloud.user, image["id"])
    assert msgspec.to_builtins(found)["kernel"]["id"] == kernel["id"]
