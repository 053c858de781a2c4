"""litmus, the protocol tests of WebDAV that its servers are held to: all 104, against a process that serves the drive."""

import re
import shutil
import subprocess

import pytest

from tests.drive import process


@pytest.mark.skipif(shutil.which("litmus") is None, reason="litmus is not installed")
@pytest.mark.parametrize("where", ["/remote.php/dav/files/alice/", "/remote.php/webdav/"])
def test_all_of_litmus(tmp_path, where):
    with process(tmp_path, "fast") as running:
        command = ["litmus", "-k", f"http://127.0.0.1:{running.port}{where}", "alice", "secret"]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300, cwd=tmp_path)
    passed = re.findall(r"of (\d+) tests run: (\d+) passed", done.stdout)
    assert done.returncode == 0, done.stdout
    assert sum(int(count) for _, count in passed) == sum(int(count) for count, _ in passed) == 104
