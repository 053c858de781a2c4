"""`andromede storage`: what the object store holds, whether it is whole, and room given back. Runs as the owner of the data."""

import contextlib
from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.table import Table

from andromede.core.errors import CloudError
from andromede.db.engine import Database
from andromede.drivers.blob import Finding
from andromede.drivers.blob import Progress as Done
from andromede.run import drivers
from andromede.run.home import Home
from andromede.run.up import as_user
from andromede.services.drive.content import Content
from andromede.services.identity import service as identity
from andromede.services.object import tasks
from andromede.services.object.service import Objects

out = Console(highlight=False)
_SHOWN = 50


def usage(home: Home) -> None:
    """Print what each project keeps."""
    as_user(lambda: _usage(home))


def check(home: Home, *, repair: bool, deep: bool, give_up: bool = False) -> None:
    """Look at everything, or mend it; ends the program with status 1 where something is wrong and was not mended."""
    if give_up and not repair:
        raise CloudError("--give-up is for --repair: what can be mended comes first.")
    as_user(lambda: _check(home, repair=repair, deep=deep, give_up=give_up))


def compact(home: Home) -> None:
    """Give back the room of what was removed."""
    as_user(lambda: _compact(home))


@contextlib.contextmanager
def _store(home: Home) -> Iterator[Any]:
    store = drivers.store(home)
    try:
        yield store
    finally:
        store.close()


def _usage(home: Home) -> None:
    table = Table("Project", "Containers", "Objects", "Bytes", "Earlier versions and parts", box=None, pad_edge=False)
    waiting: list[str] = []
    with _store(home) as store:
        objects = Objects(store)
        accounts = objects.accounts()
        database = Database(home.database_url, pool=1)
        with database.read() as db:
            names = identity.project_names(db, set(accounts))
        database.close()
        whole = 0
        for account in accounts:
            places = list(objects.containers(account))
            shown = [objects.usage(place) for place in places]
            hidden = [objects.hidden(place) for place in places]
            size, more = sum(one.weight for one in shown), sum(one.weight for one in hidden)
            whole += size + more
            table.add_row(names.get(account, account), str(len(places)), str(sum(one.entries for one in shown)), decimal(size), decimal(more))
        for kind, what in ((tasks.EVENT, "events to be told"), (tasks.REPLICA, "copies to be made"), (tasks.SYNC, "objects to be synchronized")):
            if count := tasks.waiting(store, kind):
                waiting.append(f"{count} {what}")
        content = Content(store)
        drive = [content.usage(space) for space in content.spaces()]
        chunks, kept = sum(one.count for one in drive), sum(one.size for one in drive)
        whole += kept
    out.print(table)
    if drive:
        out.print(f"Drive: {len(drive)} spaces, {chunks} chunks, {decimal(kept)}")
    if waiting:
        out.print(f"Waiting: {', '.join(waiting)}")
    blocks = sum(path.stat().st_blocks * 512 for path in home.objects.rglob("*") if path.is_file())
    out.print(f"{decimal(whole)} kept, {decimal(blocks)} on disk, in {home.objects}")


def _check(home: Home, *, repair: bool, deep: bool, give_up: bool) -> None:
    found: list[Finding] = []
    with _store(home) as store:
        for one in _shown(store.check(repair=repair, deep=deep, give_up=give_up), "checked"):
            if len(found) < _SHOWN:
                out.print(f"[{'yellow' if one.mended else 'red'}]{one.kind}[/] shard {one.shard} {_text(one.key)}: {one.text}")
            found.append(one)
    left = sum(1 for one in found if not one.mended)
    if not found:
        out.print("Everything is there, and as it was written." if deep else "The index and the data agree.")
    else:
        out.print(f"{len(found)} findings, {len(found) - left} mended" + ("" if repair or not left else "; what can be mended is with --repair"))
    if left:
        raise CloudError(f"{left} findings are not mended.")


def _compact(home: Home) -> None:
    with _store(home) as store:
        before = sum(path.stat().st_blocks * 512 for path in home.objects.rglob("*") if path.is_file())
        for _ in _shown(store.compact(), "compacted"):
            continue
    after = sum(path.stat().st_blocks * 512 for path in home.objects.rglob("*") if path.is_file())
    out.print(f"{decimal(max(0, before - after))} given back; {decimal(after)} on disk")


def _shown(steps: Iterator[Finding | Done], word: str) -> Iterator[Finding]:
    """The findings, with a bar for the progress where there is a terminal."""
    columns = TextColumn("{task.description}"), BarColumn(bar_width=30), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()
    with Progress(*columns, console=out, transient=True, disable=not out.is_terminal) as bar:
        task = bar.add_task(word, total=None)
        for step in steps:
            if isinstance(step, Done):
                bar.update(task, completed=step.done, total=step.total)
            else:
                yield step


def _text(key: bytes) -> str:
    return key.decode("utf-8", "backslashreplace").replace("\0", "·")

