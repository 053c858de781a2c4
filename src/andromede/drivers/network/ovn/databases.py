"""The databases of OVN and OVS: made, brought to the installed schema, and given their first settings.

Works on files while no server has them open, and through the server's socket while one does; so it may be repeated at
any time, before each start.
"""

import json
import os
from pathlib import Path
from typing import Any

from andromede.core.errors import DriverError
from andromede.drivers.network.ovn import commands
from andromede.drivers.network.ovn.layout import INTEGRATION, PROVIDER, TUNNEL, Layout

SCHEMAS = {
    "nb": "/usr/share/ovn/ovn-nb.ovsschema",
    "sb": "/usr/share/ovn/ovn-sb.ovsschema",
    "conf": "/usr/share/openvswitch/vswitch.ovsschema",
}
Json = dict[str, Any]


def prepare(layout: Layout) -> None:
    """Make the directories and databases of this host; idempotent. Raises DriverError.

    The directory of the central daemons is entered by the group `layout.gid`, which may thus use their sockets; the
    switch's by root alone.
    """
    if layout.central:
        _directory(layout.central_dir, layout.uid, layout.gid, 0o2750)
        for name in ("nb", "sb"):
            home = Path(layout.central_dir)
            _database(home / f"{name}.db", SCHEMAS[name], layout.uid, layout.gid, socket=home / f"{name}.sock")
    _directory(layout.switch_dir, 0, 0, 0o700)
    for stale in Path(layout.switch_dir).glob("ovn-controller.*.ctl"):
        if not Path("/proc", stale.name.split(".")[1]).exists():
            stale.unlink()
    _database(Path(layout.switch_dir, "conf.db"), SCHEMAS["conf"], 0, 0, socket=Path(layout.switch_dir, "db.sock"))
    _settle_switch(layout)


def _directory(path: str, uid: int, gid: int, mode: int) -> None:
    Path(path).mkdir(parents=True, exist_ok=True)
    os.chown(path, uid, gid)
    Path(path).chmod(mode)


def _database(path: Path, schema: str, uid: int, gid: int, *, socket: Path) -> None:
    """A database with the installed schema, that its server's user alone may read."""
    if not path.exists():
        fresh = path.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        commands.run(["ovsdb-tool", "create", str(fresh), schema])
        fresh.replace(path)
        (path.parent / f".{fresh.name}.~lock~").unlink(missing_ok=True)
    elif commands.run(["ovsdb-tool", "needs-conversion", str(path), schema]).strip() == "yes":
        if _served(socket):
            commands.run(["ovsdb-client", "convert", f"unix:{socket}", schema], timeout=60)
        else:
            commands.run(["ovsdb-tool", "convert", str(path), schema], timeout=60)
    for file in (path, path.parent / f".{path.name}.~lock~"):
        if file.exists():
            os.chown(file, uid, gid)
    path.chmod(0o600)


def _served(socket: Path) -> bool:
    if not socket.exists():
        return False
    try:
        commands.run(["ovsdb-client", "--timeout=3", "list-dbs", f"unix:{socket}"])
    except DriverError:
        return False
    return True


def _settle_switch(layout: Layout) -> None:
    """The settings of this host and its bridges, in one transaction, written only where they differ."""
    found = _transact(layout, [
        {"op": "select", "table": "Open_vSwitch", "where": [], "columns": ["_uuid", "external_ids", "bridges"]},
        {"op": "select", "table": "Bridge", "where": [], "columns": ["_uuid", "name", "datapath_type", "ports"]},
        {"op": "select", "table": "Port", "where": [], "columns": ["_uuid", "name"]},
    ])  # fmt: skip
    roots, bridges, ports = (answer["rows"] for answer in found)
    there, names = {row["name"]: row for row in bridges}, {row["_uuid"][1]: row["name"] for row in ports}
    settings = switch_settings(layout)
    ops: list[Json] = []
    new = []
    for bridge, extra, wanted in _bridges(layout):
        row = there.get(bridge)
        if row is None:
            new.append(["named-uuid", _symbol(bridge)])
            ops += _bridge(layout, bridge, extra, wanted)
            continue
        if row["datapath_type"] != layout.datapath:
            ops.append(_update("Bridge", row["_uuid"], {"datapath_type": layout.datapath}))
        if bridge == INTEGRATION:
            continue
        held = {names[uuid]: uuid for uuid in _uuids(row["ports"])}
        for name in sorted(set(wanted) - held.keys()):
            ops += _port(name, system=True)
            ops.append(_mutate("Bridge", row["_uuid"], "ports", [["named-uuid", _symbol(name)]]))
        for name in sorted(name for name in held.keys() - {*wanted} if name.startswith(("tun-", "andro-"))):
            ops.append(_mutate("Bridge", row["_uuid"], "ports", [["uuid", held[name]]], "delete"))
    if not roots:
        row = {"external_ids": ["map", sorted(settings.items())], "bridges": ["set", new]}
        ops.append({"op": "insert", "table": "Open_vSwitch", "row": row})
    else:
        has = dict(roots[0]["external_ids"][1])
        if {**has, **settings} != has:
            ops.append(_update("Open_vSwitch", roots[0]["_uuid"], {"external_ids": ["map", sorted({**has, **settings}.items())]}))
        if new:
            ops.append(_mutate("Open_vSwitch", roots[0]["_uuid"], "bridges", new))
    if ops:
        _transact(layout, ops)


def _bridges(layout: Layout) -> list[tuple[str, Json, tuple[str, ...]]]:
    """The bridges that there are to be, with the links that are theirs."""
    own: list[tuple[str, Json, tuple[str, ...]]] = [(INTEGRATION, {"fail_mode": "secure"}, ()), (PROVIDER, {}, layout.provider_links)]
    return [*own, (TUNNEL, {}, layout.tunnel_links)] if layout.several else own


def _uuids(column: Any) -> list[str]:
    """The references of a column, which is a set where they are not exactly one."""
    return [uuid for _, uuid in (column[1] if column[0] == "set" else [column])]


def switch_settings(layout: Layout) -> dict[str, str]:
    """What ovn-controller reads about its host."""
    return {
        "system-id": layout.chassis,
        "hostname": layout.chassis,
        "ovn-remote": layout.sb,
        "ovn-encap-type": "geneve",
        "ovn-encap-ip": layout.encap_ip,
        "ovn-bridge": INTEGRATION,
        "ovn-bridge-datapath-type": layout.datapath,
        "ovn-bridge-mappings": f"{layout.physical}:{PROVIDER}",
        "ovn-cms-options": "enable-chassis-as-gw" if layout.central else "",
    }


def _bridge(layout: Layout, name: str, extra: Json, more: tuple[str, ...]) -> list[Json]:
    ports = (name, *more)
    return [
        *(op for port in ports for op in _port(port, system=port != name)),
        {"op": "insert", "table": "Bridge", "uuid-name": _symbol(name), "row": {
            "name": name, "datapath_type": layout.datapath, **extra,
            "other_config": ["map", [["disable-in-band", "true"]]],
            "ports": ["set", [["named-uuid", _symbol(port + "_port") if port == name else _symbol(port)] for port in ports]],
        }},
    ]  # fmt: skip


def _port(name: str, *, system: bool) -> list[Json]:
    symbol = _symbol(name) if system else _symbol(name + "_port")
    interface = {"name": name, "type": "" if system else "internal"}
    port = {"name": name, "interfaces": ["named-uuid", f"{symbol}_if"]}
    return [
        {"op": "insert", "table": "Interface", "uuid-name": f"{symbol}_if", "row": interface},
        {"op": "insert", "table": "Port", "uuid-name": symbol, "row": port},
    ]


def _symbol(name: str) -> str:
    return "n_" + name.replace("-", "_")


def _update(table: str, uuid: Json, row: Json) -> Json:
    return {"op": "update", "table": table, "where": [["_uuid", "==", uuid]], "row": row}


def _mutate(table: str, uuid: Json, column: str, values: list[Any], how: str = "insert") -> Json:
    return {"op": "mutate", "table": table, "where": [["_uuid", "==", uuid]], "mutations": [[column, how, ["set", values]]]}


def _transact(layout: Layout, ops: list[Json]) -> list[Json]:
    """Run a transaction (RFC 7047) on the switch's database, through its server when there is one."""
    text = json.dumps(["Open_vSwitch", *ops])
    if _served(Path(layout.switch_dir, "db.sock")):
        answer = commands.run(["ovsdb-client", "--timeout=10", "transact", layout.ovs, text])
    else:
        answer = commands.run(["ovsdb-tool", "transact", f"{layout.switch_dir}/conf.db", text])
    results: list[Json] = json.loads(answer)
    for result in results:
        if result and "error" in result:
            raise DriverError("the switch's database refused its settings") from RuntimeError(str(result))
    return results
