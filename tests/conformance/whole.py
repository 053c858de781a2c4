"""All of Tempest's API tests that are true of this cloud: `python -m tests.conformance.whole [NAME …]` runs their lists, one after the other.

`compute`, `compute_long`, `identity`, `image`, `network` and `volume` run against a cloud in this process whose host keeps books, `several`
against one of two such hosts; `guests` and `scs` against a real cloud, whose guests are signed in to, which takes an hour where they are emulated.
What no list has is in `lists/left_out.txt`, with its reason. Without names, all but the real ones are run; `all` means all.
"""

import logging
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path

import structlog

from tests.conformance import fakes, guests, tempest

SERVICES = ("compute", "identity", "image", "network", "volume")
QUICK = SERVICES
"""The lists that CI runs against books."""
BOOKS = (*SERVICES, "compute_long", "several")
REAL = ("guests", "scs")
PARTS = 3
"""In how many parts of whole classes the lists of `QUICK` are run; CI runs one of them, another with each commit."""
LEFT_OUT = tempest.LISTS / "left_out.txt"
ENOUGH = 0.95


def left_out() -> dict[str, str]:
    """Why each test that no list has is left out. The file has reasons, and below each the tests, indented."""
    out, reason = {}, ""
    for line in LEFT_OUT.read_text().splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        if line[0].isspace():
            out[line.strip()] = reason
        else:
            reason = line.strip()
    return out


def covered() -> set[str]:
    """Every test of a list."""
    return {id_ for name in (*BOOKS, *REAL) for id_ in tempest.wanted(name)}


def part(name: str, number: int) -> list[str]:
    """The tests of one part of a list."""
    return [id_ for id_ in tempest.wanted(name) if zlib.crc32(id_.rpartition(".")[0].encode()) % PARTS == number]


def turn() -> int:
    """The part whose turn it is at this commit; the first where there is no repository."""
    found = subprocess.run(["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True, timeout=20, check=False)
    return int(found.stdout or "0", 16) % PARTS


def run(name: str, folder: Path, *, workers: int = 2, ids: list[str] | None = None) -> tempest.Outcome:
    """Run a list, or these tests of it, in a folder that is there."""
    ids = tempest.wanted(name) if ids is None else ids
    if name in REAL:
        return guests.outcome(ids, workers=workers)
    return fakes.outcome(folder / name, ids, hosts=2 if name == "several" else 1, workers=workers)


def say(text: str) -> None:
    """One line, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main(names: list[str]) -> int:
    """Run these lists and say what became of them; 0 where every test has passed."""
    wanted = (*BOOKS, *REAL) if names == ["all"] else tuple(names) or BOOKS
    if unknown := set(wanted) - {*BOOKS, *REAL}:
        say(f"There is no list {', '.join(sorted(unknown))}; there are {', '.join((*BOOKS, *REAL))}.")
        return 2
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    bad = 0
    with tempfile.TemporaryDirectory(prefix="tempest.") as folder:
        for name in wanted:
            began = time.monotonic()
            found = run(name, Path(folder))
            missing = set(tempest.wanted(name)) - found.passed
            bad += len(missing)
            say(f"{name}: {len(found.passed)} passed, {len(missing)} did not, in {time.monotonic() - began:.0f} s")
            for id_ in sorted(missing):
                say(f"  {id_}\n    {(found.failed.get(id_) or found.skipped.get(id_) or 'it did not run').strip()[-600:]}")
    say(f"Left out: {len(left_out())} tests; {LEFT_OUT} says why.")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
