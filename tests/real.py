"""A real cloud for the tests: made by the CLI in a folder of its own, with real guests and real OVN, and destroyed at the end."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from andromede.run.client import Client
from andromede.run.home import Home


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


class RealCloud:
    """`cloud.cli("status")` runs the command line; `cloud.admin` and `cloud.user` are clients of its APIs."""

    def __init__(self, settings: str = "", *, drive: str = "", public: str = "172.24.5.0/24") -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="cloud.", dir=os.environ.get("ANDROMEDE_TEST_WORK", "/var/tmp")))
        self.folder.chmod(0o755)
        self.person = self.folder / "person"
        self.person.mkdir(mode=0o700)
        self.path = self.folder / "home"
        self.path.mkdir(mode=0o755)
        self.port, self.swift_port, self.s3_port, self.drive_port = _free_ports(4)
        self.url = f"http://127.0.0.1:{self.port}"
        ports = f"[api]\nport = {self.port}\n\n[object]\nswift_port = {self.swift_port}\ns3_port = {self.s3_port}\n"
        ports += f"\n[drive]\nport = {self.drive_port}\n{drive}\n"
        text = f'{ports}\n[network]\npublic_cidr = "{public}"\n\n{settings}\n'
        (self.path / "andromede.toml").write_text(text)
        self.home = Home.at(self.path)

    def cli(
        self, *words: str, check: bool = True, seconds: float = 600, text: str | None = None, home: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run `andromede WORDS… --home …`. home: another directory than the cloud's, such as that of a host of it."""
        env = {**os.environ, "ANDROMEDE_PERSON": str(self.person), "COLUMNS": "200"}
        command = [sys.executable, "-m", "andromede.run.cli", *words, "--home", str(home or self.path)]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=seconds, check=False, input=text, cwd="/")
        if check and done.returncode:
            raise AssertionError(f"{' '.join(words)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}\n{self.last_words()}")
        return done

    def last_words(self) -> str:
        """The ends of all logs."""
        if not self.home.logs.exists():
            return ""
        return "\n".join(f"== {path.name}\n{path.read_text(errors='replace')[-1500:]}" for path in sorted(self.home.logs.glob("*.log")))

    def password(self, name: str) -> str:
        return (self.home.secrets / f"{name}-password").read_text().strip()

    def client(self, name: str) -> Client:
        return Client(self.url, user=name, password=self.password(name), project=name)

    @property
    def admin(self) -> Client:
        return self.client("admin")

    @property
    def user(self) -> Client:
        return self.client("demo")

    @property
    def clouds(self) -> Path:
        """The clouds.yaml that `up` wrote."""
        return self.person / ".config" / "openstack" / "clouds.yaml"

    @property
    def name(self) -> str:
        """The cloud's name in it."""
        return self.home.name

    def ssh(
        self, address: str, command: str, *, key: Path | None = None, user: str = "petit", seconds: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in a guest."""
        return subprocess.run(self.ssh_words(address, command, key=key, user=user), capture_output=True, text=True, timeout=seconds, check=False)

    def ssh_words(self, address: str, command: str, *, key: Path | None = None, user: str = "petit") -> list[str]:
        """The program that does so."""
        options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "ConnectTimeout=10", "BatchMode=yes"]
        words = [word for option in options for word in ("-o", option)]
        key = key or self.person / ".ssh" / f"andromede-{self.home.tag}"
        return ["ssh", *words, "-i", str(key), f"{user}@{address}", command]

    def destroy(self) -> None:
        self.cli("destroy", "--yes", check=False)
        shutil.rmtree(self.folder, ignore_errors=True)
