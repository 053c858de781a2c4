"""What a recipe takes from elsewhere than Debian: archives of Maven Central and packages of PyPI, through those registries' own clients.

Everything that ends up in an image is listed with its SHA-256 in the recipe's folder; what differs, lacks or is one too many ends the
build. Both clients keep what they fetched in the cache, so a second build needs no network for them.
"""

import hashlib
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"
Run = Callable[..., subprocess.CompletedProcess[str]]
"""Runs a tool: its words, then `limit` in seconds and `cwd`."""


class SourceError(Exception):
    """Something could not be fetched, or is not what the recipe says; the message is for the caller."""


def fetch(source: Path, plan: dict[str, Any], cache: Path, pool: Path, run: Run) -> None:
    """Put what the `maven` and `pypi` parts of `plan` name into `pool`/maven and `pool`/pypi.

    source: the recipe's folder. cache: kept from build to build. Errors: SourceError.
    """
    if maven := plan.get("maven"):
        _maven(source / maven["pom"], source / maven["checksums"], cache / "maven", pool / "maven", run)
    if pypi := plan.get("pypi"):
        _pypi(source / pypi["requirements"], cache / "pypi", pool / "pypi", run)


def _maven(pom: Path, checksums: Path, repository: Path, target: Path, run: Run) -> None:
    if shutil.which("mvn") is None:
        raise SourceError("Maven is missing; install it with: apt-get install maven")
    target.mkdir(parents=True)
    repository.mkdir(parents=True, exist_ok=True, mode=0o700)
    words = ["mvn", "--batch-mode", "--quiet", "--strict-checksums", f"-Dmaven.repo.local={repository}", "--file", str(pom)]
    known = [COPY, "-DincludeScope=runtime", f"-DoutputDirectory={target}"]
    done = run([*words, "--offline", *known], limit=600)
    if done.returncode:
        done = run([*words, *known], limit=1800)
    if done.returncode:
        raise SourceError(f"Maven could not fetch what {pom.name} names: {' '.join((done.stdout + done.stderr).split())[-500:]}")
    verify(checksums, target)


def _pypi(requirements: Path, cache: Path, target: Path, run: Run) -> None:
    import sys

    target.mkdir(parents=True)
    cache.mkdir(parents=True, exist_ok=True, mode=0o700)
    words = [sys.executable, "-m", "pip", "download", "--quiet", "--require-hashes", "--no-deps", "--no-binary=:all:"]
    done = run([*words, f"--cache-dir={cache}", f"--dest={target}", f"--requirement={requirements}"], limit=1800)
    if done.returncode:
        raise SourceError(f"pip could not fetch what {requirements.name} names: {' '.join(done.stderr.split())[-500:]}")


def verify(checksums: Path, folder: Path) -> None:
    """Hold the files of `folder` against lines of `SHA256 NAME`. Errors: SourceError, which names the file."""
    wanted = {name: digest for digest, name in (line.split() for line in checksums.read_text().splitlines() if line.strip())}
    found = {path.name: path for path in folder.iterdir()}
    for name in sorted(wanted.keys() | found.keys()):
        if name not in found:
            raise SourceError(f"{name} is listed in {checksums.name} and was not fetched.")
        if name not in wanted:
            raise SourceError(f"{name} was fetched and is not listed in {checksums.name}.")
        with found[name].open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != wanted[name]:
            raise SourceError(f"{name} has the checksum {digest}; {checksums.name} says {wanted[name]}. Nothing was built of it.")
