"""A process of the tests' own that serves on ports of the loopback, and ends with its input."""

import socket
import subprocess
import sys
import time
from pathlib import Path


def free_ports(count: int) -> list[int]:
    """Ports that nobody has."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


class Program:
    """`python -m MODULE WORDS…`, whose words go to a log."""

    def __init__(self, log: Path, module: str, *words: str, ports: list[int]) -> None:
        self.log, self._ports = log, ports
        with self.log.open("ab") as written:
            self.process = subprocess.Popen([sys.executable, "-m", module, *words], stdin=subprocess.PIPE, stdout=written, stderr=written)

    def ready(self) -> None:
        """Wait until it serves."""
        for port in self._ports:
            end = time.monotonic() + 30
            while time.monotonic() < end:
                assert self.process.poll() is None, self.log.read_text()
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.02)

    def end(self) -> None:
        """Have it end."""
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
