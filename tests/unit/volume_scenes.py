"""The scenes of the generic tests of operations in which volumes are made, changed, and had by servers."""


from sqlalchemy import func, select, update

from andromede.services.compute.tables import host
from andromede.services.compute.tables_volumes import block_device
from andromede.services.key_manager.tables import secret
from andromede.services.volume import reconcile
from andromede.services.volume.tables import attachment, backup, message, snapshot, volume
from tests.waiting import until

V, C = "/volume/v3", "/compute/v2.1"
NEWEST = {"openstack-api-version": "volume 3.70"}


class Volumes:
    """A volume on which something is begun, after `before`; `falls`: its status when that fails."""

    def __init__(self, cloud, *, first=True, before=(), begin=None, ends="available", falls="available", source=None):
        self.cloud, self.first, self.before, self.begin, self.ends, self.falls, self.source = cloud, first, before, begin, ends, falls, source
        self.others = []

    def prepare(self):
        self.more = self.source(self) if self.source else {}
        self.cloud.settle()
        self.id = self.create() if self.first else None
        self.cloud.settle()
        for step in self.before:
            step(self)
            self.cloud.settle()

    def start(self):
        self.id = self.id or self.create(**self.more)
        if self.begin:
            self.begin(self)

    def create(self, **more):
        return self.post("volumes", {"volume": {"size": 1, "name": "v", **more}}, 202)["volume"]["id"]

    def post(self, path, body, status):
        answer = self.cloud.user.post(f"{V}/{path}", body, headers=NEWEST)
        assert answer.status == status, answer
        return answer.json if answer.body else {}

    def show(self):
        answer = self.cloud.user.get(f"{V}/volumes/{self.id}")
        return answer.json["volume"] if answer.status == 200 else {"status": "gone"}

    def books(self):
        return self.cloud.blocks["host-1"]._books

    def succeeded(self):
        assert self.show()["status"] == self.ends
        if self.ends != "gone":
            until(lambda: self.books()[self.id].made)

    def unwound(self):
        assert self.show()["status"] in self.falls.split()
        with self.cloud.database.read() as db:
            assert db.scalar(select(func.count()).select_from(message).where(message.c.resource_id.is_not(None))) > 0

    def delete(self):
        for one in self.cloud.user.get(f"{V}/backups").json["backups"]:
            assert self.cloud.user.delete(f"{V}/backups/{one['id']}").status == 202
            self.cloud.settle()
        for one in self.cloud.user.get("/image/v2/images?name=kept").json["images"]:
            assert self.cloud.user.delete(f"/image/v2/images/{one['id']}").status == 204
        for id_ in (self.id, *self.others):
            row = self.cloud.user.get(f"{V}/volumes/{id_}")
            if row.status == 200:
                answer = self.cloud.user.delete(f"{V}/volumes/{id_}?cascade=true")
                assert answer.status == 202, (answer, row)
                self.cloud.settle()

    def nothing_left(self):
        self.cloud.database.run(lambda db: reconcile.sweep(self.cloud.parts, db))
        self.cloud.settle()
        until(lambda: self.books() == {})
        with self.cloud.database.read() as db:
            for table in (volume, snapshot, attachment, secret, backup):
                assert db.scalar(select(func.count()).select_from(table)) == 0, table.name
        self.cloud.database.run(lambda db: db.execute(message.delete()))


class Moves(Volumes):
    """A volume that goes to the other host."""

    def __init__(self, cloud):
        super().__init__(cloud, begin=self._move)

    def prepare(self):
        self.enable(on=False)
        super().prepare()
        self.cloud.blocks["host-1"].scribble(self.id, b"data")

    def start(self):
        self.enable(on=True)
        super().start()

    def enable(self, *, on):
        turn(self.cloud, on=on)

    def _move(self, _scene):
        answer = self.cloud.admin.post(f"{V}/volumes/{self.id}/action", {"os-migrate_volume": {"host": "host-2@local#local"}})
        assert answer.status == 202, answer

    def there(self):
        return [name for name, one in self.cloud.blocks.items() if self.id in one._books]

    def succeeded(self):
        assert self.show()["status"] == "available"
        self.only_at("host-2")

    def unwound(self):
        super().unwound()
        self.only_at(self.cloud.admin.get(f"{V}/volumes/{self.id}").json["volume"]["os-vol-host-attr:host"].partition("@")[0])

    def only_at(self, name):
        self.enable(on=False)
        until(lambda: self.there() == [name])
        assert self.cloud.blocks[name].content(self.id) == b"data"

    def nothing_left(self):
        super().nothing_left()
        until(lambda: self.there() == [])


def taken(scene):
    scene.snapshot = scene.post("snapshots", {"snapshot": {"volume_id": scene.id}}, 202)["snapshot"]["id"]


def untaken(scene):
    assert scene.cloud.user.delete(f"{V}/snapshots/{scene.snapshot}").status == 202


def extended(scene):
    scene.post(f"volumes/{scene.id}/action", {"os-extend": {"new_size": 2}}, 202)


def reverted(scene):
    scene.post(f"volumes/{scene.id}/action", {"revert": {"snapshot_id": scene.snapshot}}, 202)


def retyped(scene):
    found = scene.cloud.admin.get(f"{V}/types").json["volume_types"]
    if "sealed" not in [one["name"] for one in found]:
        made = scene.cloud.admin.post(f"{V}/types", {"volume_type": {"name": "sealed", "extra_specs": {"andromede:format": "raw"}}}).json
        wanted = {"encryption": {"provider": "luks", "control_location": "front-end", "key_size": 256}}
        assert scene.cloud.admin.post(f"{V}/types/{made['volume_type']['id']}/encryption", wanted).status == 200
    scene.post(f"volumes/{scene.id}/action", {"os-retype": {"new_type": "sealed", "migration_policy": "on-demand"}}, 202)


def reimaged(scene):
    (image,) = [one for one in scene.cloud.user.get("/image/v2/images").json["images"] if one["status"] == "active"][:1]
    scene.post(f"volumes/{scene.id}/action", {"os-reimage": {"image_id": image["id"]}}, 202)


def uploaded(scene):
    scene.post(f"volumes/{scene.id}/action", {"os-volume_upload_image": {"image_name": "kept", "disk_format": "qcow2"}}, 202)


def backed_up(scene):
    scene.backup = scene.post("backups", {"backup": {"volume_id": scene.id}}, 202)["backup"]["id"]


def restored(scene):
    scene.post(f"backups/{scene.backup}/restore", {"restore": {"volume_id": scene.id}}, 202)


def unbacked(scene):
    assert scene.cloud.user.delete(f"{V}/backups/{scene.backup}").status == 202


def of_another(scene):
    scene.others = [scene.create()]
    return {"source_volid": scene.others[0]}


def deleted(scene):
    assert scene.cloud.user.delete(f"{V}/volumes/{scene.id}").status == 202


def attachments(base):
    """The class of scenes in which a server has volumes. base: that of servers."""

    class Attachments(base):
        """A server that is given a volume, or has one taken away."""

        def __init__(self, cloud, *, begin, before=False, ends):
            super().__init__(cloud, first=True, falls="ACTIVE")
            self.begin_with, self.attached, self.volume_ends = begin, before, ends

        def prepare(self):
            super().prepare()
            answer = self.cloud.user.post(f"{V}/volumes", {"volume": {"size": 1}})
            self.volume = answer.json["volume"]["id"]
            self.cloud.settle()
            if self.attached:
                self.attach()
                self.cloud.settle()

        def start(self):
            getattr(self, self.begin_with)()

        def attach(self):
            answer = self.cloud.user.post(f"{C}/servers/{self.id}/os-volume_attachments", {"volumeAttachment": {"volumeId": self.volume}})
            assert answer.status == 200, answer

        def detach(self):
            assert self.cloud.user.delete(f"{C}/servers/{self.id}/os-volume_attachments/{self.volume}").status == 202

        def status(self):
            return self.cloud.user.get(f"{V}/volumes/{self.volume}").json["volume"]["status"]

        def succeeded(self):
            super().succeeded()
            assert self.status() == self.volume_ends

        def unwound(self):
            super().unwound()
            assert self.status() == ("available" if self.begin_with == "attach" else "in-use")

        def nothing_left(self):
            super().nothing_left()
            assert self.status() == "available"
            assert self.cloud.user.delete(f"{V}/volumes/{self.volume}").status == 202
            self.cloud.settle()
            until(lambda: self.cloud.blocks["host-1"]._books == {})
            with self.cloud.database.read() as db:
                assert db.scalar(select(func.count()).select_from(block_device)) == 0

    return Attachments


def brought(base):
    """The class of scenes in which a server is given a volume that is on another host. base: that of scenes in which it has one."""

    class Brought(base):
        """The volume is on host-2, the server on host-1."""

        def __init__(self, cloud):
            super().__init__(cloud, begin="attach", ends="in-use")

        def prepare(self):
            super().prepare()
            turn(self.cloud, on=True)
            body = {"os-migrate_volume": {"host": "host-2"}}
            assert self.cloud.admin.post(f"{V}/volumes/{self.volume}/action", body).status == 202
            self.cloud.settle()
            turn(self.cloud, on=False)

    return Brought


def turn(cloud, *, on):
    """Whether host-2 takes anything."""
    cloud.database.run(lambda db: db.execute(update(host).where(host.c.name == "host-2").values(enabled=on)))


def swaps(base):
    """The class of scenes in which a server's volume is replaced by another. base: that of scenes in which it has one."""

    class Swaps(base):
        """A server with a volume, and another volume that is to take its place."""

        def __init__(self, cloud):
            super().__init__(cloud, begin="swap", before=True, ends="available")

        def prepare(self):
            super().prepare()
            self.other = self.cloud.user.post(f"{V}/volumes", {"volume": {"size": 1}}).json["volume"]["id"]
            self.cloud.settle()

        def swap(self):
            body = {"volumeAttachment": {"volumeId": self.other}}
            assert self.cloud.admin.put(f"{C}/servers/{self.id}/os-volume_attachments/{self.volume}", body).status == 202

        def has(self):
            listed = self.cloud.user.get(f"{C}/servers/{self.id}/os-volume_attachments").json["volumeAttachments"]
            (book,) = [one._books[self.id] for one in self.cloud.hypervisors.values() if self.id in one._books]
            return [one["volumeId"] for one in listed], [held.id for held in book.drives]

        def succeeded(self):
            super().succeeded()
            assert self.has() == ([self.other], [self.other])

        def unwound(self):
            super().unwound()
            until(lambda: self.has() == ([self.volume], [self.volume]))

        def nothing_left(self):
            assert self.cloud.user.delete(f"{V}/volumes/{self.other}").status == 202
            self.cloud.settle()
            super().nothing_left()

    return Swaps


def scenes(base):
    """All of them, by kind. base: the class of scenes of servers."""
    having = attachments(base)
    return {
        "volume.create": [
            lambda cloud: Volumes(cloud, first=False, falls="error"),
            lambda cloud: Volumes(cloud, first=False, falls="error", source=of_another),
        ],
        "volume.delete": [lambda cloud: Volumes(cloud, begin=deleted, ends="gone", falls="error_deleting")],
        "volume.extend": [lambda cloud: Volumes(cloud, begin=extended, falls="error_extending")],
        "volume.retype": [lambda cloud: Volumes(cloud, begin=retyped)],
        "volume.reimage": [lambda cloud: Volumes(cloud, begin=reimaged, falls="error")],
        "volume.revert": [lambda cloud: Volumes(cloud, before=(taken,), begin=reverted, falls="error")],
        "volume.upload": [lambda cloud: Volumes(cloud, begin=uploaded)],
        "backup.create": [lambda cloud: Volumes(cloud, begin=backed_up)],
        "backup.restore": [lambda cloud: Volumes(cloud, before=(backed_up,), begin=restored, falls="error_restoring")],
        "backup.delete": [lambda cloud: Volumes(cloud, before=(backed_up,), begin=unbacked)],
        "snapshot.create": [lambda cloud: Volumes(cloud, begin=taken)],
        "snapshot.delete": [lambda cloud: Volumes(cloud, before=(taken,), begin=untaken)],
        "volume.move": [Moves],
        "server.bring": [brought(having)],
        "server.swap": [swaps(having)],
        "server.attach": [lambda cloud: having(cloud, begin="attach", ends="in-use")],
        "server.detach": [lambda cloud: having(cloud, begin="detach", before=True, ends="available")],
    }
