"""A server's states: what `vm_state` and `task_state` mean on the wire, and in which of them an action is allowed."""

from typing import Any

from andromede.core.errors import Conflict

_BY_VM = {
    "building": "BUILD", "active": "ACTIVE", "stopped": "SHUTOFF", "paused": "PAUSED", "error": "ERROR", "deleted": "DELETED",
}  # fmt: skip
_BY_TASK = {"rebooting": "REBOOT", "rebooting_hard": "HARD_REBOOT"}
_POWER = {"absent": 0, "running": 1, "stopping": 1, "paused": 3, "stopped": 4, "crashed": 6}
STATUSES = {**{status: vm for vm, status in _BY_VM.items()}, "REBOOT": "active", "HARD_REBOOT": "active"}


def status(row: Any) -> str:
    """ACTIVE, BUILD, …"""
    if row["vm_state"] == "active" and row["task_state"] in _BY_TASK:
        return _BY_TASK[row["task_state"]]
    return _BY_VM[row["vm_state"]]


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
