"""What the benchmarks share: a network of their own, clouds, peers' homes, wrk, medians, memory, and how a result is printed.

Every benchmark is a script. It prepares what needs the internet first, then starts itself again in a network namespace of its
own with nothing but loopback (`isolate`), which ends with its last process. What it starts, it ends, by process id.
"""

import contextlib
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src")]
os.environ["PYTHONPATH"] = str(ROOT / "src")
os.environ.setdefault("ANDROMEDE_CACHE", "/var/cache/andromede")
os.environ.setdefault("ANDROMEDE_TEST_WORK", "/var/tmp")

CACHE = Path(os.environ.get("ANDROMEDE_BENCH_CACHE", "/var/cache/andromede-bench"))
"""Where peers are installed; kept between runs."""
_INSIDE = "ANDROMEDE_BENCH_INSIDE"


def isolate() -> None:
    """Go on in a network namespace of our own, with loopback alone. Needs root."""
    if os.environ.get(_INSIDE):
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        return
    if os.getuid() != 0:
        sys.exit("This benchmark needs root: it makes a network namespace.")
    compile_all()
    os.environ[_INSIDE] = "1"
    os.execvp("unshare", ["unshare", "--net", sys.executable, *sys.argv])


def compile_all() -> None:
    """Byte code of the package, as an installation has it."""
    subprocess.run([sys.executable, "-m", "compileall", "-q", str(ROOT / "src")], check=True, timeout=300)


def skip(why: str) -> None:
    """Say loudly that a peer is missing."""
    print(f"SKIPPED: {why}", flush=True)


def say(what: str, **facts: Any) -> None:
    """One line of the result."""
    print(f"{what:52}" + "  ".join(f"{name}={_show(value)}" for name, value in facts.items()), flush=True)


def verdict(bar: str, *, holds: bool) -> None:
    """Whether a bar is met."""
    print(f"{'MET ' if holds else 'MISSED'} {bar}", flush=True)


def _show(value: Any) -> str:
    return f"{value:,.3g}" if isinstance(value, float) and abs(value) < 1000 else f"{value:,.0f}" if isinstance(value, float) else str(value)


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` (0 to 1) of them lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def middle(values: Iterable[float]) -> float:
    """The median."""
    return statistics.median(values)


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# HTTP


def call(url: str, method: str = "GET", body: Any = None, headers: dict[str, str] | None = None) -> tuple[int, Any, bytes]:
    """One request: status, headers, body. Raises urllib's errors."""
    data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json", **(headers or {})}, method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.status, answer.headers, answer.read()


def password_body(user: str, password: str, project: str) -> dict[str, Any]:
    """The body that signs in by password, with the project as scope."""
    who = {"name": user, "domain": {"id": "default"}, "password": password}
    scope = {"project": {"name": project, "domain": {"id": "default"}}}
    return {"auth": {"identity": {"methods": ["password"], "password": {"user": who}}, "scope": scope}}


_LUA = """
done = function(summary, latency, requests)
  io.write(string.format('{"requests":%d,"seconds":%.3f,"bad":%d,"broken":%d,"p50":%.3f,"p99":%.3f}\\n', summary.requests,
    summary.duration / 1e6, summary.errors.status, summary.errors.connect + summary.errors.read + summary.errors.timeout,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
"""


def wrk(
    url: str, *, clients: int, seconds: int, method: str = "GET", body: bytes = b"", headers: dict[str, str] | None = None, script: str = "",
) -> dict[str, float]:  # fmt: skip
    """One run of wrk: rate (requests/s), p50 and p99 (ms), bad (answers that are no success), broken (connections).

    script: further Lua, which may say what each request is.
    """
    script = f'{_LUA}wrk.method = "{method}"\n{script}'
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file, tempfile.NamedTemporaryFile() as payload:
        if body:
            payload.write(body)
            payload.flush()
            script += f'local f = io.open("{payload.name}", "rb")\nwrk.body = f:read("*a")\nf:close()\n'
        file.write(script)
        file.flush()
        command = ["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "--timeout", "30s", "-s", file.name]
        for name, value in (headers or {}).items():
            command += ["-H", f"{name}: {value}"]
        done = subprocess.run([*command, url], capture_output=True, text=True, timeout=seconds + 60, check=True)
    line = next(line for line in done.stdout.splitlines() if line.startswith("{"))
    found: dict[str, float] = json.loads(line)
    found["rate"] = (found["requests"] - found["bad"]) / found["seconds"]
    return found


def in_turns(ways: dict[str, Callable[[], dict[str, float]]], rounds: int = 3) -> dict[str, dict[str, float]]:
    """Each way once a round, in turns, so that a machine which grows slower is unfair to none; the run in the middle by rate."""
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, once in ways.items():
            runs[name].append(once())
    return {name: sorted(found, key=lambda run: run["rate"])[len(found) // 2] for name, found in runs.items()}


# processes


def tree(roots: Iterable[int]) -> list[int]:
    """These processes and all that descend from them."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            children.setdefault(int(path.read_text().rpartition(")")[2].split()[1]), []).append(int(path.parent.name))
    out, todo = [], list(roots)
    while todo:
        out.append(pid := todo.pop())
        todo += children.get(pid, [])
    return out


def memory(pid: int) -> tuple[float, float]:
    """MiB resident, and proportional (each shared page divided by those that share it). Raises OSError."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    rss, pss = (int(re.search(rf"^{name}:\s+(\d+)", text, re.MULTILINE)[1]) / 1024 for name in ("Rss", "Pss"))  # type: ignore[index]
    return rss, pss


@contextlib.contextmanager
def running(command: Sequence[str], *, log: Path, env: dict[str, str] | None = None) -> Iterator[int]:
    """A server that is ended at the end of the block; its process id."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env={**os.environ, **(env or {})}, start_new_session=True
        )
    try:
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def until(check: Callable[[], Any], seconds: float, what: str) -> None:
    """Wait until `check` does not raise OSError and answers what is true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            if check():
                return
        time.sleep(0.02)
    raise TimeoutError(what)


# our clouds

FAKE = '[compute]\nhypervisor = "fake"\n'


@contextlib.contextmanager
def cloud(settings: str = FAKE) -> Iterator[Any]:
    """A cloud made by `andromede up`, destroyed at the end of the block; with fake hosts unless the settings say otherwise."""
    from tests.real import RealCloud

    made = RealCloud(settings)
    try:
        yield made
    finally:
        made.destroy()


def processes(made: Any) -> dict[str, int]:
    """Every process of a cloud without its guests, by name: the supervisor, ours, the daemons and what they started."""
    status = json.loads((made.home.run / "status.json").read_text())
    roots = {"supervisor": status["supervisor"], **{one["name"]: one["pid"] for one in status["programs"]}}
    out: dict[str, int] = {}
    for name, root in roots.items():
        for number, pid in enumerate(tree([root]) if name != "supervisor" else [root]):
            with contextlib.suppress(OSError):
                if not Path(f"/proc/{pid}/comm").read_text().startswith("guest="):
                    out[name if number == 0 else f"{name}+{number}"] = pid
    return out
