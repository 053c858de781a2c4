"""Swift from PyPI as a peer: proxy, account, container and object servers with as many workers as cores, memcached, tempauth;
one replica, on the file system of /var/tmp, each object synced. The background daemons are not started."""

import contextlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import lib

VERSION = "2.38.0"
_VENV = lib.CACHE / "swift" / f"venv-{VERSION}"
_PIPELINE = "catch_errors gatekeeper healthcheck cache listing_formats bulk tempurl tempauth copy slo dlo versioned_writes symlink proxy-server"


def install() -> bool:
    """Have it in the cache; whether it is there."""
    if shutil.which("memcached") is None:
        lib.skip("Swift needs memcached: apt install memcached")
        return False
    if not (_VENV / "done").exists():
        shutil.rmtree(_VENV, ignore_errors=True)
        made = subprocess.run([sys.executable, "-m", "venv", _VENV], check=False, timeout=120)
        command = [_VENV / "bin" / "pip", "install", "-q", f"swift=={VERSION}", "setuptools<81"]
        if made.returncode or subprocess.run(command, check=False, timeout=500).returncode:
            lib.skip("Swift cannot be installed from PyPI")
            return False
        (_VENV / "done").touch()
    return True


@contextlib.contextmanager
def serving() -> Iterator[tuple[str, str, list[int]]]:
    """A running Swift: the URL of an account, a token for it, and the process ids of its servers."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="swift-peer.", dir="/var/tmp")))
        ports = {name: lib.free_port() for name in ("object", "container", "account", "proxy", "memcached")}
        (folder / "srv" / "d1").mkdir(parents=True)
        _configure(folder, ports)
        memcached = ["memcached", "-u", "nobody", "-l", "127.0.0.1", "-p", str(ports["memcached"]), "-m", "64"]
        stack.enter_context(lib.running(memcached, log=folder / "memcached.log"))
        pids = [
            stack.enter_context(lib.running([str(_VENV / "bin" / f"swift-{name}-server"), str(folder / f"{name}.conf")], log=folder / f"{name}.log"))
            for name in ("account", "container", "object", "proxy")
        ]
        base = f"http://127.0.0.1:{ports['proxy']}"
        lib.until(lambda: lib.call(f"{base}/healthcheck")[0] == 200, 60, "Swift does not answer")
        _, headers, _ = lib.call(f"{base}/auth/v1.0", headers={"X-Storage-User": "test:tester", "X-Storage-Pass": "testing"})
        yield headers["X-Storage-Url"], headers["X-Auth-Token"], pids


def _configure(folder: Path, ports: dict[str, int]) -> None:
    common = f"[DEFAULT]\nbind_ip = 127.0.0.1\nuser = root\nswift_dir = {folder}\ndevices = {folder}/srv\nmount_check = false\nlog_address = /nonexistent\n"
    (folder / "swift.conf").write_text(
        "[swift-hash]\nswift_hash_path_suffix = x\nswift_hash_path_prefix = x\n[storage-policy:0]\nname = one\ndefault = yes\n"
    )
    for name in ("object", "container", "account"):
        text = f"bind_port = {ports[name]}\n[pipeline:main]\npipeline = {name}-server\n[app:{name}-server]\nuse = egg:swift#{name}\n"
        (folder / f"{name}.conf").write_text(common + text)
        for words in (["create", "10", "1", "0"], ["add", f"r1z1-127.0.0.1:{ports[name]}/d1", "100"], ["rebalance"]):
            command = [_VENV / "bin" / "swift-ring-builder", folder / f"{name}.builder", *words]
            subprocess.run(command, check=True, capture_output=True, timeout=60)
    filters = "".join(f"[filter:{name}]\nuse = egg:swift#{name}\n" for name in _PIPELINE.split()[:-1] if name not in ("cache", "tempauth"))
    (folder / "proxy.conf").write_text(
        f"{common}bind_port = {ports['proxy']}\n[pipeline:main]\npipeline = {_PIPELINE}\n[app:proxy-server]\nuse = egg:swift#proxy\n"
        f"account_autocreate = true\nallow_account_management = true\n{filters}[filter:cache]\nuse = egg:swift#memcache\n"
        f"memcache_servers = 127.0.0.1:{ports['memcached']}\n[filter:tempauth]\nuse = egg:swift#tempauth\nuser_test_tester = testing .admin\n"
    )
