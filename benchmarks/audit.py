"""What the audit log costs a `POST /servers`, and how long a proof takes in a log of ten million events.

    python benchmarks/audit.py [REQUESTS] [EVENTS]

The request runs in this process on SQLite as a cloud has it, with the log and without it in turns; its processor time is compared. The
log of the proof has hashes drawn by chance for its tiles, in SQLite on disk; a proof is read with a connection of its own.
"""

import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

import lib

REQUESTS = int(sys.argv[1]) if len(sys.argv) > 1 else 120
EVENTS = int(sys.argv[2]) if len(sys.argv) > 2 else 10_000_000
BAR_COST, BAR_PROOF = 1.10, 5.0


def requests(folder: Path) -> tuple[list[float], list[float]]:
    """Milliseconds of processor time of each request, with the log and without."""
    import structlog

    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    from tests.api.images import active
    from tests.cloud import Cloud

    cloud = Cloud(folder)
    try:
        image = active(cloud.admin, b"BOOT" + b"\0" * 65532, visibility="public")["id"]
        network = cloud.user.post("/network/v2.0/networks", {"network": {"name": "n"}}).json["network"]["id"]
        cloud.user.post("/network/v2.0/subnets", {"subnet": {"network_id": network, "cidr": "10.0.0.0/16", "ip_version": 4}})
        projects = {one["name"]: one["id"] for one in cloud.admin.get("/identity/v3/projects").json["projects"]}
        sizes = {"instances": -1, "cores": -1, "ram": -1}
        cloud.admin.put(f"/compute/v2.1/os-quota-sets/{projects['demo']}", {"quota_set": sizes})
        cloud.admin.put(f"/network/v2.0/quotas/{projects['demo']}", {"quota": {"port": -1}})
        body = {"server": {"name": "s", "imageRef": image, "flavorRef": "1", "networks": [{"uuid": network}]}}
        trail, told = cloud.app.trail, {True: list[float](), False: list[float]()}
        for number in range(2 * REQUESTS + 20):
            heard = number % 2 == 0
            cloud.app.trail = trail if heard else None
            began = time.process_time()
            made = cloud.user.post("/compute/v2.1/servers", body)
            took = (time.process_time() - began) * 1000
            assert made.status == 202, made
            if number >= 20:
                told[heard].append(took)
        return told[True], told[False]
    finally:
        cloud.close()


def proofs(folder: Path) -> list[float]:
    """Milliseconds of each proof of inclusion."""
    from sqlalchemy import insert

    from andromede.db.base import metadata
    from andromede.db.engine import Database
    from andromede.run import migrate
    from andromede.services.audit import sealing, tables
    from andromede.services.audit.tree import HASH, WIDTH

    assert migrate.TABLES
    database, chance = Database(f"sqlite:///{folder}/log.db"), random.Random(1)
    try:
        metadata.create_all(database.engine)
        level, count = 0, EVENTS
        while count:
            tiles = [(at, min(WIDTH, count - at * WIDTH)) for at in range(-(-count // WIDTH))]
            for start in range(0, len(tiles), 1000):
                rows = [{"level": level, "index": at, "hashes": chance.randbytes(width * HASH)} for at, width in tiles[start : start + 1000]]
                with database.write() as db:
                    db.execute(insert(tables.tile), rows)
            level, count = level + 1, count // WIDTH
        out = []
        for _ in range(300):
            began = time.perf_counter()
            with database.read() as db:
                proof = sealing.tree(db, EVENTS).inclusion(chance.randrange(EVENTS))
            out.append((time.perf_counter() - began) * 1000)
            assert proof
        return out
    finally:
        database.close()


def main() -> None:
    """Both."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        (Path(folder) / "cloud").mkdir()
        heard, unheard = requests(Path(folder) / "cloud")
        ratio = statistics.median(heard) / statistics.median(unheard)
        print(f"POST /servers, processor time: {statistics.median(heard):.2f} ms with the log, {statistics.median(unheard):.2f} ms without")
        print(f"  ratio {ratio:.3f}, bar {BAR_COST}: {'met' if ratio <= BAR_COST else 'missed'}")
        took = sorted(proofs(Path(folder)))
        p99 = took[int(len(took) * 0.99)]
        print(f"Proof of inclusion in {EVENTS:,} events: p50 {took[len(took) // 2]:.2f} ms, p99 {p99:.2f} ms")
        print(f"  bar {BAR_PROOF} ms: {'met' if p99 <= BAR_PROOF else 'missed'}")


if __name__ == "__main__":
    assert lib.ROOT
    main()
