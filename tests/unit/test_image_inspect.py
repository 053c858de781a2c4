"""Hostile and honest disk images against the inspection, and qemu-img in its cell."""

import contextlib
import os
import struct
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from andromede.core.errors import BadRequest, Gone, TooLarge
from andromede.core.units import GIB, MIB
from andromede.services.image import qemu
from andromede.services.image.inspect import FORMATS, Inspection
from tests.api.images import descriptor, make, qcow2_header, with_backing, with_data_file

HEADS = (b"", b"QFI\xfb\0\0\0\3", b"KDMV", b"vhdxfile", b"conectix")


def inspect(declared: str, data: bytes, *, limit: int = 10 * GIB, step: int = MIB, opaque: bool = False):
    inspection = Inspection(declared, limit=limit, opaque=opaque)
    for start in range(0, len(data), step):
        inspection.add(data[start : start + step])
    return inspection.finish()


@pytest.mark.parametrize("step", [512, 65536, 1 << 30])
@pytest.mark.parametrize(
    ("declared", "kind", "options"),
    [
        ("qcow2", "qcow2", ()), ("qcow2", "qcow2", ("-c",)), ("qcow2", "qcow2", ("-o", "compat=0.10")), ("vmdk", "vmdk", ()),
        ("vmdk", "vmdk", ("-o", "subformat=streamOptimized")), ("vdi", "vdi", ()), ("vhd", "vpc", ("-o", "force_size=on")),
        ("vhd", "vpc", ("-o", "subformat=fixed,force_size=on")), ("vhdx", "vhdx", ()),
    ],
)  # fmt: skip
def test_real_images_of_every_format(tmp_path, declared, kind, options, step):
    assert inspect(declared, make(tmp_path, kind, "10M", *options), step=step) == 10 * MIB


@pytest.mark.parametrize("declared", ["raw", "ami", "aki", "ari"])
def test_plain_data_has_no_virtual_size(declared):
    assert inspect(declared, b"") is None
    assert inspect(declared, os.urandom(3000)) is None
    bootable = bytearray(1 << 20)
    bootable[510:512] = b"\x55\xaa"
    assert inspect(declared, bytes(bootable)) is None


def test_iso(tmp_path):
    data = bytearray(64 * 1024)
    data[32768:32774] = b"\x01CD001"
    struct.pack_into("<I", data, 32768 + 80, 32)
    struct.pack_into("<H", data, 32768 + 128, 2048)
    assert inspect("iso", bytes(data)) is None
    with pytest.raises(BadRequest, match="iso"):
        inspect("iso", os.urandom(100_000))
    with pytest.raises(BadRequest, match="begins with the header"):
        inspect("iso", b"QFI\xfb" + bytes(data)[4:])


@pytest.mark.parametrize(
    ("declared", "build", "reason"),
    [
        ("qcow2", with_backing, "backing file"),
        ("qcow2", with_data_file, "data_file"),
        ("qcow2", lambda _: qcow2_header(1 << 60), "virtual size"),
        ("qcow2", lambda _: qcow2_header(0), "no size"),
        ("qcow2", lambda _: qcow2_header(MIB, crypt=1), "encrypted"),
        ("qcow2", lambda _: qcow2_header(MIB, crypt=2), "encrypted"),
        ("qcow2", lambda _: qcow2_header(MIB, version=1), "version"),
        ("qcow2", lambda _: qcow2_header(MIB)[:100], "does not match"),
        ("qcow2", lambda _: b"", "does not match"),
        ("qcow2", lambda folder: make(folder, "vdi"), "does not match"),
        ("raw", lambda folder: make(folder, "qcow2"), "header of another"),
        ("raw", lambda folder: make(folder, "vmdk"), "header of another"),
        ("raw", lambda folder: make(folder, "vdi"), "header of another"),
        ("raw", lambda folder: make(folder, "vhdx"), "header of another"),
        ("raw", lambda _: b"QFI\xfb", "header of another"),
        ("raw", lambda _: descriptor(), "header of another"),
        ("vmdk", lambda _: descriptor(), "unsafe"),
        ("vmdk", lambda _: descriptor("other-flat.vmdk"), "unsafe"),
        ("vhd", lambda folder: make(folder, "vpc")[:-512], "footer"),
        ("vhd", lambda folder: differencing_vhd(make(folder, "vpc")), "differencing"),
        ("vdi", lambda folder: differencing_vdi(make(folder, "vdi")), "differencing"),
        ("vhdx", lambda folder: make(folder, "vhdx")[:200_000], "does not match|not a whole"),
    ],
)
def test_hostile_images_are_refused(tmp_path, declared, build, reason):
    with pytest.raises(BadRequest, match=reason):
        inspect(declared, build(tmp_path))


def differencing_vhd(data: bytes) -> bytes:
    return data[:-512] + data[-512:-452] + struct.pack(">I", 4) + data[-448:]


def differencing_vdi(data: bytes) -> bytes:
    return data[:76] + struct.pack("<I", 4) + data[80:]


def test_vmdk_that_names_a_file_of_the_host(tmp_path):
    data = make(tmp_path, "vmdk")
    place = data.index(b"RW ")
    line = data[place : data.index(b"\n", place)]
    forged = b'RW 20480 FLAT "/etc/passwd" 0'
    with pytest.raises(BadRequest, match="unsafe"):
        inspect("vmdk", data.replace(line, forged[: len(line)].ljust(len(line)), 1))


def test_archives_are_not_opened():
    assert inspect("vmdk", os.urandom(1000), opaque=True) is None


def test_the_limit_is_of_the_disk_inside(tmp_path):
    with pytest.raises(BadRequest, match="virtual size"):
        inspect("vmdk", make(tmp_path, "vmdk"), limit=5 * MIB)


@settings(max_examples=200, deadline=None)
@given(declared=st.sampled_from(FORMATS), head=st.sampled_from(HEADS), rest=st.binary(max_size=2000))
def test_whatever_comes_is_taken_or_refused(declared, head, rest):
    with contextlib.suppress(BadRequest):
        size = inspect(declared, head + rest)
        assert size is None or size > 0


@settings(max_examples=100, deadline=None)
@given(place=st.integers(0, 600), change=st.binary(min_size=1, max_size=16))
def test_a_damaged_header_is_taken_or_refused(place, change):
    data = bytearray(qcow2_header(MIB))
    data[place : place + len(change)] = change
    with contextlib.suppress(BadRequest):
        assert inspect("qcow2", bytes(data)) > 0


# qemu-img


def test_probe_agrees_with_the_inspection(tmp_path):
    for declared, kind in (("qcow2", "qcow2"), ("vmdk", "vmdk"), ("vdi", "vdi"), ("vhdx", "vhdx"), ("vhd", "vpc")):
        path = tmp_path / f"image.{kind}"
        path.write_bytes(make(tmp_path, kind))
        path.chmod(0o640)
        qemu.probe(path, declared, 10 * MIB)
        assert (path.stat().st_mode & 0o777, path.stat().st_uid) == (0o640, os.geteuid())
        assert not path.with_name(path.name + ".cell").exists()


def test_probe_refuses_what_qemu_sees_otherwise(tmp_path):
    path = tmp_path / "image"
    whole = make(tmp_path, "qcow2")
    cases = (
        (qcow2_header(MIB)[:104], MIB, "whole"), (with_backing(tmp_path), MIB, "twice"), (whole, 1, "twice"),
        (whole[: len(whole) - 200_000], 10 * MIB, "missing"), (qcow2_header(MIB)[:20], MIB, "whole"),
    )  # fmt: skip
    for data, size, reason in cases:
        path.write_bytes(data)
        with pytest.raises(BadRequest, match=reason):
            qemu.probe(path, "qcow2", size)
        assert path.read_bytes() == data


def test_convert_keeps_the_content(tmp_path):
    path, result, back = tmp_path / "image", tmp_path / "result", tmp_path / "back"
    path.write_bytes(make(tmp_path, "vmdk"))
    qemu.convert(path, "vmdk", result, most=100 * MIB, seconds=60, alive=lambda: None)
    subprocess.run(["qemu-img", "convert", "-f", "qcow2", "-O", "raw", result, back], check=True)
    assert back.read_bytes() == (tmp_path / "disk.raw").read_bytes()


def test_convert_is_limited_in_size_and_time(tmp_path):
    (tmp_path / "noise").write_bytes(os.urandom(4 * MIB))
    path = tmp_path / "image"
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "vmdk", tmp_path / "noise", path], check=True)
    for most, seconds in ((MIB, 60.0), (100 * MIB, 0.001)):
        with pytest.raises(TooLarge):
            qemu.convert(path, "vmdk", tmp_path / "result", most=most, seconds=seconds, alive=lambda: None)
        assert not (tmp_path / "result").exists()
        assert path.exists()


def test_a_conversion_nobody_wants_any_more_ends(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    cell = tmp_path / "cell"
    cell.mkdir()

    def gone():
        raise Gone("deleted")

    with pytest.raises(Gone):
        qemu._run(cell, ["sleep", "60"], seconds=60, size=0, alive=gone)


def test_qemu_img_sees_nothing_but_the_image(tmp_path):
    """As root, the process is nobody: what it may not read is a file of root's beside it."""
    if os.geteuid() != 0:
        pytest.skip("drops rights only where it has them")
    secret = tmp_path / "secret"
    secret.write_text("secret")
    secret.chmod(0o600)
    path = tmp_path / "image"
    path.write_bytes(b"data")
    cell = qemu._cell(path)
    try:
        done = qemu._run(cell, ["cat", str(secret)], seconds=5, size=0)
        assert (done.returncode, done.stdout) == (1, b"")
        assert qemu._run(cell, ["cat", "source"], seconds=5, size=0).stdout == b"data"
        assert qemu._run(cell, ["id", "-G"], seconds=5, size=0).stdout.split() == [b"65534"]
    finally:
        qemu._leave(cell, path)
