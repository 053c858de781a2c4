"""What a request may hold, field by field. Source: Data Processing API v1.1 and v2."""

import re
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from andromede.core.ids import is_id
from andromede.http.wire import Body
from andromede.services.hadoop.api import wrong

Count = Annotated[int, msgspec.Meta(ge=0, le=10000)]
Text = Annotated[str, msgspec.Meta(max_length=255)]
Long = Annotated[str, msgspec.Meta(max_length=65535)]
Configs = dict[str, dict[str, Any]]
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")
_HOST = re.compile(r"(([a-zA-Z]|[a-zA-Z][a-zA-Z0-9-]*[a-zA-Z0-9])\.)*([A-Za-z]|[A-Za-z][A-Za-z0-9-]*[A-Za-z0-9])")


def name_of(value: str, *, host: bool = False) -> str:
    """A name. host: one that names of hosts are made of. Raises BadRequest."""
    pattern, what = (_HOST, "valid_name_hostname") if host else (_NAME, "valid_name")
    if not 1 <= len(value) <= (50 if host else 80) or not pattern.fullmatch(value):
        raise wrong(f"name: '{value[:80]}' is not a '{what}'", "VALIDATION_ERROR")
    return value


def id_of(field: str, value: Any) -> str:
    """An id in a body. Raises BadRequest."""
    if not isinstance(value, str) or not is_id(value):
        raise wrong(f"{field}: '{str(value)[:80]}' is not a 'uuid'", "VALIDATION_ERROR")
    return value


class Common(Body, kw_only=True):
    """What everything that people keep has."""

    name: str | UnsetType = UNSET
    description: Long | None | UnsetType = UNSET
    is_public: bool | None | UnsetType = UNSET
    is_protected: bool | None | UnsetType = UNSET


class Group(Common, kw_only=True):
    """A group of nodes, in a template or in a cluster. All of it is optional: it may come from a template."""

    plugin_name: Text | UnsetType = UNSET
    hadoop_version: Text | UnsetType = UNSET
    plugin_version: Text | UnsetType = UNSET
    flavor_id: str | int | None | UnsetType = UNSET
    node_processes: list[str] | UnsetType = UNSET
    node_configs: Configs | None | UnsetType = UNSET
    image_id: str | None | UnsetType = UNSET
    volumes_per_node: Annotated[int, msgspec.Meta(ge=0, le=16)] | UnsetType = UNSET
    volumes_size: Annotated[int, msgspec.Meta(ge=0, le=1 << 20)] | None | UnsetType = UNSET
    volume_type: Text | None | UnsetType = UNSET
    volumes_availability_zone: Text | None | UnsetType = UNSET
    volume_mount_prefix: Text | None | UnsetType = UNSET
    volume_local_to_instance: bool | None | UnsetType = UNSET
    floating_ip_pool: Text | None | UnsetType = UNSET
    security_groups: list[str] | None | UnsetType = UNSET
    auto_security_group: bool | None | UnsetType = UNSET
    availability_zone: Text | None | UnsetType = UNSET
    is_proxy_gateway: bool | None | UnsetType = UNSET
    use_autoconfig: bool | None | UnsetType = UNSET
    shares: list[Any] | None | UnsetType = UNSET
    boot_from_volume: bool | UnsetType = UNSET
    boot_volume_type: Text | None | UnsetType = UNSET
    boot_volume_availability_zone: Text | None | UnsetType = UNSET
    boot_volume_local_to_instance: bool | None | UnsetType = UNSET


class GroupInCluster(Group, kw_only=True):
    """A group of a cluster or of its template."""

    count: Count | UnsetType = UNSET
    node_group_template_id: str | None | UnsetType = UNSET
    id: str | UnsetType = UNSET
    created_at: str | None | UnsetType = UNSET
    updated_at: str | None | UnsetType = UNSET


class ClusterTemplate(Common, kw_only=True):
    """A template of clusters."""

    plugin_name: Text | UnsetType = UNSET
    hadoop_version: Text | UnsetType = UNSET
    plugin_version: Text | UnsetType = UNSET
    default_image_id: str | None | UnsetType = UNSET
    cluster_configs: Configs | None | UnsetType = UNSET
    node_groups: list[GroupInCluster] | None | UnsetType = UNSET
    anti_affinity: list[str] | None | UnsetType = UNSET
    neutron_management_network: str | None | UnsetType = UNSET
    net_id: str | None | UnsetType = UNSET
    shares: list[Any] | None | UnsetType = UNSET
    use_autoconfig: bool | None | UnsetType = UNSET
    domain_name: str | None | UnsetType = UNSET


class NewCluster(ClusterTemplate, kw_only=True):
    """A cluster to be made; several of them where `count` says so."""

    cluster_template_id: str | None | UnsetType = UNSET
    user_keypair_id: Text | None | UnsetType = UNSET
    is_transient: bool | UnsetType = UNSET
    count: Annotated[int, msgspec.Meta(ge=1, le=20)] | UnsetType = UNSET


class Resized(Body, kw_only=True):
    """How many nodes a group shall have; instances: which of them are to go."""

    name: str
    count: Count
    instances: list[str] | UnsetType = UNSET


class Scale(Body, kw_only=True):
    """`PUT /clusters/{id}`."""

    resize_node_groups: list[Resized] | UnsetType = UNSET
    add_node_groups: list[GroupInCluster] | UnsetType = UNSET


class Verification(Body, kw_only=True):
    """What is to be verified."""

    status: Literal["START"]


class ClusterChange(Common, kw_only=True):
    """`PATCH /clusters/{id}`."""

    verification: Verification | UnsetType = UNSET
    shares: list[Any] | None | UnsetType = UNSET
    update_keypair: bool | None | UnsetType = UNSET


class Forced(Body, kw_only=True):
    """The body of v2's delete."""

    force: bool | UnsetType = UNSET


class DataSource(Common, kw_only=True):
    """Where data is."""

    type: str | UnsetType = UNSET
    url: Text | UnsetType = UNSET
    credentials: dict[str, Any] | None | UnsetType = UNSET


class Binary(Common, kw_only=True):
    """Where a program is."""

    url: Text | UnsetType = UNSET
    extra: dict[str, Any] | None | UnsetType = UNSET


class JobTemplate(Common, kw_only=True):
    """A job to be run with what is given then."""

    type: str | UnsetType = UNSET
    mains: list[str] | UnsetType = UNSET
    libs: list[str] | UnsetType = UNSET
    streaming: bool | UnsetType = UNSET
    interface: list[dict[str, Any]] | UnsetType = UNSET


class JobConfigs(Body, kw_only=True):
    """What one run of a job is given."""

    configs: dict[str, Any] | UnsetType = UNSET
    args: list[Any] | UnsetType = UNSET
    params: dict[str, Any] | UnsetType = UNSET
    job_execution_info: dict[str, Any] | UnsetType = UNSET


class Run(Body, kw_only=True):
    """A job to be run."""

    cluster_id: str
    job_template_id: str | UnsetType = UNSET
    input_id: str | None | UnsetType = UNSET
    output_id: str | None | UnsetType = UNSET
    job_configs: JobConfigs | None | UnsetType = UNSET
    interface: dict[str, Any] | UnsetType = UNSET
    is_public: bool | None | UnsetType = UNSET
    is_protected: bool | None | UnsetType = UNSET


class RunInfo(Body, kw_only=True):
    """What is to become of a run."""

    status: Literal["cancel", "suspend"]


class RunChange(Body, kw_only=True):
    """A change of a run."""

    is_public: bool | None | UnsetType = UNSET
    is_protected: bool | None | UnsetType = UNSET
    info: RunInfo | UnsetType = UNSET


class Registered(Body, kw_only=True):
    """How an image is registered."""

    username: Text
    description: Long | None | UnsetType = UNSET


class Tags(Body, kw_only=True):
    """Tags of an image."""

    tags: list[Annotated[str, msgspec.Meta(min_length=1, max_length=200)]]
