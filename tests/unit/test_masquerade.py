"""Masquerading, in a network namespace made for the test."""

import subprocess
import sys
from pathlib import Path

RUN = """
import sys
from pathlib import Path
from andromede.run import masquerade
kept = Path(sys.argv[2])
if sys.argv[1] == "ensure":
    masquerade.ensure("t", "andro-t", "172.24.9.0/24", kept)
else:
    masquerade.remove("t", kept)
"""


def test_the_rule_comes_and_goes_with_the_machines_setting_as_it_was(tmp_path):
    name, kept = "andromede-nat", tmp_path / "kept"
    subprocess.run(["ip", "netns", "add", name], check=True, timeout=10)

    def inside(*words):
        return subprocess.run(["nsenter", f"--net=/run/netns/{name}", *words], capture_output=True, text=True, check=True, timeout=30).stdout

    try:
        before = inside("cat", "/proc/sys/net/ipv4/ip_forward")
        for _ in range(2):
            inside(sys.executable, "-c", RUN, "ensure", str(kept))
        rules = inside("nft", "list", "ruleset")
        assert rules.count("masquerade") == 1
        assert 'ip saddr 172.24.9.0/24 oifname != "andro-t"' in rules
        assert inside("cat", "/proc/sys/net/ipv4/ip_forward") == "1\n"
        for _ in range(2):
            inside(sys.executable, "-c", RUN, "remove", str(kept))
        assert inside("nft", "list", "ruleset") == ""
        assert inside("cat", "/proc/sys/net/ipv4/ip_forward") == before
        assert not kept.exists()
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True, timeout=10)
    assert not Path(f"/run/netns/{name}").exists()
