"""Requests of trunks. Source: Networking API v2.0, trunk networking."""

from msgspec import UNSET, UnsetType

from andromede.http.wire import Body
from andromede.services.network.wire import Flag, Id, Maybe, Named


class SubPort(Body):
    """A port in a VLAN of the trunk."""

    port_id: Id
    segmentation_type: Maybe = UNSET
    segmentation_id: int | str | UnsetType | None = UNSET


class TrunkChange(Named):
    """What may be changed of a trunk."""

    admin_state_up: Flag = UNSET


class NewTrunk(TrunkChange, kw_only=True):
    """A trunk."""

    port_id: Id
    sub_ports: list[SubPort] | UnsetType | None = UNSET
    project_id: Maybe = UNSET
    tenant_id: Maybe = UNSET


class CreateTrunk(Body):
    """One trunk, or several."""

    trunk: NewTrunk | UnsetType = UNSET
    trunks: list[NewTrunk] | UnsetType = UNSET


class UpdateTrunk(Body):
    """A change."""

    trunk: TrunkChange


class SubPorts(Body):
    """Ports to be added or removed."""

    sub_ports: list[SubPort]
