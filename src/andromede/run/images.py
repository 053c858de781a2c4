"""The guest images we ship: built on this machine from Debian's packages, once, and kept.

A recipe is a folder below `images/` with `recipe.toml` (packages and image properties) and `build`, a Python script. What it
makes is cached under a key of the recipe's files and of the exact packages, so an image is rebuilt when either changes and
at no other time. Packages are downloaded into a folder of their own against an empty list of installed ones; the host's
packages and its apt state are never changed from here.
"""

import calendar
import contextlib
import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import msgspec

from andromede.core.errors import CloudError, NotFound
from andromede.run.image_sources import SourceError, fetch

NEEDS = (
    "apt", "binutils", "coreutils", "dosfstools", "dpkg", "e2fsprogs", "lz4", "mmdebstrap", "mtools", "qemu-utils", "util-linux", "zstd",
)  # fmt: skip
"""Debian packages the host must have for `build` to work; none of them is part of an image."""

Progress = Callable[[str, float | None], None]
"""Told what is being done and how far it is, from 0 to 1 (None where that is not known)."""


class BuildError(CloudError):
    """An image could not be built; the message ends with what the tool said."""

    status, kind = 500, "ImageBuildFailed"


@dataclass(frozen=True)
class Artifact:
    """One file of an image."""

    path: Path
    size: int
    """Bytes."""
    sha512: str
    disk_format: str
    """As the Image API calls it: `qcow2`, `aki` (kernel) or `ari` (initrd)."""


@dataclass(frozen=True)
class Built:
    """An image as it stands in the cache."""

    name: str
    key: str
    """What the recipe and the packages were, as 64 hexadecimal digits."""
    disk: Artifact | None
    """None where the recipe makes a root file system for containers alone."""
    kernel: Artifact | None
    initrd: Artifact | None
    command_line: str
    """For a direct boot of `kernel` with `initrd` and `disk`; empty where the image has no such files."""
    properties: dict[str, str | int] = field(default_factory=dict)
    """Image properties, `min_disk` (GiB) and `min_ram` (MiB) among them."""
    root: Artifact | None = None
    """The root file system as an archive, for system containers."""
    packages: dict[str, str] = field(default_factory=dict)
    """Debian packages it was made of, name to version."""


def recipes() -> list[str]:
    """Names of the recipes there are."""
    return sorted(path.parent.name for path in recipes_folder().glob("*/recipe.toml"))


def summary(recipe: str) -> str:
    """What the image of a recipe is, in one line."""
    return str(tomllib.loads((recipes_folder() / recipe / "recipe.toml").read_text())["summary"])


def build(recipe: str, cache: Path, progress: Progress) -> Built:
    """Return the image of `recipe`, building it where the cache has none that is current.

    Two callers at once build once. Where the package lists cannot be read (no network, no lists) and the cache has an image
    of the same recipe, that one is returned. Errors: NotFound, BuildError.
    """
    source = recipes_folder() / recipe
    if recipe not in recipes():
        raise NotFound(f"There is no image recipe {recipe}")
    plan = tomllib.loads((source / "recipe.toml").read_text())
    shelf = cache / recipe
    shelf.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _locked(shelf / ".lock"):
        progress("resolving packages", None)
        recipe_hash = _recipe_hash(source, plan)
        stamp, known = _stamp(recipe_hash, cache / "apt"), shelf / ".stamp"
        if known.exists() and known.read_text().startswith(stamp) and (done := _load(shelf / known.read_text().split()[1])):
            progress("ready", 1.0)
            return done
        try:
            packages = _resolve(plan["packages"], cache / "apt")
        except BuildError:
            kept = _newest(shelf, recipe_hash)
            if kept is None:
                raise
            return kept
        exact = sorted(f"{package.file} {package.digest}" for package in packages)
        key = hashlib.sha256("\n".join([recipe_hash, *exact]).encode()).hexdigest()
        done = _load(shelf / key)
        if done is None:
            _make(_Job(source, plan, packages, key, recipe_hash), cache, progress)
            done = _load(shelf / key)
            _prune(shelf, keep=2)
        if done is None:
            raise BuildError(f"Recipe {recipe} ended without an image")
        known.write_text(f"{_stamp(recipe_hash, cache / 'apt')} {key}\n")
        progress("ready", 1.0)
        return done


def recipes_folder() -> Path:
    """Where the recipes are: beside the source in a checkout, inside the package once installed."""
    checkout = Path(__file__).resolve().parents[3] / "images"
    return checkout if (checkout / "petit" / "recipe.toml").exists() else Path(str(files("andromede"))) / "_images"


@dataclass(frozen=True)
class _Package:
    """One .deb that apt would fetch."""

    file: str
    digest: str
    group: str

    @property
    def name(self) -> str:
        return self.file.split("_")[0]

    @property
    def version(self) -> str:
        return unquote(self.file.split("_")[1])


@dataclass(frozen=True)
class _Job:
    """One build to do: the recipe's folder and plan, and what identifies the result."""

    source: Path
    plan: dict[str, Any]
    packages: Sequence[_Package]
    key: str
    recipe_hash: str


def _stamp(recipe_hash: str, state: Path) -> str:
    """Changes when the recipe or the package lists do; while it stays, there is nothing to resolve."""
    lists = [*Path("/var/lib/apt/lists").glob("*_*"), *(state / "lists").glob("*_*")]
    facts = sorted(f"{path.name} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in lists)
    return hashlib.sha256("\n".join([recipe_hash, *facts]).encode()).hexdigest()


def _recipe_hash(source: Path, plan: dict[str, Any]) -> str:
    """A digest of every file of a recipe and of what it shares with others: names and contents."""
    digest = hashlib.sha256()
    used = [source.parent / name for name in plan.get("uses", ())]
    own = [Path(str(files("andromede"))) / name for name in plan.get("programs", ())]
    for folder in (source.parent / "common", source, *used, *own):
        for path in sorted(folder.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(f"{path.relative_to(folder.parent)} {path.stat().st_size}\n".encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()


def _resolve(wanted: dict[str, list[str]], state: Path) -> list[_Package]:
    """The packages of both groups: `guest` with all that they depend on, `tools` alone.

    The host's package lists are used; where they are missing or too old, lists of our own are fetched from the same sources.
    """
    (state / "nothing" / "partial").mkdir(parents=True, exist_ok=True, mode=0o700)
    (state / "status").touch()
    last = BuildError("apt has no package lists")
    for lists in (None, state / "lists"):
        if lists is not None:
            (lists / "partial").mkdir(parents=True, exist_ok=True, mode=0o700)
            if _run(["apt-get", *_apt(state, lists, state / "nothing"), "update"]).returncode:
                break
        found: list[_Package] = []
        for group, names in wanted.items():
            verb = ["download"] if group == "tools" else ["install"]
            done = _run(["apt-get", *_apt(state, lists, state / "nothing"), "--print-uris", *verb, *names])
            if done.returncode:
                last = BuildError(f"apt cannot resolve the packages of {group}: {_tail(done.stderr)}")
                break
            lines = (line.split() for line in done.stdout.splitlines() if line.startswith("'"))
            found += [_Package(words[1], words[3] if len(words) > 3 else "", group) for words in lines]
        else:
            return found
    raise last


def _apt(state: Path, lists: Path | None, archives: Path) -> list[str]:
    """Options that keep apt to a folder of our own, with nothing installed. Of what is in `archives` already, apt tells no address."""
    options = {
        "Dir::State::status": state / "status",
        "Dir::Cache::archives": archives,
        "Dir::Cache::pkgcache": state / "pkgcache.bin",
        "Dir::Cache::srcpkgcache": state / "srcpkgcache.bin",
        "Dir::State::extended_states": state / "extended_states",
        "APT::Install-Recommends": "0",
        "APT::Architecture": "amd64",
        "APT::Sandbox::User": "",
        "DPkg::Post-Invoke::": "",
        "Debug::NoLocking": "1",
        "Acquire::Retries": "3",
    }
    if lists is not None:
        options["Dir::State::lists"] = lists
    return ["-y", "-q", *(word for name, value in options.items() for word in ("-o", f"{name}={value}"))]


def _make(job: _Job, cache: Path, progress: Progress) -> None:
    """Download, run the recipe's `build`, describe what came out, and put it in its place in one step."""
    state, shelf = cache / "apt", cache / job.source.name
    with tempfile.TemporaryDirectory(prefix=".building-", dir=shelf) as scratch:
        work = Path(scratch)
        out, pool, archives = work / "out", work / "packages", work / "archives"
        out.mkdir(mode=0o700)
        (archives / "partial").mkdir(parents=True, mode=0o700)
        progress("downloading packages", 0.05)
        own = state / "lists" if any((state / "lists").glob("*Packages*")) else None
        for lists in dict.fromkeys((None, own)):
            fetched = True
            for group, names in job.plan["packages"].items():
                (pool / group).mkdir(parents=True, exist_ok=True)
                verb = ["download"] if group == "tools" else ["--download-only", "install"]
                done = _run(["apt-get", *_apt(state, lists, archives), *verb, *names], cwd=pool / group, limit=1800)
                fetched = fetched and done.returncode == 0
            if fetched:
                break
        for package in job.packages:
            target = pool / package.group / package.file
            if not target.exists():
                if not (archives / package.file).exists():
                    raise BuildError(f"Package {package.file} could not be downloaded: {_tail(done.stderr)}")
                os.link(archives / package.file, target)
        progress("fetching sources", 0.15)
        try:
            fetch(job.source, job.plan, cache, pool, _run)
        except SourceError as error:
            raise BuildError(str(error)) from error
        progress("building", 0.3)
        programs = [str(Path(str(files("andromede"))) / name) for name in job.plan.get("programs", ())]
        done = _run([sys.executable, str(job.source / "build"), str(pool), str(out), *programs], limit=3600)
        if done.returncode:
            raise BuildError(f"Recipe {job.source.name} failed: {_tail(done.stderr)}")
        progress("checking", 0.9)
        (out / "image.json").write_bytes(msgspec.json.format(msgspec.json.encode(_describe(job, out))))
        for path in out.iterdir():
            path.chmod(0o600)
            with path.open("rb") as file:
                os.fsync(file.fileno())
        shutil.rmtree(shelf / job.key, ignore_errors=True)
        out.rename(shelf / job.key)
        _sync(shelf)


_PARTS = (
    ("disk", ".qcow2", "qcow2"), ("kernel", "-vmlinuz", "aki"), ("initrd", "-initrd", "ari"),
    ("root", "-root.tar.gz", "raw"), ("root", "-root.tar.zst", "raw"),
)  # fmt: skip


def _describe(job: _Job, out: Path) -> dict[str, Any]:
    """What `image.json` says."""
    name = job.source.name
    versions = {package.name: package.version for package in job.packages}
    today = datetime.now(UTC).date()
    properties: dict[str, str | int] = dict(job.plan["properties"])
    properties["image_build_date"] = today.isoformat()
    properties["patchlevel"] = versions.get("linux-image-cloud-amd64", job.key[:12])
    if months := job.plan.get("provided_months"):
        properties["provided_until"] = _months_later(today, months).isoformat()
    artifacts = {}
    for part, suffix, kind in _PARTS:
        path = out / f"{name}{suffix}"
        if path.exists():
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha512").hexdigest()
            artifacts[part] = {"path": path.name, "size": path.stat().st_size, "sha512": digest, "disk_format": kind}
    if not artifacts.keys() & {"disk", "root"}:
        raise BuildError(f"Recipe {name} made neither {name}.qcow2 nor {name}-root.tar.gz")
    line = out / f"{name}-cmdline"
    return {
        "name": name,
        "key": job.key,
        "recipe": job.recipe_hash,
        "command_line": line.read_text().strip() if line.exists() else "",
        "artifacts": artifacts,
        "properties": properties,
        "packages": dict(sorted(versions.items())),
    }


def _months_later(day: date, months: int) -> date:
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


def _load(folder: Path) -> Built | None:
    """The image in a folder of the cache; None where it is absent or not whole."""
    try:
        said = msgspec.json.decode((folder / "image.json").read_bytes())
        parts = {
            part: Artifact(folder / about["path"], about["size"], about["sha512"], about["disk_format"])
            for part, about in said["artifacts"].items()
        }
        if any(part.path.stat().st_size != part.size for part in parts.values()):
            return None
        return Built(
            said["name"], said["key"], parts.get("disk"), parts.get("kernel"), parts.get("initrd"), said["command_line"],
            said["properties"], parts.get("root"), said["packages"],
        )  # fmt: skip
    except (OSError, KeyError, msgspec.DecodeError):
        return None


def _finished(shelf: Path) -> list[Path]:
    """Folders of finished images, the newest first."""
    return sorted((path.parent for path in shelf.glob("*/image.json")), key=lambda path: path.stat().st_mtime, reverse=True)


def _newest(shelf: Path, recipe_hash: str) -> Built | None:
    for folder in _finished(shelf):
        if msgspec.json.decode((folder / "image.json").read_bytes()).get("recipe") == recipe_hash:
            return _load(folder)
    return None


def _prune(shelf: Path, keep: int) -> None:
    """Drop all but the newest images, and what an interrupted build left."""
    for folder in [*_finished(shelf)[keep:], *shelf.glob(".building-*")]:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock, which ends with the process at the latest."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _run(command: list[str], cwd: Path | None = None, limit: float = 300) -> subprocess.CompletedProcess[str]:
    """Run a tool in a session of its own with a bare environment; past `limit` seconds it and its children are ended."""
    environment = {
        "PATH": f"{Path(sys.executable).parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LC_ALL": "C.UTF-8",
        "DEBIAN_FRONTEND": "noninteractive",
        "HOME": "/nonexistent",
    } | {name: value for name, value in os.environ.items() if name in {"http_proxy", "https_proxy", "no_proxy", "TMPDIR"}}
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True, errors="replace",
        start_new_session=True, umask=0o022,
    ) as process:  # fmt: skip
        try:
            out, err = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, err = process.communicate()
            return subprocess.CompletedProcess(command, -signal.SIGKILL, out, f"{err}\nstopped after {limit:.0f} s")
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def _tail(text: str) -> str:
    """The end of what a tool said, on one line."""
    return " ".join(text.split())[-600:]


def main(words: Sequence[str]) -> int:
    """`python -m andromede.run.images NAME… CACHE`: build only, a line for each thing that is done; answers the exit code."""
    *names, cache = words or ("",)
    if not names:
        sys.stderr.write(f"usage: python -m andromede.run.images {{{','.join(recipes())}}}... CACHE\n")
        return 2
    return max(_build_one(name, Path(cache)) for name in names)


def _build_one(name: str, cache: Path) -> int:
    said = [""]

    def tell(stage: str, _share: float | None) -> None:
        if said[-1] != stage:
            sys.stdout.write(f"{name}: {stage}\n")
            sys.stdout.flush()
            said.append(stage)

    try:
        built = build(name, cache, tell)
    except CloudError as error:
        sys.stderr.write(f"{name}: {error.message}\n")
        return 1
    made = built.disk or built.root
    assert made is not None
    sys.stdout.write(f"{name}: {made.path} ({made.size >> 20} MiB)\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
