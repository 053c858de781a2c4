"""What the engine has done and has to do, as numbers: for Prometheus, and for `andromede metrics`.

The engine counts in plain dicts; the library that speaks Prometheus' format is loaded when somebody first asks.
"""

import socket
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError

from andromede.core.clock import monotonic, now
from andromede.core.errors import CloudError
from andromede.engine.client import LIVE
from andromede.engine.tables import operation

if TYPE_CHECKING:
    from andromede.engine.engine import Engine


class Health(msgspec.Struct):
    """What a reconciler last did. Times are seconds, `began` and `last` (the end) are of the monotonic clock."""

    name: str
    every: float
    runs: int = 0
    failures: int = 0
    began: float = 0.0
    last: float = 0.0
    seconds: float = 0.0
    said: str = ""
    error: str = ""


class Tally:
    """What has happened since the engine started."""

    def __init__(self) -> None:
        self.ended: Counter[tuple[str, str]] = Counter()
        """Operations, by kind and the state they ended in."""
        self.steps: Counter[tuple[str, str, str]] = Counter()
        """Turns of steps, by kind, step and outcome: done, later, again (it failed and is tried again), failed, undone."""
        self.seconds: Counter[tuple[str, str]] = Counter()
        """Seconds spent in steps, by kind and step."""
        self.lost = 0
        """Leases that were lost to another engine."""

    def step(self, kind: str, step: str, outcome: str, began: float) -> None:
        """One turn of a step that began then."""
        self.steps[kind, step, outcome] += 1
        self.seconds[kind, step] += monotonic() - began  # type: ignore[assignment]  # a Counter of seconds


def exposition(engine: "Engine") -> bytes:
    """Everything in Prometheus' text format."""
    from prometheus_client import CollectorRegistry, generate_latest

    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(engine))
    return generate_latest(registry)


class _Collector:
    """Reads the numbers at the moment when they are asked for."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine

    def describe(self) -> list[Any]:
        return []

    def collect(self) -> Any:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        def family(kind: Any, name: str, text: str, labels: tuple[str, ...], values: dict[Any, float]) -> Any:
            made = kind(f"andromede_{name}", text, labels=labels)
            for key, value in sorted(values.items()):
                made.add_metric(key if isinstance(key, tuple) else (key,), value)
            return made

        tally, health = self._engine.tally, self._engine.health
        yield family(CounterMetricFamily, "operations_ended", "Operations that ended.", ("kind", "state"), dict(tally.ended))
        yield family(CounterMetricFamily, "steps", "Turns of steps.", ("kind", "step", "outcome"), dict(tally.steps))
        yield family(CounterMetricFamily, "step_seconds", "Time spent in steps.", ("kind", "step"), dict(tally.seconds))
        yield family(CounterMetricFamily, "leases_lost", "Leases lost to another engine.", (), {(): tally.lost})
        for name, text, field in (
            ("runs", "Passes of reconcilers.", "runs"), ("failures", "Passes that failed.", "failures"),
        ):  # fmt: skip
            values = {one.name: float(getattr(one, field)) for one in list(health.values())}
            yield family(CounterMetricFamily, f"reconciler_{name}", text, ("reconciler",), values)
        ran = [one for one in list(health.values()) if one.runs]
        seconds = {one.name: one.seconds for one in ran}
        yield family(GaugeMetricFamily, "reconciler_pass_seconds", "Duration of the last pass.", ("reconciler",), seconds)
        ages = {one.name: monotonic() - one.last for one in ran}
        yield family(GaugeMetricFamily, "reconciler_age_seconds", "Time since the last pass.", ("reconciler",), ages)
        failing = {one.name: float(bool(one.error)) for one in ran}
        yield family(GaugeMetricFamily, "reconciler_failing", "Whether the last pass failed.", ("reconciler",), failing)
        try:
            live, late = self._engine.database.look(_queue)
        except (DBAPIError, CloudError):
            yield family(GaugeMetricFamily, "database_up", "Whether the database answers.", (), {(): 0.0})
            return
        yield family(GaugeMetricFamily, "database_up", "Whether the database answers.", (), {(): 1.0})
        yield family(GaugeMetricFamily, "operations_live", "Operations under way.", ("kind", "state"), live)
        yield family(GaugeMetricFamily, "operations_late_seconds", "How long the operation that is due first has waited.", (), {(): late})


def _queue(db: Any) -> tuple[dict[tuple[str, str], float], float]:
    query = select(operation.c.kind, operation.c.state, func.count()).where(operation.c.state.in_(LIVE))
    live = {(kind, state): float(count) for kind, state, count in db.execute(query.group_by(operation.c.kind, operation.c.state))}
    due = db.scalar(select(func.min(operation.c.due)).where(operation.c.state.in_(LIVE), operation.c.holder.is_(None)))
    return live, max(0.0, (now() - due).total_seconds()) if due is not None else 0.0


class Told(msgspec.Struct):
    """What the engine tells the command line."""

    health: list[Health]
    text: str


class Teller:
    """Tells whoever connects to a Unix socket; with a port, Prometheus too, on loopback."""

    def __init__(self, engine: "Engine", path: Path, port: int = 0) -> None:
        self._engine, self._path = engine, path
        path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(str(path))
        path.chmod(0o660)
        self._socket.listen(8)
        threading.Thread(target=self._serve, name="metrics", daemon=True).start()
        self._http = ThreadingHTTPServer(("127.0.0.1", port), self._handler()) if port else None
        if self._http is not None:
            threading.Thread(target=self._http.serve_forever, name="metrics-http", daemon=True).start()

    def close(self) -> None:
        """Stop telling."""
        self._path.unlink(missing_ok=True)
        self._socket.close()
        if self._http is not None:
            self._http.shutdown()
            self._http.server_close()

    def _serve(self) -> None:
        while True:
            try:
                link, _ = self._socket.accept()
            except OSError:
                return
            with link:
                link.settimeout(5)
                told = Told(list(self._engine.health.values()), exposition(self._engine).decode())
                try:
                    link.sendall(msgspec.msgpack.encode(told))
                except OSError:
                    continue

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        engine = self._engine

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path.partition("?")[0] != "/metrics":
                    self.send_error(404)
                    return
                body = exposition(engine)
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
                """Scrapes are not worth a line."""

        return Handler


def ask(path: Path) -> Told:
    """What the engine that tells at a path has to say. Raises OSError where none does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
        link.settimeout(10)
        link.connect(str(path))
        parts = []
        while data := link.recv(65536):
            parts.append(data)
    return msgspec.msgpack.decode(b"".join(parts), type=Told)
