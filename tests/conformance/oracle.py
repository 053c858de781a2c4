"""Swift itself on loopback, one disk and one replica, to hold our face against. It is installed once, in an environment of its own."""

import contextlib
import getpass
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from tests.conformance.environments import Absent, environment

VERSION = "2.38.0"
PIPELINE = (
    "catch_errors gatekeeper healthcheck listing_formats bulk tempurl formpost people keystoneauth staticweb copy container-quotas account-quotas "
    "slo dlo versioned_writes symlink proxy-server"
)
PLAIN = "catch_errors gatekeeper healthcheck listing_formats bulk tempurl formpost staticweb copy slo dlo versioned_writes symlink keystoneauth"


def installed() -> Path:
    """The `bin` folder of Swift's environment, made where it is not there yet. Raises Absent."""
    return environment(f"swift-{VERSION}", (f"swift=={VERSION}", "setuptools<81"))


@contextlib.contextmanager
def running(tokens: dict[str, dict]) -> Iterator[str]:
    """Swift with these tokens (`{"user":…, "project":…, "roles":[…]}`); its URL. Raises Absent."""
    tools = installed()
    with tempfile.TemporaryDirectory(prefix="swift-oracle-", dir="/dev/shm" if _attributes(Path("/dev/shm")) else None) as name:
        folder = Path(name)
        if not _attributes(folder):
            raise Absent("no folder here keeps extended attributes, which Swift's object server needs")
        with contextlib.ExitStack() as stack:
            yield _start(stack, tools, folder, tokens)


def _attributes(folder: Path) -> bool:
    try:
        with tempfile.NamedTemporaryFile(dir=folder) as file:
            os.setxattr(file.name, "user.test", b"x" * 3000)
    except OSError:
        return False
    return True


def _start(stack: contextlib.ExitStack, tools: Path, folder: Path, tokens: dict[str, dict]) -> str:
    (folder / "srv/d1").mkdir(parents=True)
    (folder / "people.json").write_text(json.dumps(tokens))
    (folder / "swift.conf").write_text(
        "[swift-hash]\nswift_hash_path_suffix = x\nswift_hash_path_prefix = x\n[storage-policy:0]\nname = standard\ndefault = yes\n"
    )
    ports = _ports(4)
    for kind, port in zip(("object", "container", "account"), ports, strict=False):
        ring = [tools / "swift-ring-builder", folder / f"{kind}.builder"]
        for command in (["create", "4", "1", "0"], ["add", f"r1z1-127.0.0.1:{port}/d1", "100"], ["rebalance"]):
            subprocess.run([*ring, *command], check=True, capture_output=True, timeout=60)
        (folder / f"{kind}.conf").write_text(
            f"{_common(folder, port)}devices = {folder}/srv\nmount_check = false\n"
            f"[pipeline:main]\npipeline = {kind}-server\n[app:{kind}-server]\nuse = egg:swift#{kind}\n"
        )
    filters = "".join(f"[filter:{one}]\nuse = egg:swift#{one}\n" for one in PLAIN.split())
    (folder / "proxy.conf").write_text(
        f"{_common(folder, ports[3])}[pipeline:main]\npipeline = {PIPELINE}\n"
        f"[app:proxy-server]\nuse = egg:swift#proxy\naccount_autocreate = true\nallow_account_management = true\n{filters}"
        "operator_roles = member\nreseller_admin_role = admin\nproject_reader_roles = reader\n"
        "[filter:container-quotas]\nuse = egg:swift#container_quotas\n[filter:account-quotas]\nuse = egg:swift#account_quotas\n"
        f"[filter:people]\npaste.filter_factory = swift_people:people\nfile = {folder}/people.json\n"
    )
    text = (folder / "proxy.conf").read_text()
    versioned = "use = egg:swift#versioned_writes\n"
    text = text.replace(versioned, versioned + "allow_versioned_writes = true\nallow_object_versioning = true\n")
    (folder / "proxy.conf").write_text(text)
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parent), "PYTHONWARNINGS": "ignore"}
    for kind in ("account", "container", "object", "proxy"):
        log = stack.enter_context((folder / f"{kind}.log").open("w"))
        process = subprocess.Popen([tools / f"swift-{kind}-server", folder / f"{kind}.conf"], stdout=log, stderr=subprocess.STDOUT, env=env)
        stack.callback(_end, process)
    base = f"http://127.0.0.1:{ports[3]}"
    for _ in range(300):
        if all(_open(port) for port in ports):
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{base}/healthcheck", timeout=2).read()
                return base
        time.sleep(0.1)
    raise Absent("Swift did not start: " + "".join(one.read_text()[-600:] for one in folder.glob("*.log")))


def _common(folder: Path, port: int) -> str:
    return (
        f"[DEFAULT]\nbind_ip = 127.0.0.1\nbind_port = {port}\nuser = {getpass.getuser()}\nswift_dir = {folder}\nworkers = 0\n"
        "log_address = /nonexistent\nlog_statsd_host =\n"
    )


def _ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def _open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(5)


if __name__ == "__main__":
    with running(json.loads(sys.argv[1])) as url:
        print(url, flush=True)  # noqa: T201
        time.sleep(float(sys.argv[2]))
