"""A tiny stand-in for the supervisor: runs the daemons that are described, for tests."""

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

from andromede.core.daemon import Daemon, is_ready


class Launcher:
    def __init__(self, daemons: list[Daemon], log: str) -> None:
        self.daemons = {daemon.name: daemon for daemon in daemons}
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.log = log

    def start(self, name: str) -> None:
        daemon = self.daemons[name]
        with Path(self.log).open("ab") as log:
            self.running[name] = subprocess.Popen(
                daemon.argv, env={**os.environ, **daemon.env}, stdin=subprocess.DEVNULL, stdout=log, stderr=log, user=daemon.uid,
                group=daemon.gid, extra_groups=[], umask=daemon.umask, start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + 10
        while not is_ready(daemon):
            if time.monotonic() > deadline or self.running[name].poll() is not None:
                raise AssertionError(f"{name} did not start:\n{Path(self.log).read_text()[-2000:]}")
            time.sleep(0.02)

    def start_all(self) -> float:
        begin = time.monotonic()
        for name in self.daemons:
            self.start(name)
        return time.monotonic() - begin

    def kill(self, name: str) -> None:
        self.running[name].kill()
        self.running.pop(name).wait(10)

    def restart(self, name: str) -> None:
        self.kill(name)
        self.start(name)

    def memory(self) -> dict[str, int]:
        """Kilobytes of proportional memory of each."""
        answer = {}
        for name, process in self.running.items():
            for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    answer[name] = int(line.split()[1])
        return answer

    def close(self) -> None:
        for process in reversed(self.running.values()):
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
        for process in self.running.values():
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(5)
        self.running.clear()
