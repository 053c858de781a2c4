"""The host side of one cloud: its namespace, and the veth pair that joins the provider network to the machine."""

import shutil

import msgspec
from pyroute2.netlink import genlmsg
from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.generic import GenericNetlinkSocket

from andromede.core.errors import DriverError
from andromede.drivers.network.ovn import commands, links
from andromede.drivers.network.ovn.layout import Layout

OUTSIDE_MTU = 1500


def make(layout: Layout) -> None:
    """The namespace with loopback up, and the veth pair with the gateway's addresses on the machine's end; idempotent.

    Raises DriverError.
    """
    with links.faults("the cloud's network namespace"):
        links.ensure_namespace(layout.namespace)
        links.without_ipv6(layout.namespace)
        # the end within has the same name as the machine's, so that one name tells which cloud it belongs to
        links.ensure_veth(
            layout.outside, layout.host_link, layout.namespace, layout.host_link, mtu=OUTSIDE_MTU, checksums=layout.datapath == "system"
        )
        with links.inside(layout.outside) as netlink:
            number = links.index(netlink, layout.host_link)
            if number is not None:
                links.ensure_addresses(netlink, number, layout.public)
        if layout.hub:
            _join(layout, layout.hub, layout.namespace, layout.tag)
        for tag in layout.joined:
            if (namespace := f"andromede-{tag}") in links.namespaces():
                _join(layout, layout.namespace, namespace, tag)


def _join(layout: Layout, hub: str, namespace: str, tag: str) -> None:
    """The links between the first host of a machine and another one."""
    for link in (f"tun-{tag}", f"andro-{tag}"):
        links.ensure_veth(hub, link, namespace, link, mtu=OUTSIDE_MTU, checksums=layout.datapath == "system")


def teardown(layout: Layout) -> None:
    """No namespace, no link and no file of this cloud; to be called when its daemons have ended."""
    metadata = metadata_prefix(layout.tag)
    with links.faults("the removal of the cloud's network"):
        links.remove_link(layout.outside, layout.host_link)
        for name in links.namespaces():
            if name.startswith(metadata):
                links.remove_namespace(name)
        links.remove_namespace(layout.namespace)
    for path in (layout.central_dir, layout.switch_dir):
        shutil.rmtree(path, ignore_errors=True)


def metadata_prefix(tag: str) -> str:
    """What the names of a cloud's metadata namespaces begin with."""
    return f"andromd-{tag}-"


class Datapath(msgspec.Struct, frozen=True):
    """Which datapath to use, and why."""

    type: str
    reason: str


def datapath() -> Datapath:
    """`system` where the kernel has Open vSwitch (its module is loaded if need be), else `netdev`, in userspace."""
    try:
        commands.run(["modprobe", "openvswitch"])
        loaded = ""
    except DriverError as refused:
        loaded = f"; {refused.__cause__}"
    try:
        _family("ovs_datapath")
    except (OSError, NetlinkError) as missing:
        return Datapath("netdev", f"the kernel serves no ovs_datapath ({missing}){loaded}"[:300])
    return Datapath("system", "the kernel serves ovs_datapath")


def _family(name: str) -> None:
    with GenericNetlinkSocket() as generic:
        generic.bind(name, genlmsg)
