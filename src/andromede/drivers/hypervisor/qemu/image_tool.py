"""`qemu-img` on a guest's own disks, told their format always; as root, for their folder is root's alone.

What a guest writes is the content of its disk and never the header of its file, which only QEMU and this program write.
"""

import asyncio
from pathlib import Path

from andromede.core.errors import DriverError
from andromede.drivers.hypervisor.qemu.process import sanitise


async def start(*arguments: str) -> asyncio.subprocess.Process:
    """Start it; what it says is on stderr. Raises DriverError where it is not installed."""
    try:
        return await asyncio.create_subprocess_exec(
            "qemu-img",
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
    except FileNotFoundError as error:
        raise DriverError("The program qemu-img is not installed on the host.") from error


async def run(*arguments: str, what: str = "The server could not be started") -> None:
    """Run it to its end. what: could not be done, in the words of the DriverError that it raises."""
    process = await start(*arguments)
    _, errors = await process.communicate()
    if process.returncode != 0:
        raise complaint(errors, what)


def complaint(errors: bytes, what: str = "A disk of the server could not be copied") -> DriverError:
    """What it said, for the public."""
    text = errors.decode(errors="replace")
    if "No space left" in text or "quota exceeded" in text:
        return DriverError("The host has no disk space left for the disk of the server.")
    return DriverError(f"{what}: {sanitise((text.strip().splitlines() or ['no reason given'])[-1])}")


async def create(path: Path, size: int, *, base: str | None = None, base_format: str = "raw") -> None:
    """An empty qcow2 image at `path`, whole or not at all. The base is named in it, never opened for it. Raises DriverError."""
    fresh = path.with_suffix(".new")
    arguments = ["create", "-q", "-f", "qcow2"]
    if base is not None:
        arguments += ["-u", "-b", base, "-F", base_format]
    try:
        await run(*arguments, str(fresh), str(size), what="A disk of the server could not be made")
    except DriverError:
        fresh.unlink(missing_ok=True)
        raise
    fresh.chmod(0o600)
    fresh.replace(path)
