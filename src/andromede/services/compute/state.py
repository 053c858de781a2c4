"""A server's states: what `vm_state` and `task_state` mean on the wire, and in which of them an action is allowed."""

from typing import Any

from andromede.core.errors import Conflict

_BY_VM = {
    "building": "BUILD", "active": "ACTIVE", "stopped": "SHUTOFF", "paused": "PAUSED", "suspended": "SUSPENDED", "rescued": "RESCUE",
    "resized": "VERIFY_RESIZE", "shelved": "SHELVED", "shelved_offloaded": "SHELVED_OFFLOADED", "soft-delete": "SOFT_DELETED",
    "error": "ERROR", "deleted": "DELETED",
}  # fmt: skip
_RESIZING = ("resize_prep", "resize_migrating", "resize_migrated", "resize_finish")
_BY_TASK = {
    "active": {"rebooting": "REBOOT", "rebooting_hard": "HARD_REBOOT", "rebuilding": "REBUILD", "migrating": "MIGRATING"}
    | dict.fromkeys(_RESIZING, "RESIZE"),
    "stopped": {"rebuilding": "REBUILD"} | dict.fromkeys(_RESIZING, "RESIZE"),
    "resized": {"resize_reverting": "REVERT_RESIZE"},
    "error": {"rebuilding": "REBUILD"},
    "paused": {"migrating": "MIGRATING"},
}
_POWER = {"absent": 0, "running": 1, "stopping": 1, "paused": 3, "stopped": 4, "suspended": 4, "crashed": 6}


def _statuses() -> dict[str, list[tuple[str, tuple[str, ...], bool]]]:
    out: dict[str, list[tuple[str, tuple[str, ...], bool]]] = {}
    for vm, shown in _BY_VM.items():
        out.setdefault(shown, []).append((vm, tuple(_BY_TASK.get(vm, {})), False))
    for vm, tasks in _BY_TASK.items():
        for shown in dict.fromkeys(tasks.values()):
            out.setdefault(shown, []).append((vm, tuple(task for task, one in tasks.items() if one == shown), True))
    return out


STATUSES = _statuses()
"""By status: the vm states that show it, each with tasks, and whether one of these must be under way or none may."""


def status(row: Any) -> str:
    """ACTIVE, BUILD, …"""
    return _BY_TASK.get(row["vm_state"], {}).get(row["task_state"]) or _BY_VM[row["vm_state"]]


def power(row: Any) -> int:
    """Nova's numbers: 0 no state, 1 running, 3 paused, 4 shut down, 6 crashed."""
    return _POWER[row["seen_state"]]


def progress(row: Any) -> int:
    """Percent, where the status has one."""
    return 100 if row["vm_state"] == "active" else 0


def require(row: Any, action: str, *allowed: str, idle: bool = True) -> None:
    """Raise Conflict unless the server is in one of these vm states, and (where `idle`) nothing is under way."""
    if row["vm_state"] not in allowed:
        raise Conflict(f"Cannot '{action}' instance {row['id']} while it is in vm_state {row['vm_state']}")
    if idle and row["task_state"] is not None:
        raise Conflict(f"Cannot '{action}' instance {row['id']} while it is in task_state {row['task_state']}")


def unlocked(row: Any, *, admin: bool) -> None:
    """Raise Conflict where the server is locked and the caller is no admin."""
    if row["locked_by"] is not None and not admin:
        raise Conflict(f"Instance {row['id']} is locked")
