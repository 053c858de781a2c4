"""The engine alone, on SQLite: order, retries, undo, cancellation, deadlines."""

import socket
import urllib.error
import urllib.request
from datetime import timedelta

import pytest
from sqlalchemy import Connection, select, update

from andromede.core.clock import now
from andromede.core.context import Parts
from andromede.core.errors import BadRequest, DriverError
from andromede.db.base import metadata
from andromede.db.engine import Database
from andromede.engine.client import Operations
from andromede.engine.engine import Engine
from andromede.engine.metrics import Teller, ask
from andromede.engine.model import Kind, Later, Reconciler, Step, Work
from andromede.engine.tables import operation


class World:
    """What the steps of the test kind do, in order, and what they are told to do."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.faults: dict[str, list[Exception]] = {}
        self.waits: dict[str, int] = {}
        self.failed: list[str] = []

    def step(self, name: str) -> Step:
        def do(work: Work) -> Later | None:
            if self.faults.get(name):
                raise self.faults[name].pop(0)
            if self.waits.get(name):
                self.waits[name] -= 1
                return Later(0)
            self.done.append(name)
            return None

        def undo(work: Work) -> None:
            self.done.append(f"-{name}")

        return Step(name, do, undo)

    def kind(self, commit: str | None = None) -> Kind:
        def failed(db: Connection, work: Work, fault: str) -> None:
            self.failed.append(fault)

        return Kind(name="test", steps=(self.step("a"), self.step("b"), self.step("c")), deadline=60, failed=failed, commit=commit)


class Quiet:
    def wake(self, topic: str) -> None:
        """Nobody listens."""


@pytest.fixture
def database(tmp_path):
    database = Database(f"sqlite:///{tmp_path}/t.db")
    metadata.create_all(database.engine, tables=[operation])
    yield database
    database.close()


def run(database, world, commit=None, before=None):
    kind = world.kind(commit)
    client = Operations(Quiet())
    engine = Engine(database, Parts(), [kind])
    id_ = database.run(lambda db: client.submit(db, kind, "thing"))
    if before:
        before(client, id_)
    for _ in range(20):
        database.run(lambda db: db.execute(update(operation).values(due=now() - timedelta(seconds=1))))
        engine.run_all()
    return database.look(lambda db: db.execute(select(operation).where(operation.c.id == id_)).one())


def test_steps_run_in_order_and_wait_where_told(database):
    world = World()
    world.waits = {"b": 2}
    assert run(database, world).state == "done"
    assert world.done == ["a", "b", "c"]


def test_a_refusal_undoes_what_was_done_and_tells_the_caller_why(database):
    world = World()
    world.faults = {"c": [BadRequest("no room")]}
    assert run(database, world).state == "failed"
    assert world.done == ["a", "b", "-c", "-b", "-a"]
    assert world.failed == ["no room"]


def test_a_driver_that_fails_is_tried_again(database):
    world = World()
    world.faults = {"b": [DriverError("away"), DriverError("away")]}
    assert run(database, world).state == "done"
    assert world.done == ["a", "b", "c"]


def test_an_unexpected_error_ends_in_a_public_fault_without_its_text(database):
    world = World()
    world.faults = {"b": [ValueError("secret")] * 9}
    assert run(database, world).state == "failed"
    assert "secret" not in world.failed[0]


def test_after_the_commit_point_nothing_is_undone(database):
    world = World()
    world.faults = {"c": [BadRequest("late")]}
    assert run(database, world, commit="b").state == "failed"
    assert world.done == ["a", "b"]


def test_a_cancelled_operation_ends_without_undo(database):
    world = World()
    row = run(database, world, before=lambda client, _: database.run(lambda db: client.cancel(db, "thing")))
    assert row.state == "cancelled"
    assert world.done == []


def test_an_operation_past_its_deadline_fails_with_its_name(database):
    world = World()
    late = now() - timedelta(seconds=1)
    row = run(database, world, before=lambda *_: database.run(lambda db: db.execute(update(operation).values(deadline=late))))
    assert row.state == "failed"
    assert world.failed[0].startswith("test did not end within 60 seconds")


def test_operations_of_one_resource_run_one_after_the_other(database):
    first, second = World(), World()
    kind_one = first.kind()
    first.waits = {"a": 1}
    kind_two = Kind(name="two", steps=(second.step("x"),), deadline=60, failed=lambda db, work, fault: None)
    client = Operations(Quiet())
    engine = Engine(database, Parts(), [kind_one, kind_two])
    database.run(lambda db: (client.submit(db, kind_one, "thing"), client.submit(db, kind_two, "thing")))
    assert engine.run_one()
    assert second.done == []
    engine.run_all()
    assert first.done == ["a", "b", "c"]
    assert second.done == ["x"]


def test_threads_run_what_is_submitted_and_reconcilers_run_on_a_signal(database, tmp_path):
    from andromede.engine.client import SocketWaker

    world, ran = World(), []
    kind = world.kind()
    path = tmp_path / "wake"
    engine = Engine(database, Parts(), [kind], [Reconciler("sweep", 3600, lambda: ran.append(1) or "")], socket_path=path)
    engine.start()
    try:
        client = Operations(SocketWaker(path))
        id_ = database.run(lambda db: (client.signal(db, "sweep"), client.submit(db, kind, "thing"))[1])
        end = now() + timedelta(seconds=5)
        while now() < end:
            row = database.look(lambda db: db.execute(select(operation).where(operation.c.id == id_)).one())
            if row.state == "done" and len(ran) >= 2:
                break
        assert row.state == "done"
        assert len(ran) >= 2
    finally:
        engine.stop()


def test_what_it_does_is_counted_and_told(database, tmp_path):
    world = World()
    world.waits, world.faults = {"a": 1}, {"b": [DriverError("not now")], "c": [BadRequest("no")]}
    broken = Reconciler("broken", 60, lambda: 1 / 0)
    engine = Engine(database, Parts(database=database), [world.kind()], [broken])
    operations = Operations(Quiet())
    database.run(lambda db: operations.submit(db, engine.kinds["test"], "r"))
    for _ in range(20):
        engine.run_all()
        database.run(lambda db: operations.hurry(db, "r"))
    engine.reconcile_once(broken, engine.health["broken"])
    probe = socket.socket()
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]
    probe.close()
    teller = Teller(engine, tmp_path / "metrics.sock", port)
    try:
        told = ask(tmp_path / "metrics.sock")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            served = answer.read().decode()
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5)
    finally:
        teller.close()
    assert [(one.name, one.failures, one.error) for one in told.health] == [("broken", 1, "ZeroDivisionError('division by zero')")]
    for line in (
        'andromede_operations_ended_total{kind="test",state="failed"} 1.0',
        'andromede_steps_total{kind="test",outcome="later",step="a"} 1.0',
        'andromede_steps_total{kind="test",outcome="again",step="b"} 1.0',
        'andromede_steps_total{kind="test",outcome="failed",step="c"} 1.0',
        'andromede_steps_total{kind="test",outcome="undone",step="a"} 1.0',
        'andromede_reconciler_failing{reconciler="broken"} 1.0',
        "andromede_database_up 1.0",
    ):
        assert line in told.text
        assert line in served
    with pytest.raises(OSError, match="No such file"):
        ask(tmp_path / "metrics.sock")
