"""How a cloud grows: servers with three ports each on fake hosts, at two sizes; the larger must cost no more for each server.

    python benchmarks/scale.py [SMALL] [LARGE]     (1,000 and 10,000)

The real application, engine and host loops with SQLite, in this process, so that the passes of the reconcilers can be timed.
"""

import logging
import sys
import tempfile
import threading
import time
from pathlib import Path

import lib
import structlog
from sqlalchemy import func, select
from tests.cloud import Cloud

from andromede.core.units import GIB
from andromede.drivers.hypervisor.fake import Fake
from andromede.engine.client import LIVE
from andromede.engine.tables import operation

PASS = 10.0
HOSTS = 10
NETWORKS = 3
POSTERS = 2


def big(_folder: Path) -> Fake:
    """A host that is never full, with its books in memory."""
    return Fake(vcpus=1_000_000, memory=1_000_000 * GIB, disk=1_000_000 * GIB)


class Grown:
    """A cloud that is filled step by step."""

    def __init__(self, folder: Path) -> None:
        self.cloud = Cloud(folder, hosts=tuple(f"host-{number}" for number in range(HOSTS)), hypervisor=big)
        self.cloud.start()
        user, admin = self.cloud.user, self.cloud.admin
        project = self.cloud.id_of("projects", "demo")
        quota = {"instances": -1, "cores": -1, "ram": -1}
        assert admin.put(f"/compute/v2.1/os-quota-sets/{project}", {"quota_set": quota}).status == 200
        assert admin.put(f"/network/v2.0/quotas/{project}", {"quota": {"port": -1}}).status == 200
        self.networks = []
        for number in range(NETWORKS):
            made = user.post("/network/v2.0/networks", {"network": {"name": f"n{number}"}}).json["network"]["id"]
            subnet = {"network_id": made, "ip_version": 4, "cidr": f"10.{number}.0.0/16"}
            assert user.post("/network/v2.0/subnets", {"subnet": subnet}).status == 201
            self.networks.append({"uuid": made})
        image = user.post("/image/v2/images", {"name": "i", "disk_format": "raw", "container_format": "bare"}).json["id"]
        answer = user.put(f"/image/v2/images/{image}/file", bytes(1 << 20), headers={"content-type": "application/octet-stream"})
        assert answer.status == 204, answer
        self.body = {"server": {
            "name": "s", "imageRef": image, "flavorRef": user.get("/compute/v2.1/flavors").json["flavors"][0]["id"], "networks": self.networks,
        }}  # fmt: skip
        self.count = 0
        self.slowest: dict[str, float] = {}
        self.failures = 0

    def grow(self, count: int) -> tuple[float, float]:
        """`count` more servers: (requests/s, servers/s until all are ACTIVE)."""
        began = time.monotonic()

        def post(number: int) -> None:
            for _ in range(number):
                answer = self.cloud.user.post("/compute/v2.1/servers", self.body, headers={"x-openstack-nova-api-version": "2.37"})
                assert answer.status == 202, answer

        share = [count // POSTERS + (number < count % POSTERS) for number in range(POSTERS)]
        threads = [threading.Thread(target=post, args=(number,)) for number in share]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        posted = time.monotonic()
        live = select(func.count()).select_from(operation).where(operation.c.state.in_(LIVE))
        left = count
        while left:
            left = self.cloud.database.look(lambda db: db.scalar(live))
            self._watch()
            time.sleep(0.2)
        self.count += count
        return count / (posted - began), count / (time.monotonic() - began)

    def _watch(self) -> None:
        assert self.cloud.engine is not None
        for name, health in self.cloud.engine.health.items():
            self.failures += health.failures
            health.failures = 0
            if health.every > 0:
                self.slowest[name] = max(self.slowest.get(name, 0.0), health.seconds)

    def listing(self, rounds: int = 100) -> list[float]:
        """Milliseconds of pages of 100, following the links."""
        out, path = [], "/compute/v2.1/servers/detail?limit=100"
        for _ in range(rounds):
            began = time.perf_counter()
            answer = self.cloud.user.get(path)
            out.append((time.perf_counter() - began) * 1000)
            links = answer.json.get("servers_links")
            path = links[0]["href"].partition("cloud.test")[2] if links else "/compute/v2.1/servers/detail?limit=100"
        return out

    def passes(self) -> dict[str, float]:
        """Seconds of one whole pass of each reconciler, and the slowest seen while growing."""
        engine = self.cloud.engine
        assert engine is not None
        for name, one in engine.reconcilers.items():
            if one.every > 0:
                engine.reconcile_once(one, engine.health[name])
        self._watch()
        seen, self.slowest = self.slowest, {}
        return seen


def main() -> None:
    small, large = ([int(word) for word in sys.argv[1:]] + [1000, 10000][len(sys.argv) - 1 :])[:2]
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with tempfile.TemporaryDirectory(prefix="scale.") as folder:
        grown, figures = Grown(Path(folder)), []
        for size in (small, large):
            posts, active = grown.grow(size - grown.count)
            pages = grown.listing()
            slowest = max(grown.passes().items(), key=lambda pair: pair[1])
            figures.append((posts, active, lib.percentile(pages, 0.99), slowest))
            lib.say(f"{size:,} servers, {size * NETWORKS:,} ports", posts_per_s=posts, active_per_s=active, list_p50_ms=lib.middle(pages))
            lib.say("", list_p99_ms=figures[-1][2], slowest_pass=slowest[0], pass_s=slowest[1], failed_passes=grown.failures)
        grown.cloud.close()
    (posts, active, page, least), (posts_large, active_large, page_large, most) = figures
    lib.say("large / small, for each server", post=posts / posts_large, active=active / active_large, list_p99=page_large / page)
    lib.verdict("linear or better (a fifth for noise)", holds=max(posts / posts_large, active / active_large) <= 1.2)
    lib.verdict(f"no pass over {PASS:.0f} s", holds=max(least[1], most[1]) <= PASS)


if __name__ == "__main__":
    main()
