"""What must stand before a daemon starts: names of hosts, disks, folders, and the name directory with the cluster's identity."""

import os
import shutil
import socket
import subprocess
import time
import zlib
from pathlib import Path

from .document import Document
from .places import Places, folder, write
from .roles import HADOOP, HDFS, MAPRED, YARN
from .sites import data_folders


def names(document: Document, places: Places) -> None:
    """The table of names says who the nodes are. Java asks it for each address that it meets, and would wait for a name server else."""
    rows = ["127.0.0.1 localhost", "::1 localhost ip6-localhost", *(f"{address} {name}" for address, name in sorted(document.hosts.items()))]
    write(places.hosts, "\n".join([*rows, ""]))
    if os.geteuid() == 0 and places.root == Path("/") and socket.gethostname() != document.node.name:
        socket.sethostname(document.node.name)
        write(Path("/etc/hostname"), document.node.name + "\n")


def folders(document: Document, places: Places) -> None:
    """Every folder that a daemon writes to, and the disks below them."""
    for disk in document.node.disks:
        if disk.startswith("/dev/"):
            mount(disk)
    folder(places.state, 0)
    folder(places.logs, 0, 0o1777)
    folder(places.logs / "userlogs", YARN)
    folder(places.state / "tmp", 0, 0o1777)
    folder(places.state / "jobs", HADOOP, 0o700)
    folder(places.state / "rm", YARN, 0o700)
    folder(places.state / "checkpoint", HDFS, 0o700)
    for user, uid in (("hdfs", HDFS), ("yarn", YARN), ("mapred", MAPRED), ("hadoop", HADOOP)):
        folder(places.state / "tmp" / user, uid)
    for name in data_folders(document, places):
        folder(Path(name) / "hdfs", HDFS, 0o700)
        folder(Path(name) / "yarn", YARN)


def mount(device: str) -> None:
    """Mount a disk below /mnt; an empty one is made a file system first, one with anything on it never. Errors: RuntimeError."""
    target = Path("/mnt") / device.rsplit("/", 1)[-1]
    if target.is_mount():
        return
    kind = subprocess.run(["blkid", "-p", "-o", "value", "-s", "TYPE", device], capture_output=True, text=True, check=False)
    if kind.returncode == 2:
        _tool("mkfs.ext4", "-q", "-F", "-m", "0", "-E", "lazy_itable_init=1", device)
    target.mkdir(parents=True, exist_ok=True)
    _tool("mount", "-o", "noatime,nodev,nosuid", device, str(target))


def _tool(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr.strip()[-300:]}")


def name_directory(document: Document, places: Places) -> None:
    """Make the NameNode's directory where there is none: the image's formatted one, with the cluster's own identity.

    Formatting means a start of Java; the identity is in the file VERSION alone, and what is derived from the cluster's is the
    same whenever it is made. Errors: RuntimeError where there is a directory of another cluster.
    """
    target = places.state / "name"
    version = target / "current" / "VERSION"
    identity = document.identity
    if version.exists():
        found = properties(version.read_text()).get("clusterID")
        if found != identity:
            raise RuntimeError(f"the name directory is that of the cluster {found}, not of {identity}")
        return
    part = target.with_name("name.part")
    shutil.rmtree(part, ignore_errors=True)
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(places.share / "name", part)
    mark = zlib.crc32(identity.encode()) & 0x7FFFFFFF
    now = int(time.time() * 1000)
    said = properties((part / "current" / "VERSION").read_text()) | {
        "clusterID": identity,
        "namespaceID": str(mark or 1),
        "cTime": str(now),
        "blockpoolID": f"BP-{mark or 1}-{document.node.address}-{now}",
    }
    (part / "current" / "VERSION").write_text("".join(f"{key}={value}\n" for key, value in said.items()))
    for path in [part, *part.rglob("*")]:
        path.chmod(0o700 if path.is_dir() else 0o600)
        if os.geteuid() == 0:
            os.chown(path, HDFS, HDFS)
    os.sync()
    part.rename(target)


def properties(content: str) -> dict[str, str]:
    """A file of Java's properties, of the plain kind."""
    rows = (line.split("=", 1) for line in content.splitlines() if "=" in line and not line.startswith("#"))
    return {key.strip(): value.strip() for key, value in rows}


