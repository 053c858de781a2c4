"""Keeps the cloud's programs running: starts them in order, notices within moments when one ends, starts it again.

It takes no input but signals, and tells what it sees in `run/status.json`. Programs that guests depend on are left running
when it ends, and adopted by the next one through their pid files.
"""

import contextlib
import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from andromede.core.clock import monotonic
from andromede.core.daemon import Daemon, is_ready
from andromede.core.errors import CloudError
from andromede.run.programs import missing

_HEALTHY = 10.0
_LOG_MOST = 8 << 20
_GRACE = 10.0


class _Kept:
    """One program and what is known of it."""

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon
        self.pid = 0
        self.handle = -1
        self.process: subprocess.Popen[bytes] | None = None
        self.started = 0.0
        self.ready = False
        self.restarts = 0
        self.failures = 0
        self.again = 0.0
        self.said = ""
        self.missing = ""

    @property
    def running(self) -> bool:
        return self.handle >= 0


class Supervisor:
    """Supervises `daemons`; `run` is its directory of pid files and status, `logs` that of their output.

    then: answers more, which come before the others in order, once the first have been started; a CloudError of it ends everything.
    """

    def __init__(self, daemons: Sequence[Daemon], run: Path, logs: Path, *, then: Callable[[], Sequence[Daemon]] | None = None) -> None:
        self._kept = [_Kept(daemon) for daemon in daemons]
        self._then, self._failed = then, ""
        self._run, self._logs = run, logs
        self._ending = False
        self._written = ""
        self._rotated = monotonic()
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def supervise(self) -> None:
        """Run until SIGTERM or SIGINT. Raises BlockingIOError when another supervisor runs for the same cloud."""
        lock = os.open(self._run / "supervisor.lock", os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        (self._run / "supervisor.pid").write_text(str(os.getpid()))
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._end)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        try:
            self._start_all()
            self._start_more()
            while not self._ending:
                self._wait(0.5)
                self._tend()
        finally:
            self._stop_all()
            (self._run / "supervisor.pid").unlink(missing_ok=True)
            self._tell()
            os.close(lock)

    def _end(self, *_: object) -> None:
        self._ending = True

    def _start_more(self) -> None:
        if self._then is None or self._ending:
            return
        try:
            more = [_Kept(daemon) for daemon in self._then()]
        except CloudError as error:
            _log().error("the host cannot be made ready", error=error.message, cause=repr(error.__cause__))
            self._failed, self._ending = f"{error.message} {error.__cause__ or ''}".strip(), True
            return
        self._then, self._kept = None, [*more, *self._kept]
        self._start_all()

    def _start_all(self) -> None:
        """In order, each waiting for those it `after`s; what does not depend on each other starts at once."""
        pending = [kept for kept in self._kept if not kept.started]
        while pending and not self._ending:
            serving = {kept.daemon.name for kept in self._kept if kept.ready or (not kept.running and kept.restarts)}
            for kept in [kept for kept in pending if serving.issuperset(kept.daemon.after)]:
                pending.remove(kept)
                if not self._adopt(kept):
                    self._start(kept)
            self._wait(0.01)
            for kept in self._kept:
                if kept not in pending:
                    self._reap(kept)
                    self._check(kept)
            self._tell()

    def _wait(self, seconds: float) -> None:
        """Until a program ends, a signal comes, or the time is over."""
        handles = [kept.handle for kept in self._kept if kept.running]
        with contextlib.suppress(InterruptedError):
            select.select([*handles, self._wake_read], [], [], seconds)
        with contextlib.suppress(BlockingIOError):
            os.read(self._wake_read, 512)

    def _tend(self) -> None:
        for kept in self._kept:
            self._reap(kept)
            if not kept.running and monotonic() >= kept.again:
                self._start(kept)
            self._check(kept)
        if monotonic() - self._rotated > 30:
            self._rotated = monotonic()
            self._bound_logs()
        self._tell()

    def _adopt(self, kept: _Kept) -> bool:
        """Take over a program that an earlier supervisor left running."""
        try:
            pid = int(self._pidfile(kept.daemon).read_text())
            handle = os.pidfd_open(pid)
            command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError):
            return False
        words = [part.encode() for part in kept.daemon.argv]
        program = next((word for word in words if word in command), None)
        if program is None or not kept.daemon.outlives or words[-1] not in command:
            os.close(handle)
            return False
        kept.pid, kept.handle, kept.started, kept.said = pid, handle, monotonic(), "adopted"
        return True

    def _pidfile(self, daemon: Daemon) -> Path:
        return Path(daemon.pidfile) if daemon.pidfile else self._run / f"{daemon.name}.pid"

    def _start(self, kept: _Kept) -> None:
        daemon = kept.daemon
        kept.started, kept.ready, kept.missing = monotonic(), False, missing(daemon.argv)
        if kept.missing:
            kept.said = kept.missing
            self._later(kept)
            return
        output = os.open(self._logs / f"{daemon.name}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            kept.process = subprocess.Popen(
                daemon.argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env={**os.environ, **daemon.env},
                start_new_session=True, umask=daemon.umask, user=daemon.uid, group=daemon.gid,
                extra_groups=[] if os.getuid() == 0 else None, cwd="/",
            )  # fmt: skip
        except OSError as error:
            kept.said = f"{daemon.argv[0]} cannot be started: {error.strerror}"
            self._later(kept)
            return
        finally:
            os.close(output)
        kept.pid, kept.handle, kept.said = kept.process.pid, os.pidfd_open(kept.process.pid), ""
        if not daemon.pidfile:
            self._pidfile(daemon).write_text(str(kept.pid))

    def _reap(self, kept: _Kept) -> None:
        if not kept.running or not select.select([kept.handle], [], [], 0)[0]:
            return
        code = kept.process.wait() if kept.process is not None else None
        os.close(kept.handle)
        kept.handle, kept.process, kept.ready = -1, None, False
        kept.said = "ended" if code is None else f"ended by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"
        _log().warning("program ended", name=kept.daemon.name, how=kept.said)
        self._later(kept)

    def _later(self, kept: _Kept) -> None:
        kept.failures = 0 if monotonic() - kept.started > _HEALTHY else kept.failures + 1
        kept.restarts += 1
        kept.again = monotonic() + (0 if kept.failures == 0 else kept.daemon.backoff * min(10, 2 ** (kept.failures - 1)))

    def _check(self, kept: _Kept) -> bool:
        if kept.running and not kept.ready:
            kept.ready = is_ready(kept.daemon)
            if kept.ready:
                _log().info("program serves", name=kept.daemon.name, pid=kept.pid, seconds=round(monotonic() - kept.started, 3))
        return kept.ready

    def _stop_all(self) -> None:
        """In reverse order, waiting for each; those that outlive us go on."""
        for kept in reversed(self._kept):
            if kept.running and not kept.daemon.outlives:
                stop(kept.pid, kept.handle, kept.daemon.stop)
                if kept.process is not None:
                    kept.process.wait()
                os.close(kept.handle)
                kept.handle, kept.ready, kept.said = -1, False, "stopped"
                self._pidfile(kept.daemon).unlink(missing_ok=True)

    def _tell(self) -> None:
        programs = [
            {
                "name": kept.daemon.name, "pid": kept.pid if kept.running else None, "running": kept.running, "ready": kept.ready,
                "restarts": kept.restarts, "said": kept.said, "outlives": kept.daemon.outlives, "missing": bool(kept.missing),
            }
            for kept in self._kept
        ]  # fmt: skip
        whole = {"complete": self._then is None, "failed": self._failed}
        text = json.dumps({"supervisor": os.getpid(), "ending": self._ending, "programs": programs, **whole})
        if text != self._written:
            path = self._run / "status.json"
            temporary = path.with_suffix(".new")
            temporary.write_text(text)
            temporary.replace(path)
            self._written = text

    def _bound_logs(self) -> None:
        """Keep one older copy of each log that has grown large; programs go on writing to the same file."""
        for path in self._logs.glob("*.log"):
            if path.stat().st_size > _LOG_MOST:
                path.with_suffix(".log.1").write_bytes(path.read_bytes()[-_LOG_MOST:])
                os.truncate(path, 0)


def _log() -> Any:
    """Loaded when there is something to say: `up` and `down` look after processes with what is here, and rarely say anything."""
    import structlog

    return structlog.get_logger("supervisor")


def stop(pid: int, handle: int, command: Sequence[str] = ()) -> None:
    """End one program: by its command or SIGTERM, after a while by SIGKILL. `handle` is its pidfd."""
    if command:
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            subprocess.run(command, check=False, capture_output=True, timeout=_GRACE)
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, number)
        if select.select([handle], [], [], _GRACE)[0]:
            return
    _log().error("program does not end", pid=pid)


def command(name: str, home: Path) -> tuple[str, ...]:
    """What starts a process of ours; not the command line people use, whose libraries cost each process 5 MiB and a tenth of a second."""
    return (sys.executable, "-m", "andromede.run.processes", name, str(home))


def pid_of(run: Path) -> int | None:
    """The running supervisor of a cloud."""
    try:
        handle = os.open(run / "supervisor.lock", os.O_RDWR)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        with contextlib.suppress(OSError, ValueError):
            return int((run / "supervisor.pid").read_text())
        return None
    finally:
        os.close(handle)
    return None


def status(run: Path) -> dict[str, object]:
    """What the supervisor last told; empty where there is none."""
    try:
        found: dict[str, object] = json.loads((run / "status.json").read_text())
    except (OSError, ValueError):
        return {}
    return found


def end_orphans(run: Path) -> list[str]:
    """End the programs that a supervisor which was killed left behind, but for those that outlive it anyway; answers their names.

    They are those of its last status whose pid file names a process with a command line of this cloud.
    """
    ended: list[str] = []
    known = status(run).get("programs")
    for one in known if isinstance(known, list) else []:
        if one["outlives"]:
            continue
        try:
            pid = int((run / f"{one['name']}.pid").read_text())
            handle = os.pidfd_open(pid)
        except (OSError, ValueError):
            continue
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if one["name"].encode() in words and str(run.parent).encode() in words:
                stop(pid, handle)
                ended.append(one["name"])
        except OSError:
            _log().debug("ended by itself", name=one["name"])
        finally:
            os.close(handle)
    return ended


def wait_ended(pid: int, seconds: float) -> bool:
    """Whether a process has ended within so many seconds."""
    end = monotonic() + seconds
    while monotonic() < end:
        if not Path(f"/proc/{pid}").exists():
            return True
        time.sleep(0.02)
    return False
