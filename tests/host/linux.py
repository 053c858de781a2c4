"""A Linux of busybox and Debian's cloud kernel, for tests that need a real operating system in a guest."""

import gzip
import os
import shutil
import subprocess
from pathlib import Path

CACHE = Path(os.environ.get("ANDROMEDE_CACHE", "/var/cache/andromede")) / "tests" / "linux"
MODULES = (
    "drivers/virtio/virtio_ring", "drivers/virtio/virtio", "drivers/virtio/virtio_pci_legacy_dev",
    "drivers/virtio/virtio_pci_modern_dev", "drivers/virtio/virtio_pci", "drivers/block/virtio_blk",
    "drivers/acpi/button", "drivers/input/evdev",
)  # fmt: skip
INIT = """#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t sysfs sys /sys
for module in {modules}; do /bin/busybox insmod /$module.ko; done
echo "vendor $(/bin/busybox cat /sys/class/dmi/id/sys_vendor) uuid $(/bin/busybox cat /sys/class/dmi/id/product_uuid)"
cd /sys/block
for disk in vd*; do
    echo disk $disk serial $(/bin/busybox cat $disk/serial) sectors $(/bin/busybox cat $disk/size $disk/ro)
done
echo "config $(/bin/busybox head -c 6 /dev/vdb)"
echo hello | /bin/busybox dd of=/dev/vda bs=512 seek=1 conv=fsync 2>/dev/null
echo "userspace is up"
for events in /dev/input/event*; do :; done
/bin/busybox dd if=$events of=/dev/null bs=24 count=1 2>/dev/null
echo "button was pressed"
/bin/busybox poweroff -f
"""


def linux() -> tuple[Path, Path] | None:
    """A kernel and an initial ramdisk; None where they cannot be had."""
    busybox = Path("/usr/bin/busybox")
    if not busybox.exists() or shutil.which("apt-get") is None:
        return None
    kernels = sorted(CACHE.glob("kernel/boot/vmlinuz-*"))
    if not kernels:
        CACHE.mkdir(parents=True, exist_ok=True)
        depends = subprocess.run(
            ["apt-cache", "depends", "linux-image-cloud-amd64"], capture_output=True, text=True, timeout=60, check=False
        )
        name = next((line.split()[1] for line in depends.stdout.splitlines() if "Depends: linux-image" in line), None)
        if name is None or not _fetch(name):
            return None
        kernels = sorted(CACHE.glob("kernel/boot/vmlinuz-*"))
    release = kernels[-1].name.removeprefix("vmlinuz-")
    modules = CACHE / "kernel" / "lib" / "modules" / release / "kernel"
    members = {"dev": None, "sys": None, "bin": None, "bin/busybox": busybox.read_bytes()}
    present = [module for module in MODULES if (modules / f"{module}.ko").exists()]
    members |= {f"{Path(module).name}.ko": (modules / f"{module}.ko").read_bytes() for module in present}
    members["init"] = INIT.format(modules=" ".join(Path(module).name for module in present)).encode()
    initrd = CACHE / "initrd.gz"
    fresh = initrd.with_suffix(f".{os.getpid()}")
    fresh.write_bytes(gzip.compress(_archive(members), 1))
    fresh.replace(initrd)
    return kernels[-1], initrd


def _fetch(name: str) -> bool:
    got = subprocess.run(["apt-get", "download", name], cwd=CACHE, capture_output=True, timeout=300, check=False)
    packages = sorted(CACHE.glob(f"{name}_*.deb"))
    if got.returncode != 0 or not packages:
        return False
    subprocess.run(["dpkg-deb", "-x", packages[-1], CACHE / "kernel"], timeout=300, check=True)
    return True


def _archive(members: dict[str, bytes | None]) -> bytes:
    """An archive of the kernel's `newc` kind, with the console that init's output goes to."""
    entries = [(name, 0o40755 if data is None else 0o100755, data or b"", 0, 0) for name, data in members.items()]
    entries.append(("dev/console", 0o20600, b"", 5, 1))
    entries.append(("TRAILER!!!", 0, b"", 0, 0))
    out = bytearray()
    for number, (name, mode, data, major, minor) in enumerate(entries):
        fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, major, minor, len(name) + 1, 0)
        out += b"070701" + b"".join(b"%08x" % field for field in fields) + name.encode() + b"\0"
        out += bytes(-len(out) % 4) + data
        out += bytes(-len(out) % 4)
    return bytes(out)
