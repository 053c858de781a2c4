"""What is to follow from a change is there whenever the change is, however the process ends: an event for each acknowledged change, and
none for what never happened."""

import asyncio
import random
import threading
import time
from datetime import UTC, datetime
from http.client import HTTPException

import pytest

from andromede.services.object import tasks
from andromede.services.object.service import Objects
from tests.faces import Worker, store
from tests.s3 import UNSIGNED

ROUNDS, WRITERS = 3, 4
TARGET = {"QueueArn": "arn:andromede:webhook:https://example.org/x", "Events": ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]}


class Writer(threading.Thread):
    """Puts and deletes until the process is gone; what was acknowledged, and what may have been done besides."""

    def __init__(self, worker, name):
        super().__init__()
        self.signed, self.name_, self.acknowledged, self.asked = worker.s3(), name, set(), set()

    def run(self):
        for number in range(100_000):
            name = f"{self.name_}-{number}"
            for method, event in (("PUT", "s3:ObjectCreated:Put"), ("DELETE", "s3:ObjectRemoved:Delete"))[: 1 + number % 2]:
                self.asked.add((name, event))
                body = b"x" * (number % 3 * 3000) if method == "PUT" else b""
                try:
                    status, _headers, _body = self.signed.send(method, f"/watched/{name}", body, payload=UNSIGNED)
                except (OSError, HTTPException):
                    return
                assert status in {200, 204}
                self.acknowledged.add((name, event))


def test_events_outlive_the_process(tmp_path):
    chance, acknowledged, asked = random.Random(7), set(), set()
    store(tmp_path / "store").close()
    for number in range(ROUNDS):
        worker = Worker(tmp_path, number)
        try:
            worker.ready()
            if not number:
                s3 = worker.boto()
                s3.create_bucket(Bucket="watched")
                s3.put_bucket_notification_configuration(Bucket="watched", NotificationConfiguration={"QueueConfigurations": [TARGET]})
            writers = [Writer(worker, f"{number}-{each}") for each in range(WRITERS)]
            for writer in writers:
                writer.start()
            time.sleep(chance.uniform(0.2, 0.8))
            worker.process.kill()
            for writer in writers:
                writer.join(20)
                acknowledged |= writer.acknowledged
                asked |= writer.asked
        finally:
            worker.end()
    kept = store(tmp_path / "store")
    try:
        due = tasks.due(kept, tasks.EVENT, datetime.now(UTC).timestamp() + 1, 1_000_000)
        noted = {(one.task.name, one.task.facts["event"]) for one in due if one.task.name}
        objects = Objects(kept)
        there = {line.name for line in objects.listing(objects.place("p1", "watched"), limit=1_000_000)}
    finally:
        kept.close()
    assert len(acknowledged) > 50
    assert acknowledged <= noted <= asked
    put, gone = ({name for name, event in noted if event.startswith(f"s3:{kind}")} for kind in ("ObjectCreated", "ObjectRemoved"))
    assert there == put - gone
    assert len(due) == len(noted) + 1


@pytest.mark.parametrize("kind", [tasks.EVENT, tasks.REPLICA, tasks.SYNC])
def test_a_change_that_fails_leaves_no_task(tmp_path, kind):
    kept = store(tmp_path / "store")

    def run(view):
        tasks.add(view, tasks.Task(kind=kind, account="a", container=b"c" * 8, bucket="b", name="n", made=1))
        raise ValueError

    try:
        with pytest.raises(ValueError):  # noqa: PT011
            asyncio.run(kept.commit(0, run))
        assert tasks.waiting(kept, kind) == 0
    finally:
        kept.close()
