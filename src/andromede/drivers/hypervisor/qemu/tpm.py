"""A TPM 2.0 of a guest's own: `swtpm`, as the guest's user, over a socket that nobody else can reach.

What it keeps lies in the guest's folder, of which it gets only that part, open; it ends when QEMU does.
"""

import os
import shutil
import socket
from contextlib import ExitStack
from pathlib import Path

from andromede.core.errors import DriverError
from andromede.drivers.hypervisor.qemu import process

PROGRAM = "swtpm"


def installed() -> bool:
    """Whether guests here can have one."""
    return shutil.which(PROGRAM) is not None


def start(stack: ExitStack, folder: Path, *, uid: int, groups: list[Path]) -> int:
    """Start it; answers the open socket for QEMU, which `stack` closes on our side. Raises DriverError."""
    if not installed():
        raise DriverError("The TPM emulator swtpm is not installed on the host.")
    state = folder / "tpm"
    state.mkdir(exist_ok=True, mode=0o700)
    os.chown(state, uid, uid)
    for path in state.iterdir():
        os.chown(path, uid, uid, follow_symlinks=False)
    place = os.open(state, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    stack.callback(os.close, place)
    ours, theirs = socket.socketpair()
    stack.enter_context(ours)
    with theirs:
        arguments = [
            PROGRAM, "socket", "--tpm2", "--tpmstate", f"dir=/proc/self/fd/{place},mode=0600", "--ctrl",
            f"type=unixio,clientfd={theirs.fileno()}", "--terminate", "--seccomp", "action=kill",
        ]  # fmt: skip
        process.launch(arguments, uid=uid, gid=uid, groups=groups, fds=[place, theirs.fileno()], log=folder / "tpm.log")
    return ours.fileno()
