"""Runs parts of Tempest against a running cloud: a workspace, its tempest.conf, lists of what must pass."""

import configparser
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec

LISTS = Path(__file__).parent / "lists"


class Outcome(msgspec.Struct):
    """What became of each test: `passed`, `failed` (with the end of its trace), `skipped` (with the reason)."""

    passed: set[str]
    failed: dict[str, str]
    skipped: dict[str, str]


def wanted(name: str) -> list[str]:
    """The test ids of a list."""
    lines = (LISTS / f"{name}.txt").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def write(folder: Path, url: str, password: str, sections: dict[str, dict[str, object]], *, networks: bool = True) -> None:
    """Write the tempest.conf of a folder, which is made: who the admin of the cloud at `url` is, and these sections. networks: whether each
    test gets one of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "lock").mkdir()
    common: dict[str, dict[str, object]] = {
        "DEFAULT": {"log_file": "tempest.log", "log_dir": folder},
        "oslo_concurrency": {"lock_path": folder / "lock"},
        "auth": {
            "use_dynamic_credentials": True, "admin_username": "admin", "admin_password": password, "admin_project_name": "admin",
            "admin_domain_name": "Default", "create_isolated_networks": networks, "tempest_roles": "member",
        },
        "identity": {"uri_v3": f"{url}/identity/v3", "auth_version": "v3", "region": "RegionOne", "default_domain_id": "default"},
    }  # fmt: skip
    parser = configparser.ConfigParser(interpolation=None)
    for section in common | sections:
        parser[section] = {key: str(value) for key, value in (common.get(section, {}) | sections.get(section, {})).items()}
    path = folder / "tempest.conf"
    with path.open("w") as file:
        parser.write(file)
    path.chmod(0o600)


def all_passed(ids: list[str], found: Outcome) -> None:
    """Every test of the list passed: none failed, and none was left out unseen."""
    assert not found.failed, "\n\n".join(f"{name}\n{why}" for name, why in found.failed.items())
    assert not found.skipped, found.skipped
    assert found.passed == set(ids)


def run(folder: Path, ids: list[str], *, workers: int = 2, seconds: float = 3000) -> Outcome:
    """Run these tests in a workspace under `folder`, which holds tempest.conf."""
    import tempest

    (folder / ".stestr.conf").write_text(
        f"[DEFAULT]\ntest_path={Path(tempest.__file__).parent}/test_discover\ntop_dir={Path(tempest.__file__).parent.parent}\n"
        "group_regex=([^\\.]*\\.)*\n"
    )
    (folder / "list").write_text("".join(f"^{re.escape(one)}([.\\[]|$)\n" for one in ids))
    env = {**os.environ, "TEMPEST_CONFIG_DIR": str(folder), "TEMPEST_CONFIG": "tempest.conf", "PYTHONWARNINGS": "ignore"}
    env = {key: value for key, value in env.items() if not key.startswith("COVERAGE")}
    stestr = Path(sys.executable).with_name("stestr")
    command = [str(stestr), "--test-path", f"{Path(tempest.__file__).parent}/test_discover", "--top-dir", str(Path(tempest.__file__).parent.parent)]
    subprocess.run(
        [*command, "run", "--include-list", "list", "--concurrency", str(workers)], cwd=folder, env=env, check=False,
        stdout=(folder / "stestr.log").open("w"), stderr=subprocess.STDOUT, timeout=seconds,
    )  # fmt: skip
    stream = subprocess.run([*command, "last", "--subunit"], cwd=folder, env=env, check=True, capture_output=True, timeout=120).stdout
    return _read(stream)


def _read(stream: bytes) -> Outcome:
    import io

    import subunit
    import testtools

    outcome = Outcome(set(), {}, {})

    def note(test: dict[str, Any]) -> None:
        id_ = test["id"].partition("[")[0]
        details = "\n".join(content.as_text() for name, content in test["details"].items() if name in ("traceback", "reason"))
        if test["status"] == "success":
            outcome.passed.add(id_)
        elif test["status"] == "skip":
            outcome.skipped[id_] = details
        elif test["status"] in ("fail", "uxsuccess", "error"):
            outcome.failed[id_] = details[-3000:]

    result = testtools.StreamToDict(note)
    result.startTestRun()
    subunit.ByteStreamToStreamResult(io.BytesIO(stream), non_subunit_name="stdout").run(result)
    result.stopTestRun()
    return outcome
