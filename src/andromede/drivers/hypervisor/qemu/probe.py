"""Proves that KVM can run a guest, for `/dev/kvm` may be there, open, make a machine, and still be of no use.

The guest is a firmware of 256 bytes that goes from the reset vector through protected mode into long mode, counts four
million stores in each, and ends QEMU through isa-debug-exit. A working KVM takes a tenth of a second for it; one that
hangs, or that emulates every instruction, is ended after `limit` seconds. TCG runs it too, which proves the payload.
"""

import asyncio
import contextlib
import os
import signal
import stat
from pathlib import Path

import msgspec

from andromede.core.clock import monotonic
from andromede.drivers.hypervisor.qemu.process import BINARY, sanitise

LIMIT = 4.0
_SUCCESS = 0x2A << 1 | 1

# Mapped so that its last byte is at 0xffffffff; addresses below are offsets from 0xffffff00.
_PAYLOAD = bytes.fromhex(
    # 00  cli; lgdtl %cs:0xffc0                                     16-bit, at the top of the first 4 GiB
    "fa 2e660f0116c0ff"
    # 08  mov %cr0,%eax; or $1,%al; mov %eax,%cr0; ljmpl $8,$0x18   into protected mode
    "0f20c0 0c01 0f22c0 66ea18ffffff0800"
    # 18  mov $16,%eax; mov %eax,%ds; mov $4000000,%ecx
    "b810000000 8ed8 b900093d00"
    # 24  1: mov %ecx,0x5000; dec %ecx; jnz 1b
    "890d00500000 49 75f7"
    # 2d  level 4 at 0x1000 and level 3 at 0x2000; the first and the fourth GiB share the level 2 at 0x3000
    "c7050010000003200000 c7050020000003300000 c7051820000003300000"
    # 4b  its first entry maps 0, its last the 2 MiB that end at 4 GiB
    "c7050030000083000000 c705f83f00008300e0ff"
    # 5f  cr4.PAE; cr3 = 0x1000; EFER.LME; cr0.PG; ljmp $24,$0x8d   into long mode
    "b820000000 0f22e0 b800100000 0f22d8 b9800000c0 0f32 80cc01 0f30 0f20c0 0d00000080 0f22c0 ea8dffffff1800"
    # 8d  mov $0x2a,%eax; shl $32,%rax; mov $4000000,%ecx
    "b82a000000 48c1e020 b900093d00"
    # 9b  1: mov %rcx,0x5000; dec %ecx; jnz 1b
    "48890c2500500000 ffc9 75f4"
    # a7  mov %rax,0x4000; mov 0x4000,%rbx; shr $32,%rbx; mov %ebx,%eax; out %al,$0xf4; hlt
    "4889042500400000 488b1c2500400000 48c1eb20 89d8 e6f4 f4"
    # c0  the descriptor table's limit and address; null, 32-bit code, data, 64-bit code
    "1f00 c6ffffff 0000000000000000 ffff0000009bcf00 ffff00000093cf00 ffff0000009baf00"
    # e6  padding; f0 is the reset vector: jmp 0
    "00000000000000000000 e90dff"
)


class Acceleration(msgspec.Struct, frozen=True):
    """`kvm` or `tcg`; why not KVM, in a sentence; the group through which an unprivileged guest may open /dev/kvm."""

    name: str
    why: str
    group: int | None = None


def firmware() -> bytes:
    """The payload as a firmware image of 64 KiB."""
    return bytes(0x10000 - 0x100) + _PAYLOAD.ljust(0x100, b"\0")


async def probe(folder: Path, *, uid: int, device: Path = Path("/dev/kvm"), limit: float = LIMIT) -> Acceleration:
    """Find out how guests can run here, as the user `uid`. folder: where the payload may lie while it runs."""
    try:
        status = os.stat(device)  # noqa: PTH116 - no disk is waited for
    except OSError:
        return Acceleration("tcg", "The host has no /dev/kvm.")
    if not stat.S_ISCHR(status.st_mode):
        return Acceleration("tcg", "/dev/kvm of the host is not a device.")
    group = status.st_gid if not status.st_mode & stat.S_IWOTH and status.st_mode & stat.S_IWGRP else None
    trouble = await run_payload("kvm", folder, limit=limit)
    if trouble is not None:
        return Acceleration("tcg", f"The host has /dev/kvm, but {trouble}.")
    trouble = await run_payload("kvm", folder, limit=limit, user=(uid, uid if group is None else group))
    if trouble is not None:
        return Acceleration("tcg", "KVM works for root alone on the host: the group of /dev/kvm may not write to it.")
    return Acceleration("kvm", "", group)


async def proved(folder: Path, *, uid: int, key: str) -> Acceleration:
    """What `probe` answers, kept in `folder` for as long as `key` is the same: the host's start and QEMU's version."""
    kept = folder / "acceleration.json"
    try:
        known, answer = msgspec.json.decode(kept.read_bytes(), type=tuple[str, Acceleration])
    except (OSError, msgspec.MsgspecError):
        known, answer = "", Acceleration("tcg", "")
    if known != key:
        answer = await probe(folder, uid=uid)
        kept.write_bytes(msgspec.json.encode((key, answer)))
    return answer


async def run_payload(accelerator: str, folder: Path, *, limit: float = LIMIT, user: tuple[int, int] | None = None) -> str | None:
    """Run the payload; None when it succeeded, else the rest of a sentence that says why not. user: uid and gid."""
    name = folder / f"probe-{accelerator}.rom"
    name.write_bytes(firmware())
    name.chmod(0o644)
    rom = os.open(name, os.O_RDONLY)
    name.unlink()
    command = [
        BINARY, "-nodefaults", "-no-user-config", "-display", "none", "-machine", "pc", "-m", "16M", "-accel", accelerator,
        "-bios", f"/proc/self/fd/{rom}", "-device", "isa-debug-exit,iobase=0xf4,iosize=4", "-no-reboot",
    ]  # fmt: skip
    if user is not None:
        command = ["setpriv", f"--reuid={user[0]}", f"--regid={user[1]}", "--clear-groups", "--no-new-privs", "--", *command]
    began = monotonic()
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
            pass_fds=[rom],
        )
    except OSError as error:
        return f"the hypervisor program cannot be run ({os.strerror(error.errno or 0).lower()})"
    finally:
        os.close(rom)
    try:
        async with asyncio.timeout(limit):
            _, errors = await process.communicate()
    except TimeoutError:
        return f"a guest in long mode did not finish in {monotonic() - began:.0f} s what takes a tenth of a second"
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    if process.returncode == _SUCCESS:
        return None
    words = sanitise((errors.decode(errors="replace").strip().splitlines() or ["it said nothing"])[-1])
    return f"a guest in long mode failed ({words})"
