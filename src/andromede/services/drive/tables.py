"""The drive's rows: spaces, the nodes of their trees, what is kept of content, and what hangs on nodes.

Sizes are bytes, times of files whole seconds since 1970 as their owners' clocks have them. A node's `etag` and `changed` are new
with each change of it or of anything below it, in the transaction of that change.
"""

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, LargeBinary, String, Table, Text, UniqueConstraint

from andromede.db.base import Moment, metadata

_ID = String(64)

space = Table(
    "drive_space",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("kind", String(16), nullable=False),  # home, project
    Column("owner_id", _ID, nullable=False),
    Column("quota", BigInteger),  # None: what the settings say
    Column("root_id", Integer, nullable=False),
    Column("trash_id", Integer, nullable=False),
    Column("kept", BigInteger, nullable=False, default=0),  # bytes of earlier versions
    Column("created", Moment, nullable=False),
    UniqueConstraint("kind", "owner_id"),
)

body = Table(
    "drive_body",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("space_id", String(36), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("extents", LargeBinary, nullable=False),  # of each chunk 32 bytes BLAKE3 and 4 bytes length
    Index("ix_drive_body_space", "space_id"),
    sqlite_autoincrement=True,
)

node = Table(
    "drive_node",
    metadata,
    Column("id", Integer, primary_key=True),  # the fileid, never used again
    Column("space_id", String(36), nullable=False),
    Column("parent_id", Integer, ForeignKey("drive_node.id")),
    Column("name", Text, nullable=False),  # NFC
    Column("folder", Boolean, nullable=False),
    Column("size", BigInteger, nullable=False),  # of a folder: of all below
    Column("etag", String(32), nullable=False),
    Column("mtime", BigInteger, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("mime", String(255), nullable=False, default=""),
    Column("checksums", Text, nullable=False, default=""),
    Column("body_id", Integer, ForeignKey("drive_body.id")),
    Column("changed", BigInteger, nullable=False),  # number of the space's change that touched it last
    Column("placed", BigInteger, nullable=False),  # number of the change that brought it where it is
    UniqueConstraint("parent_id", "name"),
    Index("ix_drive_node_body", "body_id"),
    Index("ix_drive_node_changed", "parent_id", "changed"),
    sqlite_autoincrement=True,
)

gone = Table(
    "drive_gone",
    metadata,
    Column("parent_id", Integer, ForeignKey("drive_node.id", ondelete="CASCADE"), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("changed", BigInteger, nullable=False),
)

trashed = Table(
    "drive_trashed",
    metadata,
    Column("node_id", Integer, ForeignKey("drive_node.id", ondelete="CASCADE"), primary_key=True),
    Column("path", Text, nullable=False),  # where it was, from the root
    Column("deleted", BigInteger, nullable=False),
    Column("deleted_by", _ID, nullable=False),
)

version = Table(
    "drive_version",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("node_id", Integer, ForeignKey("drive_node.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("body_id", Integer, ForeignKey("drive_body.id"), nullable=False, index=True),
    Column("size", BigInteger, nullable=False),
    Column("mtime", BigInteger, nullable=False),
    Column("etag", String(32), nullable=False),
    Column("mime", String(255), nullable=False),
    Column("checksums", Text, nullable=False),
    Column("label", Text, nullable=False, default=""),
    Column("author", _ID, nullable=False),
    sqlite_autoincrement=True,
)

prop = Table(
    "drive_prop",
    metadata,
    Column("node_id", Integer, ForeignKey("drive_node.id", ondelete="CASCADE"), primary_key=True),
    Column("name", String(512), primary_key=True),  # {namespace}local
    Column("value", Text, nullable=False),  # the property's element, as XML
)

mark = Table(
    "drive_mark",
    metadata,
    Column("user_id", _ID, primary_key=True),
    Column("node_id", Integer, ForeignKey("drive_node.id", ondelete="CASCADE"), primary_key=True, index=True),
    Column("kind", String(16), primary_key=True),  # favourite
)

lock = Table(
    "drive_lock",
    metadata,
    Column("token", String(64), primary_key=True),
    Column("node_id", Integer, ForeignKey("drive_node.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("user_id", _ID, nullable=False),
    Column("owner", Text, nullable=False),  # the element that the client sent, as XML
    Column("infinite", Boolean, nullable=False),
    Column("shared", Boolean, nullable=False),
    Column("seconds", Integer, nullable=False),
    Column("expires", BigInteger, nullable=False),
    Column("created", BigInteger, nullable=False),
)

upload = Table(
    "drive_upload",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("space_id", String(36), nullable=False),
    Column("name", String(255), nullable=False),
    Column("target", Text, nullable=False),  # the path that it is for, where that was told
    Column("size", BigInteger, nullable=False),  # of its parts so far
    Column("created", BigInteger, nullable=False),
    UniqueConstraint("space_id", "name"),
    sqlite_autoincrement=True,
)

part = Table(
    "drive_upload_part",
    metadata,
    Column("upload_id", Integer, ForeignKey("drive_upload.id", ondelete="CASCADE"), primary_key=True),
    Column("name", String(64), primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("etag", String(32), nullable=False),
    Column("mtime", BigInteger, nullable=False),
    Column("extents", LargeBinary, nullable=False),
)
