"""A process of the drive that is killed while it takes files: what was answered is there, and nothing else is wrong."""

import hashlib
import os
import signal
import threading
import time

from sqlalchemy import select

from andromede.drivers.blob import Finding
from andromede.services.drive.tables import node, space, version
from tests.drive import Process, made

UP = "/remote.php/dav/uploads/alice"


class Sender:
    """Puts files until its server is gone: small and large ones, new ones and others again, in parts, moved and deleted."""

    def __init__(self, client, number):
        self.client, self.name = client, f"/s{number}"
        self.sure: dict[str, str | None] = {}
        self.maybe: dict[str, str | None] = {}

    def run(self):
        try:
            self.act()
        except OSError:
            pass
        finally:
            self.client.close()

    def put(self, path, data, *, parts=False):
        self.maybe = {path: hashlib.sha256(data).hexdigest()}
        if parts:
            up = f"{UP}{self.name}-{path[1:].replace('/', '-')}"
            assert self.client("MKCOL", raw=up).status == 201
            for number in range(3):
                third = data[number * 300_000 : (number + 1) * 300_000]
                assert self.client("PUT", "", third, raw=f"{up}/{number}").status == 201
            answer = self.client("MOVE", raw=f"{up}/.file", Destination=f"/remote.php/dav/files/alice{path}")
        else:
            answer = self.client("PUT", path, data)
        assert answer.status in {201, 204}, answer
        self.sure |= self.maybe

    def act(self):
        assert self.client("MKCOL", self.name).status == 201
        for number in range(100_000):
            self.put(f"{self.name}/{number}", os.urandom(3000))
            if number % 4 == 1:
                self.put(f"{self.name}/{number - 1}", os.urandom(3000))
            if number % 7 == 3:
                self.put(f"{self.name}/big-{number}", os.urandom(900_000), parts=number % 2 == 0)
            if number % 5 == 4:
                old, new = f"{self.name}/{number}", f"{self.name}/moved-{number}"
                self.maybe = {old: None, new: self.sure[old]}
                assert self.client("MOVE", old, Destination=f"/remote.php/dav/files/alice{new}").status == 201
                self.sure |= self.maybe
            if number % 6 == 5:
                self.maybe = {f"{self.name}/{number - 1}": None}
                assert self.client("DELETE", f"{self.name}/{number - 1}").status in {204, 404}
                self.sure |= self.maybe


def test_what_was_answered_survives(tmp_path):
    for turn in range(3):
        running = Process(tmp_path)
        senders = [Sender(running.client(), f"{turn}-{number}") for number in range(3)]
        threads = [threading.Thread(target=sender.run) for sender in senders]
        for thread in threads:
            thread.start()
        end = time.monotonic() + 30
        while time.monotonic() < end and sum(len(sender.sure) for sender in senders) < 40 + 20 * turn:
            time.sleep(0.01)
        os.kill(running.process.pid, signal.SIGKILL)
        running.process.wait()
        for thread in threads:
            thread.join()
        running = Process(tmp_path)
        client = running.client()
        for sender in senders:
            assert sender.sure
            for path, digest in sender.sure.items():
                answer = client("GET", path)
                found = hashlib.sha256(answer.body).hexdigest() if answer.status == 200 else None
                assert found == digest or (path in sender.maybe and found == sender.maybe[path]), (path, answer.status)
        client.close()
        running.end()
    database, store = made(tmp_path)
    assert [one for one in store.check() if isinstance(one, Finding) and one.kind != "orphan"] == []
    with database.read() as db:
        rows = {one.id: one for one in db.execute(select(node))}
        kept = db.execute(select(space.c.kept)).scalar_one()
        assert kept == sum(db.execute(select(version.c.size)).scalars())
    for one in rows.values():
        if one.folder:
            assert one.size == sum(child.size for child in rows.values() if child.parent_id == one.id)
    store.close()
    database.close()
