"""Nodes of a cluster from the image `hadoop`, in namespaces of their own on one bridge, with a stand-in for the metadata service.

The stand-in keeps to the contract (document, ETag, state), so this shows what the image and its program do; that the cloud's own service
says the same is shown by the tests of whole clusters.
"""

import json
import os
import subprocess
import sys
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

BRIDGE, GATEWAY, PORT = "hdbridge", "10.99.0.254", 80
MASTERS = ("namenode", "resourcemanager", "historyserver")
WORKERS = ("datanode", "nodemanager")
_ENTER = """
import os, subprocess, sys
root, upper, address = sys.argv[1:4]
sys.stdin.read(1)
run = lambda *words: subprocess.run(words, check=True)
run("mount", "--make-rprivate", "/")
run("mount", "-t", "tmpfs", "upper", upper)
for name in ("over", "work", "merged"):
    os.mkdir(f"{upper}/{name}")
run("mount", "-t", "overlay", "overlay", "-o", f"lowerdir={root},upperdir={upper}/over,workdir={upper}/work", f"{upper}/merged")
merged = f"{upper}/merged"
run("mount", "-t", "proc", "proc", f"{merged}/proc")
run("mount", "-t", "tmpfs", "dev", f"{merged}/dev")
for name in ("null", "zero", "random", "urandom"):
    open(f"{merged}/dev/{name}", "w").close()
    run("mount", "--bind", f"/dev/{name}", f"{merged}/dev/{name}")
run("mount", "-t", "tmpfs", "run", f"{merged}/run")
run("ip", "link", "set", "lo", "up")
run("ip", "addr", "add", f"{address}/24", "dev", "eth0")
run("ip", "link", "set", "eth0", "up")
os.chroot(merged)
os.chdir("/")
os.environ.clear()
os.environ.update(PATH="/usr/sbin:/usr/bin:/sbin:/bin", ANDROMEDE_METADATA="http://10.99.0.254:80")
os.execv("/usr/bin/python3", ["/usr/bin/python3", "-I", *sys.argv[4:]])
"""


class Metadata(ThreadingHTTPServer):
    """Documents by the address that asks, and the states that were put."""

    def __init__(self, address=GATEWAY, port=PORT):
        self.documents, self.states, self.objects = {}, {}, {}
        super().__init__((address, port), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Handler(BaseHTTPRequestHandler):
    """GET of the document with its tag, PUT of the state."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        document = self.server.documents.get(self.client_address[0])
        body = json.dumps(document).encode()
        tag = f'"{document["generation"]}"' if document else ""
        if self.path != "/openstack/latest/andromede/cluster" or document is None:
            self.answer(404, b"")
        elif self.headers.get("If-None-Match") == tag:
            self.answer(304, b"", tag)
        else:
            self.answer(200, body, tag)

    def do_PUT(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path != "/openstack/latest/andromede/state" or len(body) > 32 << 10:
            self.answer(400, b"")
            return
        self.server.states[self.client_address[0]] = json.loads(body)
        self.answer(204, b"")

    def answer(self, status, body, tag=""):
        self.send_response(status)
        if tag:
            self.send_header("ETag", tag)
        if status not in {204, 304}:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_words):
        """Say nothing."""


class Cluster:
    """One master and some workers; `order` changes what they are told."""

    def __init__(self, root: Path, work: Path, workers: int, memory_mb: int = 2048, program=("/usr/lib/andromede/node",)):
        self.root, self.work, self.memory_mb, self.program = root, work, memory_mb, program
        subprocess.run(["ip", "link", "add", BRIDGE, "type", "bridge"], check=True)
        subprocess.run(["ip", "addr", "add", f"{GATEWAY}/24", "dev", BRIDGE], check=True)
        subprocess.run(["ip", "link", "set", BRIDGE, "up"], check=True)
        self.metadata = Metadata()
        self.master = "10.99.0.10"
        self.identity, self.generation = f"CID-{uuid.uuid4()}", 0
        self.common = {"leaving": [], "config": {}, "s3": {}, "logs": "", "stop": False}
        self.jobs = []
        self.nodes, self.names = {}, {}
        self.add(self.master, "demo-master-0", MASTERS)
        for number in range(workers):
            self.add(f"10.99.0.{11 + number}", f"demo-worker-{number}", WORKERS)
        self.order()
        self.began = time.monotonic()
        for address in self.names:
            self.start(address)

    def add(self, address, name, processes):
        self.names[address] = (name, processes)

    def order(self, **changes):
        """Tell every node."""
        self.generation += 1
        self.common |= changes
        for address, (name, processes) in self.names.items():
            self.metadata.documents[address] = {
                "generation": self.generation,
                "cluster": {"id": "x", "name": "demo", "identity": self.identity},
                "node": {"name": name, "address": address, "processes": list(processes), "vcpus": 2, "memory_mb": self.memory_mb, "disks": []},
                "roles": {role: [self.master] for role in MASTERS} | {"secondarynamenode": []},
                "hosts": {one: known[0] for one, known in self.names.items()},
                "secret": "a secret",
                "jobs": self.jobs if address == self.master else [],
                **self.common,
            }

    def start(self, address):
        """Begin a node."""
        number = address.rsplit(".", 1)[1]
        upper = self.work / f"node-{number}"
        upper.mkdir(exist_ok=True)
        spaces = ["--net", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child"]
        words = ["unshare", *spaces, sys.executable, "-c", _ENTER, str(self.root), str(upper), address, *self.program]
        with (self.work / f"node-{number}.log").open("ab") as out:
            process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=out, stderr=out)
        self.nodes[address] = process
        until = time.monotonic() + 30
        while not (inside := children(process.pid)):
            assert time.monotonic() < until
            time.sleep(0.01)
        pairs = [("ip", "link", "add", f"hd{number}", "type", "veth", "peer", "name", "eth0", "netns", str(inside[0]))]
        pairs += [("ip", "link", "set", f"hd{number}", "master", BRIDGE, "up")]
        for pair in pairs:
            subprocess.run(pair, check=True)
        process.stdin.write(b"x")
        process.stdin.close()

    def kill(self, address):
        """End a node as a power cut does."""
        process = self.nodes.pop(address)
        process.kill()
        process.wait()

    @property
    def state(self):
        """What the master said last."""
        return self.metadata.states.get(self.master, {})

    def wait(self, ready, limit=180.0):
        """Until `ready` is true of the master's state; answers the seconds since the cluster began."""
        until = time.monotonic() + limit
        while not ready(self.state):
            assert time.monotonic() < until, json.dumps(self.metadata.states, indent=1)[-4000:]
            time.sleep(0.05)
        return time.monotonic() - self.began

    def healthy(self, workers):
        """Until HDFS is out of safe mode with its nodes, and YARN has its own."""

        def ready(state):
            hdfs, yarn = state.get("hdfs", {}), state.get("yarn", {})
            return (state.get("phase"), hdfs.get("safe_mode"), hdfs.get("live"), yarn.get("running")) == ("running", False, workers, workers)

        return self.wait(ready)

    def run(self, limit=300.0, **job):
        """Run a job to its end; answers its record and the seconds it took."""
        name = f"job-{len(self.jobs)}"
        self.jobs = [*self.jobs, {"id": name, **job}]
        self.order()
        began = time.monotonic()
        self.wait(lambda state: state.get("jobs", {}).get(name, {}).get("ended"), limit)
        return self.state["jobs"][name], time.monotonic() - began

    def inside(self, address, *words, check=True):
        """What a command says that is run in a node."""
        (pid,) = children(self.nodes[address].pid)
        enter = ["nsenter", f"--target={pid}", "--all", "--root", "--wd", "--"]
        return subprocess.run([*enter, *words], capture_output=True, text=True, check=check, timeout=120).stdout

    def close(self):
        """End everything."""
        for address in [*self.nodes]:
            self.kill(address)
        self.metadata.shutdown()
        self.metadata.server_close()
        subprocess.run(["ip", "link", "del", BRIDGE], check=False)


def children(pid):
    """Processes that a process began."""
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def unpacked(archive: Path, target: Path) -> Path:
    """The root file system of an image's archive."""
    if not target.exists():
        part = target.with_suffix(".part")
        part.mkdir(parents=True)
        subprocess.run(["tar", "--zstd", "-xpf", archive, "--numeric-owner", "-C", part], check=True)
        os.sync()
        part.rename(target)
    return target
