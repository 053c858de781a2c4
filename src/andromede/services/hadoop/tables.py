"""Data Processing's rows.

What people describe (templates, data sources, job binaries) is one table: they differ in their `facts` alone. Of a cluster, requests
write what is wished for (`wanted`, `leaving`, `deleting`, …), the reconciler alone what has come about (`status`, steps, checks).
"""

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, LargeBinary, String, Table, Text, UniqueConstraint

from andromede.db.base import Json, Moment, metadata

_ID, _PROJECT = String(36), String(64)

thing = Table(
    "hadoop_thing",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("kind", String(32), nullable=False),  # node_group_template, cluster_template, data_source, job_binary, job_template
    Column("project_id", _PROJECT, nullable=False),
    Column("name", String(80), nullable=False),
    Column("description", Text),
    Column("is_public", Boolean, nullable=False, default=False),
    Column("is_protected", Boolean, nullable=False, default=False),
    Column("facts", Json, nullable=False),
    Column("secret", Text),  # credentials, sealed
    Column("created", Moment, nullable=False),
    Column("updated", Moment),
    UniqueConstraint("project_id", "kind", "name"),
)

content = Table(
    "hadoop_content",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("project_id", _PROJECT, nullable=False),
    Column("name", String(80), nullable=False),
    Column("is_public", Boolean, nullable=False, default=False),
    Column("is_protected", Boolean, nullable=False, default=False),
    Column("size", Integer, nullable=False),
    Column("data", LargeBinary, nullable=False),
    Column("created", Moment, nullable=False),
    Column("updated", Moment),
    UniqueConstraint("project_id", "name"),
)

cluster = Table(
    "hadoop_cluster",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("project_id", _PROJECT, nullable=False),
    Column("user_id", _PROJECT, nullable=False),
    Column("name", String(80), nullable=False),
    Column("description", Text),
    Column("is_public", Boolean, nullable=False, default=False),
    Column("is_protected", Boolean, nullable=False, default=False),
    Column("is_transient", Boolean, nullable=False, default=False),
    Column("facts", Json, nullable=False),  # what it was asked to be: version, network, image, configs, …
    Column("secret", Text, nullable=False),  # its access key and shared secret, sealed
    Column("identity", String(64), nullable=False),
    Column("generation", Integer, nullable=False, default=1),
    Column("deleting", Boolean, nullable=False, default=False),
    Column("stop_by", Moment),  # until then its daemons may end in order
    Column("status", String(32), nullable=False),
    Column("status_description", Text, nullable=False, default=""),
    Column("information", Json, nullable=False),  # addresses and the like, for people
    Column("verification", Json),
    Column("held", Json, nullable=False),  # ids of what is its alone: security_group, server_group, access, floating
    Column("idle_since", Moment),
    Column("scaled", Moment),  # when it last grew or shrank by itself
    Column("created", Moment, nullable=False),
    Column("updated", Moment),
    UniqueConstraint("project_id", "name"),
)

node_group = Table(
    "hadoop_node_group",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("cluster_id", _ID, ForeignKey("hadoop_cluster.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("name", String(80), nullable=False),
    Column("place", Integer, nullable=False),
    Column("wanted", Integer, nullable=False),
    Column("next", Integer, nullable=False, default=0),  # number of the next node's name
    Column("facts", Json, nullable=False),
    Column("created", Moment, nullable=False),
    Column("updated", Moment),
    UniqueConstraint("cluster_id", "name"),
)

node = Table(
    "hadoop_node",
    metadata,
    Column("server_id", _ID, primary_key=True),
    Column("cluster_id", _ID, ForeignKey("hadoop_cluster.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("group_id", _ID, ForeignKey("hadoop_node_group.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("name", String(255), nullable=False),
    Column("number", Integer, nullable=False),
    Column("address", String(64), nullable=False),
    Column("floating", String(64)),
    Column("floating_id", _ID),
    Column("vcpus", Integer, nullable=False),
    Column("ram", Integer, nullable=False),
    Column("container", Boolean, nullable=False),
    Column("volumes", Json, nullable=False),  # ids of those made for it
    Column("leaving", Moment),  # since when it is being decommissioned
    Column("lost", Boolean, nullable=False, default=False),  # it is gone, and not to be waited for
    Column("ready", Moment),  # when all its daemons ran for the first time
    Column("created", Moment, nullable=False),
)

step = Table(
    "hadoop_step",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("cluster_id", _ID, ForeignKey("hadoop_cluster.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("type", String(64), nullable=False),
    Column("name", String(255), nullable=False),
    Column("place", Integer, nullable=False),
    Column("total", Integer, nullable=False),
    Column("successful", Boolean),
    Column("events", Json, nullable=False),
    Column("created", Moment, nullable=False),
    Column("updated", Moment),
)

job = Table(
    "hadoop_job",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("project_id", _PROJECT, nullable=False),
    Column("cluster_id", _ID),  # NULL once that is gone
    Column("template_id", _ID, nullable=False, index=True),
    Column("is_public", Boolean, nullable=False, default=False),
    Column("is_protected", Boolean, nullable=False, default=False),
    Column("input_id", _ID),
    Column("output_id", _ID),
    Column("configs", Json, nullable=False),  # as it was asked for
    Column("interface", Json),
    Column("sources", Json, nullable=False),  # urls by data source
    Column("secret", Text, nullable=False),  # the order to the cluster, sealed: it may hold credentials
    Column("status", String(32), nullable=False),
    Column("detail", Text, nullable=False, default=""),
    Column("application", String(255)),
    Column("cancel", Boolean, nullable=False, default=False),
    Column("started", Moment),
    Column("ended", Moment),
    Column("created", Moment, nullable=False),
    Column("updated", Moment),
    Index("ix_hadoop_job_cluster", "cluster_id", "ended"),
)
