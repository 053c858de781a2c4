"""Several processes that do the same: forked once everything is loaded, so that they share it, and started again when one ends."""

import contextlib
import gc
import os
import select
import signal
import sys
import time
from collections.abc import Callable

import structlog

from andromede.core.clock import monotonic

log = structlog.get_logger("workers")
_HEALTHY, _PAUSE, _GRACE = 10.0, 1.0, 8.0


def keep(count: int, work: Callable[[int], None]) -> None:
    """Run `work` in `count` processes until SIGTERM. It gets a file that ends when this process does, however that happens.

    Whoever calls must not have started a thread.
    """
    gc.collect()
    gc.freeze()
    ours, theirs = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    lifeline, alive = os.pipe2(os.O_CLOEXEC)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(theirs, warn_on_full_buffer=False)
    running: dict[int, float] = {}
    ending = False
    while not ending:
        while len(running) < count:
            running[_fork(work, lifeline, (ours, theirs, alive))] = monotonic()
        select.select([ours], [], [])
        ending = bool({signal.SIGTERM, signal.SIGINT} & set(os.read(ours, 512)))
        if _reap(running) and not ending:
            time.sleep(_PAUSE)
    _end(running)


def _fork(work: Callable[[int], None], lifeline: int, close: tuple[int, ...]) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        for handle in close:
            os.close(handle)
        work(lifeline)
        code = 0
    except Exception:
        log.exception("a worker ended")
    finally:
        sys.stderr.flush()
        os._exit(code)


def _reap(running: dict[int, float]) -> bool:
    """Forget the processes that ended; whether one of them had hardly begun."""
    hasty = False
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            began = running.pop(ended[0], 0.0)
            hasty |= monotonic() - began < _HEALTHY
            log.warning("worker ended", pid=ended[0], status=os.waitstatus_to_exitcode(ended[1]))
    return hasty


def _end(running: dict[int, float]) -> None:
    for number, seconds in ((signal.SIGTERM, _GRACE), (signal.SIGKILL, 1.0)):
        for pid in running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        last = monotonic() + seconds
        while running and monotonic() < last:
            _reap(running)
            time.sleep(0.02)
