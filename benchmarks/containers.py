"""Containers: from `POST /servers` until the server is ACTIVE, and until its sshd answers through its floating address; beside `incus launch`.

    sudo python benchmarks/containers.py [ROUNDS]

Incus launches the same root file system, without a network, from a pool of the kind `dir`, which is what it needs least for; it is
left out loudly where it is not installed (Debian: incus-base and incus-client, from bookworm-backports). The first container of an image
unpacks it and is not counted on either side.
"""

import contextlib
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lib

BAR = 2.0
TRY, ASK = 0.04, 0.05
"""Seconds that a connection is waited for: a lost one is begun again by us, not by TCP after a second. Seconds between looks at the status."""
_YAML = b"architecture: x86_64\ncreation_date: 1\nproperties:\n  description: petit\n"


class Cloud:
    """A real cloud with a port that has a floating address, so that only the server is waited for."""

    def __init__(self, made: Any) -> None:
        body = lib.password_body("demo", made.password("demo"), "demo")
        self._url, self._token = made.url, lib.call(f"{made.url}/identity/v3/auth/tokens", "POST", body)[1]["X-Subject-Token"]
        (network,) = self.ask("/network/v2.0/networks?name=private")["networks"]
        (public,) = self.ask("/network/v2.0/networks?name=public")["networks"]
        (group,) = self.ask("/network/v2.0/security-groups?name=ssh")["security_groups"]
        facts = {"network_id": network["id"], "security_groups": [group["id"]]}
        self.port = self.ask("/network/v2.0/ports", "POST", {"port": facts})["port"]["id"]
        facts = {"floating_network_id": public["id"], "port_id": self.port}
        self.address = self.ask("/network/v2.0/floatingips", "POST", {"floatingip": facts})["floatingip"]["floating_ip_address"]
        self.image = next(one["id"] for one in self.ask("/image/v2/images?name=petit-lxc")["images"])

    def ask(self, path: str, method: str = "GET", body: Any = None) -> Any:
        """One call of an API; its JSON."""
        raw = lib.call(self._url + path, method, body, {"x-auth-token": self._token})[2]
        return json.loads(raw) if raw else None

    def launch(self) -> tuple[float, float]:
        """Seconds until a new server is ACTIVE, and until it speaks ssh; it is deleted afterwards."""
        facts = {"name": "quick", "imageRef": self.image, "flavorRef": "1", "networks": [{"port": self.port}], "key_name": "bonjour"}
        began, active, spoke, asked = time.monotonic(), 0.0, 0.0, 0.0
        server = self.ask("/compute/v2.1/servers", "POST", {"server": facts})["server"]["id"]
        while not (active and spoke):
            if not spoke and self._speaks():
                spoke = time.monotonic() - began
            if not active and time.monotonic() > asked + ASK:
                asked = time.monotonic()
                active = time.monotonic() - began if self.ask(f"/compute/v2.1/servers/{server}")["server"]["status"] == "ACTIVE" else 0.0
            if time.monotonic() - began > 60:
                said = self.ask(f"/compute/v2.1/servers/{server}")["server"]
                raise TimeoutError(f"the container does not come up: {said['status']} {said.get('fault', '')}")
            time.sleep(TRY / 4)
        self.ask(f"/compute/v2.1/servers/{server}", "DELETE")
        while any(one["id"] == server for one in self.ask("/compute/v2.1/servers")["servers"]):
            time.sleep(0.05)
        return active, spoke

    def _speaks(self) -> bool:
        try:
            with socket.create_connection((self.address, 22), timeout=TRY) as link:
                link.settimeout(1)
                return link.recv(4) == b"SSH-"
        except OSError:
            return False


def archive(image: Path, folder: Path) -> Path:
    """The same root file system as Incus wants it: under rootfs/, with a description beside it."""
    path = folder / "petit.tar.gz"
    with tarfile.open(image) as source, tarfile.open(path, "w:gz", compresslevel=1) as out:
        about = tarfile.TarInfo("metadata.yaml")
        about.size = len(_YAML)
        out.addfile(about, io.BytesIO(_YAML))
        for member in source:
            content = source.extractfile(member) if member.isreg() else None
            member.name = f"rootfs/{member.name}"
            if member.islnk():
                member.linkname = f"rootfs/{member.linkname}"
            out.addfile(member, content)
    return path


@contextlib.contextmanager
def incus(image: Path) -> Iterator[Any]:
    """A function that launches a container and answers the seconds it took, on an Incus of its own."""
    daemon = next((path for path in map(Path, ("/usr/libexec/incus/incusd", "/usr/bin/incusd")) if path.exists()), None)
    if daemon is None or shutil.which("incus") is None:
        lib.skip("Incus is not installed: apt-get install -t bookworm-backports incus-base incus-client")
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="incus.", dir="/var/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        env = {"INCUS_DIR": str(folder / "var"), "INCUS_CONF": str(folder / "client"), "HOME": name}
        (folder / "var").mkdir(mode=0o711)

        def run(*words: str) -> float:
            began = time.monotonic()
            subprocess.run(["incus", *words], env={**os.environ, **env}, check=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=120)
            return time.monotonic() - began

        with lib.running([str(daemon), "--group", "root"], log=folder / "incusd.log", env=env):
            subprocess.run([daemon, "waitready", "--timeout", "50"], env={**os.environ, **env}, check=True, timeout=60)
            run("storage", "create", "pool", "dir")
            run("profile", "device", "add", "default", "root", "disk", "path=/", "pool=pool")
            run("image", "import", str(archive(image, folder)), "--alias", "petit")

            def launch() -> float:
                took = run("launch", "petit", "peer")
                run("delete", "--force", "peer")
                return took

            yield launch
        for path in ("devincus", "shmounts", "guestapi"):
            subprocess.run(["umount", "-l", folder / "var" / path], capture_output=True, check=False, timeout=30)


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    lib.isolate()
    with lib.cloud("") as made:
        made.cli("up")
        ours = Cloud(made)
        image = max(made.home.cache.glob("petit/*/petit-root.tar.gz"), key=lambda path: path.stat().st_mtime)
        with incus(image) as launch:
            found = [(*ours.launch(), launch() if launch else 0.0) for _ in range(rounds + 1)]
    active, spoke, theirs = (lib.middle(turn[at] for turn in found[1:]) for at in range(3))
    lib.say("POST /servers until ACTIVE", median_s=active)
    lib.say("POST /servers until ssh answers", median_s=spoke, first=found[0][1])
    if theirs:
        lib.say("incus launch, the same root", median_s=theirs, ratio=spoke / theirs)
        lib.verdict("ahead of Incus", holds=spoke <= theirs)
    lib.verdict(f"ssh within {BAR:.0f} s", holds=spoke < BAR)


if __name__ == "__main__":
    main()
