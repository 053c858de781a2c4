import errno
from pathlib import Path

import pytest

from andromede.drivers.hypervisor.cgroup import Cgroups, detect


def tree(root: Path, *folders: str, controllers: str | None = None) -> Path:
    for folder in folders:
        (root / folder).mkdir(parents=True, exist_ok=True)
        (root / folder / "cgroup.procs").touch()
    if controllers is not None:
        base = root / "unified" if folders else root
        base.mkdir(parents=True, exist_ok=True)
        (base / "cgroup.controllers").write_text(controllers)
    return root


@pytest.fixture
def emptying(monkeypatch):
    """In a real cgroup the kernel's files do not keep a folder from being removed."""
    real = Path.rmdir

    def rmdir(path: Path) -> None:
        for file in path.iterdir():
            if file.is_file():
                file.unlink()
        real(path)

    monkeypatch.setattr(Path, "rmdir", rmdir)


def leaf(root: Path, name: str, file: str) -> str:
    return (root / name / "andromede/tag/guest-x" / file).read_text()


@pytest.mark.usefixtures("emptying")
def test_version_1_has_a_hierarchy_a_controller(tmp_path):
    root = tree(tmp_path, "cpu", "memory", "pids", "systemd")
    groups = Cgroups("tag", root)
    joins = groups.prepare("x", shares=2048, memory=1 << 30, pids=70)
    assert [str(path.relative_to(root)) for path in joins] == [
        f"{name}/andromede/tag/guest-x/cgroup.procs" for name in ("cpu", "memory", "pids", "systemd")
    ]
    assert leaf(root, "cpu", "cpu.shares") == "2048"
    assert leaf(root, "memory", "memory.limit_in_bytes") == str(1 << 30)
    assert leaf(root, "pids", "pids.max") == "70"
    assert groups.limits == "Guests are limited in cpu, memory, pids."
    assert groups.guests() == {"x"}
    groups.prepare("y", shares=1, memory=1, pids=1)
    groups.remove("x", patience=0)
    assert groups.guests() == {"y"}
    groups.remove("y", patience=0)
    groups.remove("y", patience=0)
    assert not list(root.glob("*/andromede"))


def test_version_1_joined_controllers_are_one_hierarchy(tmp_path):
    tree(tmp_path, "cpu,cpuacct", "pids")
    (tmp_path / "cpu").symlink_to("cpu,cpuacct")
    found = detect(tmp_path)
    assert [(one.root.name, one.unified, one.controllers) for one in found] == [
        ("cpu,cpuacct", False, ("cpu",)),
        ("pids", False, ("pids",)),
    ]
    assert "No limit on memory: the host has no such controller." in Cgroups("tag", tmp_path).limits


def test_version_2_turns_controllers_on_from_the_root_down(tmp_path):
    root = tree(tmp_path, controllers="cpuset cpu io memory pids")
    groups = Cgroups("tag", root)
    (join,) = groups.prepare("x", shares=1024, memory=5, pids=6)
    assert join == root / "andromede/tag/guest-x/cgroup.procs"
    assert leaf(root, "", "cpu.weight") == "39"
    assert leaf(root, "", "memory.max") == "5"
    assert leaf(root, "", "pids.max") == "6"
    for folder in ("", "andromede", "andromede/tag"):
        assert (root / folder / "cgroup.subtree_control").read_text() == "+pids"


@pytest.mark.parametrize(("shares", "weight"), [(0, "1"), (2, "1"), (262144, "10000"), (10**9, "10000")])
def test_weights_stay_in_their_range(tmp_path, shares, weight):
    Cgroups("tag", tree(tmp_path, controllers="cpu")).prepare("x", shares=shares, memory=1, pids=1)
    assert leaf(tmp_path, "", "cpu.weight") == weight


def test_hybrid_takes_each_controller_where_it_is(tmp_path):
    root = tree(tmp_path, "cpu", "memory", "systemd", controllers="pids")
    groups = Cgroups("tag", root)
    groups.prepare("x", shares=512, memory=5, pids=6)
    assert leaf(root, "unified", "pids.max") == "6"
    assert leaf(root, "cpu", "cpu.shares") == "512"
    assert groups.limits == "Guests are limited in cpu, memory, pids."


def test_a_host_without_cgroups_goes_on(tmp_path):
    groups = Cgroups("tag", tmp_path / "none")
    assert groups.prepare("x", shares=1, memory=1, pids=1) == []
    assert groups.limits.startswith("Guests run without cgroup limits.")
    groups.remove("x")
    assert groups.guests() == set()


@pytest.mark.parametrize("refused", ["mkdir", "cgroup.subtree_control", "cpu.weight"])
def test_a_host_that_refuses_goes_on_and_is_told_of(tmp_path, monkeypatch, refused):
    groups = Cgroups("tag", tree(tmp_path, controllers="cpu memory pids"))
    real, refusal = Path.write_text, OSError(errno.EROFS, "read-only")

    def write(path, text, **options):
        if path.name == refused:
            raise refusal
        return real(path, text, **options)

    def mkdir(path, *args, **options):
        raise refusal

    if refused == "mkdir":
        monkeypatch.setattr(Path, "mkdir", mkdir)
    monkeypatch.setattr(Path, "write_text", write)
    joins = groups.prepare("x", shares=1, memory=1, pids=1)
    assert len(joins) == (0 if refused == "mkdir" else 1)
    assert "No limit on cpu: read-only file system." in groups.limits


def test_a_group_that_stays_busy_is_left(tmp_path):
    root = tree(tmp_path, "pids")
    groups = Cgroups("tag", root)
    groups.prepare("x", shares=1, memory=1, pids=1)
    groups.remove("x", patience=0.05)
    assert groups.guests() == {"x"}
