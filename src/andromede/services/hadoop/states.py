"""What a node says of itself: read with care, for whoever has the node can say anything. A state that makes no sense is none.

The form is that of the node program in the image; ADR 23 has both sides of it.
"""

from datetime import datetime
from typing import Annotated, Any

import msgspec

from andromede.core.clock import parse

Number = Annotated[int, msgspec.Meta(ge=0, le=1 << 62)]
_WORDS = 2000


class Daemon(msgspec.Struct, frozen=True):
    """One daemon: `starting`, `running` or `failed`."""

    state: str = ""
    seconds: float = 0.0
    rss_mb: float = 0.0
    detail: str = ""


class Hdfs(msgspec.Struct, frozen=True):
    """What the name node says. leaving, left: addresses; capacity and used in bytes."""

    safe_mode: bool = True
    live: Number = 0
    dead: Number = 0
    leaving: list[str] = []
    left: list[str] = []
    missing_blocks: Number = 0
    under_replicated: Number = 0
    capacity: Number = 0
    used: Number = 0


class Yarn(msgspec.Struct, frozen=True):
    """What the resource manager says."""

    running: Number = 0
    lost: Number = 0
    left: list[str] = []
    pending_mb: Number = 0
    available_mb: Number = 0
    apps_running: Number = 0


class JobState(msgspec.Struct, frozen=True):
    """One job."""

    state: str = ""
    detail: str = ""
    application_id: str = ""
    started: str = ""
    ended: str = ""


class State(msgspec.Struct, frozen=True):
    """All of it."""

    generation: Number = 0
    boot: str = ""
    phase: str = ""
    detail: str = ""
    daemons: dict[str, Daemon] = {}
    hdfs: Hdfs | None = None
    yarn: Yarn | None = None
    jobs: dict[str, JobState] = {}

    @property
    def failed(self) -> str:
        """Why the node or one of its daemons failed; empty where none did."""
        for name, one in self.daemons.items():
            if one.state == "failed":
                return words(f"{name}: {one.detail}")
        return words(self.detail or "it did not say why") if self.phase == "failed" else ""


def read(text: str | None) -> State | None:
    """The state in a text; None for none, and for what is no state."""
    if not text:
        return None
    try:
        return msgspec.json.decode(text, type=State)
    except (msgspec.DecodeError, RecursionError):
        return None


def words(text: str) -> str:
    """A text of a node's for people: of a length that a row takes."""
    return text if len(text) <= _WORDS else text[:_WORDS] + "…"


def when(text: str) -> datetime | None:
    """A time that a node tells; None for what is none."""
    try:
        return parse(text) if text else None
    except (ValueError, OverflowError):
        return None


def kept(state: Any) -> Any:
    """A part of a state as a row keeps it."""
    return msgspec.to_builtins(state) if state is not None else None
