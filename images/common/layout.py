"""Disk images made from folders, without loop devices, mounts or a running guest.

Used by the `build` script of every recipe, with the standard library only and the tools that `andromede.run.images.NEEDS`
lists. The disk is an MBR one with two partitions: FAT with the kernel, its initrd and the boot loaders (syslinux for BIOS,
systemd-boot for UEFI, both reading the same two files), and ext4 with everything else.
"""

import gzip
import io
import os
import re
import shutil
import stat
import struct
import subprocess
import sys
import tarfile
from collections.abc import Iterable, Sequence
from pathlib import Path

SECTOR = 512
ALIGN = 1 << 20


def run(*command: str | Path, cwd: Path | None = None) -> str:
    """Run a tool and return its output; on failure end the recipe with what it said."""
    paths = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    environment = {"PATH": paths, "LC_ALL": "C.UTF-8", "MTOOLS_SKIP_CHECK": "1"}
    done = subprocess.run([str(word) for word in command], cwd=cwd, env=environment, capture_output=True, check=False)
    if done.returncode:
        sys.exit(f"{command[0]} failed ({done.returncode}): {done.stderr.decode(errors='replace').strip()[-2000:]}")
    return done.stdout.decode(errors="replace")


def as_root() -> None:
    """Files of a guest belong to uid 0: where the caller is not root, start over in a user namespace of its own."""
    if os.geteuid() != 0:
        os.execvp("unshare", ["unshare", "--map-root-user", sys.executable, *sys.argv])  # noqa: S606


def unpack(packages: Path, into: Path) -> None:
    """Unpack every package of a folder; none of their scripts is run."""
    for package in sorted(packages.glob("*.deb")):
        run("dpkg-deb", "--extract", package, into)


def overlay(source: Path, into: Path) -> None:
    """Copy a recipe's own files; modes follow from what they are, for a checkout or a wheel may have lost them."""
    for path in sorted(source.rglob("*")):
        target = into / path.relative_to(source)
        if path.is_dir():
            target.mkdir(mode=0o755, parents=True, exist_ok=True)
        else:
            shutil.copyfile(path, target)
            target.chmod(0o755 if path.read_bytes().startswith(b"#!") else 0o644)


def needed(binary: Path) -> list[str]:
    """The shared libraries an ELF file asks for, and its interpreter."""
    with binary.open("rb") as file:
        if file.read(4) != b"\x7fELF":
            return []
    out = run("readelf", "--dynamic", "--program-headers", "--wide", binary)
    found = re.findall(r"\(NEEDED\).*\[(.+?)\]", out)
    return found + [Path(name).name for name in re.findall(r"program interpreter: (\S+?)\]", out)]


def library_closure(binaries: Iterable[Path], source: Path) -> dict[str, Path]:
    """Every library that `binaries` need directly or not: name to file below `source`."""
    folders = [source / name for name in ("lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu", "lib64", "usr/libexec/sudo")]
    found: dict[str, Path] = {}
    waiting = list(binaries)
    while waiting:
        for name in needed(waiting.pop()):
            if name in found:
                continue
            path = next((folder / name for folder in folders if (folder / name).exists()), None)
            if path is None:
                sys.exit(f"library {name} is in none of the packages")
            found[name] = path
            waiting.append(path)
    return found


class Modules:
    """The kernel's modules below a `lib/modules/VERSION` folder."""

    def __init__(self, folder: Path) -> None:
        self.files = {path.name.removesuffix(".ko").replace("-", "_"): path for path in folder.rglob("*.ko")}

    def order(self, *names: str) -> list[str]:
        """`names` and what they depend on, each after what it needs."""
        out: list[str] = []
        for name in names:
            found = re.search(rb"\0depends=([^\0]*)\0", b"\0" + self.files[name].read_bytes())
            needs = found[1].decode().replace("-", "_").split(",") if found and found[1] else []
            out += [need for need in [*self.order(*needs), name] if need not in out]
        return out

    def install(self, names: Iterable[str], into: Path) -> None:
        """Copy modules without their debug information and signature: checking one costs more than loading it."""
        into.mkdir(parents=True, exist_ok=True)
        for name in names:
            run("objcopy", "--strip-debug", self.files[name], into / f"{name}.ko")


def unpacked_kernel(image: bytes, work: Path) -> bytes:
    """The ELF kernel inside a bzImage that is compressed with LZ4, as Debian's cloud kernel is.

    The header's fields are those of the Linux/x86 boot protocol 2.08. `work` is a scratch folder.
    """
    start = (image[0x1F1] + 1) * SECTOR
    offset, length = struct.unpack_from("<II", image, 0x248)
    payload = image[start + offset : start + offset + length]
    if payload[:4] != b"\x02\x21\x4c\x18":
        sys.exit("the kernel is not compressed with LZ4")
    packed, elf = work / "kernel.lz4", work / "kernel.elf"
    packed.write_bytes(payload[:-4])
    run("lz4", "-dqf", packed, elf)
    return elf.read_bytes()


def cpio(folder: Path) -> bytes:
    """An initrd (the `newc` format) with all of `folder`, owned by root, without times, in a fixed order."""
    out = io.BytesIO()

    def add(inode: int, name: str, mode: int, data: bytes, device: tuple[int, int] = (0, 0)) -> None:
        fields = (inode, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(name.encode()) + 1, 0)
        out.write(b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0")
        out.write(b"\0" * (-out.tell() % 4))
        out.write(data)
        out.write(b"\0" * (-out.tell() % 4))

    add(1, "dev", stat.S_IFDIR | 0o755, b"")
    add(2, "dev/console", stat.S_IFCHR | 0o600, b"", (5, 1))
    for inode, path in enumerate(sorted(folder.rglob("*")), start=3):
        mode = path.lstat().st_mode
        contents = path.read_bytes if stat.S_ISREG(mode) else bytes
        data = str(path.readlink()).encode() if stat.S_ISLNK(mode) else contents()
        add(inode, str(path.relative_to(folder)), mode, data)
    add(0, "TRAILER!!!", 0, b"")
    return out.getvalue()


def archive(folder: Path, out: Path, *, owners: dict[str, int] | None = None) -> None:
    """A compressed tar of all of `folder`, without times, in a fixed order; root's, but for the paths in `owners`."""
    with out.open("wb") as raw, gzip.GzipFile("", "wb", 6, raw, mtime=0) as packed, tarfile.open(fileobj=packed, mode="w") as tar:
        for path in sorted(folder.rglob("*")):
            name = str(path.relative_to(folder))
            about = tar.gettarinfo(path, name)
            about.uid = about.gid = (owners or {}).get(name, 0)
            about.uname = about.gname = ""
            about.mtime = 0
            if about.isreg():
                with path.open("rb") as file:
                    tar.addfile(about, file)
            else:
                tar.addfile(about)


def ext4(folder: Path, image: Path, *, label: str, spare: int, journal: int, owners: dict[str, int] | None = None) -> None:
    """Make `image` an ext4 file system with the contents of `folder` and `spare` bytes free; `journal` in MiB.

    `owners` gives paths inside it to another user and the group of the same number.
    """
    used = sum(-(-path.lstat().st_size // 4096) * 4096 + 512 for path in folder.rglob("*"))
    size = -(-(used + (journal << 20) + spare + used // 20) // ALIGN) * ALIGN
    image.unlink(missing_ok=True)
    with image.open("wb") as file:
        file.truncate(size)
    options = f"-q -F -t ext4 -T default -b 4096 -L {label} -J size={journal} -m 1 -E lazy_itable_init=1,root_owner=0:0"
    run("mke2fs", *options.split(), "-d", folder, image)
    for path, owner in (owners or {}).items():
        for field in ("uid", "gid"):
            run("debugfs", "-w", "-R", f"set_inode_field /{path} {field} {owner}", image)


def fat(files: dict[str, Path], image: Path, *, start: int, room: int) -> None:
    """Make `image` a FAT file system for byte `start` of a disk; it has `files` (path to source) and `room` bytes free."""
    size = sum(path.stat().st_size for path in files.values())
    image.unlink(missing_ok=True)
    with image.open("wb") as file:
        file.truncate(-(-(size + size // 50 + room) // ALIGN) * ALIGN)
    run("mkfs.vfat", "-F", "16", "-s", "8", "-n", "BOOT", "-h", str(start // SECTOR), image)
    folders = sorted({"/".join(name.split("/")[:depth]) for name in files for depth in range(1, name.count("/") + 1)})
    for folder in folders:
        run("mmd", "-i", image, f"::{folder}")
    for name, path in files.items():
        run("mcopy", "-i", image, path, f"::{name}")


def partition_table(code: bytes, parts: Sequence[tuple[int, int, int, bool]]) -> bytes:
    """The first sector: boot `code` and up to four parts of (type, first byte, bytes, active)."""
    table = b""
    for kind, first, size, active in parts:
        beyond = b"\xfe\xff\xff"
        table += struct.pack("<B3sB3sII", 0x80 * active, beyond, kind, beyond, first // SECTOR, size // SECTOR)
    return code[:440].ljust(440, b"\0") + b"ANDR\0\0" + table.ljust(64, b"\0") + b"\x55\xaa"


def boot_disk(
    disk: Path, *, kernel: Path, initrd: Path, command_line: str, tools: Path, root: Path, work: Path, room: int = 3 << 19
) -> None:
    """Write the qcow2 `disk`: `root` is an ext4 image, `tools` has syslinux and systemd-boot unpacked, `work` is scratch.

    `room` is what the boot partition has left, in bytes, for kernels to come.
    """
    config, loader, entry = work / "syslinux.cfg", work / "loader.conf", work / "linux.conf"
    config.write_text(f"DEFAULT linux\nPROMPT 0\nLABEL linux\n  LINUX /vmlinuz\n  INITRD /initrd\n  APPEND {command_line}\n")
    loader.write_text("default linux.conf\ntimeout 0\neditor no\n")
    entry.write_text(f"title linux\nlinux /vmlinuz\ninitrd /initrd\noptions {command_line}\n")
    boot, start = work / "boot.fat", ALIGN
    files = {
        "vmlinuz": kernel,
        "initrd": initrd,
        "syslinux.cfg": config,
        "loader/loader.conf": loader,
        "loader/entries/linux.conf": entry,
        "EFI/BOOT/BOOTX64.EFI": tools / "usr/lib/systemd/boot/efi/systemd-bootx64.efi",
    }
    fat(files, boot, start=start, room=room)
    run(tools / "usr/bin/syslinux", "--install", boot)
    raw, second = work / "disk.raw", start + boot.stat().st_size
    code = (tools / "usr/lib/syslinux/mbr/mbr.bin").read_bytes()
    with raw.open("wb") as file:
        file.write(partition_table(code, [(0xEF, start, boot.stat().st_size, True), (0x83, second, root.stat().st_size, False)]))
        file.truncate(second + root.stat().st_size + ALIGN)
    for image, at in ((boot, start), (root, second)):
        run("dd", f"if={image}", f"of={raw}", "bs=1M", f"seek={at // ALIGN}", "conv=notrunc,sparse")
    run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-c", "-o", "compression_type=zstd", raw, disk)
    raw.unlink()
    boot.unlink()
