"""Choosing a host for a server: in the transaction that also claims its room, so that two servers never take the same.

The database finds the hosts that have the room; what else is asked (groups, hints, aggregates, traits) is looked at in order of
free memory, and the first that answers it is taken.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import msgspec
from sqlalchemy import Connection, Select, func, select

from andromede.core.clock import now
from andromede.core.errors import Conflict
from andromede.services.compute import containers, devices, machine
from andromede.services.compute.inventory import DISK, MEMORY, VCPU, need
from andromede.services.compute.tables import host, server, server_group
from andromede.services.compute.tables_hosts import aggregate, aggregate_host, inventory, trait

ALIVE = timedelta(seconds=60)
_NO_HOST = "No valid host was found. There are not enough hosts available."
_FIRST = 20
"""How many of the best hosts are looked at before all are."""
_AGGREGATE = "aggregate_instance_extra_specs:"


def alive(row: Any) -> bool:
    """Whether a host has reported lately; a report from the future is from before the clock was set back, and counts for nothing."""
    return row.seen is not None and not row.forced_down and abs(now() - row.seen) < ALIVE


def choose(
    db: Connection, row: Any, *, amounts: Mapping[str, int] | None = None, extra_specs: Mapping[str, str] | None = None,
    avoid: str | None = None, prefer: str | None = None, target: str | None = None, with_volumes: bool = False,
) -> str:  # fmt: skip
    """The name of the host with the most free memory on which a server fits. Raises Conflict when there is none.

    amounts, extra_specs: of another flavor than the server's. avoid: a host that will not do. prefer: one that is taken where it
    will do. target: the only one that will. with_volumes: its volumes go with it, so they need not be there.
    """
    groups, extra = _group_hosts(db, row), _Extra.of(db, row, extra_specs)
    needed = set() if with_volumes else devices.needed(db, row.id)

    def suits(one: Any) -> bool:
        return needed <= {one.name} and one.name != avoid and target in (None, one.name) and _wanted(row, one, groups) and extra.suits(one)

    query = _with_room(need(row) if amounts is None else amounts)
    if prefer is None and not groups.soft:
        first = next((one for one in db.execute(query.limit(_FIRST)) if suits(one)), None)
        if first is not None:
            return str(first.name)
    fitting = [one for one in db.execute(query) if suits(one)]
    if not fitting:
        raise Conflict(_NO_HOST)
    return str(max(fitting, key=lambda one: (one.name == prefer, _leaning(one, groups), one.free, one.name)).name)


def _with_room(amounts: Mapping[str, int]) -> Select[Any]:
    """Hosts that take servers and have these amounts left, the one with the most free memory first."""
    moment = now()
    have = {name: inventory.alias(name.lower()) for name in (MEMORY, VCPU, DISK)}
    query = select(host.c.id, host.c.name, host.c.zone, have[MEMORY].c.free).select_from(have[MEMORY])
    query = query.join(host, host.c.id == have[MEMORY].c.host_id)
    for name in (VCPU, DISK):
        query = query.join(have[name], (have[name].c.host_id == host.c.id) & (have[name].c.resource_class == name))
    query = query.where(*(have[name].c.free >= amounts.get(name, 0) for name in have), have[MEMORY].c.resource_class == MEMORY)
    query = query.where(host.c.enabled, ~host.c.forced_down, host.c.seen > moment - ALIVE, host.c.seen < moment + ALIVE)
    return query.order_by(have[MEMORY].c.free.desc())


def awaited(db: Connection) -> bool:
    """Whether a host that may take servers has yet to report: since it was made known, or since its agent went away."""
    return any(not alive(one) or one.facts is None for one in db.execute(select(host).where(host.c.enabled, ~host.c.forced_down)))


class _Group(msgspec.Struct, frozen=True):
    """The policy of a server's group, how many of it may share a host (anti-affinity), and where its other members are."""

    policy: str = ""
    most: int = 1
    members: dict[str, int] = {}

    @property
    def soft(self) -> bool:
        """Whether it leans to some hosts more than to others."""
        return self.policy.startswith("soft-")


def _group_hosts(db: Connection, row: Any) -> _Group:
    if row.group_id is None:
        return _Group()
    group = db.execute(select(server_group).where(server_group.c.id == row.group_id)).first()
    if group is None:
        return _Group()
    members = (
        select(server.c.host, func.count().label("number"))
        .where(server.c.group_id == row.group_id, server.c.id != row.id, server.c.deleted.is_(None), server.c.host.is_not(None))
        .group_by(server.c.host)
    )
    held = {member.host: member.number for member in db.execute(members)}
    return _Group(group.policy, group.rules.get("max_server_per_host", 1), held)


def _leaning(one: Any, group: _Group) -> int:
    """What the soft policies make of a host: more is better."""
    held = group.members.get(one.name, 0)
    return {"soft-affinity": held, "soft-anti-affinity": -held}.get(group.policy, 0)


def _wanted(row: Any, one: Any, group: _Group) -> bool:
    if row.zone and row.zone != one.zone:
        return False
    if row.wanted_host and row.wanted_host != one.name:
        return False
    if group.policy == "affinity" and group.members and one.name not in group.members:
        return False
    if group.policy == "anti-affinity" and group.members.get(one.name, 0) >= group.most:
        return False
    hints = row.hints
    return one.name not in (hints.get("_different") or ()) and (not hints.get("_same") or one.name in hints["_same"])


class _Extra(msgspec.Struct, frozen=True):
    """What flavor and image ask beyond room: traits, and metadata of aggregates; and what aggregates keep for some projects.

    Source: Nova's `trait:…`, `aggregate_instance_extra_specs:…` and `filter_tenant_id`.
    """

    project_id: str
    required: frozenset[str]
    forbidden: frozenset[str]
    metadata: dict[str, str]
    traits: dict[str, set[str]]
    aggregates: dict[str, list[dict[str, str]]]

    @classmethod
    def of(cls, db: Connection, row: Any, extra_specs: Mapping[str, str] | None) -> "_Extra":
        specs = row.flavor["extra_specs"] if extra_specs is None else extra_specs
        properties = (row.image or {}).get("properties", {})
        asked = {**properties, **specs}
        marks = {key.removeprefix("trait:"): value for key, value in asked.items() if key.startswith("trait:")}
        required = frozenset(name for name, value in marks.items() if value == "required") | machine.traits(properties, specs)
        required |= containers.traits(properties)
        forbidden = frozenset(name for name, value in marks.items() if value == "forbidden")
        wanted = {key.removeprefix(_AGGREGATE): value for key, value in specs.items() if key.startswith(_AGGREGATE)}
        traits: dict[str, set[str]] = {}
        if required or forbidden:
            for one in db.execute(select(trait).where(trait.c.name.in_(required | forbidden))):
                traits.setdefault(one.host_id, set()).add(one.name)
        held: dict[str, list[dict[str, str]]] = {}
        query = select(aggregate_host.c.host_id, aggregate.c.metadata).join(aggregate, aggregate.c.id == aggregate_host.c.aggregate_id)
        for one in db.execute(query):
            held.setdefault(one.host_id, []).append(one.metadata)
        return cls(row.project_id, required, forbidden, wanted, traits, held)

    def suits(self, one: Any) -> bool:
        """Whether a host answers it all."""
        traits, held = self.traits.get(one.id, set()), self.aggregates.get(one.id, [])
        kept = [project for metadata in held for key, text in metadata.items() if key.startswith("filter_tenant_id") for project in text.split(",")]
        if kept and self.project_id not in kept:
            return False
        meant = all(any(metadata.get(key) == value for metadata in held) for key, value in self.metadata.items())
        return meant and self.required <= traits and not self.forbidden & traits
