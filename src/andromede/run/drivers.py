"""The real drivers of a cloud, or the shipped fakes where the settings say `hypervisor = "fake"`.

Each driver is imported where it is used: a process holds only what it drives.
"""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from andromede.core.daemon import Daemon
from andromede.drivers.blob import Store
from andromede.drivers.block import Block
from andromede.drivers.block.fake import FakeBlock
from andromede.drivers.hypervisor import LXC, QEMU, Hypervisor
from andromede.drivers.network import Fabric, Plug
from andromede.drivers.network.ovn.layout import LONELY, Layout
from andromede.run import masquerade, members
from andromede.run.home import Home, ensure_user

GUESTS = 9_999
"""Of the user ids that are ours: those that guests run as; the next one is that of the program that works on volumes."""

if TYPE_CHECKING:
    from andromede.services.object.kms import KeyStore


def fake(home: Home) -> bool:
    """Whether the cloud has no real host."""
    return home.settings.compute.hypervisor == "fake"


def layout(home: Home, *, datapath: str | None = None) -> Layout:
    """Where this cloud's OVN and OVS are."""
    import ipaddress

    uid, gid = ensure_user()
    given = home.settings.network
    public = ipaddress.ip_network(given.public_cidr)
    chosen = datapath or (given.datapath if given.datapath != "auto" else _known_datapath(home))
    cloud, number = home.cloud, members.number(home)
    others = members.members(cloud)
    where = Layout(
        state=str(home.path), chassis=home.host, tag=home.tag, uid=uid, gid=gid, datapath=chosen,
        public=(f"{next(iter(public.hosts()))}/{public.prefixlen}",), encap_ip=members.tunnel(number) if others else LONELY,
        joined=tuple(one.home.tag for one in others),
    )  # fmt: skip
    if not home.added:
        return where
    hub = replace(where, state=str(cloud.path), tag=cloud.tag)
    return replace(where, public=(), joined=(), central=False, southbound=hub.sb, outside=hub.namespace, hub=hub.namespace)


def _known_datapath(home: Home) -> str:
    """What `up` found this host to be able to do."""
    path = home.run / "datapath"
    if not path.exists():
        from andromede.drivers.network.ovn import host

        path.write_text(host.datapath().type)
    return path.read_text()


def prepare(home: Home) -> list[Daemon]:
    """Make the host side of the network ready; answers the daemons it needs, in order."""
    if fake(home):
        return []
    from andromede.drivers.network.ovn import databases, host
    from andromede.drivers.network.ovn.daemons import daemons as ovn_daemons

    where = layout(home)
    databases.prepare(where)
    host.make(where)
    if home.settings.network.masquerade and not home.added:
        masquerade.ensure(home.tag, where.host_link, home.settings.network.public_cidr, _forward(home))
    else:
        masquerade.remove(home.tag, _forward(home))
    chain = ovn_daemons(where)
    return [replace(daemon, after=(before.name,)) if before else daemon for before, daemon in zip([None, *chain], chain, strict=False)]


def _forward(home: Home) -> Path:
    """Where the machine's own setting of forwarding is noted while ours holds."""
    return home.path / "ip_forward"


def teardown(home: Home) -> None:
    """Remove the host side of the network."""
    from andromede.drivers.network.ovn import host

    masquerade.remove(home.tag, _forward(home))
    host.teardown(layout(home))


def fabric(home: Home) -> Fabric:
    """The logical network, for the engine."""
    if fake(home):
        from andromede.drivers.network.fake import FakeFabric

        return FakeFabric()
    from andromede.drivers.network.ovn.fabric import OvnFabric

    return OvnFabric(layout(home).nb, chassis=(home.host,))


def store(home: Home) -> Store:
    """Where objects are."""
    from andromede.drivers.blob.local import Local
    from andromede.services.object.model import WATCHED

    return Local(home.objects, master_key(home.keys), watched=WATCHED, classes=home.object_classes)


def object_keys(home: Home, kept: Store) -> "KeyStore":
    """The keys that projects name for their objects (SSE-KMS)."""
    from andromede.services.object.kms import LocalKeys

    return LocalKeys(kept, master_key(home.keys), home.settings.identity.region)


def drive_instance(home: Home) -> str:
    """What the ids of the drive's files end with, so that clients tell them from another cloud's: the same as long as the content can be read."""
    return f"oc{hashlib.sha256(b'drive' + master_key(home.keys)).hexdigest()[:10]}"


def master_key(folder: Path) -> bytes:
    """The key that the keys of all tenants are wrapped with; made where it is missing. Who loses it loses every encrypted object."""
    from andromede.drivers.seal import key_file

    return key_file(folder / "objects.master")


def volumes(home: Home) -> Block:
    """Where volumes are."""
    if fake(home):
        return FakeBlock(home.host_state / "books")
    from andromede.drivers.block.local import Local
    from andromede.drivers.seal import from_file

    return Local(home.volumes, unseal=from_file(home.secrets_key).passphrase, uid=home.settings.compute.uid_base + GUESTS)


def host_drivers(home: Home, block: Block | None = None) -> tuple[Hypervisor, Plug]:
    """What the agent drives. block: where its volumes are."""
    given = home.settings.compute
    if fake(home):
        from andromede.drivers.hypervisor.fake import Fake
        from andromede.drivers.network.fake import FakePlug

        return Fake(home.host_state / "guests", block=block if isinstance(block, FakeBlock) else None), FakePlug()
    from andromede.drivers.hypervisor.qemu.driver import Qemu
    from andromede.drivers.hypervisor.qemu.probe import Acceleration
    from andromede.drivers.network.ovn.plug import OvsPlug

    where = layout(home)
    chosen = None
    if given.acceleration != "auto":
        group = Path("/dev/kvm").stat().st_gid if given.acceleration == "kvm" else None
        chosen = Acceleration(given.acceleration, "Chosen in the settings.", group)
    from andromede.drivers.seal import from_file

    hypervisor = Qemu(
        home.host_state / "guests", uid_base=given.uid_base, uid_count=GUESTS, tag=home.tag, vnet_hdr=where.datapath == "system",
        acceleration=chosen, unseal=from_file(home.secrets_key).passphrase,
    )  # fmt: skip
    from andromede.drivers.hypervisor.lxc import Lxc
    from andromede.drivers.hypervisor.several import Several

    unseal, ranges = from_file(home.secrets_key).passphrase, members.container_ranges(home)
    containers = Lxc(home.host_state / "containers", tag=home.tag, changes=hypervisor.changes, ranges=ranges, unseal=unseal)
    return Several({QEMU: hypervisor, LXC: containers}, hypervisor.changes), OvsPlug(where)
