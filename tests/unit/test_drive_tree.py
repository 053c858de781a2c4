"""The drive's tree against a model: after any operations the names, the sizes of all folders and the counts of the space are exact, and an
etag is new exactly where something at or below it changed."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from sqlalchemy import func, select, update

from andromede.core.errors import BadRequest, CloudError, Conflict, NotFound
from andromede.services.drive.errors import Exists, Forbidden, Kept, Locked, NoRoom
from andromede.services.drive.people import Person
from andromede.services.drive.tables import body, node, space, version
from andromede.services.drive.tree import files, locks, moving, names, nodes, properties, room, spaces, trash, versions
from andromede.services.drive.tree.nodes import File
from tests.cloud import fresh_database

QUOTA = 10_000
NAMES = st.sampled_from(["a", "b", "c"])
PATHS = st.lists(NAMES, min_size=1, max_size=4).map(tuple)


def content(size, text=b""):
    return File(size, (text or b"x").ljust(36, b"."), "text/plain")


def free(_db, _parent, _before):
    """Nothing stands against it."""


class Tree:
    """One space."""

    def __init__(self, database, quota=QUOTA):
        self.database, self.quota = database, quota
        self.space = database.run(lambda db: spaces.home(db, Person("u1", "u1", "U")))

    def do(self, work):
        return self.database.run(work)

    def put(self, path, size, text=b""):
        names_ = tuple(path.split("/")) if isinstance(path, str) else path
        file = content(size, text)
        return self.do(lambda db: files.put(db, self.space, names_, file, quota=self.quota, by="u1", check=free))

    def folder(self, path):
        return self.do(lambda db: nodes.make_folder(db, self.space.root_id, names.split(path) if isinstance(path, str) else path))

    def find(self, path=""):
        return self.database.look(lambda db: nodes.find(db, self.space.root_id, names.split(path)))

    def drop(self, path):
        self.do(lambda db: trash.put(db, self.space, nodes.find(db, self.space.root_id, names.split(path)), "u1"))

    def usage(self):
        return self.database.look(lambda db: room.usage(db, self.space, self.quota))

    def move(self, source, to, overwrite=False):
        def work(db):
            found = nodes.find(db, self.space.root_id, names.split(source))
            return moving.move(db, self.space, found, names.split(to), overwrite=overwrite, by="u1")

        return self.do(work)

    def copy(self, source, to, overwrite=False, deep=True):
        def work(db):
            found = nodes.find(db, self.space.root_id, names.split(source))
            return moving.copy(db, self.space, found, names.split(to), overwrite=overwrite, by="u1", quota=self.quota, deep=deep)

        return self.do(work)

    def snapshot(self):
        """Everything in the tree: its node by its path."""
        def work(db):
            made, waiting = {}, [((), nodes.by_id(db, self.space.root_id))]
            while waiting:
                path, one = waiting.pop()
                made[path] = one
                waiting += [((*path, child.name), child) for child in nodes.children(db, one)] if one.folder else []
            return made

        return self.database.look(work)


@pytest.fixture
def tree(database):
    return Tree(database)


def above(path):
    return {path[:length] for length in range(len(path))}


class Model(RuleBasedStateMachine):
    """Random operations on the tree and on a dictionary: sizes by path, None for folders."""

    def __init__(self):
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.database = fresh_database(Path(self.folder.name))
        self.tree = Tree(self.database, 1 << 40)
        self.model, self.trash, self.known = {(): None}, {}, self.tree.snapshot()
        self.above, self.moved = set(), set()

    def teardown(self):
        self.database.close()
        self.folder.cleanup()

    @initialize()
    def begin(self):
        for name in "ab":
            self.tree.folder((name,))
            self.model[name,] = None
        self.above, self.moved = {()}, {("a",), ("b",)}

    def attempt(self, allowed, work):
        """Do something; it must be refused exactly where the model does not allow it."""
        self.above, self.moved = set(), set()
        try:
            made = work()
        except CloudError:
            assert not allowed
            return None
        assert allowed
        return made

    def fits(self, path):
        return self.model.get(path[:-1], 0) is None

    def below(self, path):
        return {one: size for one, size in self.model.items() if one[: len(path)] == path}

    @rule(path=PATHS, size=st.integers(0, 99), text=st.binary(min_size=1, max_size=4))
    def put(self, path, size, text):
        if self.attempt(self.fits(path) and self.model.get(path, 0) is not None, lambda: self.tree.put(path, size, text)):
            self.model[path] = size
            self.above, self.moved = above(path), {path}

    @rule(path=PATHS)
    def make(self, path):
        if self.attempt(self.fits(path) and path not in self.model, lambda: self.tree.folder(path)):
            self.model[path] = None
            self.above, self.moved = above(path), {path}

    @rule(path=PATHS)
    def delete(self, path):
        self.attempt(path in self.model, lambda: self.tree.drop("/".join(path)))
        if path in self.model:
            self.remove(path)
            self.above = above(path)

    def remove(self, path):
        kept = self.below(path)
        for one in kept:
            del self.model[one]
        found = self.database.look(lambda db: trash.entries(db, self.tree.space))
        new = next(one for one in found if one.node.id not in self.trash)
        self.trash[new.node.id] = (path, {one[len(path) :]: size for one, size in kept.items()})

    def may_come(self, source, to):
        within = to[: len(source)] == source or source[: len(to)] == to
        return source in self.model and self.fits(to) and not within

    @rule(source=PATHS, to=PATHS, overwrite=st.booleans())
    def move(self, source, to, overwrite):
        allowed = self.may_come(source, to) and (overwrite or to not in self.model)
        self.attempt(allowed, lambda: self.tree.move("/".join(source), "/".join(to), overwrite))
        if allowed:
            moved = self.below(source)
            for one in moved:
                del self.model[one]
            if to in self.model:
                self.remove(to)
            self.model |= {to + one[len(source) :]: size for one, size in moved.items()}
            self.above, self.moved = above(source) | above(to), {to + one[len(source) :] for one in moved}

    @rule(source=PATHS, to=PATHS, overwrite=st.booleans())
    def copy(self, source, to, overwrite):
        allowed = self.may_come(source, to) and (overwrite or to not in self.model)
        self.attempt(allowed, lambda: self.tree.copy("/".join(source), "/".join(to), overwrite))
        if allowed:
            copied = self.below(source)
            if to in self.model:
                self.remove(to)
            self.model |= {to + one[len(source) :]: size for one, size in copied.items()}
            self.above, self.moved = above(to), {to + one[len(source) :] for one in copied}

    @rule(data=st.data())
    def restore(self, data):
        self.above, self.moved = set(), set()
        if not self.trash:
            return
        chosen = data.draw(st.sampled_from(sorted(self.trash)))
        _, kept = self.trash.pop(chosen)

        def work(db):
            one = next(one for one in trash.entries(db, self.tree.space) if one.node.id == chosen)
            return trash.restore(db, self.tree.space, one, 1 << 40)

        path = self.tree.do(work)
        assert path not in self.model
        assert self.fits(path)
        self.model |= {path + one: size for one, size in kept.items()}
        self.above, self.moved = above(path), {path + one for one in kept}

    @rule(data=st.data())
    def purge(self, data):
        self.above, self.moved = set(), set()
        if self.trash:
            chosen = data.draw(st.sampled_from(sorted(self.trash)))
            del self.trash[chosen]
            self.tree.do(lambda db: trash.purge(db, self.tree.space, chosen))

    @invariant()
    def is_what_the_model_says(self):
        found = self.tree.snapshot()
        assert {path: None if one.folder else one.size for path, one in found.items()} == self.model
        for path, one in found.items():
            if one.folder:
                assert one.size == sum(size or 0 for below, size in self.model.items() if below[: len(path)] == path), path
            if path in self.above:
                assert one.etag != self.known[path].etag, path
            elif path not in self.moved:
                assert one.etag == self.known[path].etag, path
        root = found[()]
        assert all(one.changed <= root.changed for one in found.values())
        self.known = found
        usage = self.tree.usage()
        assert usage.files == root.size
        assert usage.trash == sum(size or 0 for _, kept in self.trash.values() for size in kept.values())
        with self.database.read() as db:
            kept = db.execute(select(func.coalesce(func.sum(version.c.size), 0))).scalar_one()
        assert usage.versions == kept


Model.TestCase.settings = settings(max_examples=25, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck))
TestModel = Model.TestCase


def test_every_folder_above_a_change_has_a_new_etag_and_its_size(tree):
    for path in ("a", "a/b", "a/b/c", "z"):
        tree.folder(path)
    before = tree.snapshot()
    made, new = tree.put("a/b/c/file", 7)
    after = tree.snapshot()
    assert new
    assert {path for path in after if path not in before or after[path].etag != before[path].etag} == {
        (), ("a",), ("a", "b"), ("a", "b", "c"), ("a", "b", "c", "file"),
    }  # fmt: skip
    assert {one.etag for path, one in after.items() if path[:1] != ("z",)} == {made.etag}
    assert [after[path].size for path in ((), ("a",), ("z",))] == [7, 7, 0]


def test_ids_stay_over_moves_and_never_come_again(tree):
    tree.folder("a")
    made, _ = tree.put("x", 3)
    moved, new = tree.move("x", "a/y")
    assert (moved.id, new, moved.name) == (made.id, True, "y")
    tree.drop("a/y")
    tree.do(lambda db: trash.empty(db, tree.space))
    other, _ = tree.put("x", 3)
    assert other.id > made.id


@pytest.mark.parametrize(
    ("name", "error"),
    [("a\0b", BadRequest), ("..", BadRequest), (".", BadRequest), (b"\xff", BadRequest), ("a\tb", Forbidden), ("a\\b", Forbidden),
     ("x" * 256, Forbidden), ("é" * 128, Forbidden), ("  ", Forbidden)],
)  # fmt: skip
def test_names_that_cannot_be_are_refused(tree, name, error):
    with pytest.raises(error):
        tree.folder(names.split(name))


def test_names_are_nfc_and_paths_have_four_kib(tree):
    tree.folder("e\u0301")
    assert tree.find("é")[-1].name == "é"
    long = ("y" * 250,) * 17
    with pytest.raises(Forbidden, match="4096"):
        names.allow(long)
    names.allow(long[:16])


def test_what_may_not_be_moved_or_copied(tree):
    tree.folder("a")
    tree.folder("a/b")
    tree.put("f", 1)
    for source, to, error in (
        ("a", "a/b/c", Conflict), ("a", "a", Forbidden), ("a/b", "a", Conflict), ("f", "none/f", Conflict), ("f", "a", Kept), ("f", "f/x", Conflict),
        ("", "c", Forbidden),
    ):  # fmt: skip
        for way in (tree.move, tree.copy):
            with pytest.raises(error):
                way(source, to, overwrite=to == "a" and source != "f")
    with pytest.raises(NotFound):
        tree.move("nothing", "c")
    with pytest.raises(Exists):
        tree.put("a", 1)
    with pytest.raises(Exists):
        tree.put((), 1)
    with pytest.raises(Exists):
        tree.folder("f")
    with pytest.raises(Conflict):
        tree.put("f/x", 1)


def test_a_copy_has_its_own_life(tree):
    tree.folder("a")
    tree.put("a/f", 5, b"one")
    inner = tree.find("a/f")[-1]
    tree.do(lambda db: properties.change(db, inner.id, {"{x}p": "<p xmlns='x'>1</p>"}))
    tree.copy("a", "b")
    tree.put("a/f", 6, b"two")
    copied = tree.find("b/f")[-1]
    assert copied.size == 5
    assert copied.id != inner.id
    assert tree.database.look(lambda db: properties.of(db, [copied.id]))[copied.id] == {"{x}p": "<p xmlns='x'>1</p>"}
    shallow, _ = tree.copy("a", "c", deep=False)
    assert (shallow.size, "c/f" in {"/".join(path) for path in tree.snapshot()}) == (0, False)


def test_the_quota_is_of_files_and_the_rest_makes_room(tree):
    tree.put("a", 4000)
    tree.put("a", 3999, b"other")
    tree.put("b", 2000)
    tree.drop("b")
    assert tree.usage() == room.Usage(3999, 2000, 4000, QUOTA)
    tree.put("c", 1000)
    assert tree.usage() == room.Usage(4999, 0, 4000, QUOTA)
    tree.put("d", 4900)
    assert tree.usage() == room.Usage(9899, 0, 0, QUOTA)
    with pytest.raises(NoRoom):
        tree.put("e", 102)
    with pytest.raises(NoRoom):
        tree.copy("c", "e")
    with pytest.raises(NoRoom):
        tree.database.look(lambda db: room.look(db, tree.space, QUOTA, 102))
    tree.do(lambda db: spaces.set_quota(db, tree.space.id, 20_000))
    tree.put("e", 102)
    assert tree.usage().free == 9_999


def test_versions_are_kept_thinned_named_and_restored(tree):
    first, _ = tree.put("f", 3, b"one")
    tree.put("f", 4, b"two")
    (kept,) = tree.database.look(lambda db: versions.of(db, first.id))
    assert (kept.size, kept.author) == (3, "u1")
    tree.do(lambda db: versions.name(db, kept.id, "first"))

    def back(db):
        chain = nodes.find(db, tree.space.root_id, ("f",))
        return versions.restore(db, tree.space, chain, versions.find(db, first.id, kept.id), QUOTA, "u1")

    assert tree.do(back).size == 3
    (now,) = tree.database.look(lambda db: versions.of(db, first.id))
    assert now.size == 4
    assert tree.usage() == room.Usage(3, 0, 4, QUOTA)
    made = [versions.Version(number, 1, 1, 1, 10_000 - age, "", "", "", "", "") for number, age in enumerate((0, 1, 3, 12, 17, 100, 130, 3700))]
    assert versions.spare(made, 10_000) == [1, 3, 6]
    with pytest.raises(NotFound):
        tree.do(lambda db: versions.find(db, first.id, 12_345))


def test_the_same_content_again_makes_no_version(tree):
    first, _ = tree.put("f", 3, b"one")
    again, new = tree.put("f", 3, b"one")
    assert (again.id, new, again.etag != first.etag) == (first.id, False, True)
    assert tree.usage().versions == 0


def test_what_is_restored_finds_a_name_and_a_place(tree):
    tree.folder("a")
    for _ in range(2):
        tree.put("a/f.txt", 1)
        tree.drop("a/f.txt")
    tree.put("a/f.txt", 1)

    def back(db):
        return trash.restore(db, tree.space, trash.entries(db, tree.space)[0], QUOTA)

    assert tree.do(back) == ("a", "f (2).txt")
    tree.drop("a")
    assert {one.path for one in tree.database.look(lambda db: trash.entries(db, tree.space))} == {"a", "a/f.txt"}
    tree.do(lambda db: trash.purge(db, tree.space, next(one.node.id for one in trash.entries(db, tree.space) if one.path == "a")))
    assert tree.do(back) == ("f.txt",)
    with pytest.raises(NotFound):
        tree.do(lambda db: trash.find(db, tree.space, "f.txt.d1"))


def test_old_trash_goes(tree):
    tree.put("f", 1)
    tree.drop("f")
    assert tree.do(lambda db: trash.empty(db, tree.space, before=nodes.seconds() - 100)) == 0
    assert tree.do(lambda db: trash.empty(db, tree.space, before=nodes.seconds() + 1)) == 1
    assert tree.usage() == room.Usage(0, 0, 0, QUOTA)


def test_locks_hold_for_others_and_reach_down(tree):
    tree.folder("a")
    tree.put("a/f", 1)
    chain = tree.find("a")

    def take(user, **given):
        wanted = {"infinite": True, "shared": False, "seconds": 60} | given
        return tree.do(lambda db: locks.take(db, chain, user, "<o/>", **wanted))

    held = take("u1")
    inner = tree.find("a/f")
    with pytest.raises(Locked):
        take("u2")
    for tokens, user in (((), "u1"), ((held.token,), "u2")):
        with pytest.raises(Locked):
            tree.do(lambda db, tokens=tokens, user=user: locks.guard(db, inner, tokens, user))
    tree.do(lambda db: locks.guard(db, inner, [held.token], "u1"))
    with pytest.raises(Locked):
        tree.do(lambda db: locks.release(db, chain, held.token, "u2"))
    assert tree.do(lambda db: locks.refresh(db, chain, [held.token], "u1", 1 << 40)).seconds == locks.MOST
    with pytest.raises(Conflict):
        tree.do(lambda db: locks.refresh(db, chain, ["none"], "u1", 1))
    tree.do(lambda db: locks.release(db, chain, held.token, "u1"))
    with pytest.raises(Conflict):
        tree.do(lambda db: locks.release(db, chain, held.token, "u1"))
    one, two = take("u1", shared=True), take("u2", shared=True)
    tree.do(lambda db: locks.guard(db, chain, [one.token], "u1", deep=True))
    assert {each.token for each in tree.database.look(lambda db: locks.of(db, [chain[-1].id]))[chain[-1].id]} == {one.token, two.token}
    tree.move("a", "b")
    assert tree.database.look(lambda db: locks.on(db, nodes.find(db, tree.space.root_id, ("b",)))) == []


def test_a_lock_that_ran_out_is_none(tree):
    from andromede.services.drive.tables import lock

    tree.put("f", 1)
    chain = tree.find("f")
    tree.do(lambda db: locks.take(db, chain, "u1", "", infinite=False, shared=False, seconds=5))
    tree.do(lambda db: db.execute(update(lock).values(expires=1)))
    tree.do(lambda db: locks.guard(db, chain, (), "u2"))


def test_properties_and_favourites(tree):
    one, _ = tree.put("f", 1)
    tree.do(lambda db: properties.change(db, one.id, {"{x}a": "1", "{x}b": "2"}))
    tree.do(lambda db: properties.change(db, one.id, {"{x}a": None}))
    assert tree.database.look(lambda db: properties.of(db, [one.id])) == {one.id: {"{x}b": "2"}}
    with pytest.raises(NoRoom):
        tree.do(lambda db: properties.change(db, one.id, {"{x}c": "x" * properties.LONG + "y"}))
    with pytest.raises(NoRoom):
        tree.do(lambda db: properties.change(db, one.id, {f"{{x}}{number}": "x" for number in range(properties.MOST)}))
    for wanted in (True, True, False):
        tree.do(lambda db, wanted=wanted: properties.favour(db, "u1", one.id, wanted=wanted))
        found = tree.database.look(lambda db: (properties.favourites(db, "u1", [one.id]), properties.all_favourites(db, "u1")))
        assert found == (({one.id}, [one.id]) if wanted else (set(), []))


def test_other_times_are_told_above_and_leave_the_folders_own(tree):
    tree.folder("a")
    tree.put("a/f", 1)
    before = tree.find("a/f")
    tree.do(lambda db: nodes.set_times(db, nodes.find(db, tree.space.root_id, ("a", "f")), mtime=1_000_000_000, created=5))
    after = tree.find("a/f")
    assert [one.mtime for one in after] == [before[0].mtime, before[1].mtime, 1_000_000_000]
    assert after[-1].created == 5
    assert len({one.etag for one in after}) == 1 < len({one.etag for one in (*after, *before)})
    root = tree.find("")
    tree.do(lambda db: nodes.set_times(db, nodes.find(db, tree.space.root_id, ()), mtime=7))
    assert tree.find("")[0].mtime == 7 != root[0].mtime


def test_a_home_is_made_once(tree):
    again = tree.do(lambda db: spaces.home(db, Person("u1", "u1", "U")))
    assert again == tree.space == tree.database.look(lambda db: spaces.by_id(db, again.id))
    with pytest.raises(NotFound):
        tree.database.look(lambda db: spaces.by_id(db, "none"))
    with tree.database.read() as db:
        assert db.execute(select(func.count()).select_from(space)).scalar_one() == 1
        assert db.execute(select(func.count()).select_from(body)).scalar_one() == 0
        assert db.execute(select(func.count()).select_from(node)).scalar_one() == 2
