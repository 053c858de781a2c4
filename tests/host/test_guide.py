"""The commands of the guide's pages, run in their order against the real cloud by a shell; what a page shows they answer, they answer."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.conformance import clients
from tests.host.hypervisors import HAVE_LXC, WHY_NO_LXC

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "guide"


def commands(text: str) -> list[tuple[str, str]]:
    """(command, what the page shows of its output) of every line that begins with `$ ` in the console blocks; `> ` goes on with it."""
    found: list[list[str]] = []
    for block in re.findall(r"^```console\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        assert block.startswith("$ "), block
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append([line[2:]])
            elif line.startswith("> "):
                found[-1][0] += f"\n{line[2:]}"
            else:
                found[-1].append(line)
    return [(lines[0], "\n".join(lines[1:])) for lines in found]


def matches(shown: str, said: str) -> bool:
    """Whether the output is as shown; `…` stands for anything."""
    return re.fullmatch(".*".join(map(re.escape, shown.split("…"))), said.strip(), re.DOTALL) is not None


def person(cloud, folder: Path) -> dict[str, str]:
    """A home folder and a PATH in which the page's names mean this cloud; answers the environment."""
    home, programs = folder / "home", folder / "bin"
    for one in (home / ".ssh", home / ".config" / "openstack", programs):
        one.mkdir(parents=True, mode=0o700)
    key = home / ".ssh" / "andromede"
    key.write_bytes((cloud.person / ".ssh" / cloud.name).read_bytes())
    key.chmod(0o600)
    known = yaml.safe_load(cloud.clouds.read_text())["clouds"]
    renamed = {name.replace(cloud.name, "andromede"): facts for name, facts in known.items()}
    (home / ".config" / "openstack" / "clouds.yaml").write_text(yaml.safe_dump({"clouds": renamed}))
    openstack = Path(sys.executable).with_name("openstack")
    scripts = {
        folder / "andromede": (
            f'if [ "$1" = openstack ]; then shift; OS_CLOUD=andromede exec {openstack} "$@"; fi\n'
            f'ANDROMEDE_PERSON={cloud.person} exec {sys.executable} -m andromede.run.cli "$@" --home {cloud.path}\n'
        ),
        programs / "openstack": f'exec {openstack} "$@"\n',
        programs / "ssh": f'exec /usr/bin/ssh -o UserKnownHostsFile={home}/.ssh/known_hosts -o LogLevel=ERROR "$@" </dev/null\n',
    }
    for path, text in scripts.items():
        path.write_text(f"#!/bin/sh\n{text}")
        path.chmod(0o755)
    env = {key: value for key, value in os.environ.items() if not key.startswith(("COVERAGE", "OS_"))}
    return env | {"HOME": str(home), "PATH": f"{programs}:{os.environ['PATH']}", "PYTHONWARNINGS": "ignore", "COLUMNS": "200"}


def follow(page: str, cloud, folder: Path, path: str = "") -> None:
    """Run a page. path: a folder with further programs."""
    steps = commands((GUIDE / page).read_text())
    script = "set -eu -o pipefail\n" + "".join(f"printf '@@{number}@@'\n{command}\n" for number, (command, _) in enumerate(steps))
    env = person(cloud, folder)
    env["PATH"] = env["PATH"].replace(":", f":{path}:" if path else ":", 1)
    done = subprocess.run(
        ["timeout", "--kill-after=5", "540", "bash", "-c", script], cwd=folder, env=env, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    said = dict(re.findall(r"@@(\d+)@@(.*?)(?=@@|\Z)", done.stdout, re.DOTALL))
    last = max(map(int, said))
    assert done.returncode == 0, f"`{steps[last][0]}` ended with {done.returncode}:\n{said[str(last)]}\n{done.stderr[-2000:]}"
    wrong = [
        f"{command}\nshown: {shown}\nsaid: {said[str(number)]}"
        for number, (command, shown) in enumerate(steps)
        if not matches(shown, said[str(number)])
    ]
    assert not wrong, "\n\n".join(wrong)


def test_the_first_steps_work_as_written(real, tmp_path):
    follow("first-steps.md", real, tmp_path)


@pytest.mark.skipif(not HAVE_LXC, reason=WHY_NO_LXC)
def test_containers_work_as_written(real, tmp_path):
    follow("containers.md", real, tmp_path)


def test_volumes_work_as_written(real, tmp_path):
    follow("volumes.md", real, tmp_path)


def test_object_storage_works_as_written(real, tmp_path):
    try:
        have = clients.installed()
    except clients.Absent as why:
        pytest.skip(str(why))
    follow("object-storage.md", real, tmp_path, str(have))
