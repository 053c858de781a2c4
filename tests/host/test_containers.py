"""Servers that are system containers, in a real cloud: with the network, the metadata and the life of other servers, and held to their own."""

import base64
import json
import re
from contextlib import contextmanager
from pathlib import Path

import pytest

from andromede.core.errors import CloudError
from andromede.drivers.hypervisor.lxc import processes
from andromede.drivers.hypervisor.lxc.store import FIRST
from tests.host.hypervisors import HAVE_LXC, WHY_NO_LXC
from tests.host.test_live_interfaces import kill_agent
from tests.host.test_volumes import encrypted_type
from tests.waiting import until

pytestmark = [pytest.mark.timeout(600), pytest.mark.skipif(not HAVE_LXC, reason=WHY_NO_LXC)]
NET, SERVERS = "/network/v2.0", "/compute/v2.1/servers"


@contextmanager
def container(real, name, image="petit-lxc", **more):
    """A container in the network `private`, in the default group alone."""
    user = real.user
    (image,) = user.get(f"/image/v2/images?name={image}")["images"]
    (network,) = user.get(f"{NET}/networks?name=private")["networks"]
    facts = {"name": name, "imageRef": image["id"], "flavorRef": "1", "networks": [{"uuid": network["id"]}], "key_name": "bonjour"}
    made = user.post(SERVERS, {"server": facts | more})["server"]
    try:
        until(lambda: shown(real, made)["status"] == "ACTIVE", 120)
        yield shown(real, made)
    finally:
        user.delete(f"{SERVERS}/{made['id']}")
        until(lambda: not [one for one in user.get(SERVERS)["servers"] if one["id"] == made["id"]], 120)


@pytest.fixture(scope="module")
def box(real):
    """A container with a floating address, to which nobody may speak yet."""
    with container(real, "box") as server, floating(real, server) as address:
        yield server, address


@contextmanager
def floating(real, server):
    (port,) = real.user.get(f"{NET}/ports?device_id={server['id']}")["ports"]
    (public,) = real.user.get(f"{NET}/networks?name=public")["networks"]
    made = real.user.post(f"{NET}/floatingips", {"floatingip": {"floating_network_id": public["id"], "port_id": port["id"]}})["floatingip"]
    try:
        yield made["floating_ip_address"]
    finally:
        real.user.delete(f"{NET}/floatingips/{made['id']}")


def shown(real, server):
    return real.user.get(f"{SERVERS}/{server['id']}")["server"]


def act(real, server, **action):
    real.user.post(f"{SERVERS}/{server['id']}/action", action)


def says(real, box, command):
    return real.ssh(box[1], command).stdout.strip()


@pytest.fixture
def open_box(real, box):
    """The container, in the group `ssh` too."""
    names = {one["name"] for one in shown(real, box[0])["security_groups"]}
    if "ssh" not in names:
        act(real, box[0], addSecurityGroup={"name": "ssh"})
    until(lambda: says(real, box, "hostname") == "box", 60)
    return box


def test_group_rules_hold_for_a_container(real, box):
    until(lambda: b"petit: ready" in console(real, box[0]), 60)
    assert real.ssh(box[1], "true").returncode == 255
    act(real, box[0], addSecurityGroup={"name": "ssh"})
    until(lambda: says(real, box, "hostname") == "box", 60)


def console(real, server):
    return real.user.post(f"{SERVERS}/{server['id']}/action", {"os-getConsoleOutput": {}})["output"].encode()


def test_a_container_has_its_metadata_its_limits_and_ids_of_its_own(real, open_box):
    server = open_box[0]
    meta = json.loads(says(real, open_box, "curl -s http://169.254.169.254/openstack/latest/meta_data.json"))
    assert (meta["uuid"], meta["name"]) == (server["id"], "box")
    assert says(real, open_box, "sudo id -u") == "0"
    first = int(says(real, open_box, "awk '{ print $2 }' /proc/self/uid_map"))
    assert first >= FIRST
    found = processes.find(real.home.host_state / "containers", server["id"])
    assert re.search(rf"^Uid:\t{first}\t", Path(f"/proc/{found.init}/status").read_text(), re.MULTILINE)
    kib = int(says(real, open_box, "df -k / | tail -1 | awk '{ print $2 }'"))
    assert 0.9 * 2**20 < kib <= 2**20
    for command in ("sudo mknod /tmp/disk b 7 0", "sudo mount -t ext4 /dev/loop0 /mnt", "sudo sh -c 'echo c >/proc/sysrq-trigger'", "sudo insmod /x"):
        assert real.ssh(open_box[1], command).returncode, command
    big = real.ssh(open_box[1], "dd if=/dev/zero of=/tmp/big bs=1M count=1500 2>&1; rm /tmp/big")
    assert "No space left" in big.stdout
    eaten = real.ssh(open_box[1], "awk 'BEGIN { s = \"x\"; while (1) s = s s }'; echo ended $?")
    assert "ended 0" not in eaten.stdout
    assert says(real, open_box, "hostname") == "box"


def test_an_address_cannot_be_spoofed_from_inside(real, open_box):
    gateway = says(real, open_box, "ip route | awk '/default/ { print $3 }'")
    ping = f"ping -c 2 -W 2 {gateway}"
    assert " 0% packet loss" in says(real, open_box, ping)
    real.ssh(open_box[1], "sudo ip addr add 10.0.0.250/24 dev eth0")
    assert " 100% packet loss" in says(real, open_box, f"ping -I 10.0.0.250 -c 2 -W 2 {gateway}")
    real.ssh(open_box[1], "sudo ip addr del 10.0.0.250/24 dev eth0")
    change = "ip link set eth0 down; ip link set eth0 address {mac}; ip link set eth0 up; ip route add default via {gateway} dev eth0;"
    mac = says(real, open_box, "cat /sys/class/net/eth0/address")
    forged, own = change.format(mac="02:00:00:00:00:99", gateway=gateway), change.format(mac=mac, gateway=gateway)
    script = f"({forged} {ping}; {own}) >/tmp/forged 2>&1"
    real.ssh(open_box[1], f"sudo setsid sh -c '{script}' </dev/null >/dev/null 2>&1 &", seconds=30)
    until(lambda: "packet loss" in says(real, open_box, "cat /tmp/forged"), 60)
    assert " 100% packet loss" in says(real, open_box, "cat /tmp/forged")


def test_a_container_lives_as_servers_do(real, open_box):
    server, address = open_box
    real.ssh(address, "echo kept >/home/petit/note; sync; echo here | sudo tee /run/mark")
    kill_agent(real)
    until(lambda: real.cli("status", check=False).returncode == 0, 60)
    assert says(real, open_box, "cat /run/mark") == "here"
    act(real, server, pause=None)
    until(lambda: shown(real, server)["status"] == "PAUSED", 30)
    act(real, server, unpause=None)
    until(lambda: shown(real, server)["status"] == "ACTIVE", 30)
    assert says(real, open_box, "cat /run/mark") == "here"
    real.ssh(address, "sudo poweroff")
    until(lambda: shown(real, server)["status"] == "SHUTOFF", 60)
    act(real, server, **{"os-start": None})
    until(lambda: shown(real, server)["status"] == "ACTIVE", 60)
    until(lambda: says(real, open_box, "cat /home/petit/note; ls /run/mark") == "kept", 60)
    act(real, server, reboot={"type": "SOFT"})
    until(lambda: shown(real, server)["status"] == "ACTIVE" and console(real, server).count(b"petit: ready") >= 3, 60)
    until(lambda: says(real, open_box, "cat /home/petit/note") == "kept", 60)
    counters = real.admin.get(f"{SERVERS}/{server['id']}/diagnostics")
    assert counters


def test_a_rebuilt_container_begins_anew_and_a_resized_one_keeps_its_disk(real):
    with container(real, "grown", security_groups=[{"name": "ssh"}]) as server, floating(real, server) as address:
        grown = (server, address)
        until(lambda: says(real, grown, "hostname") == "grown", 60)
        real.ssh(address, "echo kept >/home/petit/note; sync")
        act(real, server, resize={"flavorRef": "3"})
        until(lambda: shown(real, server)["status"] == "VERIFY_RESIZE", 120)
        act(real, server, confirmResize=None)
        until(lambda: shown(real, server)["status"] == "ACTIVE", 60)
        until(lambda: says(real, grown, "cat /home/petit/note") == "kept", 60)
        assert int(says(real, grown, "df -k / | tail -1 | awk '{ print $2 }'")) > 1.8 * 2**20
        act(real, server, rebuild={"imageRef": server["image"]["id"]})
        until(lambda: shown(real, server)["status"] == "ACTIVE" and shown(real, server)["OS-EXT-STS:task_state"] is None, 120)
        until(lambda: says(real, grown, "ls /home/petit; hostname") == "grown", 60)


def test_a_network_card_comes_and_goes(real, open_box):
    server = open_box[0]
    (network,) = real.user.get(f"{NET}/networks?name=private")["networks"]
    path = f"{SERVERS}/{server['id']}/os-interface"
    made = real.user.post(path, {"interfaceAttachment": {"net_id": network["id"]}})["interfaceAttachment"]
    until(lambda: says(real, open_box, "cat /sys/class/net/eth1/address") == made["mac_addr"], 40)
    until(lambda: made["fixed_ips"][0]["ip_address"] in says(real, open_box, "ip -4 addr show eth1"), 40)
    real.user.delete(f"{path}/{made['port_id']}")
    until(lambda: says(real, open_box, "ls /sys/class/net") == "eth0\nlo", 40)


def test_what_containers_cannot_do_is_refused(real, open_box):
    for action in ({"suspend": None}, {"rescue": {}}):
        with pytest.raises(CloudError, match=r"409 .* is a container"):
            act(real, open_box[0], **action)


def test_an_image_of_a_container_and_a_shelved_one_hold_what_was_written(real):
    with container(real, "first", security_groups=[{"name": "ssh"}]) as server, floating(real, server) as address:
        first = (server, address)
        until(lambda: says(real, first, "hostname") == "first", 60)
        real.ssh(address, "echo kept >/home/petit/note; echo root | sudo tee /root/note; sudo rm /etc/motd; sync")
        version = {"openstack-api-version": "compute 2.45"}
        image = real.user._call("POST", f"{SERVERS}/{server['id']}/action", {"createImage": {"name": "copy"}}, version)[1]["image_id"]
        until(lambda: real.user.get(f"/image/v2/images/{image}")["status"] == "active", 60)
        assert says(real, first, "cat /home/petit/note") == "kept"
        with container(real, "second", "copy", security_groups=[{"name": "ssh"}]) as made, floating(real, made) as other:
            second = (made, other)
            until(lambda: says(real, second, "hostname") == "second", 60)
            assert says(real, second, "cat /home/petit/note; sudo cat /root/note; stat -c %U /home/petit/note; ls /etc/motd") == "kept\nroot\npetit"
        act(real, server, shelve=None)
        until(lambda: shown(real, server)["status"] == "SHELVED_OFFLOADED", 120)
        assert not (real.home.host_state / "containers" / server["id"]).exists()
        act(real, server, unshelve=None)
        until(lambda: shown(real, server)["status"] == "ACTIVE", 120)
        until(lambda: says(real, first, "cat /home/petit/note; sudo cat /root/note; ls /etc/motd") == "kept\nroot", 60)
        real.user.delete(f"/image/v2/images/{image}")


def test_who_may_not_share_a_kernel_gets_no_container(real):
    project = real.user.project_id
    real.admin.put(f"/identity/v3/projects/{project}/tags/andromede:isolation=vm", None)
    try:
        with pytest.raises(CloudError, match=r"403 .*isolation=vm"), container(real, "none"):
            pass
    finally:
        real.admin.delete(f"/identity/v3/projects/{project}/tags/andromede:isolation=vm")


def test_what_it_is_told_is_where_cloud_init_looks(real):
    with container(real, "told", security_groups=[{"name": "ssh"}]) as server, floating(real, server) as address:
        until(lambda: real.ssh(address, "hostname").stdout.strip() == "told", 60)
        meta = real.ssh(address, "cat /var/lib/cloud/seed/config_drive/openstack/latest/meta_data.json").stdout
        assert json.loads(meta)["uuid"] == server["id"]


def test_debian_comes_up_whole_with_systemd_and_cloud_init(real):
    real.cli("image", "debian-lxc", seconds=1500)
    script = base64.b64encode(b"#!/bin/sh\necho done >/root/said\n").decode()
    facts = {"flavorRef": "3", "user_data": script, "security_groups": [{"name": "ssh"}]}
    with container(real, "deb", "debian-lxc", **facts) as server, floating(real, server) as address:
        def says(command):
            return real.ssh(address, command, user="debian").stdout.strip()

        until(lambda: says("hostname") == "deb", 180)
        until(lambda: says("systemctl is-system-running --wait") == "running", 180)
        assert says("sudo cat /root/said") == "done"
        assert says("cloud-init status").endswith("done")
        assert says("ps -o comm= 1") == "systemd"
        first = says("cat /etc/ssh/ssh_host_ed25519_key.pub")
        act(real, server, reboot={"type": "SOFT"})
        until(lambda: shown(real, server)["status"] == "ACTIVE", 60)
        until(lambda: says("systemctl is-system-running --wait") == "running", 180)
        assert says("cat /etc/ssh/ssh_host_ed25519_key.pub") == first


@contextmanager
def volume(real, name, **more):
    """A volume of 1 GiB."""
    path = "/volume/v3/volumes"
    made = real.user.post(path, {"volume": {"name": name, "size": 1} | more})["volume"]

    def look():
        return real.user.get(f"{path}/{made['id']}")["volume"]

    until(lambda: look()["status"] == "available", 60)
    yield made["id"], look
    real.user.delete(f"{path}/{made['id']}")


def test_a_volume_is_mounted_in_a_container_and_outlives_what_befalls_it(real, open_box):
    server, address = open_box
    attached = f"{SERVERS}/{server['id']}/os-volume_attachments"
    with volume(real, "data") as (id_, look):
        path = f"/mnt/{id_}"
        said = real.user.post(attached, {"volumeAttachment": {"volumeId": id_}})["volumeAttachment"]
        assert said["device"] == path
        until(lambda: look()["status"] == "in-use" and path in says(real, open_box, "cat /proc/mounts"), 60)
        assert re.search(rf"{path} ext4 rw,nosuid,nodev", says(real, open_box, "cat /proc/mounts"))
        assert real.ssh(address, f"echo kept | sudo tee {path}/note; sudo sync").returncode == 0
        assert says(real, open_box, f"sudo stat -c %u {path}/note") == "0"
        kill_agent(real)
        until(lambda: real.cli("status", check=False).returncode == 0, 60)
        assert says(real, open_box, f"cat {path}/note") == "kept"
        act(real, server, reboot={"type": "HARD"})
        until(lambda: shown(real, server)["status"] == "ACTIVE" and says(real, open_box, f"cat {path}/note") == "kept", 60)
        # a snapshot and a larger size while it is in use
        base = "/volume/v3"
        snapshot = real.user.post(f"{base}/snapshots", {"snapshot": {"volume_id": id_, "force": True}})["snapshot"]["id"]
        until(lambda: real.user.get(f"{base}/snapshots/{snapshot}")["snapshot"]["status"] == "available", 60)
        real.ssh(address, f"echo changed | sudo tee {path}/note")
        with volume(real, "then", snapshot_id=snapshot) as (earlier, seen):
            real.user.post(attached, {"volumeAttachment": {"volumeId": earlier}})
            until(lambda: says(real, open_box, f"cat /mnt/{earlier}/note") == "kept", 60)
            real.user.delete(f"{attached}/{earlier}")
            until(lambda: seen()["status"] == "available", 60)
        real.user.delete(f"{base}/snapshots/{snapshot}")
        until(lambda: not real.user.get(f"{base}/snapshots?volume_id={id_}")["snapshots"], 60)
        newer = {"openstack-api-version": "volume 3.70"}
        real.user._call("POST", f"{base}/volumes/{id_}/action", {"os-extend": {"new_size": 2}}, newer)
        until(lambda: look()["size"] == 2 and look()["status"] == "in-use", 60)
        # where the host lets nobody enlarge what is mounted, it grows when it is mounted next
        act(real, server, reboot={"type": "HARD"})
        until(lambda: int(says(real, open_box, f"df -k {path} | tail -1 | awk '{{ print $2 }}'") or 0) > 1.8 * 2**20, 60)
        # what is in use inside is let go of when it is not
        real.ssh(address, f"cd {path}; nohup sleep 12 >/dev/null 2>&1 & sleep 1")
        real.user.delete(f"{attached}/{id_}")
        until(lambda: look()["status"] == "available", 60)
        assert path not in says(real, open_box, "cat /proc/mounts")


def test_an_encrypted_volume_of_a_container_is_sealed_and_held_to_its_limits(real, open_box):
    server, address = open_box
    attached = f"{SERVERS}/{server['id']}/os-volume_attachments"
    with volume(real, "sealed", volume_type=encrypted_type(real)) as (id_, look):
        path = f"/mnt/{id_}"
        real.user.post(attached, {"volumeAttachment": {"volumeId": id_}})
        until(lambda: look()["status"] == "in-use" and path in says(real, open_box, "cat /proc/mounts"), 60)
        assert real.ssh(address, f"echo NOBODY-READS-THIS | sudo tee {path}/note; sync").returncode == 0
        on_disk = b"".join(one.read_bytes() for one in (real.home.volumes / id_).iterdir())
        assert on_disk
        assert b"NOBODY-READS-THIS" not in on_disk
        before = float(says(real, open_box, "cut -d' ' -f1 /proc/uptime"))
        assert real.ssh(address, f"sudo dd if=/dev/urandom of={path}/much bs=1M count=10 conv=fsync").returncode == 0
        assert float(says(real, open_box, "cut -d' ' -f1 /proc/uptime")) - before > 3, "10 MiB at 2 MiB/s take 5 s"
        act(real, server, reboot={"type": "HARD"})
        until(lambda: shown(real, server)["status"] == "ACTIVE" and says(real, open_box, f"cat {path}/note") == "NOBODY-READS-THIS", 90)
        real.user.delete(f"{attached}/{id_}")
        until(lambda: look()["status"] == "available", 60)


def test_a_volume_that_a_machine_had_is_not_mounted_by_the_host(real, open_box):
    server = open_box[0]
    (image,) = real.user.get("/image/v2/images?name=petit")["images"]
    attached = f"{SERVERS}/{server['id']}/os-volume_attachments"
    with volume(real, "brought", imageRef=image["id"]) as (id_, _), pytest.raises(CloudError, match=r"409 .*made empty"):
        real.user.post(attached, {"volumeAttachment": {"volumeId": id_}})
