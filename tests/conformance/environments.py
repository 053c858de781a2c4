"""Programs of PyPI that tests hold ours against, each in an environment of its own, kept between runs."""

import os
import shutil
import subprocess
import venv
from collections.abc import Sequence
from pathlib import Path

CACHE = Path(os.environ.get("ANDROMEDE_CACHE", "/var/cache/andromede")) / "tests"


class Absent(Exception):
    """Something cannot be had here, and why."""


def environment(name: str, wanted: Sequence[str]) -> Path:
    """The `bin` folder of an environment with these packages, made where it is not there yet. Raises Absent."""
    folder = CACHE / name
    done = folder / "done"
    if not done.exists() or done.read_text().split() != list(wanted):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        venv.create(folder, with_pip=True)
        command = [folder / "bin" / "pip", "install", "-q", "--disable-pip-version-check", *wanted]
        made = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
        if made.returncode:
            raise Absent(f"{name} cannot be installed: {made.stderr[-400:]}")
        done.write_text(" ".join(wanted))
    return folder / "bin"
