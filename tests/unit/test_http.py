"""The HTTP layer alone: versions, decoding, paging, policies, faults, the router."""

from typing import Annotated

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET, UnsetType
from sqlalchemy import Column, Integer, MetaData, String, Table, create_engine, insert, select

from andromede.core.context import Caller, Context, Query
from andromede.core.errors import BadRequest, CloudError, Forbidden, NotAcceptable, QuotaExceeded, Unauthorized
from andromede.http import faults, paging, wire
from andromede.http.policy import Level, Policy, _matches
from andromede.http.versions import Microversions, parse, show
from andromede.http.wire import Body, Wire, between, since, until


class Inner(Wire, kw_only=True):
    old: Annotated[int, until("2.5")] | UnsetType = UNSET
    new: Annotated[int, since("2.6")] | UnsetType = UNSET


class Outer(Wire, kw_only=True):
    name: str
    some: Annotated[str, between("2.2", "2.4")] | UnsetType = UNSET
    inner: list[Inner] | UnsetType = UNSET


class Request(Body, kw_only=True):
    name: str
    tags: Annotated[list[str], since("2.52")] | UnsetType = UNSET


VERSIONS = Microversions("compute", (2, 1), (2, 96), "X-OpenStack-Nova-API-Version")


def test_versions_are_negotiated():
    assert VERSIONS.negotiate({}) == (2, 1)
    assert VERSIONS.negotiate({"openstack-api-version": "compute 2.79"}) == (2, 79)
    assert VERSIONS.negotiate({"openstack-api-version": "volume 3.1, compute latest"}) == (2, 96)
    assert VERSIONS.negotiate({"x-openstack-nova-api-version": "2.5"}) == (2, 5)
    with pytest.raises(NotAcceptable):
        VERSIONS.negotiate({"openstack-api-version": "compute 2.97"})
    for wrong in ("2", "2.01", "a.b", "2.1.3", "2." + "1" * 40):
        with pytest.raises(BadRequest):
            parse(wrong)
    assert show((2, 10)) == "2.10"


def test_fields_exist_only_in_their_versions():
    def shown(version):
        whole = Outer(name="n", some="s", inner=[Inner(old=1, new=2)])
        wire.trim(whole, parse(version))
        return wire.encode(whole).decode()

    assert shown("2.1") == '{"name":"n","inner":[{"old":1}]}'
    assert shown("2.3") == '{"name":"n","some":"s","inner":[{"old":1}]}'
    assert shown("2.6") == '{"name":"n","inner":[{"new":2}]}'
    assert wire.decode(Request, b'{"name":"n","tags":["a"]}', version=(2, 52)).tags == ["a"]
    with pytest.raises(BadRequest, match="'tags' was unexpected"):
        wire.decode(Request, b'{"name":"n","tags":["a"]}', version=(2, 51))


def test_what_is_wrong_with_a_body_is_named():
    for body, words in ((b'{"name": 1}', r"\$.name"), (b"{", "not valid JSON"), (b'{"name":"n","x":1}', "`x`"), (b"[" * 3000, "JSON|object")):
        with pytest.raises(BadRequest, match=words):
            wire.decode(Request, body)


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(st.one_of(st.none(), st.integers(0, 4)), max_size=12),
    size=st.integers(1, 5),
    descending=st.booleans(),
)
def test_pages_hold_every_row_once_in_order(values, size, descending):
    engine = create_engine("sqlite://")
    table = Table("t", MetaData(), Column("id", String, primary_key=True), Column("n", Integer))
    table.create(engine)
    with engine.begin() as db:
        if values:
            db.execute(insert(table), [{"id": f"{number:02}", "n": value} for number, value in enumerate(values)])
        keys = [(table.c.n, descending)]
        whole, marker = [], None
        while True:
            page = paging.page(db, select(table), table, keys=keys, limit=size, marker=marker)
            whole += [row["id"] for row in page.rows]
            if not page.more:
                break
            marker = whole[-1]
        assert sorted(whole) == [f"{number:02}" for number in range(len(values))]
        order = [values[int(id_)] for id_ in whole]
        key = [(-1 if value is None else value) for value in order]
        assert key == sorted(key, reverse=descending)
        if whole:
            before = paging.page(db, select(table), table, keys=keys, limit=50, marker=whole[-1], reverse=True)
            assert [row["id"] for row in before.rows] == whole[:-1]
    engine.dispose()


def test_paging_refuses_what_it_does_not_know():
    table = Table("t", MetaData(), Column("id", String, primary_key=True))
    ctx = Context(request_id="r", query=Query([("sort_key", "secret")]))
    with pytest.raises(BadRequest, match="secret"):
        paging.sort_of(ctx, {"id": table.c.id}, [])
    for pairs in ([("sort_key", "id"), ("sort_dir", "up")], [("sort_dir", "asc"), ("sort_key", "id"), ("sort_dir", "asc")]):
        with pytest.raises(BadRequest):
            paging.sort_of(Context(request_id="r", query=Query(pairs)), {"id": table.c.id}, [])
    assert paging.sort_of(Context(request_id="r", query=Query([("sort", "id:asc")])), {"id": table.c.id}, []) == [(table.c.id, False)]
    for limit in ("-1", "x", "1" * 30):
        with pytest.raises(BadRequest, match="limit"):
            paging.limit_of(Context(request_id="r", query=Query([("limit", limit)])), most=10)
    assert paging.limit_of(Context(request_id="r", query=Query([("limit", "0")])), most=10) == 10


def test_policies():
    def caller(*roles, **values):
        return Caller(**{"user_id": "u", "user_name": "n", "user_domain_id": "d", "project_id": "p", "roles": frozenset(roles)} | values)

    member = Policy("x:y", Level.MEMBER)

    def check(policy, who):
        policy.check(Context(request_id="r", caller=who))

    check(member, caller("member", "reader"))
    check(member, caller("admin"))
    check(Policy("x", Level.PUBLIC), Caller(user_id="", user_name="", user_domain_id=""))
    check(Policy("x", Level.USER), caller())
    for who in (caller("reader"), caller(), caller("member", project_id=None)):
        with pytest.raises(Forbidden, match="x:y"):
            check(member, who)
    with pytest.raises(Forbidden):
        check(Policy("x", Level.ADMIN), caller("manager", "member", "reader"))
    with pytest.raises(Unauthorized):
        check(Policy("x", Level.USER), Caller(user_id="", user_name="", user_domain_id=""))


def test_faults_have_each_services_shape():
    error = QuotaExceeded("cores", asked=4, used=38, limit=40)
    assert b'"forbidden":{"code":403' in faults.compute(error, "r")[0]
    assert b'"title":"Forbidden"' in faults.identity(error, "r")[0]
    assert b'"type":"OverQuota"' in faults.network(error, "r")[0]
    assert b"38 of 40 cores" in faults.image(error, "r")[0]
    assert b'"request_id":"r"' in faults.generic(CloudError("x"), "r")[0]


def test_access_rules_match_paths():
    assert _matches("/v2.1/servers", "/compute/v2.1/servers")
    assert _matches("/v2.1/servers/{id}", "/compute/v2.1/servers/1")
    assert _matches("/v2.1/**", "/compute/v2.1/servers/1/action")
    assert _matches("/v2.1/servers/*/ips", "/compute/v2.1/servers/1/ips")
    assert not _matches("/v2.1/servers", "/compute/v2.1/servers/1")
    assert not _matches("/v2.1/servers/*", "/compute/v2.1/flavors/1")
