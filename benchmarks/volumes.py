"""Volumes and many servers: attaching, I/O inside a guest, what a snapshot costs it, and twenty servers at once; beside bare QEMU.

    sudo python benchmarks/volumes.py [ROUNDS]

The peer is a bare QEMU with the image petit that plugs the same volume's file by QMP, in turns with ours; both have one vCPU, TCG or KVM
as the cloud chose. I/O is done by `io.c`, one request at a time past the guest's cache. Needs Debian's gcc and libc6-dev.
"""

import contextlib
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lib

ATTACH, SHARE, MANY, PAUSE = 1.0, 0.95, 1.3, 500.0
COUNT, SECONDS = 20, 3
WAYS = {"rr": "4 KiB random reads/s", "rw": "4 KiB random writes/s", "sr": "1 MiB reads, MiB/s", "sw": "1 MiB writes, MiB/s"}
V = "/volume/v3"
_WATCH = "n=0; while [ ! -e /sys/block/{name} ] && [ $n -lt 3000 ]; do usleep 10000; n=$((n + 1)); done; echo seen"


def bare(folder: Path, cache: Path, *, more: tuple[str, ...] = ()) -> Any:
    """A bare QEMU with petit, and the key that it lets in."""
    from tests.host.guest import Guest, config_drive, overlay

    from andromede.run import images

    petit = images.build("petit", cache, lambda _stage, _share: None)
    assert petit.disk is not None
    key = folder / "id"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    drive = config_drive(folder, key.with_suffix(".pub").read_text())
    return Guest(folder, overlay(folder, petit.disk.path, "1G"), key, drive=drive, machine="pc", extra=more)


def share(pid: int, stack: contextlib.ExitStack) -> None:
    """Give a process the share of the CPU that a guest of one vCPU has of ours: what else the host does takes as much from both."""
    from andromede.core.units import GIB
    from andromede.drivers.hypervisor.cgroup import Cgroups

    groups = Cgroups("bench")
    for file in groups.prepare("peer", shares=1024, memory=GIB, pids=1000):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            file.with_name("tasks" if file.with_name("tasks").exists() else file.name).write_text(thread.name)
    stack.callback(groups.remove, "peer")


class Monitor:
    """Commands for the bare QEMU."""

    def __init__(self, path: Path) -> None:
        import socket

        self._link = socket.socket(socket.AF_UNIX)
        self._link.connect(str(path))
        self._lines = self._link.makefile("rb")
        self._lines.readline()
        self.run("qmp_capabilities")

    def run(self, command: str, **arguments: Any) -> Any:
        """One command; its answer."""
        self._link.sendall(json.dumps({"execute": command, "arguments": arguments}).encode())
        while answer := json.loads(self._lines.readline()):
            if "error" in answer:
                raise RuntimeError(answer["error"]["desc"])
            if "return" in answer:
                return answer["return"]

    def plug(self, path: Path) -> None:
        """Give the guest the volume that is in a file."""
        self.run("blockdev-add", driver="file", filename=str(path), discard="unmap", **{"node-name": "file"})
        self.run("blockdev-add", driver="qcow2", file="file", discard="unmap", **{"node-name": "whole", "detect-zeroes": "unmap"})
        self.run("device_add", driver="virtio-blk-pci", id="extra", drive="whole")

    def unplug(self) -> None:
        """Take it away."""
        self.run("device_del", id="extra")
        end = time.monotonic() + 60
        while any(one["name"] == "extra" for one in self.run("qom-list", path="/machine/peripheral")):
            if time.monotonic() > end:
                raise TimeoutError("the bare guest does not let go of the volume")
            time.sleep(0.05)
        for node in ("whole", "file"):
            lib.until(lambda node=node: self._dropped(node), 30, "the bare QEMU keeps the volume")

    def _dropped(self, node: str) -> bool:
        try:
            self.run("blockdev-del", **{"node-name": node})
        except RuntimeError:
            return False
        return True


class Ours:
    """The cloud's first server and a volume."""

    def __init__(self, made: Any) -> None:
        self.made, self.user = made, made.user
        (self.server,) = self.user.get("/compute/v2.1/servers/detail?name=bonjour")["servers"]
        ends = [one for each in self.server["addresses"].values() for one in each]
        self.address = next(one["addr"] for one in ends if one["OS-EXT-IPS:type"] == "floating")
        lib.until(lambda: self.run("echo there") == "there", 300, "bonjour does not answer")
        self.volume = self.user.post(f"{V}/volumes", {"volume": {"name": "bench", "size": 1}})["volume"]["id"]
        self.reach("available")

    def run(self, command: str, seconds: float = 120) -> str:
        """What a command says in the guest."""
        return str(self.made.ssh(self.address, command, seconds=seconds).stdout.strip())

    def reach(self, status: str) -> None:
        """Wait for the volume."""
        lib.until(lambda: self.user.get(f"{V}/volumes/{self.volume}")["volume"]["status"] == status, 120, f"the volume is not {status}")

    @property
    def file(self) -> Path:
        """Where the volume's data is, while nobody has it."""
        return next(Path(self.made.path, "volumes", self.volume).glob("disk-*"))

    def plug(self) -> None:
        """Attach the volume."""
        path = f"/compute/v2.1/servers/{self.server['id']}/os-volume_attachments"
        self.user.post(path, {"volumeAttachment": {"volumeId": self.volume}})

    def unplug(self) -> None:
        """Detach it."""
        self.user.delete(f"/compute/v2.1/servers/{self.server['id']}/os-volume_attachments/{self.volume}")
        self.reach("available")


def seen(run: Callable[[str], str], plug: Callable[[], None], name: str) -> float:
    """Seconds from the call that plugs a disk until the guest has it."""
    found: list[float] = []

    def watch() -> None:
        if run(_WATCH.format(name=name)) == "seen":
            found.append(time.monotonic())

    watcher = threading.Thread(target=watch)
    watcher.start()
    time.sleep(4)  # for the watch to have begun, of which the guest says nothing
    began = time.monotonic()
    plug()
    watcher.join(90)
    return found[0] - began if found else float("inf")


def many(made: Any, folder: Path, ours: Ours) -> tuple[float, float]:
    """Seconds until the last of twenty servers is ACTIVE, and until a loop has started as many bare ones."""
    from andromede.run import images

    (image,) = ours.user.get("/image/v2/images?name=petit")["images"]
    made.admin.put(f"/compute/v2.1/os-quota-sets/{ours.user.project_id}", {"quota_set": {"instances": 50, "cores": 50, "ram": 50_000}})
    facts = {"name": "many", "imageRef": image["id"], "flavorRef": "1", "min_count": COUNT, "networks": "none"}
    body = lib.password_body("demo", made.password("demo"), "demo")
    token = lib.call(f"{made.url}/identity/v3/auth/tokens", "POST", body)[1]["X-Subject-Token"]
    began = time.monotonic()
    lib.call(f"{made.url}/compute/v2.1/servers", "POST", {"server": facts}, {"x-auth-token": token, "openstack-api-version": "compute 2.37"})

    def active() -> bool:
        found = [one["status"] for one in ours.user.get("/compute/v2.1/servers/detail?name=many")["servers"]]
        assert "ERROR" not in found, found
        return found.count("ACTIVE") == COUNT

    lib.until(active, 400, "the servers do not come up")
    took = time.monotonic() - began
    for one in ours.user.get("/compute/v2.1/servers?name=many")["servers"]:
        ours.user.delete(f"/compute/v2.1/servers/{one['id']}")
    lib.until(lambda: not ours.user.get("/compute/v2.1/servers?name=many")["servers"], 200, "the servers do not go")
    petit = images.build("petit", made.home.cache, lambda _stage, _share: None)
    assert petit.disk is not None
    loop = (
        f"for n in $(seq {COUNT}); do qemu-img create -q -f qcow2 -F qcow2 -b {petit.disk.path} {folder}/$n.qcow2 1G; "
        f"qemu-system-x86_64 -accel tcg -machine pc -nodefaults -display none -m 128 -daemonize -pidfile {folder}/$n.pid "
        f"-drive file={folder}/$n.qcow2,if=virtio -serial file:{folder}/$n.log; done"
    )
    began = time.monotonic()
    subprocess.run(["sh", "-c", loop], check=True, timeout=400)
    bare_took = time.monotonic() - began
    for file in folder.glob("*.pid"):
        subprocess.run(["kill", "-9", file.read_text().strip()], check=False)
    return took, bare_took


def pause(ours: Ours) -> tuple[float, float]:
    """The longest gap in milliseconds between two flushed writes of the guest: at rest, and while its volume is snapshotted."""
    quiet = float(ours.run("sudo /tmp/io gap /dev/vdb 6"))
    out: list[float] = []
    watcher = threading.Thread(target=lambda: out.append(float(ours.run("sudo /tmp/io gap /dev/vdb 14"))))
    watcher.start()
    time.sleep(4)
    snapshot = ours.user.post(f"{V}/snapshots", {"snapshot": {"volume_id": ours.volume, "force": True}})["snapshot"]["id"]
    lib.until(lambda: ours.user.get(f"{V}/snapshots/{snapshot}")["snapshot"]["status"] == "available", 60, "no snapshot")
    watcher.join()
    ours.user.delete(f"{V}/snapshots/{snapshot}")
    lib.until(lambda: not ours.user.get(f"{V}/snapshots?volume_id={ours.volume}")["snapshots"], 60, "the snapshot stays")
    return quiet, out[0]


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    lib.isolate()
    with tempfile.TemporaryDirectory(prefix="bench.", dir="/var/tmp") as name, lib.cloud("") as made:
        folder = Path(name)
        tool = folder / "io"
        subprocess.run(["gcc", "-O2", "-static", "-o", tool, Path(__file__).with_name("io.c")], check=True)
        made.cli("up")
        ours = Ours(made)
        place = (folder / "bare", folder / "many")
        for path in place:
            path.mkdir()
        with contextlib.ExitStack() as stack, bare(place[0], made.home.cache) as peer:
            peer.wait_for("petit: ready", 200)
            share(peer.process.pid, stack)
            monitor = Monitor(peer.monitor)
            _put(tool, made.person / ".ssh" / made.name, ours.address, 22)
            _put(tool, peer.key, "127.0.0.1", peer.port)
            # what comes third in the bare guest, behind its disk and its config drive
            sides = (("ours", ours.run, ours.plug, ours.unplug, "vdb"), ("bare", lambda words: peer.ssh(words, limit=120), None, monitor.unplug, "vdc"))
            figures: dict[tuple[str, str], list[float]] = {}
            for _ in range(rounds):
                for side, run, plug, unplug, device in sides:
                    begin = plug or (lambda path=ours.file: monitor.plug(path))
                    figures.setdefault((side, "attach"), []).append(seen(run, begin, device))
                    if side == "ours":
                        ours.reach("in-use")
                    if not figures.get((side, "sw")):
                        run(f"sudo dd if=/dev/zero of=/dev/{device} bs=1M count=1024 2>/dev/null; sync")
                    for way in WAYS:
                        figures.setdefault((side, way), []).append(float(run(f"sudo /tmp/io {way} /dev/{device} {SECONDS}")))
                    unplug()
        ours.plug()
        ours.reach("in-use")
        quiet, paused = pause(ours)
        ours.unplug()
        tell(figures, quiet, paused)
        took, loop = many(made, place[1], ours)
    lib.say(f"{COUNT} servers until the last is ACTIVE", ours_s=took, loop_s=loop, ratio=took / loop)
    lib.verdict(f"{COUNT} servers no slower than a loop times {MANY}", holds=took <= loop * MANY)


def tell(figures: dict[tuple[str, str], list[float]], quiet: float, paused: float) -> None:
    """What was measured of the volume."""
    median = {key: lib.middle(values) for key, values in figures.items()}
    on_top = median["ours", "attach"] - median["bare", "attach"]
    lib.say("attached until the guest has it", ours_s=median["ours", "attach"], bare_s=median["bare", "attach"], on_top_s=on_top)
    ratios = {way: median["ours", way] / median["bare", way] for way in WAYS}
    for way, what in WAYS.items():
        lib.say(what, ours=median["ours", way], bare=median["bare", way], ratio=ratios[way])
    lib.say("longest gap between flushed writes", at_rest_ms=quiet, with_a_snapshot_ms=paused)
    lib.verdict(f"attached within {ATTACH:.0f} s on top of bare QMP", holds=on_top <= ATTACH)
    for way, what in WAYS.items():
        lib.verdict(f"{SHARE} of bare QEMU: {what}", holds=ratios[way] >= SHARE)
    lib.verdict(f"a snapshot of 1 GiB pauses a guest for no more than {PAUSE:.0f} ms", holds=paused <= PAUSE)


def _put(tool: Path, key: Path, address: str, port: int) -> None:
    """The program, into a guest."""
    options = ["-F", "none", "-i", str(key), "-p", str(port), "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
    with tool.open("rb") as data:
        words = ["ssh", *options, f"petit@{address}", "cat >/tmp/io; chmod 755 /tmp/io"]
        subprocess.run(words, stdin=data, check=True, timeout=120, capture_output=True)


if __name__ == "__main__":
    main()
