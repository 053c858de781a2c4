"""Images on the wire. Source: Image API v2.

An image's own properties stand beside the fixed ones at the top level, so an image is a dict and not a struct.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from andromede.core.clock import iso_z
from andromede.core.errors import BadRequest, Forbidden, TooLarge
from andromede.http import wire
from andromede.http.wire import Body, Text255, Wire
from andromede.services.image.inspect import FORMATS

CONTAINERS = ("ami", "ari", "aki", "bare", "ovf", "ova", "docker", "compressed")
VISIBILITIES = ("public", "community", "shared", "private")
TAGS = PROPERTIES = MEMBERS = 128
_UUID = r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"
_Uuid = Annotated[str, msgspec.Meta(pattern=_UUID)]
_Count = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
_Value = Annotated[str, msgspec.Meta(max_length=65535)]
READ_ONLY = frozenset(
    {
        "status", "created_at", "updated_at", "checksum", "os_hash_algo", "os_hash_value", "size", "virtual_size", "self", "file",
        "schema", "stores", "direct_url", "locations",
    }
)  # fmt: skip
RESERVED = frozenset({"members", "is_public", "deleted", "deleted_at", "blob", "staged", "writer"})
BASE = (
    "name", "visibility", "protected", "os_hidden", "min_disk", "min_ram", "disk_format", "container_format", "owner", "tags",
)  # fmt: skip


class Fields(msgspec.Struct, kw_only=True):
    """What a caller may set of an image, apart from properties of its own."""

    id: _Uuid | UnsetType = UNSET
    name: Text255 | UnsetType | None = UNSET
    visibility: Literal["public", "community", "shared", "private"] | UnsetType = UNSET
    protected: bool | UnsetType = UNSET
    os_hidden: bool | UnsetType = UNSET
    min_disk: _Count | UnsetType = UNSET
    min_ram: _Count | UnsetType = UNSET
    disk_format: str | UnsetType | None = UNSET
    container_format: str | UnsetType | None = UNSET
    owner: Text255 | UnsetType | None = UNSET
    tags: list[Text255] | UnsetType = UNSET
    kernel_id: _Uuid | UnsetType | None = UNSET
    ramdisk_id: _Uuid | UnsetType | None = UNSET


class Method(msgspec.Struct, kw_only=True):
    """How an import gets its data."""

    name: str
    uri: str | None = None


class ImportRequest(msgspec.Struct, kw_only=True):
    """`POST /images/{id}/import`."""

    method: Method
    stores: list[str] | None = None
    all_stores: bool | None = None
    all_stores_must_succeed: bool | None = None

    def plain(self) -> dict[str, Any]:
        """What was given, as it was given."""
        out: dict[str, Any] = {"method": {"name": self.method.name}}
        if self.method.uri is not None:
            out["method"]["uri"] = self.method.uri
        more = {"stores": self.stores, "all_stores": self.all_stores, "all_stores_must_succeed": self.all_stores_must_succeed}
        return out | {name: value for name, value in more.items() if value is not None}


class NewMember(Body, kw_only=True):
    """`POST /images/{id}/members`."""

    member: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]


class MemberStatus(Body, kw_only=True):
    """`PUT /images/{id}/members/{id}`."""

    status: Literal["pending", "accepted", "rejected"]


class Member(Wire, kw_only=True):
    """A project that an image is shared with."""

    image_id: str
    member_id: str
    status: str
    created_at: str
    updated_at: str
    schema: str = "/v2/schemas/member"


class NewTask(msgspec.Struct, kw_only=True):
    """`POST /tasks`."""

    type: str
    input: dict[str, Any]


def parse(given: dict[str, Any]) -> tuple[Fields, dict[str, str]]:
    """What was given, as fixed fields and properties. Raises BadRequest, Forbidden for what nobody may set, TooLarge for too many."""
    known = {field.name for field in msgspec.structs.fields(Fields)}
    for name in given:
        if name in READ_ONLY:
            raise Forbidden(f"Attribute '{name}' is read-only.")
        if name in RESERVED or name.startswith("os_glance_"):
            raise Forbidden(f"Attribute '{name}' is reserved.")
    fields = wire.decode(Fields, {name: value for name, value in given.items() if name in known})
    for field, value, allowed in (("disk_format", fields.disk_format, FORMATS), ("container_format", fields.container_format, CONTAINERS)):
        if value is not UNSET and value is not None and value not in allowed:
            raise BadRequest(f"Invalid value '{value}' for parameter '{field}': it must be one of {', '.join(allowed)}.")
    own = {name: value for name, value in given.items() if name not in known}
    own |= {name: value for name in ("kernel_id", "ramdisk_id") if isinstance(value := getattr(fields, name), str)}
    for name, value in own.items():
        _check_property(name, value)
    if len(own) > PROPERTIES:
        raise TooLarge(f"An image can have {PROPERTIES} properties at most.")
    if fields.tags is not UNSET:
        check_tags(fields.tags)
    return fields, own


def check_tags(tags: list[str]) -> None:
    """Raise BadRequest for a tag that is none, TooLarge for too many."""
    if any(len(tag) > 255 for tag in tags):
        raise BadRequest("A tag can have 255 characters at most.")
    if len(set(tags)) > TAGS:
        raise TooLarge(f"An image can have {TAGS} tags at most.")


def _check_property(name: str, value: Any) -> None:
    if not 0 < len(name) <= 255:
        raise BadRequest("The name of a property can have 255 characters at most.")
    try:
        msgspec.convert(value, type=_Value)
    except msgspec.ValidationError as error:
        raise BadRequest(f"The property '{name}' must be a text of at most 65535 characters: {error}") from error


def show(row: Any, properties: dict[str, str], tags: list[str]) -> dict[str, Any]:
    """An image in full."""
    id_ = row["id"]
    out: dict[str, Any] = dict(properties)
    out |= {
        name: row[name]
        for name in (
            "name", "disk_format", "container_format", "visibility", "size", "virtual_size", "status", "checksum", "protected", "min_ram",
            "min_disk", "owner", "os_hidden", "os_hash_value", "id",
        )
    }  # fmt: skip
    out["os_hash_algo"] = "sha512" if row["os_hash_value"] else None
    out["created_at"], out["updated_at"] = iso_z(row["created_at"]), iso_z(row["updated_at"])
    if row["blob"]:
        out["stores"] = "file"
    if row["importing"] is not None:
        out["os_glance_importing_to_stores"], out["os_glance_failed_import"] = row["importing"], row["failed_import"] or ""
    out |= {"tags": tags, "self": f"/v2/images/{id_}", "file": f"/v2/images/{id_}/file", "schema": "/v2/schemas/image"}
    return out


def show_member(row: Any) -> Member:
    """A member in full."""
    return Member(
        image_id=row["image_id"], member_id=row["member_id"], status=row["status"], created_at=iso_z(row["created_at"]),
        updated_at=iso_z(row["updated_at"]),
    )  # fmt: skip


def show_task(row: Any, *, brief: bool = False) -> dict[str, Any]:
    """A task; in lists without what it was given and what it said."""
    out = {
        "id": row["id"], "type": row["type"], "status": row["status"], "owner": row["owner"], "created_at": iso_z(row["created_at"]),
        "updated_at": iso_z(row["updated_at"]), "self": f"/v2/tasks/{row['id']}", "schema": "/v2/schemas/task",
        "expires_at": iso_z(row["expires_at"]) if row["expires_at"] else None,
    }  # fmt: skip
    if not brief:
        out |= {
            "input": row["input"], "result": row["result"], "message": row["message"], "image_id": row["image_id"],
            "request_id": row["request_id"], "user_id": row["user_id"],
        }  # fmt: skip
    return out
