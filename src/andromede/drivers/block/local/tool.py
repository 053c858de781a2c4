"""`qemu-img` on the files of volumes: told every format, limited, and with no more rights than to work in one folder.

A passphrase reaches it through memory that only it can open, never on a command line. What it is given to read may be hostile
in its content, so it may read files that it is told and write none but those of its own folder.
"""

import asyncio
import contextlib
import json
import os
import re
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from andromede.core.errors import DriverError
from andromede.core.units import GIB

_MEMORY = 4 * GIB
_ROOM = ("No space left", "File too large", "quota exceeded")


class Image:
    """An image as qemu-img is told of it: the node that reads it, and the passphrase it needs."""

    def __init__(self, path: Path, kind: str, passphrase: bytes = b"") -> None:
        self.path, self.format, self.passphrase = path, kind, passphrase

    def node(self, secret: str) -> dict[str, Any]:
        """QEMU's description; a backing file is never opened. secret: the name of the passphrase."""
        file = {"driver": "file", "filename": str(self.path)}
        if not self.passphrase:
            return {"driver": self.format, "file": file} | ({"backing": None} if self.format == "qcow2" else {})
        if self.format == "qcow2":
            return {"driver": "qcow2", "file": file, "backing": None, "encrypt.key-secret": secret}
        return {"driver": "luks", "file": file, "key-secret": secret}

    def options(self, secret: str) -> str:
        """The same for --image-opts."""
        return ",".join(f"{key}={str(value).replace(',', ',,')}" for key, value in _flat(self.node(secret)) if value is not None)

    def name(self, secret: str) -> str:
        """The same as a file name."""
        return "json:" + json.dumps(self.node(secret))


def _flat(node: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


class Tool:
    """Runs qemu-img. uid: whom it runs as, where we are root; 0 for ourselves."""

    def __init__(self, uid: int) -> None:
        self._uid = uid if os.geteuid() == 0 else 0

    async def create(self, image: Image, size: int) -> None:
        """A new image at its path, empty, encrypted where it has a passphrase."""
        options = {"qcow2": ["compat=1.1", "lazy_refcounts=off"], "raw": []}[image.format]
        kind = image.format
        if image.passphrase:
            # The passphrase is random and long: many rounds would only make each opening slow.
            inside = "encrypt." if kind == "qcow2" else ""
            options += [*(["encrypt.format=luks"] if inside else []), f"{inside}key-secret=to", f"{inside}iter-time=10"]
            kind = "qcow2" if inside else "luks"
        words = ["create", "-q", "-f", kind, *(["-o", ",".join(options)] if options else []), str(image.path), str(size)]
        await self.run(image.path.parent, words, {"to": image.passphrase})

    async def copy(self, source: Image, target: Image, *, snapshot: str = "", shared: bool = False) -> None:
        """Copy content into an image that is there and empty. shared: another process has the source open."""
        # What was never written to a raw encrypted disk reads as noise, so there even zeros are written.
        zero = [] if target.passphrase and target.format == "raw" else ["--target-is-zero"]
        words = ["convert", "-q", "-n", *zero, "-m", "4", *(["-U"] if shared else [])]
        words += ["-l", f"snapshot.name={snapshot}"] if snapshot else []
        words += ["--target-image-opts", source.name("from"), target.options("to")]
        await self.run(target.path.parent, words, {"from": source.passphrase, "to": target.passphrase})

    async def export(self, source: Image, target: Path, kind: str, *, snapshot: str = "", shared: bool = False) -> None:
        """Copy content, in the clear, into a new file of one of QEMU's formats."""
        words = ["convert", "-q", "-O", kind, "-m", "4", *(["-U"] if shared else [])]
        words += ["-l", f"snapshot.name={snapshot}"] if snapshot else []
        await self.run(target.parent, [*words, source.name("from"), str(target)], {"from": source.passphrase})

    async def resize(self, image: Image, size: int) -> None:
        """Make an image larger."""
        words = ["resize", "-q", "--image-opts", image.options("to"), str(size)]
        await self.run(image.path.parent, words, {"to": image.passphrase})

    async def snapshot(self, image: Image, act: str, name: str) -> None:
        """Act on a snapshot inside an image: `-c` makes, `-d` deletes, `-a` goes back to it."""
        words = ["snapshot", "-q", act, name, "--image-opts", image.options("to")]
        await self.run(image.path.parent, words, {"to": image.passphrase})

    async def info(self, image: Image) -> dict[str, Any]:
        """What the image says of itself; needs no passphrase."""
        node: dict[str, Any] = {"driver": image.format, "file": {"driver": "file", "filename": str(image.path)}}
        if image.format == "raw" and image.passphrase:
            node["driver"] = "luks"
        elif image.format == "qcow2":
            node["backing"] = None
        out = await self.run(image.path.parent, ["info", "-U", "--output=json", "json:" + json.dumps(node)], {})
        answer: dict[str, Any] = json.loads(out)
        return answer

    async def run(self, folder: Path, words: Sequence[str], secrets: dict[str, bytes]) -> bytes:
        """Run qemu-img in a folder that is its own meanwhile; answers what it prints. Raises DriverError."""
        given = {name: _memory(name, text, self._uid) for name, text in secrets.items() if text}
        objects = [word for name, fd in given.items() for word in ("--object", f"secret,id={name},file=/proc/self/fd/{fd}")]
        command = ["prlimit", f"--as={_MEMORY}", "--nofile=256", "--core=0", "--", "qemu-img", words[0], *objects, *words[1:]]
        if self._uid:
            able = "-all,+dac_read_search"
            rights = [f"--inh-caps={able}", f"--ambient-caps={able}", f"--bounding-set={able}", "--no-new-privs"]
            command = ["setpriv", f"--reuid={self._uid}", f"--regid={self._uid}", "--clear-groups", *rights, "--", *command]
        try:
            with self._lent(folder):
                return await _finish(command, tuple(given.values()), folder)
        finally:
            for fd in given.values():
                os.close(fd)

    @contextlib.contextmanager
    def _lent(self, folder: Path) -> Iterator[None]:
        """The folder and its files are the tool's while it works, and ours again afterwards."""
        if not self._uid:
            yield
            return
        self._give(folder, self._uid)
        try:
            yield
        finally:
            self._give(folder, 0)

    def _give(self, folder: Path, uid: int) -> None:
        for path in (folder, *folder.iterdir()):
            os.chown(path, uid, uid, follow_symlinks=False)


def _memory(name: str, text: bytes, uid: int) -> int:
    """A passphrase in memory, open for the process that is to read it."""
    fd = os.memfd_create(name)
    os.write(fd, text)
    os.set_inheritable(fd, True)
    if uid:
        os.fchown(fd, uid, uid)
    return fd


async def _finish(command: Sequence[str], fds: tuple[int, ...], folder: Path) -> bytes:
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, pass_fds=fds,
            start_new_session=True, cwd=folder, env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8"}, umask=0o077,
        )  # fmt: skip
    except FileNotFoundError as error:
        raise DriverError("The program qemu-img is not installed on the host.") from error
    try:
        out, errors = await process.communicate()
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    if process.returncode:
        raise _failure(errors.decode(errors="replace"))
    return out


def _failure(text: str) -> DriverError:
    if any(word in text for word in _ROOM):
        return DriverError("The host has no disk space left for the volume.")
    if "lock" in text:
        return DriverError("The volume is in use on the host.")
    line = (text.strip().splitlines() or ["no reason given"])[-1]
    line = re.sub(r"^[\w-]*qemu[\w-]*: ", "", line)
    line = re.sub(r"json:\{.*?\}+'?|driver=\S+", "…", line)
    line = re.sub(r"(?<![\w.])/[^\s:,;'\"]+", "…", line)
    return DriverError(f"The volume could not be made as asked: {''.join(char for char in line if char.isprintable())[:200]}")
