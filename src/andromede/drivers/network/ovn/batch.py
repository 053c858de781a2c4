"""One transaction's work on the northbound database: rows are compared with what should be, and the difference written.

References between rows that hold one another are gathered and written last, as single insertions and removals, so that a port
of a network of ten thousand costs what the first one did.
"""

from collections.abc import Iterable
from typing import Any

import msgspec
from ovs.db.data import Atom
from ovs.db.types import UuidType

from andromede.core.errors import DriverError
from andromede.drivers.network import Port
from andromede.drivers.network.ovn import groups, switches
from andromede.drivers.network.ovn.ovsdb import Ovsdb, Row, Transaction
from andromede.drivers.network.ovn.rows import (
    ADDRESS_SET,
    DHCP,
    GROUP,
    HOLDER,
    NETWORK,
    SPEC,
    SWITCH,
    SWITCH_PORT,
    Key,
    Wanted,
    holder,
    key_of,
)

_PRIMARY = {"network": SWITCH, "subnet": DHCP, "port": SWITCH_PORT, "group": GROUP, "router": "Logical_Router", "addresses": ADDRESS_SET}
_OURS = "andromede:"


class Index:
    """Where the rows of each owner are, kept while the mirror changes."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], dict[Key, Any]] = {}

    def heed(self, event: str, row: Row) -> None:
        """Note a row that came or went."""
        key = key_of(row._table.name, row.external_ids)  # noqa: SLF001 (a row tells its table nowhere else)
        if key is None:
            return
        owner = (key.kind, key.id)
        if event != "delete":
            self._rows.setdefault(owner, {})[key] = row.uuid
        elif self._rows.get(owner, {}).get(key) == row.uuid:
            del self._rows[owner][key]
            if not self._rows[owner]:
                del self._rows[owner]

    def owned(self, db: Ovsdb, kind: str, owner: str) -> dict[Key, Row]:
        """The rows of one owner. What vanished while the server was away is known by the mirror not having it."""
        found = self._rows.get((kind, owner), {})
        return {key: row for key, uuid in found.items() if (row := db.tables[key.table].rows.get(uuid)) is not None}

    def primary(self, db: Ovsdb, kind: str) -> Iterable[tuple[str, Row]]:
        """(id, the row that stands for it), for each thing of a kind."""
        rows = db.tables[_PRIMARY[kind]].rows
        for (found, each), parts in self._rows.items():
            if found == kind:
                row = rows.get(parts.get(Key(kind, each, _PRIMARY[kind])))
                if row is not None:
                    yield each, row


class Changes(msgspec.Struct):
    """What a comparison came to: whether the thing is new, and whether anything was written."""

    created: bool = False
    changed: bool = False


class Batch:
    """The work of one transaction; `finish` must end it."""

    def __init__(self, db: Ovsdb, index: Index, txn: Transaction) -> None:
        self._db, self._index, self._txn = db, index, txn
        self._fresh: dict[Key, Row] = {}
        self._made: dict[tuple[str, str], list[Key]] = {}
        self._gone: set[Key] = set()
        self._links: dict[tuple[Key, str], tuple[dict[Any, Row], dict[Any, Row]]] = {}
        self._guarded = False

    def find(self, key: Key) -> Row | None:
        """The row as this transaction leaves it."""
        if key in self._gone:
            return None
        return self._fresh.get(key) or self._index.owned(self._db, key.kind, key.id).get(key)

    def converge(self, kind: str, owner: str, wanted: list[Wanted]) -> Changes:
        """Make the rows of one owner be exactly these."""
        has = self._index.owned(self._db, kind, owner)
        if self._gone:
            has = {key: row for key, row in has.items() if key not in self._gone}
        for key in self._made.get((kind, owner), ()):
            if key in self._fresh:
                has[key] = self._fresh[key]
        done = Changes()
        for row in wanted:
            if row.key not in has:
                self._create(row)
                done.changed = True
                done.created = done.created or row.key.table == _PRIMARY.get(kind)
        for row in wanted:
            done.changed = self._write(row, has.get(row.key)) or done.changed
        for key in has.keys() - {row.key for row in wanted}:
            self._delete(key, has[key])
            done.changed = True
        return done

    def port(self, spec: Port) -> None:
        """A port with its membership of groups."""
        secured = spec.security and not spec.metadata
        if secured and not self._guarded:
            self.converge(groups.EVERYONE.kind, groups.EVERYONE.id, groups.everyone())
            self._guarded = True
        key = Key("port", spec.id, SWITCH_PORT)
        before = self.find(key)
        old = before.external_ids.get(SPEC) if before is not None else None
        self.converge("port", spec.id, switches.port(spec, self._facts(spec)))
        row = self.find(key)
        wanted = {groups.EVERYONE, *map(groups.group_key, spec.groups)} if secured else set()
        for group in wanted:
            self._join(group, row)
        if old:
            known = msgspec.json.decode(old, type=Port)
            for group in {groups.EVERYONE, *map(groups.group_key, known.groups)} - wanted:
                self._leave(group, row)

    def refresh_ports(self, mention: str) -> None:
        """Compute again the ports whose description mentions an id."""
        for _, row in list(self._index.primary(self._db, "port")):
            text = row.external_ids.get(SPEC, "")
            if mention in text:
                self.port(msgspec.json.decode(text, type=Port))

    def remove_ports_of(self, networks: set[str]) -> None:
        """Remove the ports on these networks, which would else leave behind what does not stand on the switch."""
        for each, row in list(self._index.primary(self._db, "port")):
            if row.external_ids.get(NETWORK) in networks:
                self.converge("port", each, [])

    def finish(self) -> None:
        """Write what was gathered about rows that hold one another."""
        for (key, column), (come, gone) in self._links.items():
            row = self.find(key)
            if row is None:
                continue
            if key in self._fresh:
                setattr(row, column, list(come.values()))
                continue
            for each in come.values():
                row.addvalue(column, each)
            for each in gone.values():
                row.delvalue(column, each)

    def _facts(self, spec: Port) -> dict[str, switches.SubnetFacts]:
        facts = {}
        for fixed in spec.fixed:
            row = self.find(switches.subnet_key(fixed.subnet_id))
            if row is not None:
                facts[fixed.subnet_id] = switches.SubnetFacts(":" in row.cidr, row.options)
        return facts

    def _create(self, wanted: Wanted) -> None:
        above = holder(wanted.key, wanted.marks)
        if above is not None and self.find(above) is None:
            raise DriverError(f"There is no {above.kind} {above.id} to be on")
        row = self._txn.insert(self._db.tables[wanted.key.table])
        self._fresh[wanted.key] = row
        self._made.setdefault((wanted.key.kind, wanted.key.id), []).append(wanted.key)
        self._gone.discard(wanted.key)
        if above is not None:
            self._link(above, HOLDER[wanted.key.table][1], row)

    def _write(self, wanted: Wanted, existing: Row | None) -> bool:
        row = self._fresh[wanted.key] if existing is None else existing
        changed = False
        for column, value in wanted.columns.items():
            resolved = self._resolve(value)
            if existing is None or not _same(getattr(row, column), resolved):
                setattr(row, column, resolved)
                changed = True
        marks = row.external_ids if existing is not None else {}
        if {name: value for name, value in marks.items() if name.startswith(_OURS)} != wanted.external_ids:
            if existing is not None and marks.get(NETWORK) != wanted.marks.get(NETWORK):
                self._move(wanted, row, marks)
            row.external_ids = {name: value for name, value in marks.items() if not name.startswith(_OURS)} | wanted.external_ids
            changed = True
        return changed

    def _move(self, wanted: Wanted, row: Row, marks: dict[str, str]) -> None:
        """A port of a switch that is of another network now."""
        for place, link in ((holder(wanted.key, marks), self._unlink), (holder(wanted.key, wanted.marks), self._link)):
            if place is not None and wanted.key.table in HOLDER:
                link(place, HOLDER[wanted.key.table][1], row)

    def _delete(self, key: Key, row: Row) -> None:
        above = holder(key, row.external_ids)
        self._gone.add(key)
        self._fresh.pop(key, None)
        if above is None:
            row.delete()
        else:
            # without a holder the database itself drops the row
            self._unlink(above, HOLDER[key.table][1], row)

    def _resolve(self, value: Any) -> Any:
        if isinstance(value, list):
            rows = [self.find(each) if isinstance(each, Key) else each for each in value]
            return [row for row in rows if row is not None]
        return value

    def _link(self, key: Key, column: str, row: Row) -> None:
        come, gone = self._links.setdefault((key, column), ({}, {}))
        come[row.uuid] = row
        gone.pop(row.uuid, None)

    def _unlink(self, key: Key, column: str, row: Row) -> None:
        come, gone = self._links.setdefault((key, column), ({}, {}))
        gone[row.uuid] = row
        come.pop(row.uuid, None)

    def _member(self, group: Key, row: Row) -> bool:
        """Whether the database has it so; asked of the raw value, since the library would make a row of each of all the members."""
        above = self.find(group)
        if above is None or group in self._fresh:
            return False
        return Atom(UuidType, row.uuid) in above._data["ports"].values  # noqa: SLF001

    def _join(self, group: Key, row: Row) -> None:
        if not self._member(group, row):
            self._link(group, "ports", row)

    def _leave(self, group: Key, row: Row) -> None:
        if self._member(group, row):
            self._unlink(group, "ports", row)


def _same(has: Any, wanted: Any) -> bool:
    if isinstance(wanted, list):
        return {getattr(each, "uuid", each) for each in has} == {getattr(each, "uuid", each) for each in wanted}
    return bool(has == wanted)
