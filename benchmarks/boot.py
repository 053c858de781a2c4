"""From `POST /servers` until the guest's first line from userspace, against bare QEMU with the same arguments and image.

    sudo python benchmarks/boot.py [ROUNDS]

Bare QEMU gets the argument list that the server's own process has, with its own copies of the disks and sockets in the place
of those it was handed open; only the card is different: it leads nowhere. Both take turns.
"""

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lib

RATIO, MORE = 1.25, 1.5
LINE = b"petit: userspace"
_SOCKET = re.compile(r"^(socket,id=[^,]+),fd=\d+,")


def seconds_until(log: Path, began: float, limit: float = 90) -> float:
    """Seconds from `began` until the console has the line."""
    while time.monotonic() - began < limit:
        with contextlib.suppress(FileNotFoundError):
            if LINE in log.read_bytes():
                return time.monotonic() - began
        time.sleep(0.005)
    raise TimeoutError(f"no {LINE!r} on the console")


def process_of(server_id: str) -> int:
    """The QEMU of a server."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if f"guest=guest-{server_id},".encode() in path.read_bytes():
                return int(path.parent.name)
    raise ProcessLookupError(server_id)


class Captured:
    """What a server's QEMU was started with: its arguments, and copies of the files that it was handed open, by their numbers."""

    def __init__(self, pid: int, base: Path, folder: Path) -> None:
        self.arguments = [word.decode() for word in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[:-1]]
        self.folder = folder
        whole = " ".join(self.arguments)
        log = int(re.search(r"logfile=/dev/fdset/(\d+)", whole)[1])  # type: ignore[index]
        self.files: dict[int, tuple[Path, int]] = {log: (folder / "console.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)}
        for node in (json.loads(word) for word in self.arguments if word.startswith('{"driver": "file"')):
            number = int(node["filename"].rpartition("/")[2])
            if node.get("read-only"):
                self.files[number] = (base, os.O_RDONLY)
            else:
                self.files[number] = (folder / f"fresh-{number}.qcow2", os.O_RDWR)
                subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", self.files[number][0], "1G"], check=True)
        for number in re.findall(r"/proc/self/fd/(\d+)", whole):
            kept = folder / f"kept-{number}"
            shutil.copyfile(f"/proc/{pid}/fd/{number}", kept)
            self.files[int(number)] = (kept, os.O_RDONLY)

    @contextlib.contextmanager
    def run(self) -> Iterator[tuple[float, Path]]:
        """Start it; the moment of the start, and its console's log."""
        with contextlib.ExitStack() as stack, tempfile.TemporaryDirectory(dir=self.folder) as name:
            opened: dict[int, int] = {}
            log = Path(name, "console.log")
            for number, (source, flags) in self.files.items():
                path = source
                if flags & os.O_ACCMODE != os.O_RDONLY:
                    path = Path(name, source.name)
                    if source.exists():
                        shutil.copyfile(source, path)
                opened[number] = os.open(path, flags, 0o600)
                stack.callback(os.close, opened[number])
            listeners = [stack.enter_context(_listener(f"{name}/{at}.sock")) for at, word in enumerate(self.arguments) if _SOCKET.match(word)]
            words = _with_files(self.arguments, opened, [one.fileno() for one in listeners])
            output = stack.enter_context(Path(name, "qemu.log").open("wb"))
            began = time.monotonic()
            process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                pass_fds=[*opened.values(), *(one.fileno() for one in listeners)],
            )  # fmt: skip
            try:
                yield began, log
            except TimeoutError:
                print(Path(name, "qemu.log").read_text(), log.read_text(errors="replace")[-2000:], sep="\n")
                raise
            finally:
                process.kill()
                process.wait()


def _listener(path: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    return listener


def _with_files(arguments: list[str], opened: dict[int, int], listeners: list[int]) -> list[str]:
    """The arguments with our numbers of open files, a card that leads nowhere, and no waiting for `cont`."""
    left, words = list(listeners), []
    for word in arguments:
        if found := _SOCKET.match(word):
            words.append(f"{found[1]},fd={left.pop(0)},{word[found.end() :]}")
        elif word.startswith("tap,"):
            words.append(re.sub(r"^tap,(id=[^,]+),.*", r"user,\1,restrict=on", word))
        elif word != "-S":
            added = re.sub(r"^fd=(\d+),set=", lambda match: f"fd={opened[int(match[1])]},set=", word)
            words.append(re.sub(r"^/proc/self/fd/(\d+)$", lambda match: f"/proc/self/fd/{opened[int(match[1])]}", added))
    return words


def ours(made: Any, client: Any, body: dict[str, Any]) -> tuple[float, str]:
    """Create a server; seconds until its first line from userspace, and its id."""
    began = time.monotonic()
    server = client.post("/compute/v2.1/servers", body)["server"]["id"]
    return seconds_until(made.home.host_state / "guests" / server / "console.log", began), server


def gone(client: Any, server: str) -> None:
    client.delete(f"/compute/v2.1/servers/{server}")
    lib.until(lambda: all(one["id"] != server for one in client.get("/compute/v2.1/servers")["servers"]), 60, "the server does not go")


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    lib.isolate()
    with lib.cloud("") as made, tempfile.TemporaryDirectory(prefix="boot.", dir="/var/tmp") as name:
        made.cli("up")
        client = made.user
        bonjour = client.one("/compute/v2.1/servers", "servers", name="bonjour")["id"]
        gone(client, bonjour)
        image = client.one("/image/v2/images?name=petit", "images", name="petit")["id"]
        flavor = client.one("/compute/v2.1/flavors", "flavors", name="petit-2")["id"]
        network = client.one("/network/v2.0/networks?name=private", "networks", name="private")["id"]
        body = {"server": {"name": "boot", "imageRef": image, "flavorRef": flavor, "networks": [{"uuid": network}]}}
        folder, whole, bare = Path(name), [], []
        _, server = ours(made, client, body)
        base = folder / "base"
        shutil.copyfile(made.home.host_state / "images" / image, base)
        captured = Captured(process_of(server), base, folder)
        gone(client, server)
        for _ in range(rounds):
            taken, server = ours(made, client, body)
            whole.append(taken)
            gone(client, server)
            with captured.run() as (began, log):
                bare.append(seconds_until(log, began))
    mine, theirs = lib.middle(whole), lib.middle(bare)
    ratio = lib.middle(one / other for one, other in zip(whole, bare, strict=True))
    lib.say("POST /servers until userspace", median_s=mine, least=min(whole), most=max(whole))
    lib.say("bare QEMU until userspace", median_s=theirs, least=min(bare), most=max(bare))
    lib.say("ours / bare, median of the turns", ratio=ratio, on_top_s=mine - theirs)
    lib.verdict(f"ratio of at most {RATIO}", holds=ratio <= RATIO)
    lib.verdict(f"at most {MORE} s on top", holds=mine - theirs <= MORE)


if __name__ == "__main__":
    main()
