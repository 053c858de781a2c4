"""`andromede up`: from whatever state the machine is in to a cloud that serves, with a first server. Every step may be repeated.

What only talks to people is imported once the supervisor has been started, where nothing has to be made ready before.
"""

import contextlib
import os
import secrets as random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from andromede.core.errors import CloudError
from andromede.run import members, supervisor
from andromede.run.home import Home, ensure_user
from andromede.run.settings import Settings

_WAIT = 60.0


class Steps:
    """Progress on a terminal, plain lines elsewhere; `out` is where they go."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        self.out = Console(highlight=False)
        self._bar = Progress(
            SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=30), TimeElapsedColumn(), console=self.out, transient=True
        )

    @contextlib.contextmanager
    def step(self, text: str) -> Iterator[Callable[[str, float | None], None]]:
        """One step; what it yields takes a finer text and a part done from 0 to 1."""
        began = time.monotonic()
        with self._bar if self.out.is_terminal else contextlib.nullcontext():
            task = self._bar.add_task(text, total=None)

            def tell(more: str, part: float | None) -> None:
                self._bar.update(task, description=f"{text}: {more}", total=None if part is None else 1.0, completed=part or 0.0)

            yield tell
            self._bar.remove_task(task)
        self.out.print(f"[green]✓[/] {text} [dim]{time.monotonic() - began:.1f} s[/]")


def up(home: Home) -> None:
    """Bring the cloud up. Raises CloudError with what to do where that is not possible."""
    if home.added:
        start_host(home)
        return
    settings = home.settings
    running = supervisor.pid_of(home.run) if home.run.exists() else None
    first = not (home.secrets / "ready").exists()
    if running is None:
        supervisor.end_orphans(home.run)
        _check_ports(settings)
        if settings.api.tls_certificate:
            from andromede.run import tls

            tls.check(home)
        home.make()
        quick = not first and _is_prepared(home)
        if quick:
            _start(home)
        steps = Steps()
        if not quick:
            with steps.step("Database and keys"):
                words = {name: _secret(home, name) for name in ("admin", "demo")}
                as_user(lambda: _database(home, words))
            _start(home)
    else:
        steps = Steps()
    with steps.step("Processes and network") as tell:
        _await(home, tell)
    for one in members.members(home):
        start_host(one.home)
    if first:
        from andromede.run.first import first_things

        first_things(home, steps)
    from andromede.run.first import greet, keep_clouds, summary

    keep_clouds(home)
    summary(home, steps.out)
    greet(home, steps, steps.out, 60.0 if first else 30.0)


def start_host(home: Home) -> None:
    """Start a host that was added to a cloud, where it does not run. Raises CloudError."""
    if not home.run.exists() or supervisor.pid_of(home.run) is None:
        home.make()
        supervisor.end_orphans(home.run)
        _start(home)
    _await(home, lambda _text, _part: None)


def as_user(work: Callable[[], None]) -> None:
    """Run `work` in a child without rights, as the user that owns the database. Raises CloudError with what it said."""
    uid, gid = ensure_user()
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(read)
            os.setgroups([])
            os.setresgid(gid, gid, gid)
            os.setresuid(uid, uid, uid)
            os.umask(0o027)
            work()
            code = 0
        except CloudError as error:
            os.write(write, f"{error.message}\n{error.__cause__ or ''}".encode())
        except BaseException as error:  # noqa: BLE001 - a forked child must end here, whatever happened
            os.write(write, f"The cloud's database cannot be made ready.\n{error!r}".encode())
        finally:
            sys.stderr.flush()
            os._exit(code)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        said = pipe.read().decode("utf-8", "replace")
    _, status = os.waitpid(pid, 0)
    if status:
        message, _, cause = said.partition("\n")
        raise CloudError(message or "The cloud's database cannot be made ready.") from (RuntimeError(cause) if cause else None)


def _is_prepared(home: Home) -> bool:
    """Whether database and keys are as this code and these settings want them."""

    def look() -> None:
        from andromede.run import prepared

        if not prepared.is_ready(home):
            raise CloudError("It is not.")

    if not all((home.secrets / f"{name}-password").exists() for name in ("admin", "demo")):
        return False
    try:
        as_user(look)
    except CloudError:
        return False
    return True


def _database(home: Home, words: dict[str, str]) -> None:
    from andromede.run import prepared

    if prepared.is_ready(home):
        return
    from andromede.run.prepare import prepare

    prepare(home, words)
    prepared.note(home)


def _secret(home: Home, name: str) -> str:
    """The first password of a user; made once, for root's eyes."""
    path = home.secrets / f"{name}-password"
    if not path.exists():
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(random.token_urlsafe(18) + "\n")
    return path.read_text().strip()


def _check_ports(settings: Settings) -> None:
    import socket

    address = settings.api.listen
    ports = {"api.port": settings.api.port, "object.swift_port": settings.object.swift_port, "object.s3_port": settings.object.s3_port}
    ports |= {"drive.port": settings.drive.port} if settings.drive.enabled else {}
    for name, port in ports.items():
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
            except OSError as error:
                raise CloudError(
                    f"{address}:{port} cannot be listened on ({error.strerror}). "
                    f"Another program has it: end that, or set another {name} in the settings."
                ) from error


def _start(home: Home) -> None:
    log = os.open(home.logs / "supervisor.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    (home.run / "status.json").unlink(missing_ok=True)
    subprocess.Popen(supervisor.command("supervisor", home.path), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/")
    os.close(log)


def _await(home: Home, tell: Callable[[str, float | None], None]) -> None:
    end = time.monotonic() + _WAIT
    programs: list[dict[str, object]] = []
    while time.monotonic() < end:
        status = supervisor.status(home.run)
        if status.get("failed"):
            raise CloudError(str(status["failed"]))
        found = status.get("programs")
        programs = found if isinstance(found, list) else []
        if absent := [str(one["said"]) for one in programs if one.get("missing")]:
            raise CloudError(f"The cloud cannot start here: {'; '.join(absent)}. Then run `andromede up` again.")
        ready = [one for one in programs if one["ready"]]
        if programs and len(ready) == len(programs) and status.get("complete", True):
            return
        waiting = ", ".join(str(one["name"]) for one in programs if not one["ready"]) or "the supervisor"
        tell(f"waiting for {waiting}", len(ready) / max(1, len(programs)))
        time.sleep(0.02)
    late = [one for one in programs if not one["ready"]]
    words = "; ".join(f"{one['name']}: {one['said'] or 'does not answer'}" for one in late) or _last_words(home)
    raise CloudError(f"The cloud did not start within {_WAIT:.0f} seconds: {words}. See: andromede logs {late[0]['name'] if late else ''}")


def _last_words(home: Home) -> str:
    path: Path = home.logs / "supervisor.log"
    lines = path.read_text(errors="replace").splitlines() if path.exists() else []
    return lines[-1] if lines else "the supervisor said nothing"
