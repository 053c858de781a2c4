"""A cloud with two real hosts on this machine: each with an agent, a switch and a hypervisor of its own, and a tunnel between them."""

import pytest

from tests.host.test_cloud import bonjour, reachable, until
from tests.host.test_server_life import act, ready, run, wait
from tests.real import RealCloud


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
