"""Which volumes may be in a group."""

from typing import Any

from andromede.core.errors import BadRequest


def fits(row: Any, type_id: str | None) -> None:
    """Raise BadRequest where volumes of a type may not be in a group, or the group cannot take any now."""
    if type_id not in row.volume_types:
        raise BadRequest(f"Invalid volume: Cannot add volume to group {row.id}: its volume type is not supported by the group.")
    if row.status != "available":
        raise BadRequest(f"Invalid volume: group {row.id} is {row.status}, so no volume can be put into it.")
