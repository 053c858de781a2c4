"""The playbooks of docs/guide/ansible.md against the real cloud, where Ansible is installed."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "guide"


def test_the_playbooks_of_the_guide(real, tmp_path):
    program = shutil.which("ansible-playbook", path=os.environ.get("ANDROMEDE_TEST_ANSIBLE", os.environ["PATH"]))
    if program is None:
        pytest.skip("Ansible is not installed: ANDROMEDE_TEST_ANSIBLE names the folder of ansible-playbook")
    python = Path(program).with_name("python")
    env = {key: value for key, value in os.environ.items() if not key.startswith(("COVERAGE", "PYTHON"))} | {
        "HOME": str(tmp_path), "OS_CLIENT_CONFIG_FILE": str(real.clouds), "OS_CLOUD": real.name, "ANSIBLE_NOCOLOR": "1", "LC_ALL": "C.UTF-8",
    }  # fmt: skip
    more = [f"public_key={real.person}/.ssh/{real.name}.pub", f"ansible_python_interpreter={python}"]

    def play(name):
        words = [program, str(GUIDE / name), *(word for one in more for word in ("-e", one))]
        done = subprocess.run(words, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=400, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    try:
        assert re.search(r"ssh petit@172\.24\.5\.\d+", play("ansible-server.yml"))
        assert "changed=0 " in play("ansible-server.yml")
        (volume,) = real.user.get("/volume/v3/volumes/detail?name=atelier")["volumes"]
        assert volume["status"] == "in-use"
        assert len(real.user.get("/compute/v2.1/servers?name=atelier")["servers"]) == 2
    finally:
        play("ansible-server-absent.yml")
    assert real.user.get("/network/v2.0/networks?name=atelier")["networks"] == []
    assert real.user.get("/volume/v3/volumes?name=atelier")["volumes"] == []
    assert real.user.get("/compute/v2.1/servers?name=atelier")["servers"] == []
