"""What recipes take from Maven Central and PyPI: fetched by those clients, held against the recipe's checksums."""

import hashlib
import shutil
import subprocess

import pytest

from andromede.run import image_sources, images
from andromede.run.image_sources import SourceError, fetch, verify

PLAN = {"maven": {"pom": "pom.xml", "checksums": "jars.sha256"}, "pypi": {"requirements": "spark.txt"}}


@pytest.fixture
def recipe(tmp_path):
    source = tmp_path / "recipe"
    source.mkdir()
    (source / "jars.sha256").write_text(f"{hashlib.sha256(b'a jar').hexdigest()} a.jar\n")
    return source


def client(files, status=0, calls=None):
    """A tool that leaves files where the words say."""

    def run(words, **_limits):
        if calls is not None:
            calls.append(words)
        (target,) = [word.partition("=")[2] for word in words if word.startswith(("-DoutputDirectory=", "--dest="))]
        for name, content in files.items():
            (image_sources.Path(target) / name).write_bytes(content)
        offline = "--offline" in words
        return subprocess.CompletedProcess(words, 1 if offline else status, "", "no route")

    return run


def test_what_is_listed_is_fetched(recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _name: "/usr/bin/mvn")
    calls = []
    fetch(recipe, PLAN, tmp_path / "cache", tmp_path / "pool", client({"a.jar": b"a jar"}, calls=calls))
    assert (tmp_path / "pool/maven/a.jar").read_bytes() == b"a jar"
    assert ["--offline" in words for words in calls] == [True, False, False]
    assert "--require-hashes" in calls[2]


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"a.jar": b"another"}, "a.jar has the checksum"),
        ({}, "was not fetched"),
        ({"a.jar": b"a jar", "b.jar": b""}, "b.jar was fetched and is not listed"),
    ],
)
def test_what_differs_ends_the_build(recipe, tmp_path, files, reason):
    for name, content in files.items():
        (tmp_path / "jars").mkdir(exist_ok=True)
        (tmp_path / "jars" / name).write_bytes(content)
    (tmp_path / "jars").mkdir(exist_ok=True)
    with pytest.raises(SourceError, match=reason):
        verify(recipe / "jars.sha256", tmp_path / "jars")


def test_clients_that_fail_say_why(recipe, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _name: "/usr/bin/mvn")
    for part, name in (("maven", "Maven could not"), ("pypi", "pip could not")):
        with pytest.raises(SourceError, match=f"{name}.*no route"):
            fetch(recipe, {part: PLAN[part]}, tmp_path / "cache", tmp_path / part, client({}, status=1))
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    with pytest.raises(SourceError, match="apt-get install maven"):
        fetch(recipe, PLAN, tmp_path / "cache", tmp_path / "pool", client({}))


def test_every_archive_of_hadoop_is_listed():
    listed = (images.recipes_folder() / "hadoop/jars.sha256").read_text().split()
    assert "hadoop-common-3.5.0.jar" in listed
    assert len(listed) > 400


def test_packages_are_named_though_they_were_fetched_before(tmp_path, monkeypatch):
    asked = []

    def run(words, **_limits):
        asked.append(words)
        return subprocess.CompletedProcess(words, 0, "'http://there/a_1_all.deb' a_1_all.deb 10 SHA256:x\n", "")

    monkeypatch.setattr(images, "_run", run)
    assert [package.file for package in images._resolve({"guest": ["a"]}, tmp_path)] == ["a_1_all.deb"]
    folders = [word.partition("=")[2] for word in asked[0] if word.startswith("Dir::Cache::archives=")]
    assert [*images.Path(folders[-1]).glob("*.deb")] == []
    assert folders[-1] != str(tmp_path / "archives")
