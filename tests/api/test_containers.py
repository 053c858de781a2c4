"""The life of servers that are containers, through the API: images of them, shelving, and moving while they are off; what they are refused."""

import pytest

from tests.api.test_server_life import IMAGES, another, guest
from tests.api.test_server_moves import down, other, place, two  # noqa: F401 - a fixture
from tests.api.test_servers import V, act, new, show


@pytest.fixture
def boxes(ready):
    """A cloud with an image of containers."""
    ready.image = another(ready, container_format="docker", hypervisor_type="lxc")
    return ready


def test_an_image_of_a_container_makes_containers(boxes):
    id_ = new(boxes)["id"]
    assert guest(boxes, id_).hypervisor == "lxc"
    made = act(boxes, id_, "createImage", {"name": "copy"}, version="2.45").json["image_id"]
    shown = boxes.user.get(f"{IMAGES}/{made}").json
    facts = ("status", "disk_format", "container_format", "hypervisor_type", "min_disk", "image_type")
    assert tuple(shown[name] for name in facts) == ("active", "raw", "docker", "lxc", 1, "snapshot")
    act(boxes, id_, "rebuild", {"imageRef": made})
    assert show(boxes, id_)["image"]["id"] == made
    assert guest(boxes, id_).hypervisor == "lxc"
    boxes.image = made
    assert guest(boxes, new(boxes, name="second")["id"]).hypervisor == "lxc"
    act(boxes, id_, "createBackup", {"name": "b", "backup_type": "daily", "rotation": 1})
    (backup,) = boxes.user.get(f"{IMAGES}?name=b").json["images"]
    assert (backup["status"], backup["container_format"]) == ("active", "docker")


def test_a_container_is_shelved_and_comes_back(boxes):
    id_ = new(boxes, name="box")["id"]
    act(boxes, id_, "shelve")
    shown = show(boxes, id_)
    assert shown["status"] == "SHELVED_OFFLOADED"
    (kept,) = boxes.user.get(f"{IMAGES}?name=box-shelved").json["images"]
    assert kept["container_format"] == "docker"
    act(boxes, id_, "unshelve")
    assert show(boxes, id_)["status"] == "ACTIVE"
    found = guest(boxes, id_)
    assert (found.hypervisor, found.disks[0].base_format, found.disks[0].base.endswith(kept["id"])) == ("lxc", "raw", True)
    assert boxes.user.get(f"{IMAGES}?name=box-shelved").json["images"] == []


def test_what_containers_cannot_do_is_refused(boxes):
    id_ = new(boxes)["id"]
    live = {"host": None, "block_migration": "auto"}
    for action, body, word in (("suspend", None, "paused"), ("rescue", {}, "rescued"), ("os-migrateLive", live, "off")):
        answer = act(boxes, id_, action, body, client=boxes.admin, status=409, version="2.30")
        assert "is a container" in answer.json["conflictingRequest"]["message"]
        assert word in answer.json["conflictingRequest"]["message"]


@pytest.mark.parametrize("revert", [False, True])
def test_a_container_is_moved_while_it_is_off(two, revert):  # noqa: F811
    two.image = another(two, container_format="docker", hypervisor_type="lxc")
    id_ = new(two)["id"]
    before = place(two, id_)
    act(two, id_, "migrate", client=two.admin)
    assert (show(two, id_)["status"], place(two, id_)) == ("VERIFY_RESIZE", other(before))
    found = guest(two, id_, other(before))
    (migration,) = two.admin.get("/compute/v2.1/os-migrations", headers={V: "compute 2.59"}).json["migrations"]
    assert (found.hypervisor, found.disks[0].base_format) == ("lxc", "raw")
    assert found.disks[0].base.endswith(migration["uuid"])
    act(two, id_, "revertResize" if revert else "confirmResize", status=202 if revert else 204)
    assert (show(two, id_)["status"], place(two, id_)) == ("ACTIVE", before if revert else other(before))


def test_a_container_is_evacuated(two):  # noqa: F811
    two.image = another(two, container_format="docker", hypervisor_type="lxc")
    id_ = new(two)["id"]
    before = place(two, id_)
    down(two, before)
    act(two, id_, "evacuate", {}, client=two.admin, status=200)
    assert (place(two, id_), show(two, id_)["status"]) == (other(before), "ACTIVE")
    assert guest(two, id_, other(before)).hypervisor == "lxc"
