"""What must hold for every kind of operation: unwind from every step, unwind twice, repeat every step.

The kinds are those of the wiring, on a cloud in this process; whatever happens to an operation, what it worked on ends in a named
state, can be deleted, and leaves nothing: no port, guest, tap, claimed room, file or row. The fakes prove what is asked of the
drivers; the tests of the drivers prove that the real ones do it.
"""


import msgspec
import pytest
from sqlalchemy import func, select, update

from andromede.core.errors import CloudError
from andromede.engine.client import LIVE
from andromede.engine.model import Later, Work
from andromede.engine.tables import operation
from andromede.run import wiring
from andromede.services.compute import hosts
from andromede.services.compute.tables import action as actions
from andromede.services.compute.tables import host, server, server_tag
from andromede.services.compute.tables_hosts import inventory
from andromede.services.image import reconcile
from andromede.services.image.tables import image, task
from andromede.services.network.tables import port
from tests.api.images import active, create, files, show, upload
from tests.cloud import Cloud
from tests.unit import volume_scenes
from tests.waiting import until

AWAY = "SHELVED_OFFLOADED"
TOLD = "The test told this step to fail."
KINDS = {kind.name: kind for kind in wiring.kinds()}
STEPS = [(kind.name, step.name) for kind in KINDS.values() for step in kind.steps]
SERVERS = "/compute/v2.1/servers"
IMAGES = "/image/v2/images"


class Servers:
    """A server on which an operation is begun; `power` is a server that runs first, `delete` too."""

    def __init__(self, cloud, *, first=False, before=(), begin=None, ends="ACTIVE", falls="ERROR", ram=128, guests=1):
        self.cloud, self.first, self.before, self.begin, self.ends = cloud, first or bool(before), before, begin, ends
        self.falls, self.ram, self.guests = falls, ram, guests

    def prepare(self):
        self.id = self._create() if self.first else None
        self.cloud.settle()
        for step in self.before:
            step(self.cloud.user, self.id)
            self.cloud.settle()

    def start(self):
        self.id = self.id or self._create()
        if self.begin:
            self.begin(self.cloud.user, self.id)

    def _create(self):
        wanted = {
            "name": "one", "imageRef": self.cloud.image, "flavorRef": "1", "networks": [{"uuid": self.cloud.network}], "config_drive": True,
            "tags": ["blue"],
        }  # fmt: skip
        answer = self.cloud.user.post(SERVERS, {"server": wanted}, headers={"openstack-api-version": "compute 2.96"})
        assert answer.status == 202, answer
        return answer.json["server"]["id"]

    def _show(self):
        answer = self.cloud.user.get(f"{SERVERS}/{self.id}")
        return answer.json["server"] if answer.status == 200 else {"status": "DELETED"}

    def succeeded(self):
        assert self._show()["status"] == self.ends
        if self.ends != "DELETED":
            until(lambda: len(books(self.cloud)) == len(taps(self.cloud)) == self.guests)
            self._room()

    def _room(self):
        with self.cloud.database.read() as db:
            assert sum(one.ram for one in hosts.used(db).values()) == self.ram
            counted = db.scalar(select(func.sum(inventory.c.used)).where(inventory.c.resource_class == "MEMORY_MB"))
            assert counted == self.ram

    def unwound(self):
        shown = self._show()
        assert shown["status"] in self.falls.split()
        if self.falls == "ERROR":
            assert shown["fault"]["message"] == TOLD
        with self.cloud.database.read() as db:
            row = db.execute(select(server).where(server.c.id == self.id)).one()
            ended = db.scalars(select(actions.c.result).where(actions.c.server_id == self.id).order_by(actions.c.id.desc())).first()
        assert row.task_state is None
        assert ended == "Error"
        assert row.captures is None
        if not self.first:
            assert (row.host, row.placed) == (None, False)
            until(lambda: books(self.cloud) == {} and taps(self.cloud) == {})

    def delete(self):
        self.cloud.user.delete(f"{SERVERS}/{self.id}")
        self.cloud.settle()

    def nothing_left(self):
        assert self._show()["status"] == "DELETED"
        until(lambda: books(self.cloud) == {} and taps(self.cloud) == {})
        until(lambda: list((self.cloud.folder / "host-1" / "drives").iterdir()) == [])
        until(lambda: all(one.ends == {} for one in self.cloud.plugs.values()))
        with self.cloud.database.read() as db:
            assert hosts.used(db) == {}
            assert db.scalar(select(func.count()).where(port.c.device_owner.startswith("compute:"))) == 0
            assert db.scalar(select(func.count()).where(server.c.deleted.is_(None))) == 0
            row = db.execute(select(server).where(server.c.id == self.id)).one()
            assert (row.user_data, row.files, row.host, row.placed, row.seen_state) == (None, {}, None, False, "absent")
            assert db.scalar(select(func.count()).where(actions.c.server_id == self.id, actions.c.finished.is_(None))) == 0
            assert db.scalar(select(func.count()).select_from(server_tag).where(server_tag.c.server_id == self.id)) <= 1
            assert list(db.scalars(select(image.c.id))) == [self.cloud.image]
            plugged = set(db.scalars(select(port.c.id).where(port.c.device_owner == "network:distributed")))
        until(lambda: self.cloud.fabric.observe("port") == plugged)


class Offloads(Servers):
    """A server that was shelved, and leaves its host later."""

    def __init__(self, cloud):
        super().__init__(cloud, first=True, begin=action("shelveOffload"), ends=AWAY, falls=f"SHELVED {AWAY}", ram=0, guests=0)

    def prepare(self):
        self.cloud.parts.settings.compute.offload_shelved = False
        try:
            super().prepare()
            action("shelve")(self.cloud.user, self.id)
            self.cloud.settle()
            assert self._show()["status"] == "SHELVED"
        finally:
            self.cloud.parts.settings.compute.offload_shelved = True


class Evacuations(Servers):
    """A server whose host is down, while another takes servers; afterwards the first comes back."""

    def __init__(self, cloud):
        super().__init__(cloud, first=True, begin=self._evacuate)

    def start(self):
        change_host(self.cloud, "host-1", forced_down=True)
        change_host(self.cloud, "host-2", enabled=True)
        super().start()

    def _evacuate(self, _user, id_):
        action("evacuate", {}, 200)(self.cloud.admin, id_)

    def succeeded(self):
        self._return()
        super().succeeded()

    def delete(self):
        self._return()
        super().delete()

    def _return(self):
        change_host(self.cloud, "host-1", forced_down=False)
        change_host(self.cloud, "host-2", enabled=False)
        self.cloud.settle()


class Moves(Servers):
    """A running server that goes to the other host."""

    def __init__(self, cloud):
        super().__init__(cloud, first=True, begin=self._move, falls="ACTIVE")

    def start(self):
        change_host(self.cloud, "host-2", enabled=True)
        super().start()

    def _move(self, _user, id_):
        headers = {"openstack-api-version": "compute 2.30"}
        body = {"os-migrateLive": {"host": None, "block_migration": "auto"}}
        assert self.cloud.admin.post(f"{SERVERS}/{id_}/action", body, headers=headers).status == 202

    def succeeded(self):
        change_host(self.cloud, "host-2", enabled=False)
        super().succeeded()
        self._one_guest()

    def unwound(self):
        change_host(self.cloud, "host-2", enabled=False)
        super().unwound()
        self._one_guest()
        self._room()

    def _one_guest(self):
        """It runs on one host, the one that its row names, and nothing is left of its move."""
        with self.cloud.database.read() as db:
            row = db.execute(select(server).where(server.c.id == self.id)).one()
        assert (row.target, row.move) == (None, None)
        until(lambda: [name for name, one in self.cloud.hypervisors.items() if self.id in one._books] == [row.host])
        assert self.cloud.hypervisors[row.host]._books[self.id].state == "running"


class Imports:
    """An image that is imported from data which was staged."""

    def __init__(self, cloud):
        self.cloud = cloud

    def prepare(self):
        self.id = create(self.cloud.user, name="imported")["id"]
        assert upload(self.cloud.user, self.id, b"\1" * 5000, "stage").status == 204

    def start(self):
        answer = self.cloud.user.post(f"{IMAGES}/{self.id}/import", {"method": {"name": "glance-direct"}})
        assert answer.status == 202, answer

    def succeeded(self):
        found = until(lambda: (found := show(self.cloud.user, self.id))["status"] == "active" and found)
        assert found["size"] == 5000
        assert self.cloud.user.get(f"{IMAGES}/{self.id}/file").body == b"\1" * 5000
        self._ended("success")

    def unwound(self):
        if show(self.cloud.user, self.id)["status"] == "active":
            self.succeeded()
            return
        until(lambda: show(self.cloud.user, self.id)["status"] == "queued")
        self._ended("failure")

    def _ended(self, status):
        with self.cloud.database.read() as db:
            found = list(db.scalars(select(task.c.status).where(task.c.image_id == self.id)))
        assert found == [status]

    def delete(self):
        assert self.cloud.user.delete(f"{IMAGES}/{self.id}").status == 204
        self.cloud.settle()

    def nothing_left(self):
        reconcile.run(self.cloud.parts, age=0)
        until(lambda: reconcile.run(self.cloud.parts, age=0) is not None and not [name for name in files(self.cloud) if self.id in name])


def post(path, body):
    def begin(client, id_):
        answer = client.post(f"{SERVERS}/{id_}{path}", body)
        assert answer.status == 202, answer

    return begin


def action(name, value=None, status=202):
    def begin(client, id_):
        answer = client.post(f"{SERVERS}/{id_}/action", {name: value})
        assert answer.status == status, answer

    return begin


def rebuild(client, id_):
    source = client.get(f"{SERVERS}/{id_}").json["server"]["image"]["id"]
    action("rebuild", {"imageRef": source})(client, id_)


class Snapshots(Servers):
    """A server of which an image is made."""

    def succeeded(self):
        super().succeeded()
        images = self.cloud.user.get(f"{IMAGES}?name=kept").json["images"]
        assert [one["status"] for one in images] == ["active"]
        assert self.cloud.user.delete(f"{IMAGES}/{images[0]['id']}").status == 204

    def unwound(self):
        super().unwound()
        images = self.cloud.user.get(f"{IMAGES}?name=kept").json["images"]
        assert [one["status"] for one in images] in ([], ["active"])
        for one in images:
            assert self.cloud.user.delete(f"{IMAGES}/{one['id']}").status == 204

    def nothing_left(self):
        super().nothing_left()
        assert self.cloud.user.get(f"{IMAGES}?name=kept").json["images"] == []
        until(
            lambda: reconcile.run(self.cloud.parts, age=0) is not None
            and not [name for name in files(self.cloud) if self.cloud.image not in name]
        )


RESIZED = (action("resize", {"flavorRef": "2"}),)
SHELVED = (action("shelve"),)

SCENES = {
    "server.build": [Servers],
    "server.evacuate": [Evacuations],
    "server.live": [Moves],
    "server.resize": [lambda cloud: Servers(cloud, first=True, begin=RESIZED[0], ends="VERIFY_RESIZE", falls="ACTIVE", ram=128 + 192)],
    "server.confirm": [lambda cloud: Servers(cloud, before=RESIZED, begin=action("confirmResize", status=204), ram=192)],
    "server.revert": [lambda cloud: Servers(cloud, before=RESIZED, begin=action("revertResize"), falls="VERIFY_RESIZE ERROR")],
    "server.rebuild": [lambda cloud: Servers(cloud, first=True, begin=rebuild)],
    "server.rescue": [lambda cloud: Servers(cloud, first=True, begin=action("rescue", {}, 200), ends="RESCUE")],
    "server.unrescue": [lambda cloud: Servers(cloud, before=(action("rescue", {}, 200),), begin=action("unrescue"))],
    "server.snapshot": [lambda cloud: Snapshots(cloud, first=True, begin=action("createImage", {"name": "kept"}), falls="ACTIVE")],
    "server.shelve": [lambda cloud: Servers(cloud, first=True, begin=SHELVED[0], ends=AWAY, falls=f"ACTIVE SHELVED {AWAY}", ram=0, guests=0)],
    "server.offload": [Offloads],
    "server.unshelve": [lambda cloud: Servers(cloud, before=SHELVED, begin=action("unshelve"), falls=AWAY)],
    "server.power": [
        lambda cloud: Servers(cloud, first=True, begin=post("/action", {"os-stop": None}), ends="SHUTOFF"),
        lambda cloud: Servers(cloud, first=True, begin=post("/action", {"reboot": {"type": "HARD"}})),
    ],
    "server.delete": [lambda cloud: Servers(cloud, first=True, begin=lambda user, id_: user.delete(f"{SERVERS}/{id_}"), ends="DELETED")],
    "image.import": [Imports],
}
SCENES |= volume_scenes.scenes(Servers)
CASES = [pytest.param(kind, step, scene, id=f"{kind}-{step}-{number}") for kind, step in STEPS for number, scene in enumerate(SCENES.get(kind, []))]


def books(cloud):
    return {id_: book for one in cloud.hypervisors.values() for id_, book in one._books.items()}


def taps(cloud):
    return {name: tap for one in cloud.plugs.values() for name, tap in one.taps.items()}


def change_host(cloud, name, **values):
    cloud.database.run(lambda db: db.execute(update(host).where(host.c.name == name).values(values)))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A cloud with an image and a network, whose engine runs."""
    cloud = Cloud(tmp_path_factory.mktemp("cloud"), hosts=("host-1", "host-2"))
    change_host(cloud, "host-2", enabled=False)
    try:
        cloud.image = active(cloud.admin, b"\0" * 65536, visibility="public")["id"]
        cloud.network = cloud.user.post("/network/v2.0/networks", {"network": {"name": "net"}}).json["network"]["id"]
        subnet = {"network_id": cloud.network, "ip_version": 4, "cidr": "10.1.0.0/24"}
        assert cloud.user.post("/network/v2.0/subnets", {"subnet": subnet}).status == 201
        cloud.settle()
        yield cloud
    finally:
        cloud.close()


@pytest.fixture
def swap(whole):
    """`swap(kind, step name, **replacements)` puts a changed step into the running engine for one test."""

    def put(name, step, **changed):
        kind = KINDS[name]
        steps = tuple(msgspec.structs.replace(one, **changed) if one.name == step else one for one in kind.steps)
        whole.engine.kinds[name] = msgspec.structs.replace(kind, steps=steps)

    yield put
    whole.engine.kinds.update(KINDS)


def step_of(kind, name):
    return KINDS[kind].steps[KINDS[kind].index(name)]


def committed(work, act):
    """Act and commit, as if the engine died before it could write down that the step was done."""
    scratch = Work.__new__(Work)
    scratch.__dict__.update(work.__dict__, memo=dict(work.memo), changes=[])
    outcome = act(scratch)

    def write(db):
        for change in scratch.changes:
            change(db)

    work.database.run(write)
    return outcome


def outcome_of(cloud, kind):
    with cloud.database.read() as db:
        query = select(operation.c.state).where(operation.c.kind == kind).order_by(operation.c.created.desc())
        assert db.scalar(select(func.count()).where(operation.c.state.in_(LIVE))) == 0
        assert db.scalar(select(func.count()).where(operation.c.holder.is_not(None))) == 0
        return db.scalars(query).first()


def finish(cloud, scene, kind):
    """Whole again: what failed can be deleted, and nothing is left of it."""
    cloud.engine.kinds.update(KINDS)
    scene.delete()
    scene.nothing_left()


def test_every_kind_is_tried():
    assert SCENES.keys() == KINDS.keys()


@pytest.mark.parametrize("when", ["before", "during", "after"])
@pytest.mark.parametrize(("kind", "step", "scene"), CASES)
def test_unwind_from_every_step(whole, swap, kind, step, scene, when):
    scene, real = scene(whole), step_of(kind, step)

    def do(work):
        if when == "before":
            raise CloudError(TOLD, status=409)
        outcome = real.do(work)
        if isinstance(outcome, Later) and when == "after":
            return outcome
        if when == "after" or isinstance(outcome, Later):
            raise CloudError(TOLD, status=409)
        return outcome

    scene.prepare()
    swap(kind, step, do=do)
    scene.start()
    whole.settle()
    if outcome_of(whole, kind) == "done":
        assert when == "during", "a step that never waits cannot fail while it does"
        scene.succeeded()
    else:
        scene.unwound()
    finish(whole, scene, kind)


@pytest.mark.parametrize(("kind", "step", "scene"), CASES)
def test_unwind_twice(whole, swap, kind, step, scene):
    """Every undo from this step back runs to its end, and then again from the start."""
    scene = scene(whole)

    def do(work):
        raise CloudError(TOLD, status=409)

    def again(undo):
        def twice(work):
            committed(work, undo)
            undo(work)

        return twice

    scene.prepare()
    swap(kind, step, do=do)
    changed = whole.engine.kinds[kind]
    steps = tuple(msgspec.structs.replace(one, undo=again(one.undo)) if one.undo else one for one in changed.steps)
    whole.engine.kinds[kind] = msgspec.structs.replace(changed, steps=steps)
    scene.start()
    whole.settle()
    assert outcome_of(whole, kind) == "failed"
    scene.unwound()
    finish(whole, scene, kind)


@pytest.mark.parametrize(("kind", "step", "scene"), CASES)
def test_repeat_every_step(whole, swap, kind, step, scene):
    """The step runs to its end, what it wrote is there, and it runs again."""
    scene, real, first = scene(whole), step_of(kind, step), []

    def do(work):
        if not first:
            outcome = committed(work, real.do)
            if isinstance(outcome, Later):
                return outcome
            first.append(True)
        return real.do(work)

    scene.prepare()
    swap(kind, step, do=do)
    scene.start()
    whole.settle()
    assert first
    assert outcome_of(whole, kind) == "done"
    scene.succeeded()
    finish(whole, scene, kind)
