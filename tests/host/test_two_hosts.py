"""A cloud with two real hosts on this machine: each with an agent, a switch and a hypervisor of its own, and a tunnel between them."""

import select
import subprocess

import pytest

from tests.host.test_cloud import address, bonjour, reachable
from tests.host.test_containers import container, floating
from tests.host.test_containers import says as says_in
from tests.host.test_server_life import act, ready, run, wait
from tests.host.test_volumes import attach, disks, volume
from tests.host.test_volumes import ready as available
from tests.real import RealCloud
from tests.waiting import until


@pytest.fixture(scope="module")
def two():
    """A real cloud with a second host, `two`; its first server runs on the first."""
    cloud = RealCloud(public="172.24.6.0/24")
    try:
        cloud.cli("up")
        cloud.cli("host", "add", "two", "--at", str(cloud.folder / "two"))
        yield cloud
    finally:
        cloud.destroy()


def test_both_hosts_serve_and_are_listed(two):
    assert two.home.host in two.cli("host", "list").stdout
    hypervisors = two.admin.get("/compute/v2.1/os-hypervisors/detail")["hypervisors"]
    assert {one["hypervisor_hostname"]: one["state"] for one in hypervisors} == {two.home.host: "up", "two": "up"}
    said = two.cli("host", "add", "two", "--at", str(two.folder / "other"), check=False).stderr
    assert "There is a host two already." in said


def place(cloud):
    return cloud.admin.get(f"/compute/v2.1/servers/{bonjour(cloud)['id']}")["server"]["OS-EXT-SRV-ATTR:host"]


def live(cloud, target=None, **more):
    return act(cloud, "os-migrateLive", {"host": target, "block_migration": "auto"}, client=cloud.admin, version="2.30", **more)


def test_a_server_moves_while_it_runs(two):
    server = bonjour(two)
    reachable(two, server)
    boot = ready(two)
    run(two, "echo kept > ~/kept; sync; (while true; do sleep 1; done) > /dev/null 2>&1 & echo $! > ~/pid")
    talk = subprocess.Popen(
        two.ssh_words(address(server), "while read line; do echo $line; done"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    try:
        says(talk, "before")
        before = place(two)
        live(two)
        after = place(two)
        assert {before, after} == {two.home.host, "two"}
        says(talk, "after")
        assert ready(two) == boot
        assert run(two, "cat ~/kept; kill -0 $(cat ~/pid) && echo runs; echo new > ~/new; sync; cat ~/new") == "kept\nruns\nnew"
        live(two, before)
        says(talk, "back")
    finally:
        talk.kill()
        talk.wait()
    assert (place(two), ready(two)) == (before, boot)
    act(two, "reboot", {"type": "HARD"})
    assert ready(two) != boot
    assert run(two, "cat ~/kept ~/new") == "kept\nnew"
    migrations = two.admin.get(f"/compute/v2.1/os-migrations?instance_uuid={server['id']}&migration_type=live-migration")["migrations"]
    assert {one["status"] for one in migrations} == {"completed"}


def test_volumes_move_by_themselves_and_with_the_server_that_runs(two):
    server = bonjour(two)
    boot, here = ready(two), place(two)
    there = "two" if here != "two" else two.home.host
    made = volume(two)
    if volume_host(two, made) == here:
        moved(two, made, there)
    moved(two, made, here)
    before = disks(two, server)
    attach(two, server, made)
    (disk,) = until(lambda: disks(two, server) - before)
    run(two, f"echo mine | sudo dd of=/dev/{disk} conv=fsync; sudo dd if=/dev/urandom of=/dev/{disk} bs=1M seek=5 count=20 conv=fsync")
    whole = run(two, f"sudo dd if=/dev/{disk} bs=1M count=40 2>/dev/null | md5sum")
    live(two, there)
    assert (place(two), volume_host(two, made), ready(two)) == (there, there, boot)
    run(two, f"echo 3 | sudo tee /proc/sys/vm/drop_caches; echo later | sudo dd of=/dev/{disk} bs=1M seek=60 conv=fsync")
    assert run(two, f"sudo dd if=/dev/{disk} bs=1M count=40 2>/dev/null | md5sum") == whole
    two.user.delete(f"/compute/v2.1/servers/{server['id']}/os-volume_attachments/{made}")
    available(two, made)
    until(lambda: disks(two, server) == before)
    moved(two, made, here)
    live(two, here)
    attach(two, server, made)
    until(lambda: disks(two, server) - before)
    assert run(two, f"sudo dd if=/dev/{disk} bs=1M count=40 2>/dev/null | md5sum") == whole
    assert run(two, f"sudo dd if=/dev/{disk} bs=1M skip=60 count=1 2>/dev/null | head -c 5") == "later"
    two.user.delete(f"/compute/v2.1/servers/{server['id']}/os-volume_attachments/{made}")
    available(two, made)
    two.user.delete(f"/volume/v3/volumes/{made}")
    until(lambda: not [one for one in (two.home.volumes, two.folder / "two" / "volumes") if (one / made).exists()])


def volume_host(cloud, id_):
    return cloud.admin.get(f"/volume/v3/volumes/{id_}")["volume"]["os-vol-host-attr:host"].partition("@")[0]


def moved(cloud, id_, host):
    cloud.admin.post(f"/volume/v3/volumes/{id_}/action", {"os-migrate_volume": {"host": f"{host}@local#local"}})
    available(cloud, id_)
    assert volume_host(cloud, id_) == host


def says(talk, word):
    """The guest answers on the connection that was opened at first."""
    talk.stdin.write(f"{word}\n")
    assert select.select([talk.stdout], [], [], 60)[0], "the connection does not answer any more"
    assert talk.stdout.readline().strip() == word


def test_a_server_is_moved_while_it_is_off_and_its_disk_with_it(two):
    reachable(two, bonjour(two))
    ready(two)
    assert place(two) == two.home.host
    run(two, "echo moved > ~/moved; sync")
    act(two, "migrate", {"host": "two"}, client=two.admin, to="VERIFY_RESIZE", version="2.56")
    assert place(two) == "two"
    ready(two)
    assert run(two, "cat ~/moved") == "moved"
    run(two, "echo there > ~/moved; sync")
    act(two, "revertResize")
    assert place(two) == two.home.host
    ready(two)
    assert run(two, "cat ~/moved") == "moved"
    act(two, "migrate", client=two.admin, to="VERIFY_RESIZE")
    two.user.post(f"/compute/v2.1/servers/{bonjour(two)['id']}/action", {"confirmResize": None})
    wait(two, "ACTIVE")
    ready(two)
    assert (place(two), run(two, "cat ~/moved")) == ("two", "moved")
    until(lambda: not list((two.home.host_state / "guests").glob("*-*-*-*-*")))


def test_a_server_that_is_off_takes_its_volume_along(two):
    server = bonjour(two)
    reachable(two, server)
    here = place(two)
    there = "two" if here != "two" else two.home.host
    before, made = disks(two, server), volume(two)
    attach(two, server, made)
    (disk,) = until(lambda: disks(two, server) - before)
    run(two, f"sudo dd if=/dev/urandom of=/dev/{disk} bs=1M count=20 conv=fsync")
    whole = run(two, f"sudo dd if=/dev/{disk} bs=1M count=20 2>/dev/null | md5sum")
    act(two, "migrate", {"host": there}, client=two.admin, to="VERIFY_RESIZE", version="2.56")
    assert (place(two), volume_host(two, made)) == (there, there)
    ready(two)
    assert run(two, f"sudo dd if=/dev/{disk} bs=1M count=20 2>/dev/null | md5sum") == whole
    run(two, f"echo later | sudo dd of=/dev/{disk} bs=1M seek=60 conv=fsync")
    act(two, "revertResize")
    assert (place(two), volume_host(two, made)) == (here, here)
    ready(two)
    assert run(two, f"sudo dd if=/dev/{disk} bs=1M count=20 2>/dev/null | md5sum") == whole
    assert run(two, f"sudo dd if=/dev/{disk} bs=1M skip=60 count=1 2>/dev/null | head -c 5") == "later"
    two.user.delete(f"/compute/v2.1/servers/{server['id']}/os-volume_attachments/{made}")
    available(two, made)
    two.user.delete(f"/volume/v3/volumes/{made}")


def test_a_container_moves_while_it_is_off_with_its_disk_and_its_volume(two):
    with container(two, "box", security_groups=[{"name": "ssh"}]) as server, floating(two, server) as address_of:
        box, path = (server, address_of), f"/compute/v2.1/servers/{server['id']}"
        until(lambda: says_in(two, box, "hostname") == "box", 60)
        made = volume(two)
        two.user.post(f"{path}/os-volume_attachments", {"volumeAttachment": {"volumeId": made}})
        until(lambda: f"/mnt/{made}" in says_in(two, box, "cat /proc/mounts"), 60)
        two.ssh(address_of, f"echo kept | sudo tee /root/note /mnt/{made}/note; sync")
        here = placed(two, path)
        two.admin.post(f"{path}/action", {"migrate": None})
        until(lambda: two.user.get(path)["server"]["status"] == "VERIFY_RESIZE", 180)
        assert placed(two, path) == volume_host(two, made) != here
        until(lambda: says_in(two, box, f"sudo cat /root/note /mnt/{made}/note") == "kept\nkept", 60)
        two.user.post(f"{path}/action", {"revertResize": None})
        until(lambda: two.user.get(path)["server"]["status"] == "ACTIVE", 180)
        assert placed(two, path) == volume_host(two, made) == here
        until(lambda: says_in(two, box, f"sudo cat /root/note /mnt/{made}/note") == "kept\nkept", 60)
        two.user.delete(f"{path}/os-volume_attachments/{made}")
        available(two, made)
        two.user.delete(f"/volume/v3/volumes/{made}")


def placed(cloud, path):
    return cloud.admin.get(path)["server"]["OS-EXT-SRV-ATTR:host"]


def test_a_server_is_built_anew_when_its_host_is_lost_which_then_removes_what_it_had(two):
    member, id_ = two.folder / "two", bonjour(two)["id"]
    if place(two) != "two":
        live(two, "two")
    run(two, "echo lost > ~/lost; sync")
    two.cli("down", "--servers", home=member)
    forced(two, "two", down=True)
    act(two, "evacuate", {}, client=two.admin, version="2.14")
    ready(two)
    assert (place(two), run(two, "ls ~/lost", check=False)) == (two.home.host, "")
    assert (member / "host" / "guests" / id_).exists()
    two.cli("up", home=member)
    forced(two, "two", down=False)
    until(lambda: not (member / "host" / "guests" / id_).exists())
    assert run(two, "echo yes") == "yes"


def forced(cloud, name, *, down):
    version = {"OpenStack-API-Version": "compute 2.53"}
    services = cloud.admin._call("GET", "/compute/v2.1/os-services", None, version)[1]["services"]
    (id_,) = [one["id"] for one in services if one["host"] == name]
    cloud.admin._call("PUT", f"/compute/v2.1/os-services/{id_}", {"forced_down": down}, version)


def test_a_host_is_taken_away_once_it_has_nothing(two):
    live(two, "two")
    said = two.cli("host", "remove", "two", check=False)
    assert "has 1 servers and 0 GiB of volumes" in said.stderr
    assert "There is no host three" in two.cli("host", "remove", "three", check=False).stderr
    live(two, two.home.host)
    two.cli("host", "remove", "two")
    assert not (two.folder / "two").exists()
    assert [one["hypervisor_hostname"] for one in two.admin.get("/compute/v2.1/os-hypervisors")["hypervisors"]] == [two.home.host]
    assert run(two, "echo yes") == "yes"
    two.cli("status")
