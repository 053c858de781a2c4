"""One host's end of the network: taps of guests and the metadata ends of networks, joined to the integration bridge.

Everything is in the cloud's namespace, which a thread enters for the time of each act; so the caller may be anywhere. What a
crash left half made is found by its name, and completed or made anew.
"""

import asyncio
import socket
from typing import Any

from andromede.core.daemon import is_ready
from andromede.core.ids import peer_name, tap_name
from andromede.drivers.network import MetadataEnd, Plugged
from andromede.drivers.network.ovn import links
from andromede.drivers.network.ovn.daemons import daemons
from andromede.drivers.network.ovn.host import OUTSIDE_MTU, metadata_prefix
from andromede.drivers.network.ovn.layout import INTEGRATION, LONELY, TUNNEL, Layout
from andromede.drivers.network.ovn.ovsdb import Ovsdb, Row, Transaction

_TABLES = ("Open_vSwitch", "Bridge", "Port", "Interface")
_METADATA_LINK = "meta0"
_ID_LENGTH = 11
METADATA_ADDRESSES = ("169.254.169.254/32", "fe80::a9fe:a9fe/64")
"""What the metadata end of every network has besides its own addresses."""


class OvsPlug:
    """A `Plug` on Open vSwitch; `layout` says where the switch and its namespace are."""

    def __init__(self, layout: Layout, *, timeout: float = 5) -> None:
        self._layout = layout
        self._db = Ovsdb(layout.ovs, "Open_vSwitch", _TABLES, timeout=timeout)

    async def ensure(self, port: Plugged) -> str:
        """The tap for a port, made and joined to the integration bridge; answers its interface name."""
        return await asyncio.to_thread(self._ensure, port)

    async def remove(self, port_id: str) -> None:
        """No tap, no bridge port."""
        await asyncio.to_thread(self._remove, port_id)

    async def ensure_metadata(self, end: MetadataEnd) -> str:
        """The namespace with the network's metadata address up; answers the namespace's name, to listen in."""
        return await asyncio.to_thread(self._ensure_metadata, end)

    async def remove_metadata(self, network_id: str) -> None:
        """No namespace, no link."""
        await asyncio.to_thread(self._remove_metadata, network_id)

    async def serves(self) -> bool:
        """Whether ovn-controller answers. The address that other hosts send to is seen to, for the switch makes its bridges anew."""
        await asyncio.to_thread(self._settle_tunnel)
        return await asyncio.to_thread(is_ready, daemons(self._layout)[-1])

    async def observe(self) -> tuple[set[str], set[str]]:
        """(the first 11 characters of the ids of ports with a tap, of networks with a metadata end) on this host."""
        return await asyncio.to_thread(self._observe)

    async def close(self) -> None:
        """Let go of the connection to the switch's database."""
        await asyncio.to_thread(self._db.close)

    def _settle_tunnel(self) -> None:
        address = self._db.read(lambda: next(iter(self._db.tables["Open_vSwitch"].rows.values())).external_ids.get("ovn-encap-ip", ""))
        if not address or address == LONELY:
            return
        with links.faults("the address for other hosts"), links.inside(self._layout.namespace) as netlink:
            number = links.index(netlink, TUNNEL)
            if number is not None:
                links.settle(netlink, number, mtu=OUTSIDE_MTU)
                links.ensure_addresses(netlink, number, (f"{address}/16",))

    def _ensure(self, port: Plugged) -> str:
        name, made = tap_name(port.port_id), False
        with links.faults("the tap of a port"), links.inside(self._layout.namespace) as netlink:
            if port.container:
                peer, checksums = peer_name(port.port_id), self._layout.datapath == "system"
                made = links.ensure_pair(netlink, name, peer, mac=port.mac, mtu=port.mtu, checksums=checksums)
            else:
                links.ensure_tap(netlink, name, owner=port.owner, mtu=port.mtu, several=port.queues > 1)
        if made:  # the switch reads from the link that it opened, also when another has come in its place
            self._part(name)
        self._join(name, port.port_id, port.mac, port.mtu)
        return name

    def _remove(self, port_id: str) -> None:
        name = tap_name(port_id)
        self._part(name)
        with links.faults("the removal of a tap"):
            links.remove_link(self._layout.namespace, name)

    def _ensure_metadata(self, end: MetadataEnd) -> str:
        namespace, near = self._metadata_namespace(end.network_id), _metadata_link(end.network_id)
        with links.faults("the metadata end of a network"):
            links.ensure_namespace(namespace)
            links.ensure_veth(
                namespace, _METADATA_LINK, self._layout.namespace, near, mtu=end.mtu, mac=end.mac,
                checksums=self._layout.datapath == "system",
            )  # fmt: skip
            with links.inside(namespace) as netlink:
                number = links.index(netlink, _METADATA_LINK)
                if number is not None:
                    links.ensure_addresses(netlink, number, (*end.addresses, *METADATA_ADDRESSES))
        self._join(near, end.port_id, end.mac, end.mtu)
        return namespace

    def _remove_metadata(self, network_id: str) -> None:
        near = _metadata_link(network_id)
        self._part(near)
        with links.faults("the removal of a network's metadata end"):
            links.remove_link(self._layout.namespace, near)
            links.remove_namespace(self._metadata_namespace(network_id))

    def _observe(self) -> tuple[set[str], set[str]]:
        with links.faults("the list of taps"), links.inside(self._layout.namespace) as netlink:
            taps = {name.removeprefix("tap") for name in links.names(netlink) if name.startswith("tap")}
        prefix = metadata_prefix(self._layout.tag)
        return taps, {name.removeprefix(prefix) for name in links.namespaces() if name.startswith(prefix)}

    def _metadata_namespace(self, network_id: str) -> str:
        return metadata_prefix(self._layout.tag) + network_id[:_ID_LENGTH]

    def _join(self, name: str, port_id: str, mac: str, mtu: int) -> None:
        """The interface is a port of the integration bridge, by which ovn-controller knows it as the logical port."""
        marks = {"iface-id": port_id, "iface-status": "active", "attached-mac": mac.lower()}

        def work(txn: Transaction) -> None:
            bridge, port, interface = self._rows(name)
            if port is None or interface is None:
                if port is not None:
                    bridge.delvalue("ports", port)
                interface, port = txn.insert(self._db.tables["Interface"]), txn.insert(self._db.tables["Port"])
                interface.name, interface.external_ids, interface.mtu_request = name, marks, [mtu]
                port.name, port.interfaces = name, [interface]
                bridge.addvalue("ports", port)
                return
            if {**interface.external_ids, **marks} != interface.external_ids:
                interface.external_ids = {**interface.external_ids, **marks}
            if interface.mtu_request != [mtu]:
                interface.mtu_request = [mtu]

        self._db.write(work)

    def _part(self, name: str) -> None:
        def work(_txn: Transaction) -> None:
            bridge, port, _ = self._rows(name)
            if port is not None:
                bridge.delvalue("ports", port)

        self._db.write(work)

    def _rows(self, name: str) -> tuple[Row, Row | None, Row | None]:
        def by_name(table: str, wanted: str) -> Any:
            return next((row for row in self._db.tables[table].rows.values() if row.name == wanted), None)

        bridge = by_name("Bridge", INTEGRATION)
        port = next((each for each in bridge.ports if each.name == name), None)
        return bridge, port, port.interfaces[0] if port is not None and port.interfaces else None


def _metadata_link(network_id: str) -> str:
    return "meta" + network_id[:_ID_LENGTH]


def listen(namespace: str, address: str, port: int, backlog: int = 128) -> socket.socket:
    """A TCP socket listening inside a namespace; it may be served from anywhere. Raises DriverError.

    An IPv6 link-local address takes its scope from the namespace's metadata link.
    """
    six = ":" in address
    with links.faults("a listener for metadata"), links.inside(namespace) as netlink:
        listener = socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if six:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            scope = links.index(netlink, _METADATA_LINK) or 0
            listener.bind((address, port, 0, scope) if six else (address, port))
            listener.listen(backlog)
        except OSError:
            listener.close()
            raise
    return listener
