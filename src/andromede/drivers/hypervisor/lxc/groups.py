"""The cgroups of containers, which LXC makes and fills; what it leaves is removed here."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from andromede.drivers.hypervisor.cgroup import Hierarchy, rmdir
from andromede.drivers.hypervisor.lxc.config import TOP

_PREFIX = "container-"
_LAST, _HOLD = "pivot-", "hold-"
_NAMES = (_PREFIX, "monitor-", _HOLD, _LAST)
_ROOT = Path("/sys/fs/cgroup")


def leaf(hierarchy: Path, tag: str, guest_id: str) -> Path:
    """A container's group in a hierarchy."""
    return hierarchy / TOP / tag / f"{_PREFIX}{guest_id}"


def containers(hierarchies: Sequence[Hierarchy], tag: str) -> set[str]:
    """The ids of containers that have a group."""
    found = (path for one in hierarchies for path in (one.root / TOP / tag).glob(f"{_PREFIX}*"))
    return {path.name.removeprefix(_PREFIX) for path in found}


def frozen(hierarchies: Sequence[Hierarchy], tag: str, guest_id: str) -> bool:
    """Whether a container is frozen."""
    return any(_is_frozen(path) for path in _freezers(hierarchies, tag, guest_id))


def thaw(hierarchies: Sequence[Hierarchy], tag: str, guest_id: str) -> None:
    """Let a container go on, so that it can end."""
    for path in _freezers(hierarchies, tag, guest_id):
        if _is_frozen(path):
            path.write_text("THAWED" if path.name == "freezer.state" else "0")


def remove(hierarchies: Sequence[Hierarchy], tag: str, guest_id: str, patience: float = 2.0) -> None:
    """Remove a container's groups. LXC's process ends in one of them and may hold it for longer: `sweep` removes that one later."""
    deadline = time.monotonic() + patience
    for root in _roots(hierarchies):
        for name in _NAMES:
            while not _prune(root / TOP / tag / f"{name}{guest_id}") and name != _LAST and time.monotonic() < deadline:
                time.sleep(0.02)


@contextlib.contextmanager
def hold(hierarchies: Sequence[Hierarchy], tag: str, guest_id: str) -> Iterator[None]:
    """Keep the groups above a container's while LXC makes those: whoever sweeps, here or in another cloud, removes none that holds something."""
    places = [root / TOP / tag / f"{_HOLD}{guest_id}" for root in _roots(hierarchies)]
    for place in places:
        _make(place)
    try:
        yield
    finally:
        for place in places:
            rmdir(place)


def _make(place: Path) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            for path in (place.parent.parent, place.parent, place):
                path.mkdir(exist_ok=True)
                _share(path)
        except FileNotFoundError:  # a parent was removed before it held this
            if time.monotonic() > deadline:
                raise
        else:
            return


def _share(path: Path) -> None:
    """Give a new group of version 1, and those that will be in it, the processors and memory of the one above: it begins with none, and
    then nothing can enter it (cpuset(7), "cpus and mems", "cgroup.clone_children")."""
    clone = path / "cgroup.clone_children"
    if not (path / "cpuset.cpus").exists() or not clone.exists():
        return
    for name in ("cpuset.cpus", "cpuset.mems"):
        if not (path / name).read_text().strip():
            (path / name).write_text((path.parent / name).read_text())
    clone.write_text("1")


def shelter(hierarchies: Sequence[Hierarchy], tag: str, guest_id: str, processes: Sequence[int]) -> None:
    """Put processes that serve a container beside the one that watches it."""
    for root in _roots(hierarchies):
        file = root / TOP / tag / f"monitor-{guest_id}" / "cgroup.procs"
        for number in processes:
            if number and file.exists():
                file.write_text(str(number))


def sweep(hierarchies: Sequence[Hierarchy], tag: str, known: Callable[[], set[str]]) -> bool:
    """Remove what containers left that nobody knows any more, and the groups above where there is none; whether all of it could be
    removed. Whoever begins a container is known before there is a group of it."""
    done = True
    for root in _roots(hierarchies):
        place = root / TOP / tag
        for name in _NAMES:
            found = list(place.glob(f"{name}*"))
            kept = known() if found else set()
            for path in found:
                if path.name.removeprefix(name) not in kept:
                    done &= _prune(path)
        if place.exists() and rmdir(place):
            rmdir(place.parent)
    return done


def _roots(hierarchies: Sequence[Hierarchy]) -> list[Path]:
    """Every hierarchy that there is: LXC uses them all."""
    every = [path for path in _ROOT.glob("*") if path.is_dir() and not path.is_symlink()]
    return list(dict.fromkeys([*(one.root for one in hierarchies), *every]))


def _freezers(hierarchies: Sequence[Hierarchy], tag: str, guest_id: str) -> list[Path]:
    """The files that say whether it is frozen, of version 1 and 2."""
    roots = [_ROOT / "freezer", *(one.root for one in hierarchies if one.unified), _ROOT / "unified"]
    places = [leaf(root, tag, guest_id) / name for root in roots for name in ("freezer.state", "cgroup.freeze")]
    return [place for place in dict.fromkeys(places) if place.exists()]


def _is_frozen(path: Path) -> bool:
    try:
        return path.read_text().strip() in {"FROZEN", "1"}
    except OSError:
        return False


def _prune(path: Path) -> bool:
    """Remove a group with all below it; whether it is gone."""
    for folder, _, _ in os.walk(path, topdown=False):
        rmdir(Path(folder))
    return not path.exists()

