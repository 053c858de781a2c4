"""The guest images, built and booted for real: QEMU under TCG, nothing leaves the machine.

The cache is kept between runs in `ANDROMEDE_CACHE`, by default /var/cache/andromede.
"""

import json
import os
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from andromede.core.errors import NotFound
from andromede.run import images
from tests.host.guest import UUID, Guest, config_drive, overlay

TOOLS = ("qemu-system-x86_64", "qemu-img", "genisoimage", "ssh", "ssh-keygen", "apt-get", "mcopy")
OVMF = Path("/usr/share/OVMF/OVMF_CODE_4M.fd")

pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.skipif(any(shutil.which(tool) is None for tool in TOOLS), reason="QEMU or a build tool is missing"),
]

USER_DATA = """#!/bin/sh
echo ran >>/root/ran
echo "user data speaks"
"""


def cache() -> Path:
    return Path(os.environ.get("ANDROMEDE_CACHE", "/var/cache/andromede"))


@pytest.fixture(scope="session")
def petit() -> images.Built:
    return images.build("petit", cache(), lambda _stage, _share: None)


@pytest.fixture(scope="session")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("key") / "id"
    subprocess.run(["ssh-keygen", "-q", "-t", "ecdsa", "-N", "", "-f", path], check=True)
    return path


@pytest.fixture(scope="module")
def guest(petit: images.Built, key: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    folder = tmp_path_factory.mktemp("petit")
    drive = config_drive(folder, key.with_suffix(".pub").read_text(), USER_DATA)
    blank = folder / "blank.raw"
    with blank.open("wb") as file:
        file.truncate(64 << 20)
    agent = ("-device", "virtio-serial-pci", "-chardev", f"socket,id=ga,path={folder}/ga.sock,server=on,wait=off")
    port = ("-device", "virtserialport,chardev=ga,name=org.qemu.guest_agent.0")
    assert petit.kernel is not None
    assert petit.initrd is not None
    boot = ("-kernel", str(petit.kernel.path), "-initrd", str(petit.initrd.path), "-append", petit.command_line)
    extra = (*agent, *port, *boot, "-drive", f"file={blank},if=virtio,format=raw,cache=unsafe")
    with Guest(folder, overlay(folder, petit.disk.path, "2G"), key, drive=drive, extra=extra) as running:
        running.wait_for("petit: user data ended with status 0")
        yield running


class TestCache:
    def test_second_build_is_instant(self, petit: images.Built) -> None:
        started = time.monotonic()
        assert images.build("petit", cache(), lambda _stage, _share: None) == petit
        assert time.monotonic() - started < 2

    def test_only_the_owner_may_read(self, petit: images.Built) -> None:
        assert petit.disk.path.stat().st_mode & 0o077 == 0
        assert petit.disk.path.parent.parent.stat().st_mode & 0o077 == 0

    def test_is_small(self, petit: images.Built) -> None:
        assert petit.disk.size < 32 << 20

    def test_properties_are_those_of_the_standard(self, petit: images.Built) -> None:
        wanted = (
            "architecture min_disk min_ram os_version os_distro hw_disk_bus image_build_date image_original_user image_source"
        )
        wanted += " image_description replace_frequency provided_until uuid_validity"
        assert set(wanted.split()) <= set(petit.properties)

    def test_unknown_recipe(self, tmp_path: Path) -> None:
        with pytest.raises(NotFound):
            images.build("../petit", tmp_path, lambda _stage, _share: None)


class TestPetit:
    def test_markers(self, guest: Guest) -> None:
        for marker in (
            "petit: userspace [0-9.]+$",
            "petit: ready [0-9.]+$",
            "BEGIN SSH HOST KEY FINGERPRINTS",
            "^ecdsa SHA256:",
            "^ed25519 SHA",
        ):
            guest.wait_for(marker, 1)

    def test_login_and_hostname(self, guest: Guest) -> None:
        assert guest.ssh("id -un; hostname") == "petit\nessai"

    @pytest.mark.parametrize("command", ["sudo id -u", "sudo sh -c 'id -u'", "sudo -i id -u", "sudo -n id -u"])
    def test_sudo(self, guest: Guest, command: str) -> None:
        assert guest.ssh(command) == "0"

    def test_pipefail(self, guest: Guest) -> None:
        assert guest.ssh("set -eu -o pipefail; PATH=$PATH:/sbin; false | true || echo failed") == "failed"

    def test_disks(self, guest: Guest) -> None:
        assert guest.ssh("lsblk -lb --nodeps -n -o NAME,SIZE | grep vda").split() == ["vda", str(2 << 30)]
        assert guest.ssh("blkid -L config-2") == "/dev/vdb"
        assert guest.ssh("sudo blkid -t LABEL=config-2 -o device") == "/dev/vdb"

    def test_root_is_grown(self, guest: Guest) -> None:
        assert int(guest.ssh("df -m / | awk 'END { print $2 }'")) > 1900

    @pytest.mark.parametrize("kind", ["ext4", "vfat"])
    def test_mkfs(self, guest: Guest, kind: str) -> None:
        guest.ssh(f"sudo mkfs -t {kind} /dev/vdc && sudo mount /dev/vdc /mnt && sudo sh -c 'echo x >/mnt/x' && sudo umount /mnt")
        assert guest.ssh("sudo blkid -o value -s TYPE /dev/vdc") == kind

    @pytest.mark.parametrize("udp", ["", "-u"])
    def test_nc_serves_more_than_one_caller(self, guest: Guest, udp: str) -> None:
        guest.ssh(f"sudo nc {udp} -p 81 -lk -e echo foolish &")
        for _ in range(2):
            assert guest.ssh(f'sleep 0.5; echo "bar" | nc -w 1 {udp} 127.0.0.1 81') == "foolish"

    def test_ping_as_a_user(self, guest: Guest) -> None:
        assert "1 received" in guest.ssh("ping -c1 -w2 -s56 127.0.0.1")

    def test_lease_can_be_renewed(self, guest: Guest) -> None:
        pid = guest.ssh("cat /var/run/udhcpc.eth0.pid")
        guest.ssh(f"sudo /bin/kill -USR1 {pid}")
        time.sleep(1)
        assert "10.0.2.15/24" in guest.ssh("ip -o addr | awk '/eth0/ {print $4}'")

    def test_ipv6_by_router_advertisement(self, guest: Guest) -> None:
        assert "fec0::" in guest.ssh("ip -6 -o addr show eth0")

    def test_console_can_be_written_to(self, guest: Guest) -> None:
        guest.ssh('sudo sh -c "echo \\"hello there\\" >/dev/console"')
        guest.wait_for("hello there", 5)

    def test_entropy(self, guest: Guest) -> None:
        assert guest.ssh("cat /sys/devices/virtual/misc/hw_random/rng_current").startswith("virtio_rng")

    def test_curl_and_scp_server(self, guest: Guest) -> None:
        assert "https" in guest.ssh("curl -V")
        guest.ssh("test -x /usr/lib/sftp-server")

    def test_guest_agent_runs(self, guest: Guest) -> None:
        assert "qemu-ga" in guest.ssh("ps")

    def test_password_is_locked(self, guest: Guest) -> None:
        assert guest.ssh("sudo awk -F: '{ print $2 }' /etc/shadow").split() == ["*"] * 4

    def test_user_data_runs_once_and_files_persist(self, guest: Guest) -> None:
        guest.ssh("echo kept >~/kept; sync; sudo reboot")
        guest.wait_for("petit: ready", times=2)
        assert guest.ssh("cat ~/kept; sudo cat /root/ran") == "kept\nran"
        assert guest.console.count("user data speaks") == 1

    def test_zz_power_button(self, guest: Guest) -> None:
        guest.monitor_command("system_powerdown")
        assert guest.ended()


METADATA = """
import json, sys
key, uuid = sys.argv[1:]
path = sys.stdin.readline().split()[1]
while sys.stdin.readline().strip():
    pass
meta = {"uuid": uuid, "hostname": "reseau.example", "public_keys": {"k": key + "\\n"}}
meta |= {"admin_pass": "s\\u0065cret", "meta": {"a": "\\"b\\""}}
answers = {
    "/openstack/latest/meta_data.json": json.dumps(meta),
    "/openstack/latest/user_data": "#!/bin/sh\\necho from the network\\n",
    "/latest/meta-data/instance-id": "i-1", "/latest/meta-data/hostname": "amazone.example",
    "/latest/meta-data/public-keys/": "0=k", "/latest/meta-data/public-keys/0/openssh-key": key,
}
if len(sys.argv) and "EC2" == "@WAY@":
    answers = {path: body for path, body in answers.items() if "openstack" not in path}
body = answers.get(path)
status = "200 OK" if body is not None else "404 Not Found"
body = (body or "").encode()
sys.stdout.write(f"HTTP/1.1 {status}\\r\\nContent-Length: {len(body)}\\r\\nConnection: close\\r\\n\\r\\n")
sys.stdout.flush()
sys.stdout.buffer.write(body)
sys.stdout.flush()
"""


@pytest.mark.parametrize(("way", "name"), [("openstack", "reseau"), ("EC2", "amazone")])
def test_petit_reads_the_metadata_service(petit: images.Built, key: Path, tmp_path: Path, way: str, name: str) -> None:
    script = tmp_path / "metadata.py"
    script.write_text(METADATA.replace("@WAY@", way))
    answer = tmp_path / "answer"
    public = key.with_suffix(".pub").read_text().strip()
    answer.write_text(f"#!/bin/sh\nexec {sys.executable} {script} '{public}' {UUID}\n")
    answer.chmod(0o755)
    # A forwarded address must lie in the user network, so the network is made to be around that address.
    netdev = f",net=169.254.169.0/24,host=169.254.169.2,dhcpstart=169.254.169.15,guestfwd=tcp:169.254.169.254:80-cmd:{answer}"
    with Guest(tmp_path, overlay(tmp_path, petit.disk.path, "1G"), key, netdev=netdev) as running:
        running.wait_for("petit: ready")
        assert running.ssh("hostname") == name
        if way == "openstack":
            running.wait_for("from the network")
            assert "$6$" in running.ssh("sudo grep petit /etc/shadow")


def test_petit_boots_without_any_metadata(petit: images.Built, key: Path, tmp_path: Path) -> None:
    with Guest(tmp_path, overlay(tmp_path, petit.disk.path, "1G"), key, machine="pc") as running:
        answered = running.banner()
        assert running.wait_for("petit: ready", 60) > answered + 5


def test_petit_boots_from_its_disk(petit: images.Built, key: Path, tmp_path: Path) -> None:
    drive = config_drive(tmp_path, key.with_suffix(".pub").read_text())
    with Guest(tmp_path, overlay(tmp_path, petit.disk.path, "1G"), key, drive=drive) as running:
        running.wait_for("petit: ready")
        assert running.ssh("id -un") == "petit"


@pytest.mark.skipif(not OVMF.exists(), reason="no UEFI firmware (ovmf)")
def test_petit_boots_with_uefi(petit: images.Built, key: Path, tmp_path: Path) -> None:
    drive = config_drive(tmp_path, key.with_suffix(".pub").read_text())
    firmware = shutil.copy("/usr/share/OVMF/OVMF_VARS_4M.fd", tmp_path / "vars.fd")
    flash = ("-drive", f"if=pflash,format=raw,readonly=on,file={OVMF}", "-drive", f"if=pflash,format=raw,file={firmware}")
    with Guest(tmp_path, overlay(tmp_path, petit.disk.path, "1G"), key, drive=drive, extra=flash, memory=256) as running:
        running.wait_for("petit: ready", 120)
        assert running.ssh("test -d /sys/firmware/efi && echo uefi") == "uefi"


@pytest.mark.parametrize("bus", ["ide", "scsi"])
def test_petit_boots_from_other_buses(petit: images.Built, key: Path, tmp_path: Path, bus: str) -> None:
    drive = config_drive(tmp_path, key.with_suffix(".pub").read_text())
    extra = ("-drive", f"file={drive},if=none,id=cd,format=raw,readonly=on", "-device", "ide-cd,drive=cd,bus=ide.1")
    with_disk = {
        "ide": ("-device", "ide-hd,drive=root,bus=ide.0"),
        "scsi": ("-device", "virtio-scsi-pci", "-device", "scsi-hd,drive=root"),
    }
    disk = overlay(tmp_path, petit.disk.path, "1G")
    running = Guest(tmp_path, disk, key, machine="pc", extra=(*with_disk[bus], *extra))
    at = running.command.index(f"file={disk},if=virtio,format=qcow2,cache=unsafe")
    running.command[at] = f"file={disk},if=none,id=root,format=qcow2,cache=unsafe"
    with running:
        running.wait_for("petit: ready", 120)
        assert running.ssh("id -un") == "petit"


@pytest.mark.slow
def test_debian_with_cloud_init(key: Path, tmp_path: Path) -> None:
    built = images.build("debian", cache(), lambda _stage, _share: None)
    drive = config_drive(tmp_path, key.with_suffix(".pub").read_text(), textwrap.dedent(USER_DATA))
    with Guest(tmp_path, overlay(tmp_path, built.disk.path, "4G"), key, user="debian", drive=drive, memory=768) as running:
        running.wait_for("Cloud-init .* finished", 500)
        assert running.ssh("hostname; sudo cat /root/ran") == "essai\nran"
        assert int(running.ssh("df -m / | awk 'END { print $2 }'")) > 3000
        status = json.loads(running.ssh("cat /run/cloud-init/result.json"))
        assert "ConfigDrive" in status["v1"]["datasource"]
        assert not status["v1"]["errors"]
        assert running.ssh("systemctl is-system-running", check=False) in {"running", "starting"}
        running.monitor_command("system_powerdown")
        assert running.ended(120)
