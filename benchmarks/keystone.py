"""Keystone 30 as it is deployed: uWSGI with two processes, MariaDB, memcached, Fernet tokens; on loopback, in a folder of its own.

Keystone and uWSGI come from PyPI into a virtual environment, MariaDB's server and memcached from Debian's archive, unpacked
beside it; nothing is installed on the machine. bcrypt at cost 4, the lowest, so that what is measured is not the hash.
"""

import contextlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import lib

PASSWORD = "peer-secret"
_PYTHON = ("keystone==30.*", "uwsgi", "PyMySQL", "pymemcache", "python-memcached")
_DEBIAN = ("mariadb-server-core", "memcached")


def install() -> bool:
    """Make what is missing; False, said loudly, where it cannot be had."""
    try:
        _install_python(lib.CACHE / "keystone" / "venv")
        _install_debian(lib.CACHE / "keystone" / "debian")
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", None) or b""
        lib.skip(f"Keystone cannot be had here: {error} {said[-400:].decode(errors='replace')}")
        return False
    return True


def _install_python(venv: Path) -> None:
    if (venv / "bin" / "uwsgi").exists() and (venv / "bin" / "keystone-manage").exists():
        return
    python = "/usr/bin/python3" if Path("/usr/bin/python3").exists() else sys.executable
    print(f"Installing Keystone into {venv}", flush=True)
    subprocess.run([python, "-m", "venv", "--clear", venv], check=True, capture_output=True, timeout=120)
    # uWSGI is built with the Python that it runs; one that was built for another, and kept, does not start
    subprocess.run([venv / "bin" / "pip", "install", "-q", "--no-cache-dir", *_PYTHON], check=True, capture_output=True, timeout=1800)


def _install_debian(folder: Path) -> None:
    if (folder / "done").exists():
        return
    print(f"Unpacking {' and '.join(_DEBIAN)} into {folder}", flush=True)
    archives = folder / "archives"
    (archives / "partial").mkdir(parents=True, exist_ok=True)
    options = ["-o", f"Dir::Cache::archives={archives}", "-o", "Debug::NoLocking=1", "-o", "APT::Sandbox::User=root"]
    command = ["apt-get", "install", "-qqy", "--no-install-recommends", "--download-only", *options, *_DEBIAN]
    if subprocess.run(command, check=False, capture_output=True, timeout=600).returncode:
        subprocess.run(["apt-get", "update", "-qq"], check=True, capture_output=True, timeout=300)
        subprocess.run(command, check=True, capture_output=True, timeout=600)
    for package in archives.glob("*.deb"):
        subprocess.run(["dpkg", "-x", package, folder / "root"], check=True, capture_output=True, timeout=120)
    (folder / "done").touch()


def _program(name: str) -> str:
    """Unpacked, or the machine's own where Debian had nothing to download."""
    found = list((lib.CACHE / "keystone" / "debian" / "root").glob(f"usr/*bin/{name}"))
    return str(found[0]) if found else shutil.which(name, path="/usr/sbin:/usr/bin") or name


@contextlib.contextmanager
def serving() -> Iterator[tuple[str, int]]:
    """A running Keystone: its URL and the process id of uWSGI."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="keystone-peer.", dir="/var/tmp")))
        folder.chmod(0o755)
        memcached, port = lib.free_port(), lib.free_port()
        connection = stack.enter_context(_mariadb(folder))
        command = [_program("memcached"), "-u", "nobody", "-l", "127.0.0.1", "-p", str(memcached), "-m", "64"]
        stack.enter_context(lib.running(command, log=folder / "memcached.log", env=_libraries()))
        url = f"http://127.0.0.1:{port}/v3"
        config = _configure(folder, connection, memcached, url)
        venv = lib.CACHE / "keystone" / "venv" / "bin"
        command = [
            str(venv / "uwsgi"), "--http-socket", f"127.0.0.1:{port}", "--master", "--die-on-term", "--need-app", "--processes", "2",
            "--enable-threads", "--disable-logging", "--listen", "100", "--buffer-size", "65535",
            "--add-header", "Connection: close", "--module", "keystone.wsgi.api:application",
        ]  # fmt: skip
        pid = stack.enter_context(lib.running(command, log=folder / "uwsgi.log", env={"OS_KEYSTONE_CONFIG_FILES": str(config)}))
        lib.until(lambda: lib.call(url)[0] == 200, 90, "Keystone does not answer")
        yield url, pid


def _libraries() -> dict[str, str]:
    root = lib.CACHE / "keystone" / "debian" / "root"
    return {"LD_LIBRARY_PATH": ":".join(str(path) for path in root.glob("usr/lib/*-linux-gnu"))}


@contextlib.contextmanager
def _mariadb(folder: Path) -> Iterator[str]:
    """An empty database `keystone` behind a Unix socket; its SQLAlchemy URL."""
    data = folder / "mariadb"
    data.mkdir()
    shutil.chown(data, "nobody")
    share = Path(_program("mariadbd")).parents[1] / "share" / "mysql"
    common = ["--no-defaults", f"--datadir={data}", f"--lc-messages-dir={share}", "--user=nobody", f"--character-sets-dir={share}/charsets"]
    # what mariadb-install-db does: the server's own tables, from the scripts beside it
    tables = "CREATE DATABASE IF NOT EXISTS mysql;\nUSE mysql;\n" + "".join(
        (share / name).read_text() for name in ("mysql_system_tables.sql", "mysql_system_tables_data.sql")
    )
    subprocess.run(
        [_program("mariadbd"), *common, "--bootstrap", "--skip-grant-tables", "--log-warnings=0"],
        input=tables, text=True, env=_libraries(), check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    socket_folder = folder / "socket"
    socket_folder.mkdir()
    shutil.chown(socket_folder, "nobody")
    path = socket_folder / "s"
    command = [_program("mariadbd"), *common, f"--socket={path}", "--skip-networking", "--skip-grant-tables", f"--pid-file={socket_folder}/pid"]
    with lib.running(command, log=folder / "mariadb.log", env=_libraries()):
        python = lib.CACHE / "keystone" / "venv" / "bin" / "python"
        sql = "CREATE DATABASE keystone CHARACTER SET utf8mb3"
        script = f"import pymysql; pymysql.connect(unix_socket={str(path)!r}, user='root').cursor().execute({sql!r})"

        def made() -> bool:
            return subprocess.run([python, "-c", script], check=False, capture_output=True, timeout=30).returncode == 0

        lib.until(made, 60, "MariaDB does not answer")
        yield f"mysql+pymysql://root@localhost/keystone?unix_socket={path}&charset=utf8mb3"


def _configure(folder: Path, connection: str, memcached: int, url: str) -> Path:
    path = folder / "keystone.conf"
    sections = {
        "DEFAULT": {"log_file": folder / "keystone.log"},
        "database": {"connection": connection},
        "token": {"provider": "fernet"},
        "fernet_tokens": {"key_repository": folder / "fernet"},
        "credential": {"key_repository": folder / "credential"},
        "identity": {"password_hash_rounds": 4},
        "cache": {"enabled": "true", "backend": "oslo_cache.memcache_pool", "memcache_servers": f"127.0.0.1:{memcached}"},
    }
    path.write_text("\n".join(f"[{name}]\n" + "".join(f"{key} = {value}\n" for key, value in each.items()) for name, each in sections.items()))
    manage = [lib.CACHE / "keystone" / "venv" / "bin" / "keystone-manage", "--config-file", path]
    keys = ("--keystone-user", "root", "--keystone-group", "root")
    for words in (
        ("db_sync",), ("fernet_setup", *keys), ("credential_setup", *keys),
        ("bootstrap", "--bootstrap-password", PASSWORD, "--bootstrap-public-url", url, "--bootstrap-region-id", "RegionOne"),
    ):  # fmt: skip
        subprocess.run([*manage, *words], check=True, capture_output=True, timeout=300)
    return path
