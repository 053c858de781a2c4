"""Limits on a guest's process through cgroups: v2, v1, and hosts that mount both.

Every hierarchy that holds `cpu`, `memory` or `pids` gets `/andromede/<tag>/guest-<id>`; so does systemd's own, so that
stopping our unit does not end guests. A host that refuses runs guests without that limit, and `limits` says so.
"""

import os
import time
from pathlib import Path

import msgspec

from andromede.core.ids import guest_name

_WANTED = ("cpu", "memory", "pids")
_TOP = "andromede"


class Hierarchy(msgspec.Struct, frozen=True):
    """A mounted tree: its root, whether it is version 2, and which of the wanted controllers it holds."""

    root: Path
    unified: bool
    controllers: tuple[str, ...]


def detect(root: Path = Path("/sys/fs/cgroup")) -> list[Hierarchy]:
    """The hierarchies mounted below `root`, of which each controller is taken from the first that has it."""
    found: list[Hierarchy] = []
    seen: set[Path] = set()
    for unified in (root, root / "unified"):
        file = unified / "cgroup.controllers"
        if file.exists():
            held = file.read_text().split()
            found.append(Hierarchy(unified, unified=True, controllers=tuple(name for name in _WANTED if name in held)))
    taken = {name for hierarchy in found for name in hierarchy.controllers}
    for name in (*_WANTED, "systemd"):
        path = (root / name).resolve()
        if name in taken or path in seen or not (path / "cgroup.procs").exists():
            continue
        seen.add(path)
        found.append(Hierarchy(path, unified=False, controllers=(name,) if name in _WANTED else ()))
    return found


class Cgroups:
    """The cgroups of one instance's guests. Never raises: what cannot be limited is told in `limits`."""

    def __init__(self, tag: str, root: Path = Path("/sys/fs/cgroup")) -> None:
        self.tag = tag
        self.hierarchies = detect(root)
        self._missing: dict[str, str] = dict.fromkeys(_WANTED, "the host has no such controller")
        for hierarchy in self.hierarchies:
            for name in hierarchy.controllers:
                self._missing.pop(name, None)

    @property
    def limits(self) -> str:
        """In a sentence, which limits hold and why others do not."""
        held = [name for name in _WANTED if name not in self._missing]
        text = f"Guests are limited in {', '.join(held)}." if held else "Guests run without cgroup limits."
        return text + "".join(f" No limit on {name}: {why}." for name, why in sorted(self._missing.items()))

    def prepare(self, guest_id: str, *, shares: int, memory: int, pids: int) -> list[Path]:
        """Make the guest's cgroups with these limits (memory in bytes); answers the `cgroup.procs` files to join."""
        joins: list[Path] = []
        for hierarchy in self.hierarchies:
            leaf = self._leaf(hierarchy, guest_id)
            try:
                self._make(hierarchy, leaf)
            except OSError as error:
                self._note(hierarchy.controllers, error)
                continue
            joins.append(leaf / "cgroup.procs")
            for name in hierarchy.controllers:
                try:
                    for file, value in settings(name, unified=hierarchy.unified, shares=shares, memory=memory, pids=pids):
                        (leaf / file).write_text(value)
                except OSError as error:
                    self._note((name,), error)
        return joins

    def remove(self, guest_id: str, patience: float = 2.0) -> None:
        """Remove the guest's cgroups, and the parents where it was the last; waits up to `patience` seconds."""
        deadline = time.monotonic() + patience
        for hierarchy in self.hierarchies:
            leaf = self._leaf(hierarchy, guest_id)
            while not rmdir(leaf) and time.monotonic() < deadline:
                time.sleep(0.01)
            if rmdir(leaf.parent):
                rmdir(leaf.parent.parent)

    def guests(self) -> set[str]:
        """The ids of guests that have a cgroup."""
        prefix = guest_name("")
        return {
            path.name.removeprefix(prefix)
            for hierarchy in self.hierarchies
            for path in (hierarchy.root / _TOP / self.tag).glob(prefix + "*")
        }

    def _leaf(self, hierarchy: Hierarchy, guest_id: str) -> Path:
        return hierarchy.root / _TOP / self.tag / guest_name(guest_id)

    def _make(self, hierarchy: Hierarchy, leaf: Path) -> None:
        leaf.mkdir(parents=True, exist_ok=True)
        if hierarchy.unified:
            for parent in (hierarchy.root, leaf.parent.parent, leaf.parent):
                for name in hierarchy.controllers:
                    try:
                        (parent / "cgroup.subtree_control").write_text(f"+{name}")
                    except OSError as error:
                        self._note((name,), error)

    def _note(self, names: tuple[str, ...], error: OSError) -> None:
        for name in names:
            self._missing[name] = os.strerror(error.errno or 0).lower()


def settings(name: str, *, unified: bool, shares: int, memory: int, pids: int) -> list[tuple[str, str]]:
    """The files of a controller that hold the limits, and what to write to them."""
    shares = min(max(shares, 2), 262144)
    weight = 1 + (shares - 2) * 9999 // 262142
    return {
        ("cpu", False): [("cpu.shares", str(shares))],
        ("cpu", True): [("cpu.weight", str(weight))],
        ("memory", False): [("memory.limit_in_bytes", str(memory))],
        ("memory", True): [("memory.max", str(memory))],
        ("pids", False): [("pids.max", str(pids))],
        ("pids", True): [("pids.max", str(pids))],
    }[name, unified]


def rmdir(path: Path) -> bool:
    """Remove a group; whether it is gone."""
    try:
        path.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
