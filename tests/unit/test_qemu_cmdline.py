import json

import msgspec
import pytest

from andromede.core.units import GIB, MIB
from andromede.drivers.hypervisor import Disk, Drive, Guest, Nic
from andromede.drivers.hypervisor.qemu.cmdline import LATER, Files, build
from andromede.drivers.hypervisor.qemu.process import identify

ID = "0c4e7a60-11c3-4f5a-9c1e-2f0f7d1f6a01"
GUEST = Guest(
    id=ID,
    vcpus=2,
    memory=512 * MIB + 1,
    boots=3,
    disks=(Disk(id="root", size=GIB, base="/img", base_format="qcow2"), Disk(id="data-with-a-name-of-more", size=GIB)),
    nics=(Nic(port_id="p1", mac="fa:16:3e:00:00:01", mtu=1442), Nic(port_id="p2", mac="fa:16:3e:00:00:02", model="e1000e")),
    config_drive="/iso",
)
FILES = Files(
    qmp=3, serial=4, agent=5, log=6, config=12, taps={"p1": [10], "p2": [11]},
    disks={"root": 7, "data-with-a-name-of-more": 8}, bases={"root": 9},
)  # fmt: skip


def values(arguments, option):
    return [arguments[place + 1] for place, argument in enumerate(arguments) if argument == option]


def devices(arguments):
    return [json.loads(value) for value in values(arguments, "-device")]


def nodes(arguments):
    return {node["node-name"]: node for node in map(json.loads, values(arguments, "-blockdev"))}


def line(guest=GUEST, files=FILES, **options):
    return build(guest, files, **({"tag": "main", "kvm": False} | options))


def by(arguments, **wanted):
    found = [device for device in devices(arguments) if wanted.items() <= device.items()]
    assert len(found) == 1, wanted
    return found[0]


def test_a_command_line_is_found_again():
    assert identify(line(), "main") == (ID, 3)
    assert identify(line(), "other") is None
    assert identify(["/usr/bin/qemu-system-x86_64", *line()[1:]], "main") == (ID, 3)
    assert identify(["setpriv", *line()], "main") is None
    assert identify([], "main") is None
    assert identify(["qemu-system-x86_64", "-name"], "main") is None
    assert identify(["qemu-system-x86_64", "-name", "guest=other"], "main") is None
    assert identify(["qemu-system-x86_64", "-name", f"guest=guest-{ID}"], "main") is None


def test_the_process_is_confined_and_stays_when_its_guest_ends():
    arguments = line()
    assert {"-nodefaults", "-no-user-config"} <= set(arguments)
    assert values(arguments, "-sandbox") == ["on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"]
    assert values(arguments, "-vnc") == ["none"], "a display without a listener"
    assert values(arguments, "-action") == ["reboot=reset,shutdown=pause,panic=pause"]
    assert "-S" not in arguments
    assert line(paused=True)[-1] == "-S"


def test_memory_is_rounded_up_and_the_machine_knows_who_it_is():
    arguments = line()
    assert values(arguments, "-m") == ["size=513M"]
    assert values(arguments, "-smp") == ["cpus=2"]
    assert values(arguments, "-uuid") == [ID]
    assert any("Andromède" in value and f"uuid={ID}" in value for value in values(arguments, "-smbios"))


def test_accelerators():
    assert values(line(), "-accel") == ["tcg,thread=multi,tb-size=64"]
    assert values(line(), "-cpu") == ["max,la57=off"]
    kvm = line(kvm=True)
    assert values(kvm, "-accel") == ["kvm"]
    assert values(kvm, "-cpu") == ["host"]
    assert "hpet=off" in values(kvm, "-machine")[0]


def test_disks_are_open_files_over_a_base_that_is_only_read():
    arguments = line()
    tree = nodes(arguments)
    assert tree["disk0"]["backing"] == "disk0-base"
    assert tree["disk0-file"]["filename"] == "/dev/fdset/7"
    base = tree["disk0-base"]
    assert (base["driver"], base["read-only"], base["backing"]) == ("qcow2", True, None)
    assert tree["disk0-base-file"] == {
        "driver": "file", "node-name": "disk0-base-file", "filename": "/dev/fdset/9", "read-only": True, "locking": "off",
    }  # fmt: skip
    assert tree["disk1"]["backing"] is None
    assert tree["config"]["read-only"] is True
    assert sorted(values(arguments, "-add-fd")) == sorted(f"fd={fd},set={fd}" for fd in (6, 7, 8, 9, 12))
    assert sorted(FILES.all()) == list(range(3, 13))
    assert not any("/img" in argument or "/iso" in argument for argument in arguments)


def test_a_raw_base_has_no_backing_at_all():
    raw = msgspec.structs.replace(GUEST, disks=(Disk(id="root", size=GIB, base="/img"), GUEST.disks[1]))
    assert "backing" not in nodes(line(raw))["disk0-base"]


def test_what_can_be_unplugged_has_a_port_of_its_own():
    arguments = line()
    assert by(arguments, driver="virtio-blk-pci", drive="disk0")["bus"] == "pcie.0"
    data = by(arguments, driver="virtio-blk-pci", drive="disk1")
    assert data["serial"] == "data-with-a-name-of-"
    ports = [device for device in devices(arguments) if device["driver"] == "pcie-root-port"]
    taken = [data["bus"], by(arguments, netdev="net-p1")["bus"], by(arguments, netdev="net-p2")["bus"]]
    assert len(set(taken)) == 3
    assert len(ports) == 3
    assert by(arguments, driver="pcie-pci-bridge")["id"] == LATER
    assert ports[0]["multifunction"] is True
    assert len({port["addr"] for port in ports}) == len(ports)
    first = [device["driver"] for device in devices(arguments)].index("pcie-root-port")
    assert first == 0, "ports come before what is behind them"


def test_more_than_eight_ports_take_a_second_slot():
    many = msgspec.structs.replace(GUEST, disks=tuple(Disk(id=f"d{number}", size=GIB) for number in range(10)))
    files = msgspec.structs.replace(FILES, disks={f"d{number}": 20 + number for number in range(10)}, bases={})
    ports = [device for device in devices(line(many, files)) if device["driver"] == "pcie-root-port"]
    assert {port["addr"] for port in ports} >= {"0x10.0", "0x10.7", "0x11.0"}


def test_cards():
    arguments = line()
    assert values(arguments, "-netdev") == ["tap,id=net-p1,fd=10,vhost=off", "tap,id=net-p2,fd=11,vhost=off"]
    assert by(arguments, driver="virtio-net-pci")["host_mtu"] == 1442
    assert "host_mtu" not in by(arguments, driver="e1000e")


@pytest.mark.parametrize(
    ("buses", "places", "machine"),
    [
        (("scsi", "scsi"), [("scsi-hd", "scsi.0"), ("scsi-hd", "scsi.0")], "q35"),
        (("usb", "usb"), [("usb-storage", "usb.0"), ("usb-storage", "usb.0")], "q35"),
        (("ide", "usb"), [("ide-hd", "ide.0"), ("usb-storage", "usb.0")], "pc"),
        (("sata", "sata"), [("ide-hd", "ide.0"), ("ide-hd", "ide.1")], "q35"),
        (("ide", "ide", "ide"), [("ide-hd", "ide.0"), ("ide-hd", "ide.0"), ("ide-hd", "ide.1")], "pc"),
        (("ide", "sata", "virtio"), [("ide-hd", "ide.0"), ("ide-hd", "sata.0"), ("virtio-blk-pci", "pci.0")], "pc"),
    ],
)
def test_buses(buses, places, machine):
    disks = tuple(Disk(id=f"d{number}", size=GIB, bus=bus) for number, bus in enumerate(buses))
    guest = msgspec.structs.replace(GUEST, disks=disks)
    arguments = line(guest, msgspec.structs.replace(FILES, disks={disk.id: 20 for disk in disks}, bases={}))
    assert [
        (by(arguments, drive=f"disk{number}")["driver"], by(arguments, drive=f"disk{number}")["bus"])
        for number in range(len(buses))
    ] == places
    assert values(arguments, "-machine")[0].startswith(machine)
    assert by(arguments, drive="disk0")["bootindex"] == 1


def test_a_direct_boot_reads_open_files():
    guest = msgspec.structs.replace(GUEST, kernel="/k", initrd="/i", cmdline="console=ttyS0 a,b")
    arguments = line(guest, msgspec.structs.replace(FILES, kernel=13, initrd=14))
    assert values(arguments, "-kernel") == ["/proc/self/fd/13"]
    assert values(arguments, "-initrd") == ["/proc/self/fd/14"]
    assert values(arguments, "-append") == ["console=ttyS0 a,b"]
    assert "-initrd" not in line(guest, msgspec.structs.replace(FILES, kernel=13))


def test_uefi_has_its_code_and_its_variables():
    arguments = line(msgspec.structs.replace(GUEST, firmware="uefi"), msgspec.structs.replace(FILES, code=13, vars=14))
    assert "pflash0=code,pflash1=vars" in values(arguments, "-machine")[0]
    assert nodes(arguments)["code"]["read-only"] is True
    assert "read-only" not in nodes(arguments)["vars-file"]


def test_a_guest_rescued_beside_its_volume_keeps_that_at_its_place():
    root = Drive(id="r" * 8, path="/v/root", size=GIB, boot=0)
    other = Drive(id="o" * 8, path="/v/other", size=GIB)
    rescue = Disk(id="rescue", size=GIB)
    guest = msgspec.structs.replace(GUEST, disks=(rescue,), drives=(root, other), boot_from="rescue", nics=())
    files = msgspec.structs.replace(FILES, disks={"rescue": 7}, bases={}, taps={}, drives={root.id: 20, other.id: 21})
    found = [device for device in devices(line(guest, files)) if device.get("drive", "config") != "config"]
    assert [(one["serial"], one.get("bootindex")) for one in found] == [(root.id, 2), ("rescue", 1), (other.id, None)]
    usual = msgspec.structs.replace(guest, disks=(), boot_from="")
    found = [device for device in devices(line(usual, msgspec.structs.replace(files, disks={}))) if device.get("id", "").startswith("vol-")]
    assert [(one["serial"], one.get("bootindex")) for one in found] == [(root.id, 1), (other.id, None)]
