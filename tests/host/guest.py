"""A guest in a bare QEMU, for tests of images: user-mode network that leads nowhere but to ports of 127.0.0.1."""

import json
import re
import socket
import subprocess
import threading
import time
from pathlib import Path
from types import TracebackType

UUID = "5ae5c0de-0000-4000-8000-000000000001"


def config_drive(folder: Path, public_key: str, user_data: str = "", hostname: str = "essai.example") -> Path:
    """An ISO as Compute attaches it."""
    latest = folder / "drive" / "openstack" / "latest"
    latest.mkdir(parents=True)
    meta = {"uuid": UUID, "hostname": hostname, "name": "essai", "public_keys": {"key": public_key}, "launch_index": 0}
    (latest / "meta_data.json").write_text(json.dumps(meta))
    if user_data:
        (latest / "user_data").write_text(user_data)
    iso = folder / "config.iso"
    subprocess.run(["genisoimage", "-quiet", "-V", "config-2", "-J", "-r", "-o", iso, folder / "drive"], check=True)
    return iso


def overlay(folder: Path, disk: Path, size: str) -> Path:
    """A disk of its own for one guest."""
    path = folder / "disk.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", disk, path, size], check=True)
    return path


class Guest:
    """One run of QEMU under TCG; use as a context manager."""

    def __init__(
        self,
        folder: Path,
        disk: Path,
        key: Path,
        *,
        user: str = "petit",
        drive: Path | None = None,
        netdev: str = "",
        memory: int = 128,
        machine: str = "q35",
        extra: tuple[str, ...] = (),
    ) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.folder, self.key, self.user = folder, key, user
        self.monitor = folder / "qmp.sock"
        self.monitor.unlink(missing_ok=True)
        self.lines: list[tuple[float, str]] = []
        self.command = [
            "qemu-system-x86_64", "-accel", "tcg", "-machine", machine, "-nodefaults", "-no-user-config", "-display", "none",
            "-m", str(memory), "-smp", "1", "-uuid", UUID, "-serial", "stdio",
            "-smbios", f"type=1,manufacturer=OpenStack Foundation,product=OpenStack Nova,uuid={UUID}",
            "-drive", f"file={disk},if=virtio,format=qcow2,cache=unsafe",
            "-netdev", f"user,id=net0,restrict=on,hostfwd=tcp:127.0.0.1:{self.port}-:22{netdev}",
            "-device", "virtio-net-pci,netdev=net0,romfile=", "-device", "virtio-rng-pci",
            "-qmp", f"unix:{self.monitor},server=on,wait=off",
            *(("-drive", f"file={drive},if=virtio,format=raw,readonly=on") if drive else ()),
            *extra,
        ]  # fmt: skip

    def __enter__(self) -> "Guest":
        self.started = time.monotonic()
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.process.kill()
        self.process.wait()
        self.reader.join(5)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append((time.monotonic() - self.started, line.decode(errors="replace").strip()))

    @property
    def console(self) -> str:
        return "\n".join(line for _, line in self.lines)

    def wait_for(self, pattern: str, limit: float = 90, times: int = 1) -> float:
        """Seconds after the start at which a console line matched for the `times`-th time."""
        end = time.monotonic() + limit
        while time.monotonic() < end:
            found = [at for at, line in list(self.lines) if re.search(pattern, line)]
            if len(found) >= times:
                return found[times - 1]
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        raise AssertionError(f"no {pattern!r} on the console:\n{self.console}")

    def banner(self, limit: float = 90) -> float:
        """Seconds after the start at which sshd spoke."""
        end = time.monotonic() + limit
        while time.monotonic() < end:
            try:
                with socket.create_connection(("127.0.0.1", self.port), 1) as connection:
                    connection.settimeout(1)
                    if connection.recv(4) == b"SSH-":
                        return time.monotonic() - self.started
            except OSError:
                pass
            time.sleep(0.05)
        raise AssertionError(f"sshd did not answer:\n{self.console}")

    def ssh(self, command: str, *, check: bool = True, limit: float = 60) -> str:
        options = [
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "LogLevel=ERROR",
            "BatchMode=yes",
            "ConnectTimeout=20",
        ]
        words = [word for option in options for word in ("-o", option)]
        done = subprocess.run(
            ["ssh", "-F", "none", "-i", self.key, *words, "-p", str(self.port), f"{self.user}@127.0.0.1", command],
            capture_output=True,
            text=True,
            timeout=limit,
            check=False,
        )
        assert not check or done.returncode == 0, f"{command}: {done.returncode} {done.stdout} {done.stderr}"
        return done.stdout.strip()

    def monitor_command(self, name: str) -> None:
        """One QMP command."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            connection.connect(str(self.monitor))
            stream = connection.makefile("rw")
            stream.readline()
            for command in ("qmp_capabilities", name):
                stream.write(json.dumps({"execute": command}) + "\n")
                stream.flush()
                while "return" not in stream.readline():
                    pass

    def ended(self, limit: float = 40) -> bool:
        """Whether QEMU came to its end by itself."""
        try:
            return self.process.wait(limit) == 0
        except subprocess.TimeoutExpired:
            return False
