"""`andromede status` and `andromede operations`: what is, in tables."""

from datetime import timedelta
from pathlib import Path

from rich.console import Console
from rich.table import Table
from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError

from andromede.core.clock import now
from andromede.core.errors import Unavailable
from andromede.db.engine import Database
from andromede.engine import metrics
from andromede.engine.tables import operation
from andromede.run import supervisor
from andromede.run.home import Home
from andromede.services.compute.hosts import alive
from andromede.services.compute.tables import host, server

out = Console(highlight=False)


def status(home: Home) -> bool:
    """Print the health of everything; answers whether all of it is well."""
    if not home.run.exists():
        out.print("There is no cloud here; make one with: andromede up")
        return False
    pid = supervisor.pid_of(home.run)
    table = Table("Process", "State", "PID", "Memory", "Restarts", "Why not", box=None, pad_edge=False)
    well = pid is not None
    table.add_row("supervisor", _word(well), str(pid or ""), _memory(pid, workers=False), "", "" if well else "not running: andromede up")
    found = supervisor.status(home.run).get("programs")
    for one in found if isinstance(found, list) else []:
        alive_now = one["running"] and (pid is not None or one["outlives"])
        good = bool(alive_now and one["ready"])
        well = well and good
        why = "" if good else one["said"] or ("does not answer yet" if alive_now else "not running")
        table.add_row(one["name"], _word(good), str(one["pid"] or ""), _memory(one["pid"] if alive_now else None), str(one["restarts"] or ""), why)
    out.print(table)
    try:
        well = _hosts(home) and well
    except DBAPIError as error:
        out.print(f"[red]The database does not answer:[/] {error.orig}")
        return False
    except Unavailable as error:
        out.print(f"[red]{error.message}[/] {error.__cause__}")
        return False
    return well


def _hosts(home: Home) -> bool:
    database = Database(home.database_url, pool=1)
    well = True
    table = Table("Host", "State", "Zone", "Servers", "vCPUs", "Memory", "Acceleration", "Why not", box=None, pad_edge=False)
    try:
        with database.read() as db:
            query = select(server.c.host, func.count().label("servers")).where(server.c.deleted.is_(None)).group_by(server.c.host)
            counts = {row.host: row.servers for row in db.execute(query)}
            for row in db.execute(select(host).order_by(host.c.name)):
                good = alive(row) and row.facts is not None
                well = well and good
                facts = row.facts or {}
                memory = f"{facts['memory'] >> 20} MiB" if facts else ""
                why = "" if good else "its agent has not reported" if row.seen is None else f"last report {row.seen:%H:%M:%S}"
                table.add_row(
                    row.name, _word(good), row.zone, str(counts.get(row.name, 0)), str(facts.get("vcpus", "")), memory,
                    facts.get("acceleration", ""), why or facts.get("why", ""),
                )  # fmt: skip
    finally:
        database.close()
    out.print()
    out.print(table)
    return well


def _word(good: bool) -> str:
    return "[green]up[/]" if good else "[red]down[/]"


def _memory(pid: int | None, *, workers: bool = True) -> str:
    """Proportional set size of a process, and of the workers it started, in MiB."""
    if pid is None:
        return ""
    try:
        started = Path(f"/proc/{pid}/task/{pid}/children").read_text().split() if workers else []
        rolls = [Path(f"/proc/{one}/smaps_rollup").read_text() for one in (pid, *started)]
    except OSError:
        return ""
    return f"{sum(int(line.split()[1]) for roll in rolls for line in roll.splitlines() if line.startswith('Pss:')) / 1024:.0f} MiB"


def operations(home: Home) -> None:
    """Print what runs, waits, is undone or has failed within the last hour, and the reconcilers that fail."""
    database = Database(home.database_url, pool=1)
    table = Table("Operation", "Of", "State", "Step", "Tries", "Due", "Deadline", "Why", box=None, pad_edge=False)
    moment = now()
    try:
        with database.read() as db:
            rows = db.execute(select(operation).where(operation.c.state != "done").order_by(operation.c.created.desc()).limit(200)).all()
            done = db.scalar(select(func.count()).where(operation.c.state == "done")) or 0
        for row in rows:
            live = row.state in ("running", "undoing")
            due = _span(row.due - moment) if live and row.holder is None else "now" if live else ""
            table.add_row(
                row.kind, row.resource, row.state, row.step, str(row.tries or ""), due, _span(row.deadline - moment) if live else "",
                row.fault or "",
            )  # fmt: skip
    finally:
        database.close()
    if rows:
        out.print(table)
    out.print(f"{sum(row.state in ('running', 'undoing') for row in rows)} under way, {done} done within the last hour")
    _reconcilers(home)


def _reconcilers(home: Home) -> None:
    try:
        health = metrics.ask(home.metrics_socket).health
    except OSError:
        out.print("[red]The engine does not run, so nothing of this goes on.[/] See: andromede status")
        return
    failing = [one for one in health if one.error]
    for one in failing:
        out.print(f"[red]{one.name}[/] fails, {one.failures} times so far: {one.error}")
    out.print(f"{len(health) - len(failing)} of {len(health)} reconcilers are well")


def _span(span: timedelta) -> str:
    return f"{span.total_seconds():.0f} s"
