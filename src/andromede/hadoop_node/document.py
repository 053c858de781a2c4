"""What a cluster's document says, as values. Absent parts are empty, unknown ones are left alone."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MASTERS = ("namenode", "resourcemanager", "historyserver", "secondarynamenode")


@dataclass(frozen=True)
class Node:
    """This node."""

    name: str = ""
    address: str = ""
    processes: tuple[str, ...] = ()
    vcpus: int = 1
    memory_mb: int = 1024
    disks: tuple[str, ...] = ()
    """Folders for data, or block devices, which are formatted where they are empty."""


@dataclass(frozen=True)
class S3:
    """The object storage that the cluster may use."""

    endpoint: str = ""
    region: str = ""
    access_key: str = ""
    secret_key: str = field(default="", repr=False)


@dataclass(frozen=True)
class Job:
    """A job to run, on the ResourceManager's node."""

    id: str
    type: str
    main: str = ""
    libs: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    configs: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    input: str = ""
    output: str = ""
    main_class: str = ""
    mapper: str = ""
    reducer: str = ""
    cancel: bool = False


@dataclass(frozen=True)
class Document:
    """Everything that a node is told."""

    generation: int
    cluster_id: str
    cluster_name: str
    identity: str
    node: Node
    roles: Mapping[str, tuple[str, ...]]
    hosts: Mapping[str, str]
    leaving: tuple[str, ...]
    config: Mapping[str, Mapping[str, str]]
    s3: S3
    secret: str = field(repr=False)
    logs: str = ""
    jobs: tuple[Job, ...] = ()
    stop: bool = False

    def first(self, role: str) -> str:
        """The address of the (first) node with this role; empty where there is none."""
        return next(iter(self.roles.get(role, ())), "")


def parse(raw: Mapping[str, Any]) -> Document:
    """The document of its JSON. Errors: KeyError, TypeError, ValueError where it is none."""
    cluster, node, s3 = raw["cluster"], raw["node"], raw.get("s3") or {}
    return Document(
        generation=int(raw["generation"]),
        cluster_id=str(cluster["id"]),
        cluster_name=str(cluster.get("name", "")),
        identity=str(cluster["identity"]),
        node=Node(
            name=str(node["name"]),
            address=str(node["address"]),
            processes=tuple(node.get("processes") or ()),
            vcpus=int(node.get("vcpus") or 1),
            memory_mb=int(node.get("memory_mb") or 1024),
            disks=tuple(node.get("disks") or ()),
        ),
        roles={name: tuple(addresses or ()) for name, addresses in (raw.get("roles") or {}).items()},
        hosts=dict(raw.get("hosts") or {}),
        leaving=tuple(sorted(raw.get("leaving") or ())),
        config={site: {key: text(value) for key, value in (values or {}).items()} for site, values in (raw.get("config") or {}).items()},
        s3=S3(*(str(s3.get(name) or "") for name in ("endpoint", "region", "access_key", "secret_key"))),
        secret=str(raw.get("secret") or ""),
        logs=str(raw.get("logs") or ""),
        jobs=tuple(job(one) for one in raw.get("jobs") or ()),
        stop=bool(raw.get("stop")),
    )


def text(value: Any) -> str:
    """A setting as Hadoop reads it."""
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def job(raw: Mapping[str, Any]) -> Job:
    """A job of its JSON."""
    return Job(
        id=str(raw["id"]),
        type=str(raw["type"]),
        libs=tuple(raw.get("libs") or ()),
        args=tuple(str(word) for word in raw.get("args") or ()),
        configs={key: text(value) for key, value in (raw.get("configs") or {}).items()},
        params={key: text(value) for key, value in (raw.get("params") or {}).items()},
        cancel=bool(raw.get("cancel")),
        **{name: str(raw.get(name) or "") for name in ("main", "input", "output", "main_class", "mapper", "reducer")},
    )
