"""The rules of accounts, containers and objects, over the blob driver in memory."""

import asyncio
import hashlib

import msgspec
import pytest

from andromede.drivers.blob.fake import Fake
from andromede.services.object import uploads
from andromede.services.object.errors import BadPart, NoContainer, NoObject, NotEmpty, NoUpload, NoVersion, Taken, TooSmall
from andromede.services.object.model import MARKER, Object
from andromede.services.object.service import Deletion, Objects


@pytest.fixture
def objects():
    return Objects(Fake())


def run(coroutine):
    return asyncio.run(coroutine)


async def once(data):
    yield data


async def write(objects, data):
    return await objects.store.write("a", once(data))


def container(objects, name="c", **values):
    place, new = run(objects.create("a", name, lambda _before: None))
    assert new
    if values:
        place = run(objects.change(place, lambda was: msgspec.structs.replace(was, **values)))
    return place


def put(objects, place, name, data=b"", when=None, **values):
    async def both():
        blob = await write(objects, data)
        thing = Object(size=len(data), etag=hashlib.md5(data).hexdigest(), **values)
        return await objects.put(place, name, thing, [blob], when)

    return run(both())


def content(objects, found):
    async def read():
        return b"".join([b"".join([chunk async for chunk in objects.store.read("a", blob)]) for blob in found.blobs])

    return run(read())


def names(lines):
    return [line.name for line in lines]


def test_containers_are_listed_in_order_whatever_shard_they_are_in(objects):
    for name in ("b", "a", "é", "zz", "ab"):
        container(objects, name)
    assert [place.name for place in objects.containers("a")] == ["a", "ab", "b", "zz", "é"]
    assert [place.name for place in objects.containers("a", reverse=True)] == ["é", "zz", "b", "ab", "a"]
    assert [place.name for place in objects.containers("a", prefix="a")] == ["a", "ab"]
    assert [place.name for place in objects.containers("a", start="ab", stop="zz")] == ["ab", "b"]
    assert list(objects.containers("other")) == []


def test_a_container_is_made_once_and_removed_when_empty(objects):
    place = container(objects)
    assert run(objects.create("a", "c", lambda _before: None)) == (place, False)
    put(objects, place, "o", b"x")
    with pytest.raises(NotEmpty):
        run(objects.remove(place))
    run(objects.delete(place, "o"))
    run(objects.remove(place))
    with pytest.raises(NoContainer):
        objects.place("a", "c")
    with pytest.raises(NoContainer):
        put(objects, place, "o", b"late")
    again = container(objects)
    with pytest.raises(NoContainer):
        put(objects, place, "o", b"into another container of the same name")
    assert objects.usage(again).entries == 0


def test_objects_are_replaced_counted_and_read_back(objects):
    place = container(objects)
    first = put(objects, place, "o", b"one")
    second = put(objects, place, "o", b"second")
    assert second.object.stamp > first.object.stamp
    assert content(objects, objects.get(place, "o")) == b"second"
    assert (objects.usage(place).entries, objects.usage(place).weight) == (1, 6)
    assert objects.hidden(place).entries == 0
    run(objects.delete(place, "o"))
    with pytest.raises(NoObject):
        objects.get(place, "o")
    assert run(objects.delete(place, "o")) is None
    assert objects.usage(place).weight == 0


def test_a_condition_that_does_not_hold_changes_nothing_and_leaves_no_bytes(objects):
    place = container(objects)
    put(objects, place, "o", b"one")

    def refuse(before):
        assert before.size == 3
        raise NotEmpty("no")

    with pytest.raises(NotEmpty):
        put(objects, place, "o", b"second", refuse)
    with pytest.raises(NotEmpty):
        run(objects.delete(place, "o", when=refuse))
    assert content(objects, objects.get(place, "o")) == b"one"
    assert len(objects.store._bytes) == 1


def test_listings_begin_end_and_share_prefixes(objects):
    place = container(objects)
    for name in ("a", "b/1", "b/2", "b/c/1", "b/c/2", "d", "é/x"):
        put(objects, place, name)
    assert names(objects.listing(place)) == ["a", "b/1", "b/2", "b/c/1", "b/c/2", "d", "é/x"]
    assert names(objects.listing(place, delimiter="/")) == ["a", "b/", "d", "é/"]
    assert names(objects.listing(place, delimiter="/", reverse=True)) == ["é/", "d", "b/", "a"]
    assert names(objects.listing(place, prefix="b/", delimiter="/")) == ["b/1", "b/2", "b/c/"]
    assert names(objects.listing(place, delimiter="/", limit=2)) == ["a", "b/"]
    assert names(objects.listing(place, delimiter="/", start="b/", after=True)) == ["d", "é/"]
    assert names(objects.listing(place, start="b/2", after=True, stop="d")) == ["b/c/1", "b/c/2"]
    assert names(objects.listing(place, start="b/2", limit=2)) == ["b/2", "b/c/1"]
    assert names(objects.listing(place, reverse=True, limit=2)) == ["é/x", "d"]


def test_many_groups_are_skipped_not_read(objects):
    place = container(objects)
    for group in range(5):
        for number in range(60):
            put(objects, place, f"{group}/{number:03}")
    asked = []
    scan = objects.store.scan
    objects.store.scan = lambda *given, **more: asked.append(given) or scan(*given, **more)
    assert names(objects.listing(place, delimiter="/")) == ["0/", "1/", "2/", "3/", "4/"]
    assert len(asked) <= 6


def test_versions_are_kept_marked_restored_and_listed(objects):
    place = container(objects)
    put(objects, place, "o", b"null")
    place = run(objects.change(place, lambda was: msgspec.structs.replace(was, versioning="on")))
    two = put(objects, place, "o", b"two")
    three = put(objects, place, "o", b"three")
    other = put(objects, place, "o2", b"other")
    marker = run(objects.delete(place, "o"))
    assert marker.object.kind == MARKER
    with pytest.raises(NoObject):
        objects.get(place, "o")
    assert objects.newest(place, "o").object == marker.object
    told = [(found.name, found.object.version, found.current) for found in objects.versions(place)]
    assert told == [
        ("o", marker.object.version, True), ("o", three.object.version, False), ("o", two.object.version, False), ("o", "", False),
        ("o2", other.object.version, True),
    ]  # fmt: skip
    rest = [found.object.version for found in objects.versions(place, start="o", version=three.object.version)]
    assert rest == [two.object.version, "", other.object.version]
    assert content(objects, objects.get(place, "o", two.object.version)) == b"two"
    assert content(objects, objects.get(place, "o", "null")) == b"null"
    with pytest.raises(NoVersion):
        objects.get(place, "o", "1.00000")
    assert (objects.usage(place).entries, objects.hidden(place).entries) == (1, 4)
    run(objects.delete(place, "o", marker.object.version))
    assert content(objects, objects.get(place, "o")) == b"three"
    run(objects.delete(place, "o", three.object.version))
    assert content(objects, objects.get(place, "o")) == b"two"
    assert run(objects.delete(place, "o", three.object.version)) is None


def test_suspended_versioning_keeps_one_null_version(objects):
    place = container(objects, versioning="on")
    one = put(objects, place, "o", b"one")
    place = run(objects.change(place, lambda was: msgspec.structs.replace(was, versioning="suspended")))
    put(objects, place, "o", b"null 1")
    put(objects, place, "o", b"null 2")
    assert [found.object.version for found in objects.versions(place)] == ["", one.object.version]
    marker = run(objects.delete(place, "o"))
    assert marker.object.version == ""
    assert [found.object.kind for found in objects.versions(place)] == [MARKER, ""]
    assert len(objects.store._bytes) == 1


def test_metadata_changes_and_the_bytes_stay(objects):
    place = container(objects)
    put(objects, place, "o", b"one", delete_at=9_999)
    changed = run(objects.change_object(place, "o", lambda was: msgspec.structs.replace(was, headers={"meta-a": "b"}, delete_at=0)))
    assert changed.headers == {"meta-a": "b"}
    assert content(objects, objects.get(place, "o")) == b"one"
    with pytest.raises(NoObject):
        run(objects.change_object(place, "none", lambda was: was))


def test_a_buckets_name_belongs_to_one_account(objects):
    run(objects.claim("photos", "a"))
    run(objects.claim("photos", "a"))
    with pytest.raises(Taken):
        run(objects.claim("photos", "b"))
    assert objects.bucket_account("photos") == "a"
    run(objects.release("photos", "b"))
    assert objects.bucket_account("photos") == "a"
    place = container(objects, "photos")
    run(objects.remove(place))
    assert objects.bucket_account("photos") is None


def test_accounts_keep_headers_and_go_when_empty(objects):
    assert objects.account("a") is None
    run(objects.set_account("a", lambda was: was | {"x-account-meta-k": "v"}))
    assert objects.account("a").headers == {"x-account-meta-k": "v"}
    place = container(objects)
    with pytest.raises(NotEmpty):
        run(objects.remove_account("a"))
    run(objects.remove(place))
    run(objects.remove_account("a"))
    assert objects.account("a") is None


def test_parts_become_an_object_without_a_byte_moved(objects, monkeypatch):
    monkeypatch.setattr(uploads, "LEAST", 3)
    place = container(objects)

    def part(upload, number, data):
        async def both():
            blob = await write(objects, data)
            return await uploads.put_part(objects, place, upload, number, Object(size=len(data), etag=hashlib.md5(data).hexdigest()), [blob])

        return run(both())

    upload = run(uploads.begin(objects, place, "big", Object(content_type="text/plain")))
    assert uploads.find(objects, place, "big", upload.id) == upload
    assert [each.id for each in uploads.uploads(objects, place)] == [upload.id]
    tags = {number: part(upload, number, data).etag for number, data in ((1, b"aaa"), (2, b"old"), (2, b"bbb"), (3, b"c"), (9, b"spare"))}
    assert [each.number for each in uploads.parts(objects, place, upload)] == [1, 2, 3, 9]
    assert objects.hidden(place).weight == 12
    with pytest.raises(NotEmpty):
        run(objects.remove(place))
    for wrong, error in (([(1, tags[2])], BadPart), ([(4, tags[1])], BadPart), ([(3, tags[3]), (9, tags[9])], TooSmall)):
        with pytest.raises(error):
            run(uploads.complete(objects, place, upload, wrong, upload.object))
    made = run(uploads.complete(objects, place, upload, [(1, tags[1]), (2, tags[2]), (3, tags[3])], upload.object))
    assert made.object.etag.endswith("-3")
    assert (made.object.size, made.object.parts, made.object.content_type) == (7, [3, 3, 1], "text/plain")
    assert content(objects, objects.get(place, "big")) == b"aaabbbc"
    assert objects.hidden(place).entries == 0
    assert len(objects.store._bytes) == 3
    with pytest.raises(NoUpload):
        part(upload, 1, b"late")
    assert len(objects.store._bytes) == 3


def test_an_upload_that_is_aborted_leaves_nothing(objects):
    place = container(objects)
    upload = run(uploads.begin(objects, place, "big", Object()))

    async def put_one():
        return await uploads.put_part(objects, place, upload, 1, Object(size=1), [await write(objects, b"x")])

    run(put_one())
    run(uploads.abort(objects, place, upload))
    with pytest.raises(NoUpload):
        uploads.find(objects, place, "big", upload.id)
    with pytest.raises(NoUpload):
        run(uploads.abort(objects, place, upload))
    assert objects.store._bytes == {}
    run(objects.remove(place))


def test_several_are_deleted_together_and_one_refusal_is_its_own(objects):
    place = container(objects)
    for number in range(150):
        put(objects, place, f"o{number}", b"x")

    def refuse(_before):
        raise NotEmpty("no")

    wanted = [Deletion(f"o{number}") for number in range(149)] + [Deletion("o149", when=refuse), Deletion("never")]
    done = run(objects.delete_many(place, wanted))
    assert [found.name for found in done[:149]] == [f"o{number}" for number in range(149)]
    assert isinstance(done[149], NotEmpty)
    assert done[150] is None
    assert names(objects.listing(place)) == ["o149"]
    assert len(objects.store._bytes) == 1


def test_bytes_move_to_another_class_unless_the_object_was_changed(objects):
    place = container(objects, versioning="on")
    old = put(objects, place, "o", b"one")
    new = put(objects, place, "o", b"two")

    async def move(found, data):
        blob = await objects.store.write("a", once(data), storage="plain")
        return await objects.move(place, found, msgspec.structs.replace(found.object, s3={"class": "PLAIN"}), [blob])

    old, new = objects.get(place, "o", old.object.version), objects.get(place, "o")
    assert run(move(old, b"one"))
    assert run(move(new, b"two"))
    for version, data in ((old.object.version, b"one"), (new.object.version, b"two")):
        found = objects.get(place, "o", version)
        assert (content(objects, found), found.blobs[0].storage, found.object.s3) == (data, "plain", {"class": "PLAIN"})
    assert not run(move(new, b"late"))
    assert len(objects.store._bytes) == 2
    assert (objects.usage(place).weight, objects.hidden(place).weight) == (3, 3)


def test_every_container_is_found(objects):
    for name in ("x", "y", "z"):
        container(objects, name)
    assert sorted((place.account, place.name) for place in objects.everywhere()) == [("a", "x"), ("a", "y"), ("a", "z")]


def test_when_an_object_was_posted_to_is_kept():
    from andromede.services.object import model

    assert model.as_object(model.pack(Object(posted=5))).posted == 5
    assert model.pack(Object(posted=0)) == model.pack(Object())


@pytest.mark.parametrize("versioning", ["", "on", "suspended"])
def test_a_name_that_nothing_can_have_gets_no_delete_marker(objects, versioning):
    place = container(objects, versioning=versioning)
    for name in ("x" * 1025, "é" * 600, "x" * 70_000):
        with pytest.raises(NoObject):
            run(objects.delete(place, name))
        (refused,) = run(objects.delete_many(place, [Deletion(name)]))
        assert isinstance(refused, NoObject)
    assert list(objects.versions(place)) == []
