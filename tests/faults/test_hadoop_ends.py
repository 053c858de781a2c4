"""Everything of ours ends at any moment while a cluster is made, scaled and deleted; afterwards it is whole, or gone with all it had.

A pass of the reconciler is one transaction for each cluster, so an end at any point is a transaction that is not committed: here each is
made to fail at random, the engine is stopped and started, and agents forget what nodes said. The seed is printed.
"""

import os
import random

import pytest

from andromede.services.hadoop import documents, nodes, reconcile
from tests import hadoop
from tests.hadoop import V2, Nodes

MOST = 15
SEED = int(os.environ.get("ANDROMEDE_TEST_SEED") or random.randrange(1_000_000))


class Ended(Exception):
    """The process ended here."""


@pytest.fixture
def shaken(cloud, network, monkeypatch):
    """A cloud in which half of what the reconciler does ends in the middle, MOST times in all; `cloud.ends` counts that."""
    chance = random.Random(SEED)
    print(f"seed {SEED}: repeat with ANDROMEDE_TEST_SEED={SEED}")  # noqa: T201 - what a failure is repeated with
    cloud.network, cloud.image = network, hadoop.image(cloud)
    cloud.ends = 0

    def shaky(module, name):
        real = getattr(module, name)

        def run(*args, **kwargs):
            before = cloud.ends < MOST and chance.random() < 0.25
            if not before:
                out = real(*args, **kwargs)
            if cloud.ends < MOST and (before or chance.random() < 0.25) and cloud.inside:
                cloud.ends += 1
                raise Ended
            return real(*args, **kwargs) if before else out

        monkeypatch.setattr(module, name, run)

    real = reconcile._one

    def one(db, parts, id_):
        cloud.inside = True
        try:
            return real(db, parts, id_)
        finally:
            cloud.inside = False

    cloud.inside = False
    for module, name in ((documents, "tell"), (nodes, "remove"), (nodes, "fill"), (nodes, "forget"), (reconcile, "_release")):
        shaky(module, name)
    monkeypatch.setattr(reconcile, "_one", one)
    monkeypatch.setattr(reconcile, "EVERY", 0.2)
    with Nodes(cloud) as cloud.nodes:
        yield cloud


def again(cloud):
    """The engine is another one, and the agents know nothing of what nodes said."""
    cloud.engine.stop()
    cloud.engine = None
    for loop in cloud.hosts._loops.values():
        loop._told.clear()
    cloud.start()


@pytest.mark.timeout(300)
def test_a_cluster_that_is_made_scaled_and_deleted_under_ends(shaken):
    made = shaken.user.post(f"{V2}/clusters", hadoop.wanted(version="plugin_version", workers=2))
    assert made.status == 202, made
    id_ = made.json["cluster"]["id"]
    again(shaken)
    hadoop.status(shaken, id_, "Active", seconds=60)
    assert shaken.user.put(f"{V2}/clusters/{id_}", {"resize_node_groups": [{"name": "worker", "count": 3}]}).status == 202
    again(shaken)
    hadoop.status(shaken, id_, "Active", seconds=60)
    assert shaken.user.put(f"{V2}/clusters/{id_}", {"resize_node_groups": [{"name": "worker", "count": 1}]}).status == 202
    again(shaken)
    whole = hadoop.status(shaken, id_, "Active", seconds=60)
    assert {group["name"]: len(group["instances"]) for group in whole["node_groups"]} == {"master": 1, "worker": 1}
    hadoop.until(lambda: len(shaken.user.get("/compute/v2.1/servers").json["servers"]) == 2)
    worker = whole["node_groups"][1]["instances"][0]["instance_id"]
    assert shaken.user.delete(f"/compute/v2.1/servers/{worker}").status == 204
    hadoop.until(lambda: len(shaken.nodes.documents) == 2 and worker not in str(shaken.user.get(f"{V2}/clusters/{id_}").json), 60)
    hadoop.status(shaken, id_, "Active", seconds=60)
    assert shaken.user.delete(f"{V2}/clusters/{id_}").status == 204
    again(shaken)
    hadoop.gone(shaken, id_, seconds=60)
    assert shaken.ends >= 3
    hadoop.until(lambda: hadoop.left(shaken) == [])
