"""Image's rows. An image is there while its row is; its bytes are the file that `blob` names in the store."""

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, String, Table, Text

from andromede.db.base import Json, Moment, metadata

_ID, _PROJECT = String(36), String(255)


def _of_image() -> Column[str]:
    return Column("image_id", _ID, ForeignKey("image_image.id", ondelete="CASCADE"), primary_key=True)


image = Table(
    "image_image",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("owner", _PROJECT),
    Column("name", String(255)),
    Column("status", String(16), nullable=False),  # queued, saving, uploading, importing, active, deactivated
    Column("visibility", String(16), nullable=False),  # public, community, shared, private
    Column("disk_format", String(16)),
    Column("container_format", String(16)),
    Column("size", BigInteger),
    Column("virtual_size", BigInteger),
    Column("checksum", String(32)),  # MD5
    Column("os_hash_value", String(128)),  # SHA-512
    Column("min_disk", Integer, nullable=False, default=0),  # GiB
    Column("min_ram", Integer, nullable=False, default=0),  # MiB
    Column("protected", Boolean, nullable=False, default=False),
    Column("os_hidden", Boolean, nullable=False, default=False),
    Column("blob", _ID),  # the file in the store: `<id>.<blob>`
    Column("staged", _ID),  # the file in the staging area, likewise
    Column("staged_size", BigInteger),
    Column("writer", _ID),  # the upload or import that holds the image now …
    Column("beat", Moment),  # … and when it was last heard of
    Column("importing", String(255)),  # what the last import says of stores: underway …
    Column("failed_import", String(255)),  # … and failed; NULL before the first import
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Index("ix_image_image_owner", "owner", "created_at", "id"),
    Index("ix_image_image_visibility", "visibility", "created_at", "id"),
)

image_property = Table(
    "image_property",
    metadata,
    _of_image(),
    Column("name", String(255), primary_key=True, index=True),
    Column("value", Text, nullable=False),
)

image_tag = Table(
    "image_tag",
    metadata,
    _of_image(),
    Column("tag", String(255), primary_key=True, index=True),
)

image_member = Table(
    "image_member",
    metadata,
    _of_image(),
    Column("member_id", _PROJECT, primary_key=True, index=True),
    Column("status", String(16), nullable=False),  # pending, accepted, rejected
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
)

task = Table(
    "image_task",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("type", String(32), nullable=False),  # import, api_image_import
    Column("status", String(16), nullable=False),  # pending, processing, success, failure
    Column("owner", _PROJECT, index=True),
    Column("image_id", _ID, index=True),
    Column("user_id", _PROJECT),
    Column("request_id", String(64)),
    Column("input", Json, nullable=False),
    Column("result", Json),
    Column("message", Text, nullable=False, default=""),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("expires_at", Moment),
)

metadef = Table(
    "image_metadef",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("namespace", String(80), nullable=False, unique=True),
    Column("display_name", String(80)),
    Column("description", Text),
    Column("visibility", String(16), nullable=False, default="private"),  # public, private
    Column("protected", Boolean, nullable=False, default=False),
    Column("owner", _PROJECT, nullable=False, index=True),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
)

metadef_item = Table(
    "image_metadef_item",
    metadata,
    Column("namespace_id", _ID, ForeignKey("image_metadef.id", ondelete="CASCADE"), primary_key=True),
    Column("kind", String(16), primary_key=True),  # object, property, tag, resource_type
    Column("name", String(255), primary_key=True),
    Column("body", Json, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
)
