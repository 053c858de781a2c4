"""The whole life of a server with real guests: what was written and synced is there after everything that keeps a disk, and gone after
what makes one anew; what the guest held in memory goes on after what keeps memory."""

import base64
import os
import re
import socket
import struct
import time
from urllib.parse import parse_qs, urlsplit

from tests.host.test_cloud import address, bonjour, reachable
from tests.waiting import until

SERVERS, IMAGES = "/compute/v2.1/servers", "/image/v2/images"


def act(cloud, name, value=None, *, to="ACTIVE", client=None, seconds=240, version="2.1"):
    server = bonjour(cloud)
    answer = ask(client or cloud.user, f"{SERVERS}/{server['id']}/action", {name: value}, version)
    wait(cloud, to, seconds)
    return answer


def ask(client, path, body, version):
    return client._call("POST", path, body, {"OpenStack-API-Version": f"compute {version}"})[1]


def wait(cloud, status, seconds=240):
    def there():
        server = bonjour(cloud)
        assert server["status"] != "ERROR" or status == "ERROR", server["fault"]
        return server["status"] == status and server["OS-EXT-STS:task_state"] is None and server

    return until(there, seconds)


def run(cloud, command, *, check=True):
    done = cloud.ssh(address(bonjour(cloud)), command)
    assert not check or done.returncode == 0, f"{command}: {done.stdout} {done.stderr}"
    return done.stdout.strip()


def ready(cloud):
    """Wait until ssh answers; what names this boot of the guest."""
    until(lambda: run(cloud, "true; echo yes", check=False) == "yes", 240)
    return run(cloud, "cat /proc/sys/kernel/random/boot_id")


def test_memory_and_disk_go_on_after_pause_and_suspend(real):
    reachable(real, bonjour(real))
    boot = ready(real)
    run(real, "echo kept > ~/kept; sync; (while true; do sleep 1; done) > /dev/null 2>&1 & echo $! > ~/pid")
    act(real, "pause", to="PAUSED")
    act(real, "unpause")
    assert ready(real) == boot
    act(real, "suspend", to="SUSPENDED")
    act(real, "resume")
    assert ready(real) == boot
    assert run(real, "cat ~/kept; kill -0 $(cat ~/pid) && echo runs") == "kept\nruns"


def test_a_suspended_server_outlives_the_cloud(real):
    boot = ready(real)
    act(real, "suspend", to="SUSPENDED")
    real.cli("down")
    real.cli("up")
    act(real, "resume")
    assert ready(real) == boot


def test_an_image_of_a_running_server_is_consistent_and_boots(real):
    ready(real)
    run(real, "echo imaged > ~/imaged; sync")
    made = act(real, "createImage", {"name": "kept"}, version="2.45")
    run(real, "echo later > ~/imaged; sync")
    image = real.user.get(f"{IMAGES}/{made['image_id']}")
    assert (image["status"], image["disk_format"], image["image_type"]) == ("active", "qcow2", "snapshot")
    act(real, "rebuild", {"imageRef": image["id"]})
    ready(real)
    assert run(real, "cat ~/imaged") == "imaged"
    real.user.delete(f"{IMAGES}/{image['id']}")


def test_resize_is_seen_inside_and_revert_gives_the_old_disk(real):
    ready(real)
    flavors = {one["name"]: one["id"] for one in real.user.get("/compute/v2.1/flavors")["flavors"]}
    other = "petit-1" if bonjour(real)["flavor"]["id"] == flavors["petit-2"] else "petit-2"
    before = int(run(real, "grep MemTotal /proc/meminfo | tr -dc 0-9"))
    run(real, "echo before > ~/size; sync")
    act(real, "resize", {"flavorRef": flavors["petit-4"]}, to="VERIFY_RESIZE")
    ready(real)
    assert int(run(real, "grep MemTotal /proc/meminfo | tr -dc 0-9")) > before * 2
    assert run(real, "nproc; cat /sys/block/vda/size").split() == ["2", str(2 << 21)]
    run(real, "echo after > ~/size; sync")
    act(real, "revertResize")
    ready(real)
    assert run(real, "cat ~/size; cat /sys/block/vda/size").split() == ["before", str(1 << 21)]
    act(real, "resize", {"flavorRef": flavors[other]}, to="VERIFY_RESIZE")
    real.user.post(f"{SERVERS}/{bonjour(real)['id']}/action", {"confirmResize": None})
    wait(real, "ACTIVE")
    ready(real)
    assert run(real, "cat ~/size") == "before"


def test_rescue_boots_another_disk_beside_its_own(real):
    ready(real)
    run(real, "echo mine > ~/mine; sync")
    petit = real.user.get(f"{IMAGES}?name=petit")["images"][0]["id"]
    act(real, "rescue", {"rescue_image_ref": petit}, to="RESCUE")
    until(lambda: run(real, "cat /sys/block/vdb/size", check=False).isdigit(), 240)
    run(real, "sudo mkdir -p /tmp/own; sudo mount /dev/vdb2 /tmp/own")
    assert run(real, "sudo find /tmp/own -name mine -exec cat {} +") == "mine"
    run(real, "sudo umount /tmp/own; sync")
    act(real, "unrescue")
    ready(real)
    assert run(real, "cat ~/mine") == "mine"


def test_shelve_and_unshelve_keep_the_disk(real):
    ready(real)
    run(real, "echo shelved > ~/shelved; sync")
    act(real, "shelve", to="SHELVED_OFFLOADED")
    act(real, "unshelve")
    ready(real)
    assert run(real, "cat ~/shelved") == "shelved"


def websocket(url, path=None):
    """A WebSocket to a console's address, as noVNC opens it; the answer's first line and the connection."""
    parts = urlsplit(url)
    path = path or parse_qs(parts.query)["path"][0]
    line = socket.create_connection((parts.hostname, parts.port), 20)
    key = base64.b64encode(os.urandom(16)).decode()
    line.sendall(
        f"GET /{path} HTTP/1.1\r\nHost: {parts.netloc}\r\nOrigin: {parts.scheme}://{parts.netloc}\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: binary\r\n\r\n".encode()
    )
    head = b""
    while b"\r\n\r\n" not in head:
        head += line.recv(1)
    return head.split(b"\r\n")[0].decode(), line


def receive(line):
    """One small frame's content."""
    first = line.recv(2)
    size = first[1] & 127
    if size == 126:
        size = struct.unpack(">H", line.recv(2))[0]
    data = b""
    while len(data) < size:
        data += line.recv(size - len(data))
    return data


def send(line, data):
    mask = os.urandom(4)
    line.sendall(bytes([0x82, 0x80 | len(data)]) + mask + bytes(byte ^ mask[place % 4] for place, byte in enumerate(data)))


def test_consoles_in_a_browser(real):
    ready(real)
    url = f"{SERVERS}/{bonjour(real)['id']}/remote-consoles"
    vnc = ask(real.user, url, {"remote_console": {"protocol": "vnc", "type": "novnc"}}, "2.6")["remote_console"]
    status, line = websocket(vnc["url"])
    assert "101" in status
    assert receive(line).startswith(b"RFB 003.")
    line.close()
    serial = ask(real.user, url, {"remote_console": {"protocol": "serial", "type": "serial"}}, "2.6")["remote_console"]
    parts = urlsplit(serial["url"])
    assert parts.scheme == "ws"
    status, line = websocket(serial["url"], f"{parts.path[1:]}?{parts.query}")
    assert "101" in status
    send(line, b"\r")
    said, end = b"", time.monotonic() + 30
    while not re.search(rb"login|\$|#", said) and time.monotonic() < end:
        said += receive(line)
    assert said
    line.close()
    status, line = websocket(vnc["url"], "console/ws?token=nonsense")
    assert "101" not in status
