"""A real cloud as a user meets it: `up`, ssh to the first server, `down` and `up` under running servers, `destroy`."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import yaml

from andromede.drivers.network import link_local
from andromede.services.audit import verifier
from tests.real import RealCloud
from tests.waiting import until


def bonjour(cloud):
    (server,) = cloud.user.get("/compute/v2.1/servers/detail?name=^bonjour$")["servers"]
    return server


def address(server):
    return next(one["addr"] for entries in server["addresses"].values() for one in entries if one["OS-EXT-IPS:type"] == "floating")


def reachable(cloud, server, seconds=240):
    return until(lambda: cloud.ssh(address(server), "hostname").stdout.strip() == server["name"], seconds)


def test_up_prints_what_a_person_needs_and_may_be_repeated(real):
    again = real.cli("up").stdout
    assert f"The cloud serves at {real.url}" in again
    assert f"ssh -i {real.person}/.ssh/{real.name} petit@{address(bonjour(real))}" in again
    assert {f"{real.url}/volume/v3", f"{real.url}/key-manager", real.home.s3_url} <= set(again.split())
    assert real.password("admin") not in again
    assert (real.home.secrets / "admin-password").stat().st_mode & 0o777 == 0o600
    assert real.clouds.stat().st_mode & 0o777 == 0o600
    assert set(yaml.safe_load(real.clouds.read_text())["clouds"]) == {real.name, f"{real.name}-admin"}


def test_the_client_that_comes_along_speaks_with_the_cloud_of_a_directory(real):
    env = {key: value for key, value in os.environ.items() if not key.startswith(("COVERAGE", "OS_"))}
    words = ["openstack", "--home", str(real.path), "server", "list", "-f", "value", "-c", "Name"]
    command = [sys.executable, "-m", "andromede.run.cli", *words]
    done = subprocess.run(command, env=env | {"HOME": str(real.person)}, capture_output=True, text=True, timeout=120, check=False)
    assert "bonjour" in done.stdout.split(), done.stderr


def test_ssh_to_the_first_server_and_its_metadata(real):
    server = bonjour(real)
    reachable(real, server)
    said = real.ssh(address(server), "sudo id -u; curl -s http://169.254.169.254/openstack/latest/meta_data.json; echo")
    lines = said.stdout.splitlines()
    assert lines[0] == "0"
    assert json.loads(lines[1])["uuid"] == server["id"]
    forged = real.ssh(address(server), "curl -s -H 'X-Forwarded-For: 10.0.0.99' http://169.254.169.254/latest/meta-data/instance-id")
    assert forged.stdout == f"i-{server['id'][:8]}"


def test_metadata_over_ipv6_in_a_network_without_ipv6(real):
    server = bonjour(real)
    reachable(real, server)
    assert [one["version"] for entries in server["addresses"].values() for one in entries] == [4, 4]
    asked = "curl -gs -m 5 'http://[fe80::a9fe:a9fe%25eth0]/openstack/latest/meta_data.json'"
    assert json.loads(real.ssh(address(server), asked).stdout)["uuid"] == server["id"]
    own = link_local(real.user.get(f"/network/v2.0/ports?device_id={server['id']}")["ports"][0]["mac_address"])
    assert reaches_metadata(real, server, own)
    real.ssh(address(server), "sudo ip addr add fe80::99/64 dev eth0 nodad")
    assert not reaches_metadata(real, server, "fe80::99"), "no other address of the link is its own"
    real.ssh(address(server), "sudo ip addr del fe80::99/64 dev eth0")


def reaches_metadata(real, server, source):
    return real.ssh(address(server), f"nc.openbsd -z -w 3 -s {source}%eth0 fe80::a9fe:a9fe%eth0 80").returncode == 0


def test_status_logs_doctor_and_operations(real):
    status = until(lambda: (done := real.cli("status", check=False)).returncode == 0 and done)
    for name in ("supervisor", "api", "engine", "agent", "ovs-vswitchd", "ovn-northd", "ovn-controller"):
        assert name in status.stdout
    assert "tcg" in status.stdout or "kvm" in status.stdout
    assert '"event":"request"' in real.cli("logs", "api").stdout
    refused = real.cli("logs", "nobody", check=False)
    assert refused.returncode != 0
    assert "agent" in refused.stderr
    doctor = real.cli("doctor", check=False).stdout
    for word in ("KVM", "datapath", "containers", "cgroups", "memory", "disk"):
        assert word in doctor
    operations = real.cli("operations").stdout
    assert "under way" in operations
    assert re.search(r"(\d+) of \1 reconcilers are well", operations)
    assert 'andromede_operations_ended_total{kind="server.build",state="done"}' in real.cli("metrics").stdout
    agents = real.admin.get("/network/v2.0/agents")["agents"]
    assert [(one["binary"], one["alive"]) for one in agents] == [("ovn-controller", True), ("andromede-metadata", True)]


def test_the_audit_log_is_whole_taken_out_and_checked_by_itself(real, tmp_path):
    until(lambda: real.cli("audit", "checkpoint", check=False).returncode == 0)
    kept, key, export = tmp_path / "kept", real.cli("audit", "key").stdout.strip(), tmp_path / "log"
    kept.write_text(real.cli("audit", "checkpoint").stdout)
    assert "all as they were sealed" in real.cli("audit", "verify", "--known", kept).stdout
    real.cli("audit", "export", export)
    assert export.stat().st_mode & 0o777 == 0o600
    assert "File exists" in real.cli("audit", "export", export, check=False).stderr
    command = [sys.executable, "-I", verifier.__file__, export, "--key", key, "--known", kept]
    assert subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout.endswith(" events, 0 faults\n")
    told = [json.loads(json.loads(line)["event"]) for line in export.read_text().splitlines() if "event" in json.loads(line)]
    assert {one["action"] for one in told} >= {"authenticate", "create"}
    for secret in (real.password("admin"), real.password("demo")):
        assert secret not in export.read_text()
    kept.write_text(kept.read_text().replace("audit\n", "audits\n", 1))
    assert "checkpoint" in real.cli("audit", "verify", "--known", kept, check=False).stderr


def test_servers_go_on_while_the_cloud_is_down(real):
    server = bonjour(real)
    reachable(real, server)
    before = real.ssh(address(server), "cat /proc/sys/kernel/random/boot_id").stdout
    assert "servers go on" in real.cli("down").stdout
    assert real.cli("status", check=False).returncode == 1
    assert real.ssh(address(server), "cat /proc/sys/kernel/random/boot_id").stdout == before
    real.cli("up")
    assert real.ssh(address(server), "cat /proc/sys/kernel/random/boot_id").stdout == before
    assert bonjour(real)["status"] == "ACTIVE"


def test_no_secret_is_in_a_log_or_a_process_list(real):
    secrets = [real.password("admin"), real.password("demo")]
    logs = "".join(path.read_text(errors="replace") for path in real.home.logs.glob("*.log"))
    lists = b"".join(path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()).decode(errors="replace")
    for secret in secrets:
        assert secret not in logs
        assert secret not in lists


def test_a_second_cloud_of_the_fake_hypervisor_lives_beside_and_leaves_nothing(real):
    cloud = RealCloud('[compute]\nhypervisor = "fake"\n', public="172.24.6.0/24")
    try:
        cloud.cli("up")
        assert bonjour(cloud)["status"] == "ACTIVE"
        taken = RealCloud(public="172.24.9.0/24")
        (taken.path / "andromede.toml").write_text(f"[api]\nport = {cloud.port}\n")
        refused = taken.cli("up", check=False)
        assert refused.returncode != 0
        assert f"127.0.0.1:{cloud.port} cannot be listened on" in refused.stderr
        taken.destroy()
    finally:
        cloud.destroy()
    assert not cloud.path.exists()
    assert not [name for name in links() if cloud.home.tag in name]


def links() -> set[str]:
    """Names of links here, and of network namespaces."""
    shown = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True, timeout=10).stdout
    spaces = Path("/run/netns")
    return {line.split(": ")[1] for line in shown.splitlines()} | {path.name for path in spaces.iterdir() if spaces.exists()}


def test_bad_settings_are_named(tmp_path):
    cloud = RealCloud()
    try:
        (cloud.path / "andromede.toml").write_text("[api]\nport = 'x'\n")
        assert "`$.api.port`" in cloud.cli("up", check=False).stderr
        (cloud.path / "andromede.toml").write_text("[api]\nlisten = '192.0.2.1'\n")
        assert "tls_certificate" in cloud.cli("up", check=False).stderr
        (cloud.path / "andromede.toml").write_text("[nothing]\n")
        assert "nothing" in cloud.cli("up", check=False).stderr
    finally:
        cloud.destroy()


def test_clouds_that_were_taken_out_are_written_again(real):
    whole = yaml.safe_load(real.clouds.read_text())
    whole["clouds"][real.name]["region_name"] = "mine"
    del whole["clouds"][f"{real.name}-admin"]
    real.clouds.write_text(yaml.safe_dump(whole))
    real.cli("up")
    assert set(yaml.safe_load(real.clouds.read_text())["clouds"]) == {real.name, f"{real.name}-admin"}
    real.clouds.unlink()
    real.cli("up")
    assert set(yaml.safe_load(real.clouds.read_text())["clouds"]) == {real.name, f"{real.name}-admin"}


def test_the_line_to_log_in_with_works_when_it_is_printed(real):
    real.user.post(f"/compute/v2.1/servers/{bonjour(real)['id']}/action", {"reboot": {"type": "HARD"}})
    until(lambda: bonjour(real)["status"] == "ACTIVE")
    assert f"ssh -i {real.person}" in real.cli("up").stdout
    assert real.ssh(address(bonjour(real)), "hostname").stdout.strip() == "bonjour"
