"""The programs of other packages that the cloud runs, and the Debian packages that bring them."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

PACKAGES = {
    "qemu-system-x86_64": "qemu-system-x86", "qemu-img": "qemu-utils", "ovsdb-server": "openvswitch-switch", "ovsdb-tool": "openvswitch-switch",
    "ovs-vswitchd": "openvswitch-switch", "ovn-northd": "ovn-central", "ovn-appctl": "ovn-host", "ovn-controller": "ovn-host",
    "ip": "iproute2", "nft": "nftables", "swtpm": "swtpm", "modprobe": "kmod", "lxc-start": "lxc", "mke2fs": "e2fsprogs",
    "qemu-storage-daemon": "qemu-system-common",
    "nsenter": "util-linux", "setpriv": "util-linux", "prlimit": "util-linux",
}  # fmt: skip
"""By the program's name."""
OPTIONAL = {"swtpm", "lxc-start", "qemu-storage-daemon"}
"""Those without which only some servers cannot be had here."""
_WRAPPERS = {"nsenter", "setpriv", "prlimit"}


def have(program: str) -> bool:
    """Whether a program is there: at its path, or by its name where root looks for programs."""
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") is not None


def missing(argv: Sequence[str]) -> str:
    """What to say of the first program of a command that is not installed; empty where all are. Looks behind `nsenter … --` and the like."""
    words = list(argv)
    while words:
        if not have(words[0]):
            return not_installed(words[0])
        if Path(words[0]).name not in _WRAPPERS or "--" not in words:
            return ""
        words = words[words.index("--") + 1 :]
    return ""


def not_installed(program: str) -> str:
    """The sentence for a program that is not there."""
    name = Path(program).name
    package = PACKAGES.get(name)
    return f"{name} is not installed" + (f"; install it with: apt-get install {package}" if package else "")
