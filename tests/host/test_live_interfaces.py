"""Interfaces of a server that runs: its guest gets and loses them at once, also while the agent is killed."""

import os
import signal
import subprocess
import time
from contextlib import contextmanager

import pytest

from andromede.run import supervisor
from andromede.run.drivers import layout
from tests.host.test_cloud import address, bonjour, reachable
from tests.waiting import until

NET = "/network/v2.0"


@pytest.fixture
def second(real):
    """A second network of the first server's project, with a leg of its router."""
    made = real.user.post(f"{NET}/networks", {"network": {"name": "second"}})["network"]
    facts = {"network_id": made["id"], "ip_version": 4, "cidr": "10.0.7.0/24"}
    subnet = real.user.post(f"{NET}/subnets", {"subnet": facts})["subnet"]
    (router,) = real.user.get(f"{NET}/routers?name=router")["routers"]
    real.user.put(f"{NET}/routers/{router['id']}/add_router_interface", {"subnet_id": subnet["id"]})
    yield made["id"]
    real.user.put(f"{NET}/routers/{router['id']}/remove_router_interface", {"subnet_id": subnet["id"]})
    real.user.delete(f"{NET}/networks/{made['id']}")


@contextmanager
def attached(real, server, network):
    """A port in the group `ssh`, attached to the server; both are gone afterwards."""
    (group,) = real.user.get(f"{NET}/security-groups?name=ssh")["security_groups"]
    port = real.user.post(f"{NET}/ports", {"port": {"network_id": network, "security_groups": [group["id"]]}})["port"]
    path = f"/compute/v2.1/servers/{server['id']}/os-interface"
    real.user.post(path, {"interfaceAttachment": {"port_id": port["id"]}})
    try:
        yield port
    finally:
        real.user.delete(f"{path}/{port['id']}")
        real.user.delete(f"{NET}/ports/{port['id']}")


def guest(real, server, command):
    return real.ssh(address(server), command).stdout.strip()


def gone(real, server):
    return guest(real, server, "ls /sys/class/net") == "eth0\nlo"


def test_an_interface_reaches_a_running_guest_and_leaves_it(real, second):
    server = bonjour(real)
    reachable(real, server)
    boot = guest(real, server, "cat /proc/sys/kernel/random/boot_id")
    with attached(real, server, second) as port:
        began = time.monotonic()
        until(lambda: guest(real, server, "cat /sys/class/net/eth1/address") == port["mac_address"], 20)
        assert time.monotonic() - began < 20
        own = port["fixed_ips"][0]["ip_address"]
        until(lambda: f"inet {own}/24" in guest(real, server, "ip -4 addr show eth1"), 30)
        until(lambda: " 1 received" in guest(real, server, "ping -c 1 -W 2 -I eth1 10.0.7.1"), 20)
        until(lambda: real.user.get(f"{NET}/ports/{port['id']}")["port"]["status"] == "ACTIVE", 20)
        (public,) = real.user.get(f"{NET}/networks?name=public")["networks"]
        facts = {"floating_network_id": public["id"], "port_id": port["id"]}
        floating = real.user.post(f"{NET}/floatingips", {"floatingip": facts})["floatingip"]
        try:
            until(lambda: real.ssh(floating["floating_ip_address"], "hostname").stdout.strip() == server["name"], 60)
        finally:
            real.user.delete(f"{NET}/floatingips/{floating['id']}")
    until(lambda: gone(real, server), 30)
    until(lambda: f"tap{port['id'][:11]}" not in links_of(real), 20)
    assert guest(real, server, "cat /proc/sys/kernel/random/boot_id") == boot


def test_an_interface_arrives_and_leaves_although_the_agent_is_killed(real, second):
    server = bonjour(real)
    reachable(real, server)
    with attached(real, server, second) as port:
        kill_agent(real)
        until(lambda: guest(real, server, "cat /sys/class/net/eth1/address") == port["mac_address"], 40)
    kill_agent(real)
    until(lambda: gone(real, server), 40)


def links_of(real):
    command = ["nsenter", f"--net={layout(real.home).namespace_path}", "ip", "-o", "link"]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout


def kill_agent(real):
    (agent,) = [one for one in supervisor.status(real.home.run)["programs"] if one["name"] == "agent"]
    os.kill(agent["pid"], signal.SIGKILL)
