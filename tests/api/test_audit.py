"""The audit log through the application: what is written of requests, who may read it, its proofs, and what altering it looks like."""

import threading

import msgspec
import pytest
from sqlalchemy import delete, insert, select, update

from andromede.core.context import Caller, Context
from andromede.core.errors import Forbidden
from andromede.services.audit import events, sealing, service, tables
from andromede.services.audit.trail import STRANGERS, Trail
from andromede.services.audit.verifier import consistent, inclusion_root, opened
from tests.cloud import USER_PASSWORD, Client, Cloud

EVENTS = "/audit/v1/events"


def told(client: Client, **chosen: str) -> list[dict]:
    query = "&".join(f"{name}={value}" for name, value in chosen.items())
    found = client.get(f"{EVENTS}?{query}")
    assert found.status == 200, found
    return [one["event"] for one in found.json["events"]]


def sealed(cloud: Cloud) -> int:
    with cloud.database.read() as db:
        return sealing.size_of(db)


def grow(cloud: Cloud, count: int) -> None:
    """Events of nothing, and their sealing."""
    ctx = Context(request_id="req-of-tests", path="/compute/v2.1/servers", method="POST")
    rows = [events.event(ctx, None, {}, code=200, outcome="success") for _ in range(count)]
    cloud.database.run(lambda db: db.execute(insert(tables.event), rows))
    while cloud.database.run(lambda db: sealing.seal(db, cloud.parts.witness)):
        pass


def test_a_change_and_its_event_are_one(cloud):
    made = cloud.user.post("/network/v2.0/networks", {"network": {"name": "n"}})
    id_ = made.json["network"]["id"]
    (one,) = told(cloud.admin, target_id=id_)
    assert (one["action"], one["outcome"], one["reason"]["reasonCode"]) == ("create", "success", "201")
    assert one["target"] == {"typeURI": "network/networks", "id": id_}
    assert one["initiator"]["name"] == "demo"
    assert one["initiator"]["host"]["address"] == "127.0.0.1"
    assert one["request_id"] == made.headers["x-openstack-request-id"]
    assert cloud.user.delete(f"/network/v2.0/networks/{id_}").status == 204
    assert [one["action"] for one in told(cloud.admin, target_id=id_)] == ["delete", "create"]
    # what is rolled back has no event of success, and one of its failure
    refused = cloud.user.post("/network/v2.0/networks", {"network": {"name": "n", "tenant_id": "another"}})
    assert refused.status == 400
    (one,) = told(cloud.admin, request_id=refused.headers["x-openstack-request-id"])
    assert (one["outcome"], one["reason"]["reasonCode"], one["target"]["typeURI"]) == ("failure", "400", "network/networks")


def test_actions_are_named_and_bodies_are_not_kept(cloud, image, network):
    secret = "cGFzc3dvcmQ="
    body = {"server": {"name": "s", "imageRef": image, "flavorRef": "1", "networks": [{"uuid": network}], "user_data": secret}}
    made = cloud.user.post("/compute/v2.1/servers", body)
    assert made.status == 202, made
    id_ = made.json["server"]["id"]
    cloud.settle()
    assert cloud.user.post(f"/compute/v2.1/servers/{id_}/action", {"os-stop": None}).status == 202
    stop, create = told(cloud.user, target_id=id_)
    assert (stop["action"], stop["target"]) == ("update/os-stop", {"typeURI": "compute/servers", "id": id_})
    assert create["action"] == "create"
    with cloud.database.read() as db:
        assert not any(secret in row.document or USER_PASSWORD in row.document for row in db.execute(select(tables.event)))


def test_signing_in_is_told_with_who_it_was_or_said_to_be(cloud):
    (one, *_) = told(cloud.admin, action="authenticate", outcome="success", user_id=cloud.id_of("users", "demo"))
    assert one["initiator"]["name"] == "demo"
    identity = {"methods": ["password"], "password": {"user": {"name": "demo", "domain": {"id": "default"}, "password": "wrong"}}}
    assert cloud.anyone.post("/identity/v3/auth/tokens", {"auth": {"identity": identity}}).status == 401
    (one,) = told(cloud.admin, action="authenticate", outcome="failure")
    assert (one["initiator"]["name"], "id" in one["initiator"], one["reason"]["reasonCode"]) == ("demo", False, "401")
    assert cloud.anyone.get("/compute/v2.1/servers").status == 401
    (one,) = told(cloud.admin, action="read", outcome="failure")
    assert one["requestPath"] == "/compute/v2.1/servers"


def test_what_keeps_its_own_transactions_is_told_before_and_after(cloud):
    user = cloud.id_of("users", "demo")
    body = {"application_credential": {"name": "robot"}}
    made = cloud.user.post(f"/identity/v3/users/{user}/application_credentials", body)
    assert made.status == 201
    after, before = told(cloud.admin, request_id=made.headers["x-openstack-request-id"])
    assert (before["outcome"], after["outcome"]) == ("pending", "success")
    assert after["target"]["id"] == made.json["application_credential"]["id"]
    assert cloud.user.post(f"/identity/v3/users/{user}/application_credentials", body).status == 409
    assert [one["outcome"] for one in told(cloud.admin, user_id=user)][:2] == ["failure", "pending"]


def test_what_an_operator_reads_is_told_and_what_a_tenant_reads_is_not(cloud):
    before = len(told(cloud.admin, action="read"))
    assert cloud.user.get("/compute/v2.1/servers").status == 200
    assert len(told(cloud.admin, action="read")) == before
    assert cloud.admin.get("/compute/v2.1/servers?all_tenants=1").status == 200
    assert next(one["target"]["typeURI"] for one in told(cloud.admin, action="read")) == "compute/servers"
    assert len(told(cloud.admin, action="read")) == before + 1


def test_who_may_read(cloud):
    other = cloud.other()
    theirs = other.post("/network/v2.0/networks", {"network": {"name": "theirs"}}).json["network"]["id"]
    assert told(cloud.user, target_id=theirs) == []
    (row,) = cloud.admin.get(f"{EVENTS}?target_id={theirs}").json["events"]
    assert cloud.user.get(f"{EVENTS}/{row['id']}").status == 404
    assert other.get(f"{EVENTS}/{row['id']}").status == 200
    assert cloud.user.get("/audit/v1/proof?from=1").status == 403
    auditor = cloud.other("checker", "auditor")
    assert told(auditor, target_id=theirs)
    assert auditor.get("/compute/v2.1/servers").status == 403
    assert auditor.post("/network/v2.0/networks", {"network": {}}).status == 403
    assert cloud.other("nothing", "service").get(EVENTS).status == 403
    assert cloud.anyone.get(EVENTS).status == 401


def test_lists_page_and_choose_and_refuse_junk(cloud):
    grow(cloud, 5)
    first = cloud.admin.get(f"{EVENTS}?limit=2&request_id=req-of-tests").json
    assert len(first["events"]) == 2
    second = cloud.admin.get(first["events_links"][0]["href"].partition("cloud.test")[2]).json
    assert len({one["id"] for one in first["events"] + second["events"]}) == 4
    assert told(cloud.admin, since="2999-01-01T00:00:00Z") == []
    assert len(told(cloud.admin, until="2999-01-01T00:00:00", request_id="req-of-tests")) == 5
    assert cloud.admin.get(f"{EVENTS}?since=tomorrow").status == 400
    assert cloud.admin.get(f"{EVENTS}?marker=none").status == 400
    assert cloud.admin.get(f"{EVENTS}/none").status == 404


def test_the_engine_seals_and_everything_is_proved(cloud):
    id_ = cloud.user.post("/network/v2.0/networks", {"network": {"name": "n"}}).json["network"]["id"]
    (row,) = cloud.user.get(f"{EVENTS}?target_id={id_}").json["events"]
    if row["position"] is None:
        assert "proof" not in cloud.user.get(f"{EVENTS}/{row['id']}").json["event"]
    cloud.settle()
    first = cloud.user.get("/audit/v1/checkpoint").json
    public = cloud.parts.witness.public
    old = opened(first["checkpoint"], public)
    grow(cloud, 700)
    shown = cloud.user.get(f"{EVENTS}/{row['id']}").json["event"]
    proof = shown["proof"]
    new = opened(proof["checkpoint"], public)
    assert new.size == proof["size"] == sealed(cloud) >= 700
    assert inclusion_root(bytes.fromhex(proof["leaf"]), proof["index"], new.size, [bytes.fromhex(one) for one in proof["hashes"]]) == new.root
    assert msgspec.json.decode(shown["document"]) == shown["event"]
    step = cloud.admin.get(f"/audit/v1/proof?from={old.size}").json
    newest = opened(step["checkpoint"], public)
    assert consistent(old.size, newest.size, old.root, newest.root, [bytes.fromhex(one) for one in step["hashes"]])
    for wrong in ("0", "x", "", "99999999"):
        assert cloud.admin.get(f"/audit/v1/proof?from={wrong}").status == 400
    with cloud.database.read() as db:
        assert service.check(db, public, [old]) == (sealed(cloud), [])


@pytest.mark.parametrize("kind", ["changed", "removed", "swapped", "cut", "hash", "above", "checkpoint"])
def test_rows_that_are_altered_are_found_and_where(cloud, kind):
    grow(cloud, 300)
    grow(cloud, 300)
    with cloud.database.read() as db:
        size, found = service.check(db, cloud.parts.witness.public)
        kept = opened(service.newest(db), cloud.parts.witness.public)
    assert found == []
    event, tile = tables.event, tables.tile
    place = 345

    def tamper(db) -> None:
        if kind == "changed":
            db.execute(update(event).where(event.c.position == place).values(document="{}"))
        elif kind == "removed":
            db.execute(delete(event).where(event.c.position == place))
        elif kind == "swapped":
            for was, now in ((place, -1), (place + 1, place), (-1, place + 1)):
                db.execute(update(event).where(event.c.position == was).values(position=now))
        elif kind == "cut":
            db.execute(delete(event).where(event.c.position >= place))
            db.execute(delete(tables.checkpoint).where(tables.checkpoint.c.size >= place))
            db.execute(delete(tile).where(tile.c.level == 0, tile.c["index"] == 1))
        elif kind == "checkpoint":
            db.execute(update(tables.checkpoint).where(tables.checkpoint.c.size == size).values(note="none"))
        else:
            level = 1 if kind == "above" else 0
            hashes = bytearray(sealing.tile(db, level, 1 - level))
            hashes[32 if level else (place - 256) * 32] ^= 1
            db.execute(update(tile).where(tile.c.level == level, tile.c["index"] == 1 - level).values(hashes=bytes(hashes)))

    cloud.database.run(tamper)
    with cloud.database.read() as db:
        found = service.check(db, cloud.parts.witness.public, [kept])[1]
    assert found
    if kind in ("changed", "removed", "hash"):
        assert (place, place + 1) in {(one.first, one.end) for one in found}
    elif kind == "above":
        assert [(one.first, one.end) for one in found] == [(256, 512)]
    elif kind != "checkpoint":
        assert any(one.first <= place <= one.end for one in found), found


def test_many_at_once_share_transactions_and_each_is_there(cloud):
    trail = Trail(cloud.database)

    def refuse(number: int) -> None:
        ctx = Context(request_id=f"req-many-{number}", path="/compute/v2.1/servers", method="POST", caller=caller)
        trail.refused(ctx, None, {}, Forbidden("no"))

    caller = Caller(user_id="someone", user_name="someone", user_domain_id="default")
    threads = [threading.Thread(target=refuse, args=(number,)) for number in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with cloud.database.read() as db:
        found = db.scalars(select(tables.event.c.request_id).where(tables.event.c.request_id.like("req-many-%"))).all()
    assert sorted(found) == sorted(f"req-many-{number}" for number in range(40))


def test_strangers_cannot_fill_the_log(cloud, monkeypatch):
    trail = Trail(cloud.database)
    ctx = Context(request_id="req-stranger", path="/compute/v2.1/servers", method="POST")
    for _ in range(STRANGERS + 50):
        trail.refused(ctx, None, {}, Forbidden("no"))
    assert len(told(cloud.admin, request_id="req-stranger", limit="1000")) == STRANGERS
    monkeypatch.setattr("andromede.services.audit.trail.PERIOD", -1.0)
    trail.refused(ctx, None, {}, Forbidden("no"))
    assert told(cloud.admin, request_id="req-stranger")[0]["untold"] == 50


def test_where_the_log_cannot_be_written_nothing_is_done(cloud, monkeypatch):
    def broken(*_: object, **__: object) -> dict:
        raise OSError("no room")

    monkeypatch.setattr(events, "event", broken)
    assert cloud.user.post("/network/v2.0/networks", {"network": {"name": "untold"}}).status == 500
    monkeypatch.undo()
    assert cloud.user.get("/network/v2.0/networks?name=untold").json["networks"] == []
    trail = Trail(cloud.database)
    ctx = Context(request_id="req-x", path="/x", method="POST")
    monkeypatch.setattr(cloud.database, "run", broken)
    with pytest.raises(OSError, match="no room"):
        trail.refused(ctx, None, {}, Forbidden("no"))
    assert cloud.anyone.get("/network/v2.0/networks").status == 401
