"""The JSON schemas that clients read to know what an image, a member and a task look like."""

from typing import Any

from andromede.services.image.inspect import FORMATS
from andromede.services.image.wire import CONTAINERS, VISIBILITIES

_UUID = r"^([0-9a-fA-F]){8}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){12}$"


def _of(kind: Any, text: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, "description": text, **more}


def _read(kind: Any, text: str, **more: Any) -> dict[str, Any]:
    return _of(kind, text, readOnly=True, **more)


_TEXT, _NUMBER = ["null", "string"], ["null", "integer"]
_IMAGE: dict[str, Any] = {
    "id": _of("string", "An identifier for the image", pattern=_UUID),
    "name": _of(_TEXT, "Descriptive name for the image", maxLength=255),
    "status": _read("string", "Status of the image", enum=["queued", "saving", "uploading", "importing", "active", "deactivated"]),
    "visibility": _of("string", "Scope of image accessibility", enum=list(VISIBILITIES)),
    "protected": _of("boolean", "If true, image will not be deletable."),
    "os_hidden": _of("boolean", "If true, image will not appear in default image list response."),
    "checksum": _read(_TEXT, "md5 hash of image contents.", maxLength=32),
    "os_hash_algo": _read(_TEXT, "Algorithm to calculate the os_hash_value", maxLength=64),
    "os_hash_value": _read(_TEXT, "Hexdigest of the image contents using the algorithm specified by the os_hash_algo", maxLength=128),
    "owner": _of(_TEXT, "Owner of the image", maxLength=255),
    "size": _read(_NUMBER, "Size of image file in bytes"),
    "virtual_size": _read(_NUMBER, "Virtual size of image in bytes"),
    "container_format": _of(_TEXT, "Format of the container", enum=[None, *CONTAINERS]),
    "disk_format": _of(_TEXT, "Format of the disk", enum=[None, *FORMATS]),
    "created_at": _read("string", "Date and time of image registration"),
    "updated_at": _read("string", "Date and time of the last image modification"),
    "tags": _of("array", "List of strings related to the image", items={"type": "string", "maxLength": 255}),
    "min_ram": _of("integer", "Amount of ram (in MB) required to boot image."),
    "min_disk": _of("integer", "Amount of disk space (in GB) required to boot image."),
    "kernel_id": _of(_TEXT, "ID of the image to be used as the kernel when booting an AMI-style image.", pattern=_UUID, is_base=False),
    "ramdisk_id": _of(_TEXT, "ID of the image to be used as the ramdisk when booting an AMI-style image.", pattern=_UUID, is_base=False),
    "instance_uuid": _of("string", "Metadata which can be used to record which instance this image is associated with.", is_base=False),
    "architecture": _of("string", "Operating system architecture as in the common image properties.", is_base=False),
    "os_distro": _of("string", "Common name of operating system distribution.", is_base=False),
    "os_version": _of("string", "Operating system version as specified by the distributor.", is_base=False),
    "stores": _read("string", "Store in which image data resides"),
    "self": _read("string", "An image self url"),
    "file": _read("string", "An image file url"),
    "schema": _read("string", "An image schema url"),
}  # fmt: skip
_MEMBER: dict[str, Any] = {
    "member_id": _of("string", "An identifier for the image member (tenantId)"),
    "image_id": _of("string", "An identifier for the image", pattern=_UUID),
    "created_at": _of("string", "Date and time of image member creation"),
    "updated_at": _of("string", "Date and time of last modification of image member"),
    "status": _of("string", "The status of this image member", enum=["pending", "accepted", "rejected"]),
    "schema": _read("string", "A member schema url"),
}
_TASK: dict[str, Any] = {
    "id": _of("string", "An identifier for the task", pattern=_UUID),
    "type": _of("string", "The type of task represented by this content", enum=["import", "api_image_import"]),
    "status": _of("string", "The current status of this task", enum=["pending", "processing", "success", "failure"]),
    "input": _of(["null", "object"], "The parameters required by task, JSON blob"),
    "result": _of(["null", "object"], "The result of current task, JSON blob"),
    "owner": _of("string", "An identifier for the owner of this task"),
    "message": _of("string", "Human-readable informative message only included when appropriate (usually on failure)"),
    "image_id": _of(_TEXT, "Image associated with the task"),
    "request_id": _of(_TEXT, "Human-readable informative request-id"),
    "user_id": _of(_TEXT, "User associated with the task"),
    "expires_at": _of(_TEXT, "Datetime when this resource would be subject to removal"),
    "created_at": _of("string", "Datetime when this resource was created"),
    "updated_at": _of("string", "Datetime when this resource was updated"),
    "self": _read("string", "A task self url"),
    "schema": _read("string", "A task schema url"),
}


def _one(name: str, properties: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": name, "properties": properties, **more}


def _many(name: str, item: dict[str, Any]) -> dict[str, Any]:
    properties = {
        name: {"type": "array", "items": item},
        "first": {"type": "string"},
        "next": {"type": "string"},
        "schema": {"type": "string"},
    }
    links = [{"rel": rel, "href": f"{{{rel}}}"} for rel in ("first", "next")]
    return {"name": name, "properties": properties, "links": [*links, {"rel": "describedby", "href": "{schema}"}]}


_LINKS = [{"rel": "self", "href": "{self}"}, {"rel": "enclosure", "href": "{file}"}, {"rel": "describedby", "href": "{schema}"}]
_SCHEMA = _one("image", _IMAGE, additionalProperties={"type": "string"}, links=_LINKS)
ALL: dict[str, dict[str, Any]] = {
    "image": _SCHEMA,
    "images": _many("images", _SCHEMA),
    "member": _one("member", _MEMBER),
    "members": _many("members", _one("member", _MEMBER)),
    "task": _one("task", _TASK),
    "tasks": _many("tasks", _one("task", _TASK)),
}
"""By name, as `GET /schemas/{name}` answers them."""
