"""`andromede audit`: the audit log checked, taken out, and vouched for. Runs as the owner of the data."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from sqlalchemy import Connection

from andromede.core.errors import CloudError
from andromede.db.engine import Database
from andromede.run.home import Home
from andromede.run.up import as_user
from andromede.services.audit import service, verifier

out = Console(highlight=False)


def key(home: Home) -> None:
    """Print the public key."""
    as_user(lambda: out.print(service.key(service.witness(home.log_name, home.audit_key)), soft_wrap=True))


def checkpoint(home: Home) -> None:
    """Print the newest signed checkpoint."""

    def show() -> None:
        with _reading(home) as db:
            note = service.newest(db)
        if note is None:
            raise CloudError("Nothing is sealed yet.")
        out.print(note, end="", markup=False, soft_wrap=True)

    as_user(show)


def export(home: Home, path: Path) -> None:
    """Write the sealed log into a file that must not be there yet; only its owner may read it."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise CloudError(f"{path}: {error.strerror}.") from error
    with os.fdopen(handle, "w", encoding="utf-8") as file:

        def write() -> None:
            with _reading(home) as db:
                for line in service.export(db):
                    file.write(line + "\n")
            file.flush()

        as_user(write)


def verify(home: Home, known: list[Path]) -> None:
    """Check the whole log; ends the program with status 1 where something is wrong."""
    notes = []
    for path in known:
        try:
            notes.append(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise CloudError(f"{path} cannot be read.") from error

    def check() -> None:
        public = service.witness(home.log_name, home.audit_key).public
        try:
            kept = [verifier.opened(note, public) for note in notes]
        except ValueError as error:
            raise CloudError(str(error)) from error
        with _reading(home) as db:
            size, found = service.check(db, public, kept)
        for one in found:
            out.print(f"events {one.first} to {one.end}: {one.why}", style="red")
        if found:
            raise CloudError(f"The audit log has {len(found)} faults in {size} events.")
        out.print(f"{size} events, all as they were sealed.")

    as_user(check)


@contextlib.contextmanager
def _reading(home: Home) -> Iterator[Connection]:
    database = Database(home.database_url)
    try:
        with database.read() as db:
            yield db
    finally:
        database.close()
