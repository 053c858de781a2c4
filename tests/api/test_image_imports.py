"""Images: staging, importing, tasks, and what a crash leaves."""

import os
import time

import pytest
from sqlalchemy import update

from andromede.core.clock import now
from andromede.services.image import imports, reconcile, writing
from andromede.services.image.tables import image as image_table
from andromede.services.image.tables import task as task_table
from tests.api.images import active, create, descriptor, files, make, qcow2_header, show, until, upload, web


def begin(client, image_id, **method):
    return client.post(f"/image/v2/images/{image_id}/import", {"method": {"name": "glance-direct", **method}, "all_stores": True})


def staged(cloud, data, disk_format="raw", **more):
    image = create(cloud.user, disk_format, **more)
    assert upload(cloud.user, image["id"], data, "stage").status == 204
    assert show(cloud.user, image["id"])["status"] == "uploading"
    return image


def tasks(client, image_id):
    return client.get(f"/image/v2/images/{image_id}/tasks").json["tasks"]


@pytest.fixture
def open_cloud(cloud):
    """A cloud that may import from loopback."""
    cloud.parts.settings.image.import_allowed_hosts = ("127.0.0.1", "localhost")
    return cloud


def allow(cloud, port):
    cloud.parts.settings.image.import_allowed_ports = (80, 443, port)
    return f"http://127.0.0.1:{port}"


def test_staged_data_becomes_an_image(cloud):
    data = os.urandom(3_000_000)
    image = staged(cloud, data)
    assert cloud.user.get("/image/v2/info/usage").json["usage"]["image_stage_total"]["usage"] == 3
    assert upload(cloud.user, image["id"], b"again", "stage").status == 409
    answer = begin(cloud.user, image["id"])
    assert (answer.status, answer.body) == (202, b"")
    assert show(cloud.user, image["id"])["status"] == "importing"
    assert show(cloud.user, image["id"])["os_glance_importing_to_stores"] == "file"
    cloud.start()
    ready = until(cloud.user, image["id"], "active")
    cloud.settle()
    assert (ready["size"], ready["os_glance_failed_import"], ready["os_glance_importing_to_stores"]) == (3_000_000, "", "")
    assert cloud.user.get(f"/image/v2/images/{image['id']}/file").body == data
    assert len(files(cloud)) == 1
    (task,) = tasks(cloud.user, image["id"])
    assert (task["status"], task["type"], task["request_id"]) == ("success", "api_image_import", answer.headers["x-openstack-request-id"])
    assert task["input"]["import_req"]["method"]["name"] == "glance-direct"
    assert cloud.user.get(f"/image/v2/tasks/{task['id']}").json == task
    assert [one["id"] for one in cloud.user.get("/image/v2/tasks?status=success").json["tasks"]] == [task["id"]]
    assert cloud.other().get(f"/image/v2/tasks/{task['id']}").status == 404


def test_vmdk_vdi_vhd_and_vhdx_become_qcow2(cloud, tmp_path):
    cloud.start()
    options = {"vmdk": (), "vdi": (), "vpc": ("-o", "force_size=on"), "vhdx": ()}
    for kind, more in options.items():
        disk_format = {"vpc": "vhd"}.get(kind, kind)
        image = staged(cloud, make(tmp_path, kind, "10M", *more), disk_format)
        begin(cloud.user, image["id"])
        ready = until(cloud.user, image["id"], "active", "queued")
        assert (ready["status"], ready["disk_format"], ready["virtual_size"]) == ("active", "qcow2", 10 << 20), tasks(cloud.user, image["id"])
        data = cloud.user.get(f"/image/v2/images/{image['id']}/file").body
        assert data.startswith(b"QFI\xfb")
        assert len(data) == ready["size"]


def test_hostile_data_fails_the_import(cloud):
    cloud.start()
    for disk_format, data in (("vmdk", descriptor()), ("qcow2", qcow2_header(1 << 60)), ("raw", qcow2_header(1 << 20))):
        image = staged(cloud, data, disk_format)
        begin(cloud.user, image["id"])
        failed = until(cloud.user, image["id"], "queued")
        assert failed["os_glance_failed_import"] == "file"
        (task,) = tasks(cloud.user, image["id"])
        assert task["status"] == "failure"
        assert task["message"]
    cloud.settle()
    assert files(cloud) == []


def test_states_and_methods(cloud):
    image = create(cloud.user)
    assert begin(cloud.user, image["id"]).status == 409
    assert begin(cloud.user, image["id"], name="glance-download").status == 400
    assert begin(cloud.user, active(cloud.user)["id"], name="copy-image").status == 409
    assert begin(cloud.user, image["id"], name="web-download").status == 400
    answer = cloud.user.post(f"/image/v2/images/{image['id']}/import", {"method": {"name": "glance-direct"}, "stores": ["ceph"]})
    assert answer.status == 409
    bare = cloud.user.post("/image/v2/images", {}).json
    assert begin(cloud.user, bare["id"], name="web-download", uri="http://example.org/").status == 409
    assert begin(cloud.other(), image["id"]).status == 404


@pytest.mark.parametrize(
    "uri",
    [
        "ftp://example.org/", "file:///etc/passwd", "gopher://x/", "http://example.org:22/", "http://127.0.0.1/", "http://[::1]/",
        "http://169.254.169.254/latest", "http://10.0.0.1/", "http://[::ffff:10.0.0.1]/", "http://[fe80::1]/", "http://0.0.0.0/",
        "http://user:secret@example.org/", "http:///x", "nothing", "http://[::1", "http://a b/", "http://example.org:99999/",
    ],
)  # fmt: skip
def test_urls_that_are_refused_at_once(cloud, uri):
    answer = begin(cloud.user, create(cloud.user)["id"], name="web-download", uri=uri)
    assert (answer.status, "filtering" in answer.json["message"]) == (400, True)


def test_web_download(open_cloud):
    data = os.urandom(2_000_000)
    pages = {"/image": (302, {"Location": "/real?x=1"}, b""), "/real?x=1": (200, {}, data)}
    with web(pages) as port:
        image = create(open_cloud.user)
        assert begin(open_cloud.user, image["id"], name="web-download", uri=allow(open_cloud, port) + "/image").status == 202
        open_cloud.start()
        ready = until(open_cloud.user, image["id"], "active")
    assert ready["size"] == len(data)
    assert open_cloud.user.get(f"/image/v2/images/{image['id']}/file").body == data
    open_cloud.settle()


def test_downloads_that_fail(open_cloud):
    pages = {
        "/loop": (302, {"Location": "/loop"}, b""),
        "/inside": (302, {"Location": "http://169.254.169.254/"}, b""),
        "/file": (302, {"Location": "file:///etc/passwd"}, b""),
        "/packed": (200, {"Content-Encoding": "gzip"}, b"x"),
        "/short": (200, {"Content-Length": "10"}, b"x"),
        "/huge": (200, {"Content-Length": str(1 << 50)}, b""),
    }
    open_cloud.start()
    with web(pages) as port:
        url = allow(open_cloud, port)
        for path, word in {
            "/loop": "redirected", "/inside": "169.254.169.254", "/file": "http", "/packed": "compressed", "/short": "broke", "/huge": "larger",
            "/missing": "404",
        }.items():  # fmt: skip
            image = create(open_cloud.user)
            begin(open_cloud.user, image["id"], name="web-download", uri=url + path)
            until(open_cloud.user, image["id"], "queued")
            (task,) = tasks(open_cloud.user, image["id"])
            assert (task["status"], word in task["message"]) == ("failure", True), task
    open_cloud.settle()
    assert files(open_cloud) == []


def test_names_that_lead_inside_are_refused(cloud):
    cloud.start()
    for name in ("localhost", "does-not.exist"):
        image = create(cloud.user)
        assert begin(cloud.user, image["id"], name="web-download", uri=f"http://{name}/x").status == 202
        assert until(cloud.user, image["id"], "queued")["os_glance_failed_import"] == "file"
        assert name in tasks(cloud.user, image["id"])[0]["message"]


def test_a_failed_import_can_be_repeated(open_cloud):
    open_cloud.start()
    with web({"/good": (200, {}, b"data")}) as port:
        url, image = allow(open_cloud, port), create(open_cloud.user)
        for path, status in (("/bad", "queued"), ("/good", "active")):
            begin(open_cloud.user, image["id"], name="web-download", uri=url + path)
            ready = until(open_cloud.user, image["id"], status)
    assert (ready["os_glance_failed_import"], len(tasks(open_cloud.user, image["id"]))) == ("", 2)


def test_tasks_make_images_for_admins(open_cloud):
    given = {"image_properties": {"name": "made", "container_format": "bare"}, "import_from_format": "raw"}
    with web({"/good": (200, {}, b"data")}) as port:
        body = {"type": "import", "input": given | {"import_from": allow(open_cloud, port) + "/good"}}
        assert open_cloud.user.post("/image/v2/tasks", body).status == 403
        made = open_cloud.admin.post("/image/v2/tasks", body)
        assert (made.status, made.json["type"]) == (201, "import")
        assert until(open_cloud.admin, made.json["image_id"], "importing")["disk_format"] == "raw"
        open_cloud.start()
        until(open_cloud.admin, made.json["image_id"], "active")
    done = open_cloud.admin.get(f"/image/v2/tasks/{made.json['id']}").json
    assert (done["status"], done["result"]) == ("success", {"image_id": made.json["image_id"]})
    assert open_cloud.admin.post("/image/v2/tasks", {"type": "export", "input": {}}).status == 400
    assert open_cloud.admin.post("/image/v2/tasks", {"type": "import", "input": {}}).status == 400
    assert open_cloud.admin.get("/image/v2/tasks/none").status == 404


def test_deleting_while_importing(cloud):
    image = staged(cloud, b"data")
    begin(cloud.user, image["id"])
    (task,) = tasks(cloud.user, image["id"])
    assert cloud.user.delete(f"/image/v2/images/{image['id']}").status == 204
    cloud.settle()
    assert files(cloud) == []
    assert cloud.user.get(f"/image/v2/tasks/{task['id']}").json["status"] == "failure"


# crashes


def die(cloud, image_id):
    """Make whoever holds the image look dead."""
    old = now() - 2 * writing.DEAD
    cloud.database.run(lambda db: db.execute(update(image_table).where(image_table.c.id == image_id).values(beat=old)))


def test_an_upload_that_died_is_ended_and_its_file_removed(cloud):
    image = create(cloud.user)
    token = cloud.database.run(lambda db: writing.seize(db, image["id"], status="saving", before=("queued",)))
    cloud.images.write(image["id"], token).add(b"half")
    assert reconcile.run(cloud.parts, age=0) == ""
    assert len(files(cloud)) == 1
    die(cloud, image["id"])
    assert reconcile.run(cloud.parts, age=-1) == "1 uploads ended, 1 files removed"
    assert show(cloud.user, image["id"])["status"] == "queued"
    assert files(cloud) == []
    assert reconcile.run(cloud.parts, age=-1) == ""


def test_an_import_whose_process_died_begins_again(cloud):
    image = staged(cloud, b"data")
    begin(cloud.user, image["id"])
    token = cloud.database.run(lambda db: writing.seize(db, image["id"], status="importing", before=("importing",)))
    os.link(next(cloud.images.folder.glob("stage/*")), cloud.images.scratch(image["id"], token))
    die(cloud, image["id"])
    cloud.start()
    until(cloud.user, image["id"], "active")
    cloud.settle()
    reconcile.run(cloud.parts, age=-1)
    assert len(files(cloud)) == 1
    assert [task["status"] for task in tasks(cloud.user, image["id"])] == ["success"]


def test_an_import_without_an_operation_is_ended(cloud):
    image = staged(cloud, b"data")
    begin(cloud.user, image["id"])
    cloud.database.run(lambda db: cloud.parts.operations.cancel(db, image["id"]))
    cloud.settle()
    assert show(cloud.user, image["id"])["status"] == "queued"
    assert tasks(cloud.user, image["id"])[0]["status"] == "failure"
    reconcile.run(cloud.parts, age=-1)
    assert files(cloud) == []


def test_old_tasks_are_forgotten(cloud):
    image = staged(cloud, b"data")
    begin(cloud.user, image["id"])
    cloud.settle()
    cloud.database.run(lambda db: db.execute(update(task_table).values(expires_at=now() - writing.DEAD)))
    assert reconcile.run(cloud.parts) == "1 tasks forgotten"
    assert tasks(cloud.user, image["id"]) == []


def test_jobs_end(cloud):
    image = staged(cloud, b"data")
    begin(cloud.user, image["id"])
    cloud.settle()
    time.sleep(0.1)
    assert not imports.JOBS.running(image["id"])
