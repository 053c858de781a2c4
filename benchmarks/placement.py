"""Choosing a host among 1,000: the real scheduler in the transaction that claims the room, beside Placement 16 answering the question.

    python benchmarks/placement.py [DECISIONS] [HOSTS]

Ours: SQLite as a cloud has it, with hosts that report as agents do. One decision chooses, claims what the server takes and writes
where it is, durably. It is measured with one at a time, and with four at once. Placement: uWSGI with two processes on SQLite,
`GET /allocation_candidates` with a limit of 10 for the same hosts, one client; that only reads, and claims nothing.
"""

import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import lib

DECISIONS = int(sys.argv[1]) if len(sys.argv) > 1 else 600
HOSTS = int(sys.argv[2]) if len(sys.argv) > 2 else 1000
CPUS, MEMORY, DISK = 64, 262_144, 4_000
_PYTHON = ("openstack-placement==16.*", "uwsgi")
BAR_MS, BAR_RATIO = 20.0, 20.0


def install() -> bool:
    """Placement in a virtual environment; False, said loudly, where it cannot be had."""
    venv = lib.CACHE / "placement" / "venv"
    if (venv / "bin" / "uwsgi").exists() and (venv / "bin" / "placement-manage").exists():
        return True
    python = "/usr/bin/python3" if Path("/usr/bin/python3").exists() else sys.executable
    try:
        print(f"Installing Placement into {venv}", flush=True)
        subprocess.run([python, "-m", "venv", "--clear", venv], check=True, capture_output=True, timeout=120)
        subprocess.run([venv / "bin" / "pip", "install", "-q", "--no-cache-dir", *_PYTHON], check=True, capture_output=True, timeout=1800)
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", None) or b""
        lib.skip(f"Placement cannot be had here: {error} {said[-400:].decode(errors='replace')}")
        shutil.rmtree(venv, ignore_errors=True)
        return False
    return True


def ours(folder: Path) -> dict[str, list[float]]:
    """Seconds of each decision, one at a time and four at once."""
    import msgspec
    from sqlalchemy import insert, select

    from andromede.core.clock import now
    from andromede.core.units import GIB, MIB
    from andromede.db.engine import Database
    from andromede.drivers.hypervisor import Host
    from andromede.run import migrate
    from andromede.services.compute import hosts, inventory
    from andromede.services.compute.operations import write
    from andromede.services.compute.tables import host, server

    database = Database(f"sqlite:///{folder}/cloud.db")
    migrate.upgrade(database)
    facts = msgspec.to_builtins(
        Host(
            hypervisor="QEMU", version=7_002_000, acceleration="kvm", why="", vcpus=CPUS, memory=MEMORY * MIB, disk=DISK * GIB, disk_free=DISK * GIB,
            memory_free=MEMORY * MIB, cpu_model="measured",
        )
    )  # fmt: skip

    def fill(db):
        for number in range(HOSTS):
            hosts.register(db, f"host-{number:04}", cpu_ratio=4.0, ram_ratio=1.0, disk_ratio=1.0)
        for row in db.execute(select(host)).all():
            inventory.tell(db, row, facts)
        db.execute(host.update().values(seen=now(), facts=facts))

    database.run(fill)
    flavor = {"id": "1", "original_name": "one", "vcpus": 1, "ram": 512, "disk": 10, "ephemeral": 0, "swap": 0, "extra_specs": {}}
    common = {
        "project_id": "p", "user_id": "u", "name": "one", "hostname": "one", "flavor": flavor, "flavor_id": "1", "vcpus": 1, "ram": 512, "disk": 10,
        "image": {}, "files": {}, "metadata": {}, "hints": {}, "reservation_id": "r", "vm_state": "building", "power": "running",
    }  # fmt: skip
    ids = [str(uuid.uuid4()) for _ in range(2 * DECISIONS)]

    def add(db):
        db.execute(insert(server), [{"id": id_, "created": now(), "updated": now(), **common} for id_ in ids])

    database.run(add)

    def decide(db, id_):
        row = db.execute(select(server).where(server.c.id == id_)).one()
        chosen = hosts.choose(db, row)
        inventory.claim(db, id_, chosen, inventory.need(row))
        write(db, id_, host=chosen, task_state="networking")

    def timed(id_):
        began = time.perf_counter()
        database.run(lambda db: decide(db, id_))
        return time.perf_counter() - began

    def freshly():
        database.run(lambda db: db.execute(host.update().values(seen=now())))

    freshly()
    for id_ in ids[:20]:
        timed(id_)
    alone = [timed(id_) for id_ in ids[20:DECISIONS]]
    freshly()
    together: list[float] = []

    def work(mine):
        together.extend([timed(id_) for id_ in mine])

    began = time.perf_counter()
    threads = [threading.Thread(target=work, args=(ids[DECISIONS + number :: 4],)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.perf_counter() - began

    def overbooked(db):
        rows = db.execute(select(inventory.inventory)).all()
        assert all(row.used <= row.total * row.ratio for row in rows), "a host was given out twice"
        return sum(row.used for row in rows if row.resource_class == "VCPU")

    assert database.look(overbooked) == len(ids)
    database.close()
    return {"alone": alone, "together": together, "rate": [len(together) / took]}


@contextlib.contextmanager
def placement(folder: Path) -> Iterator[str]:
    """A running Placement, empty; its URL."""
    venv, port = lib.CACHE / "placement" / "venv" / "bin", lib.free_port()
    config = folder / "placement.conf"
    config.write_text(
        f"[DEFAULT]\nlog_file = {folder}/placement.log\n[api]\nauth_strategy = noauth2\n[placement_database]\nconnection = sqlite:///{folder}/p.db\n"
    )
    subprocess.run([venv / "placement-manage", "--config-file", config, "db", "sync"], check=True, capture_output=True, timeout=300)
    command = [
        str(venv / "uwsgi"), "--http-socket", f"127.0.0.1:{port}", "--master", "--die-on-term", "--need-app", "--processes", "2",
        "--enable-threads", "--disable-logging", "--buffer-size", "65535", "--module", "placement.wsgi.api:application",
    ]  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    with lib.running(command, log=folder / "uwsgi.log", env={"OS_PLACEMENT_CONFIG_DIR": str(folder)}):
        lib.until(lambda: lib.call(f"{url}/")[0] == 200, 90, "Placement does not answer")
        yield url


def theirs(folder: Path) -> list[float]:
    """Seconds of each answer."""
    headers = {"X-Auth-Token": "admin", "OpenStack-API-Version": "placement 1.39"}
    stock = {
        "VCPU": {"total": CPUS, "allocation_ratio": 4.0}, "MEMORY_MB": {"total": MEMORY}, "DISK_GB": {"total": DISK},
    }  # fmt: skip
    with placement(folder) as url:
        for number in range(HOSTS):
            key = str(uuid.uuid5(uuid.NAMESPACE_DNS, f"host-{number}"))
            lib.call(f"{url}/resource_providers", "POST", {"name": f"host-{number}", "uuid": key}, headers)
            lib.call(
                f"{url}/resource_providers/{key}/inventories", "PUT", {"resource_provider_generation": 0, "inventories": stock}, headers
            )
        asked = f"{url}/allocation_candidates?resources=VCPU:1,MEMORY_MB:512,DISK_GB:10&limit=10"
        out = []
        for number in range(60):
            began = time.perf_counter()
            _, _, body = lib.call(asked, headers=headers)
            if number >= 5:
                out.append(time.perf_counter() - began)
            assert len(json.loads(body)["allocation_requests"]) == 10
        return out


def main() -> None:
    have = install()
    lib.isolate()
    with tempfile.TemporaryDirectory(prefix="placement.", dir="/var/tmp") as folder:
        mine = ours(Path(folder))
        for name in ("alone", "together"):
            ms = [1000 * value for value in mine[name]]
            lib.say(f"ours, {HOSTS} hosts, {name}", p50_ms=lib.middle(ms), p99_ms=lib.percentile(ms, 0.99), decisions=len(ms))
        lib.say("ours, decisions a second, four at once", rate=mine["rate"][0])
        p99 = 1000 * lib.percentile(mine["alone"], 0.99)
        lib.verdict(f"p99 of a decision under {BAR_MS:.0f} ms ({p99:.1f})", holds=p99 < BAR_MS)
        if have:
            ms = [1000 * value for value in theirs(Path(folder))]
            lib.say(f"Placement, {HOSTS} hosts, candidates", p50_ms=lib.middle(ms), p99_ms=lib.percentile(ms, 0.99), answers=len(ms))
            ratio = lib.middle(ms) / (1000 * lib.middle(mine["alone"]))
            lib.verdict(f"{BAR_RATIO:.0f} times Placement at p50 ({ratio:.1f})", holds=ratio >= BAR_RATIO)


if __name__ == "__main__":
    main()
