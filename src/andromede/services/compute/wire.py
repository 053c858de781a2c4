"""Servers on the wire. Source: Compute API v2.1 and its microversion history."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, UnsetType, field

from andromede.http.wire import Body, Text255, Wire, between, since, until

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
Metadata = dict[Annotated[str, msgspec.Meta(min_length=1, max_length=255)], Text255]


class Link(Wire, kw_only=True):
    """A link."""

    rel: str
    href: str


class Ref(Wire, kw_only=True):
    """An id with links."""

    id: str
    links: list[Link]


DeviceTag = Annotated[str, msgspec.Meta(min_length=1, max_length=60, pattern=r"^[^,/]*$")]


class NetworkRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A network, port or address asked for."""

    uuid: str | UnsetType = UNSET
    port: str | None | UnsetType = UNSET
    fixed_ip: str | UnsetType = UNSET
    tag: Annotated[DeviceTag, since("2.32")] | UnsetType = UNSET


class Named(msgspec.Struct, kw_only=True):
    """Something by name."""

    name: str


class PersonalityFile(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A file to put into the guest, base64."""

    path: str
    contents: str


class BlockDevice(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A disk that is asked for."""

    source_type: Literal["volume", "image", "snapshot", "blank"] | None = None
    destination_type: Literal["local", "volume"] | None = None
    uuid: str | None = None
    boot_index: int | str | None = None
    delete_on_termination: bool | str | None = None
    volume_size: int | str | None = None
    device_name: str | None = None
    device_type: str | None = None
    disk_bus: str | None = None
    guest_format: str | None = None
    no_device: bool | str | None = None
    tag: Annotated[DeviceTag | None, since("2.32")] | UnsetType = UNSET
    volume_type: Annotated[str | None, since("2.67")] | UnsetType = UNSET


class OldBlockDevice(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A disk that is asked for in the older way."""

    volume_id: str | None = None
    snapshot_id: str | None = None
    volume_size: int | str | None = None
    device_name: str | None = None
    delete_on_termination: bool | str | None = None
    virtual_name: str | None = None
    no_device: bool | str | None = None
    connection_info: dict[str, Any] | None = None


class NewServer(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What is asked for in a new server."""

    name: Name
    flavor: str | int = field(name="flavorRef")
    image: str | UnsetType = field(name="imageRef", default=UNSET)
    block_devices: list[BlockDevice] | UnsetType = field(name="block_device_mapping_v2", default=UNSET)
    old_block_devices: list[OldBlockDevice] | UnsetType = field(name="block_device_mapping", default=UNSET)
    networks: list[NetworkRequest] | str | None | UnsetType = UNSET
    key_name: str | None | UnsetType = UNSET
    security_groups: list[Named] | UnsetType = UNSET
    user_data: str | None | UnsetType = UNSET
    config_drive: bool | None | UnsetType = UNSET
    metadata: Metadata | UnsetType = UNSET
    personality: Annotated[list[PersonalityFile], until("2.56")] | UnsetType = UNSET
    availability_zone: str | UnsetType = UNSET
    min_count: Annotated[int, msgspec.Meta(ge=1)] | UnsetType = UNSET
    max_count: Annotated[int, msgspec.Meta(ge=1)] | UnsetType = UNSET
    return_reservation_id: bool | UnsetType = UNSET
    admin_pass: str | UnsetType = field(name="adminPass", default=UNSET)
    access_ipv4: str | UnsetType = field(name="accessIPv4", default=UNSET)
    access_ipv6: str | UnsetType = field(name="accessIPv6", default=UNSET)
    disk_config: str | UnsetType = field(name="OS-DCF:diskConfig", default=UNSET)
    description: Annotated[str | None, since("2.19")] | UnsetType = UNSET
    tags: Annotated[list[Annotated[str, msgspec.Meta(min_length=1, max_length=60)]], since("2.52")] | UnsetType = UNSET
    host: Annotated[str, since("2.74")] | UnsetType = UNSET
    hypervisor_hostname: Annotated[str, since("2.74")] | UnsetType = UNSET
    hostname: Annotated[str, since("2.90")] | UnsetType = UNSET


class CreateServer(Body, kw_only=True):
    """`POST /servers`."""

    server: NewServer
    hints: dict[str, Any] | UnsetType = field(name="os:scheduler_hints", default=UNSET)
    hints_old: dict[str, Any] | UnsetType = field(name="OS-SCH-HNT:scheduler_hints", default=UNSET)


class ServerCreated(Wire, kw_only=True):
    """What a create answers of the server."""

    id: str
    links: list[Link]
    disk_config: str = field(name="OS-DCF:diskConfig")
    security_groups: list[dict[str, str]]
    admin_pass: str | UnsetType = field(name="adminPass", default=UNSET)


class CreatedAnswer(Wire, kw_only=True):
    """`{"server": …}`."""

    server: ServerCreated


class Reservation(Wire, kw_only=True):
    """`{"reservation_id": …}`."""

    reservation_id: str


class Address(Wire, kw_only=True):
    """An address of a server."""

    version: int
    addr: str
    type: str | UnsetType = field(name="OS-EXT-IPS:type")
    mac: str | UnsetType = field(name="OS-EXT-IPS-MAC:mac_addr")


class FlavorInServer(Wire, kw_only=True):
    """A flavor as embedded in a server: a reference up to 2.46, its facts from 2.47 on."""

    id: Annotated[str, until("2.46")] | UnsetType = UNSET
    links: Annotated[list[Link], until("2.46")] | UnsetType = UNSET
    vcpus: Annotated[int, since("2.47")] | UnsetType = UNSET
    ram: Annotated[int, since("2.47")] | UnsetType = UNSET
    disk: Annotated[int, since("2.47")] | UnsetType = UNSET
    ephemeral: Annotated[int, since("2.47")] | UnsetType = UNSET
    swap: Annotated[int, since("2.47")] | UnsetType = UNSET
    original_name: Annotated[str, since("2.47")] | UnsetType = UNSET
    extra_specs: Annotated[dict[str, str], since("2.47")] | UnsetType = UNSET


class Server(Wire, kw_only=True):
    """A server in full."""

    id: str
    name: str
    status: str
    tenant_id: str
    user_id: str
    metadata: dict[str, str]
    host_id: str = field(name="hostId")
    image: Any
    flavor: FlavorInServer
    created: str
    updated: str
    addresses: dict[str, list[Address]]
    access_ipv4: str = field(name="accessIPv4")
    access_ipv6: str = field(name="accessIPv6")
    links: list[Link]
    disk_config: str = field(name="OS-DCF:diskConfig")
    progress: int | UnsetType = UNSET
    fault: dict[str, Any] | UnsetType = UNSET
    zone: str = field(name="OS-EXT-AZ:availability_zone")
    config_drive: str
    key_name: str | None
    launched: str | None = field(name="OS-SRV-USG:launched_at")
    terminated: str | None = field(name="OS-SRV-USG:terminated_at")
    security_groups: list[dict[str, str]] | UnsetType = UNSET
    task_state: str | None = field(name="OS-EXT-STS:task_state")
    vm_state: str = field(name="OS-EXT-STS:vm_state")
    power_state: int = field(name="OS-EXT-STS:power_state")
    volumes: list[Any] = field(name="os-extended-volumes:volumes_attached")
    host: str | None | UnsetType = field(name="OS-EXT-SRV-ATTR:host", default=UNSET)
    hypervisor_hostname: str | None | UnsetType = field(name="OS-EXT-SRV-ATTR:hypervisor_hostname", default=UNSET)
    instance_name: str | UnsetType = field(name="OS-EXT-SRV-ATTR:instance_name", default=UNSET)
    reservation_id: Annotated[str, since("2.3")] | UnsetType = field(name="OS-EXT-SRV-ATTR:reservation_id", default=UNSET)
    launch_index: Annotated[int, since("2.3")] | UnsetType = field(name="OS-EXT-SRV-ATTR:launch_index", default=UNSET)
    hostname: Annotated[str, since("2.3")] | UnsetType = field(name="OS-EXT-SRV-ATTR:hostname", default=UNSET)
    kernel_id: Annotated[str, since("2.3")] | UnsetType = field(name="OS-EXT-SRV-ATTR:kernel_id", default=UNSET)
    ramdisk_id: Annotated[str, since("2.3")] | UnsetType = field(name="OS-EXT-SRV-ATTR:ramdisk_id", default=UNSET)
    root_device_name: Annotated[str | None, since("2.3")] | UnsetType = field(name="OS-EXT-SRV-ATTR:root_device_name", default=UNSET)
    user_data: Annotated[str | None, since("2.3")] | UnsetType = field(name="OS-EXT-SRV-ATTR:user_data", default=UNSET)
    locked: Annotated[bool, since("2.9")] | UnsetType = UNSET
    host_status: Annotated[str, since("2.16")] | UnsetType = UNSET
    description: Annotated[str | None, since("2.19")] | UnsetType = UNSET
    tags: Annotated[list[str], since("2.26")] | UnsetType = UNSET
    trusted_image_certificates: Annotated[list[str] | None, since("2.63")] | UnsetType = UNSET
    server_groups: Annotated[list[str], since("2.71")] | UnsetType = UNSET
    locked_reason: Annotated[str | None, since("2.73")] | UnsetType = UNSET
    admin_pass: str | UnsetType = field(name="adminPass", default=UNSET)
    own_user_data: Annotated[str | None, since("2.57")] | UnsetType = field(name="user_data", default=UNSET)
    pinned_zone: Annotated[str | None, since("2.96")] | UnsetType = field(name="pinned_availability_zone", default=UNSET)
    scheduler_hints: Annotated[dict[str, Any], since("2.100")] | UnsetType = UNSET


class ServerAnswer(Wire, kw_only=True):
    """`{"server": …}`."""

    server: Server


class ServersAnswer(Wire, kw_only=True):
    """A page of servers in full."""

    servers: list[Server]
    servers_links: list[Link] | UnsetType = UNSET


class ServerBrief(Wire, kw_only=True):
    """A server in a short list."""

    id: str
    name: str
    links: list[Link]


class BriefAnswer(Wire, kw_only=True):
    """A page of a short list."""

    servers: list[ServerBrief]
    servers_links: list[Link] | UnsetType = UNSET


class ServerChange(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What can be changed of a server."""

    name: Name | UnsetType = UNSET
    access_ipv4: str | None | UnsetType = field(name="accessIPv4", default=UNSET)
    access_ipv6: str | None | UnsetType = field(name="accessIPv6", default=UNSET)
    disk_config: str | UnsetType = field(name="OS-DCF:diskConfig", default=UNSET)
    description: Annotated[str | None, since("2.19")] | UnsetType = UNSET
    hostname: Annotated[str, since("2.90")] | UnsetType = UNSET
    pinned_zone: Annotated[str | None, since("2.104")] | UnsetType = field(name="pinned_availability_zone", default=UNSET)


class UpdateServer(Body, kw_only=True):
    """`PUT /servers/{id}`."""

    server: ServerChange


class Reboot(Body, kw_only=True):
    """The reboot action."""

    type: str


class Lock(Body, kw_only=True):
    """The lock action's reason."""

    locked_reason: Annotated[str, msgspec.Meta(min_length=1, max_length=255), since("2.73")] | UnsetType = UNSET


class ConsoleOutput(Body, kw_only=True):
    """The os-getConsoleOutput action."""

    length: int | None | UnsetType = UNSET


class ResetState(Body, kw_only=True):
    """The os-resetState action."""

    state: str


class Resize(Body, kw_only=True):
    """The resize action."""

    flavor: Annotated[str, msgspec.Meta(min_length=1)] = field(name="flavorRef")
    disk_config: str | UnsetType = field(name="OS-DCF:diskConfig", default=UNSET)


class Rebuild(Body, kw_only=True):
    """The rebuild action. What is not given stays as it is; null takes it away."""

    image: str = field(name="imageRef")
    name: Name | UnsetType = UNSET
    admin_pass: str | UnsetType = field(name="adminPass", default=UNSET)
    metadata: Metadata | UnsetType = UNSET
    personality: Annotated[list[PersonalityFile], until("2.56")] | UnsetType = UNSET
    preserve_ephemeral: bool | UnsetType = UNSET
    disk_config: str | UnsetType = field(name="OS-DCF:diskConfig", default=UNSET)
    access_ipv4: str | UnsetType = field(name="accessIPv4", default=UNSET)
    access_ipv6: str | UnsetType = field(name="accessIPv6", default=UNSET)
    description: Annotated[str | None, since("2.19")] | UnsetType = UNSET
    key_name: Annotated[str | None, since("2.54")] | UnsetType = UNSET
    user_data: Annotated[str | None, since("2.57")] | UnsetType = UNSET
    trusted: Annotated[list[str] | None, since("2.63")] | UnsetType = field(name="trusted_image_certificates", default=UNSET)
    hostname: Annotated[str, since("2.90")] | UnsetType = UNSET


class Rescue(Body, kw_only=True):
    """The rescue action."""

    admin_pass: str | UnsetType = field(name="adminPass", default=UNSET)
    image: str | UnsetType = field(name="rescue_image_ref", default=UNSET)


class CreateImage(Body, kw_only=True):
    """The createImage action."""

    name: Name
    metadata: Metadata | UnsetType = UNSET


class CreateBackup(Body, kw_only=True):
    """The createBackup action."""

    name: Name
    backup_type: Annotated[str, msgspec.Meta(max_length=255)]
    rotation: Annotated[int, msgspec.Meta(ge=0)]
    metadata: Metadata | UnsetType = UNSET


class Migrate(Body, kw_only=True):
    """The migrate action: where to."""

    host: Annotated[str | None, since("2.56")] | UnsetType = UNSET


class MigrateLive(Body, kw_only=True):
    """The os-migrateLive action. Disks are always sent, whatever `block_migration` says: no two hosts share any."""

    host: Annotated[str, msgspec.Meta(min_length=1, max_length=255)] | None
    block_migration: bool | str
    disk_over_commit: Annotated[bool | str, until("2.24")] | UnsetType = UNSET
    force: Annotated[bool | str, between("2.30", "2.67")] | UnsetType = UNSET


class Evacuate(Body, kw_only=True):
    """The evacuate action."""

    host: Annotated[str, msgspec.Meta(min_length=1, max_length=255)] | None | UnsetType = UNSET
    admin_pass: str | UnsetType = field(name="adminPass", default=UNSET)
    shared: Annotated[bool, until("2.13")] | UnsetType = field(name="onSharedStorage", default=UNSET)
    force: Annotated[bool, between("2.29", "2.67")] | UnsetType = UNSET


class Unshelve(Body, kw_only=True):
    """The unshelve action: where to."""

    availability_zone: Annotated[str | None, since("2.77")] | UnsetType = UNSET
    host: Annotated[str, since("2.91")] | UnsetType = UNSET
