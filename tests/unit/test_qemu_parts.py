"""The parts of the QEMU driver that need neither root nor QEMU."""

import asyncio
import errno
import json
import socket
from pathlib import Path

import pytest

from andromede.core.errors import DriverError
from andromede.core.ids import new_id
from andromede.drivers.hypervisor import console
from andromede.drivers.hypervisor.checks import public
from andromede.drivers.hypervisor.qemu import counters, files, probe, process, qmp
from andromede.drivers.hypervisor.qemu.store import Record, Store


def test_the_console_keeps_its_tail_and_gives_back_the_rest(tmp_path):
    log = tmp_path / "console.log"
    assert console.tail(log) == b""
    console.trim(log)
    console.compact(log)
    with log.open("ab", buffering=0) as writer:
        for number in range(60_000):
            writer.write(b"%09d\n" % number)
        kept = console.tail(log)
        assert len(kept) == console.KEPT
        console.trim(log)
        assert log.stat().st_blocks * 512 <= console.KEPT + 3 * 4096
        assert console.tail(log) == kept
        writer.write(b"more\n")
        assert console.tail(log).endswith(b"000059999\nmore\n")
    console.compact(log)
    assert log.stat().st_size == console.KEPT
    assert console.tail(log).endswith(b"000059999\nmore\n")


def test_a_small_console_is_left_alone(tmp_path):
    log = tmp_path / "console.log"
    log.write_bytes(b"x" * 1000)
    console.trim(log)
    console.compact(log)
    assert log.read_bytes() == b"x" * 1000


def test_a_file_system_without_holes_is_told_of(tmp_path, monkeypatch):
    log = tmp_path / "console.log"
    log.write_bytes(b"x" * 500_000)
    monkeypatch.setattr(console, "_PUNCH_KEEPING_SIZE", 0xFF)
    with pytest.raises(OSError, match="not supported"):
        console.trim(log)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("qemu-system-x86_64: -netdev tap: could not open /dev/net/tun: No", "-netdev tap: could not open …: No"),
        ("qemu-system-x86_64: cannot set up guest memory 'pc.ram'\x1b[0m", "cannot set up guest memory 'pc.ram'[0m"),
        ("x" * 300, "x" * 200),
        ("a 1/2 b", "a 1/2 b"),
    ],
)
def test_what_programs_say_is_made_fit_for_the_public(said, told):
    assert process.sanitise(said) == told


def test_last_words_pass_over_warnings(tmp_path):
    log = tmp_path / "qemu.log"
    assert process.last_words(log) == ""
    log.write_text("qemu-system-x86_64: bad luck\nqemu-system-x86_64: warning: harmless\n\n")
    assert process.last_words(log) == "bad luck"
    log.write_text("")
    assert process.last_words(log) == ""


def test_processes_that_are_gone():
    assert process.adopt(2**22 - 1) is None
    assert process.recorded("x", 0, 0, "tag") is None
    assert process.recorded("x", 2**22 - 1, 5, "tag") is None
    assert process.hold(process.Found("x", 2**22 - 1, 1, 0, 0), "tag") is None
    assert process.hold(process.Found("x", 1, 1, 0, 0), "tag") is None


def test_uids_are_taken_once_and_given_back(tmp_path):
    store = Store(tmp_path / "state", 1000, 3)
    one, two, three = new_id(), new_id(), new_id()
    assert [store.take(one, set()), store.take(two, {1001})] == [1000, 1002]
    assert Store(tmp_path / "state", 1000, 3).owner(two) == 1002
    assert store.take(three, set()) == 1001
    with pytest.raises(DriverError, match="no user id left"):
        store.take(new_id(), set())
    store.forget(one)
    store.forget(one)
    assert store.owner(one) is None
    assert store.ids() == {two, three}


def test_a_uid_taken_by_another_process_meanwhile_is_passed_over(tmp_path, monkeypatch):
    store = Store(tmp_path / "state", 1000, 3)
    store.take(new_id(), set())
    monkeypatch.setattr(store, "_owners", dict)
    assert store.take(new_id(), set()) == 1001


def test_records(tmp_path):
    store = Store(tmp_path / "state", 1000, 3)
    guest_id = new_id()
    assert store.load(guest_id) == (Record(id=guest_id), False)
    store.make(guest_id)
    store.save(Record(id=guest_id, boots=4))
    assert store.load(guest_id) == (Record(id=guest_id, boots=4), True)
    (store.path(guest_id) / "guest.json").write_text('{"id": 1}')
    record, sound = store.load(guest_id)
    assert not sound
    assert "damaged" in (record.fault or "")
    store.forget(guest_id)
    assert store.ids() == set()
    store.path(guest_id).write_text("a file where a folder should be")
    store.forget(guest_id)
    assert store.ids() == set()


def test_the_size_of_an_image_is_in_its_header(tmp_path):
    image = tmp_path / "x.qcow2"
    image.write_bytes(b"QFI\xfb" + bytes(20) + (1 << 30).to_bytes(8, "big"))
    assert files.virtual_size(image) == 1 << 30
    image.write_bytes(b"QFI\xfb")
    with pytest.raises(DriverError, match="damaged"):
        files.virtual_size(image)


def test_firmware_that_is_not_there(monkeypatch):
    monkeypatch.setattr(files, "FIRMWARE", ((Path("/none"), Path("/none")),))
    with pytest.raises(DriverError, match="OVMF"):
        files.firmware()


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(errno.ENOSPC, "full"), "no disk space"),
        (OSError(errno.EDQUOT, "quota"), "no disk space"),
        (OSError(errno.EIO, "/x"), "could not do"),
    ],
)
def test_the_host_s_errors_get_a_public_sentence(error, told):
    with pytest.raises(DriverError, match=told) as caught, public():
        raise error
    assert caught.value.__cause__ is error


def test_the_payload_is_a_firmware():
    image = probe.firmware()
    assert len(image) == 0x10000
    assert image[0xFFF0] == 0xE9
    assert image[0xFF00] == 0xFA


def test_no_kvm_is_told_of(tmp_path):
    assert asyncio.run(probe.probe(tmp_path, uid=1, device=tmp_path / "none")).why == "The host has no /dev/kvm."
    plain = tmp_path / "plain"
    plain.touch()
    assert "not a device" in asyncio.run(probe.probe(tmp_path, uid=1, device=plain)).why


@pytest.mark.parametrize(
    ("answers", "name", "why"),
    [
        ([None, None], "kvm", ""),
        (["a guest in long mode failed (x)"], "tcg", "The host has /dev/kvm, but a guest in long mode failed (x)."),
        ([None, "no"], "tcg", "KVM works for root alone on the host: the group of /dev/kvm may not write to it."),
    ],
)
def test_kvm_counts_when_it_works_for_a_guest_s_user(tmp_path, monkeypatch, answers, name, why):
    left = list(answers)

    async def payload(*args, **options):
        return left.pop(0)

    monkeypatch.setattr(probe, "run_payload", payload)
    found = asyncio.run(probe.probe(tmp_path, uid=1, device=Path("/dev/null")))
    assert (found.name, found.why, left) == (name, why, [])


def test_a_proof_is_kept_while_host_and_qemu_stay(tmp_path, monkeypatch):
    asked = []

    async def fresh(folder, *, uid):
        asked.append(uid)
        return probe.Acceleration("kvm", "", 5)

    monkeypatch.setattr(probe, "probe", fresh)
    for key in ("a", "a", "b"):
        assert asyncio.run(probe.proved(tmp_path, uid=1, key=key)).group == 5
    assert len(asked) == 2


def test_a_program_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.setattr(probe, "BINARY", "/none")
    monkeypatch.setattr(counters, "BINARY", "/none")
    assert "cannot be run" in (asyncio.run(probe.run_payload("tcg", tmp_path)) or "")
    with pytest.raises(DriverError, match="is not installed on the host"):
        asyncio.run(counters.version())
    monkeypatch.setattr(counters, "BINARY", "/bin/true")
    with pytest.raises(DriverError, match="does not tell its version"):
        asyncio.run(counters.version())


def test_a_probe_that_fails_says_why(tmp_path, monkeypatch):
    false = tmp_path / "false"
    false.write_text("#!/bin/sh\necho 'no luck with /dev/kvm' >&2\nexit 1\n")
    false.chmod(0o755)
    monkeypatch.setattr(probe, "BINARY", str(false))
    assert asyncio.run(probe.run_payload("kvm", tmp_path)) == "a guest in long mode failed (no luck with …)"


def test_a_host_that_tells_little(monkeypatch):
    def none():
        raise OSError

    monkeypatch.setattr(counters.platform, "freedesktop_os_release", none)
    assert counters.operating_system() == "linux"


def test_sockets_may_lie_deep(tmp_path):
    deep = tmp_path / ("x" * 100)
    deep.mkdir()
    (deep / "a.sock").write_text("what was there")
    with qmp.listen(deep / "a.sock"), socket.socket(socket.AF_UNIX) as line, qmp.short_path(deep / "a.sock") as name:
        line.connect(name)
    missing = tmp_path / "gone" / "a.sock"
    with pytest.raises(OSError, match="No such"):
        qmp.listen(missing)


class Qmp:
    """A QMP server that greets, and answers as it is told to."""

    def __init__(self, path, answers):
        self.path, self.answers = path, answers

    async def __aenter__(self):
        self.server = await asyncio.start_unix_server(self.serve, self.path)
        return self

    async def __aexit__(self, *_):
        self.server.close()

    async def serve(self, reader, writer):
        writer.write(b'{"QMP": {"version": {"qemu": {"major": 7, "minor": 2, "micro": 0}, "package": ""}, "capabilities": []}}\n')
        while line := await reader.read(4096):
            request = json.loads(line)
            answer = self.answers.get(request["execute"], {"return": {}})
            if answer is None:
                continue
            echo = {"id": request["id"]} if "id" in request else {}
            writer.write(json.dumps(answer | echo).encode() + b"\n")
            if request["execute"] == "tell":
                event = {"event": "SHUTDOWN", "data": {}, "timestamp": {"seconds": 1, "microseconds": 1}}
                writer.write(json.dumps(event).encode() + b"\n")
        writer.close()


def test_a_monitor(tmp_path):
    async def story():
        refusal = {"error": {"class": "GenericError", "desc": "no"}}
        told = asyncio.Event()
        async with Qmp(
            tmp_path / "qmp.sock", {"refused": refusal, "silent": None, "query-status": {"return": {"status": "running"}}}
        ):
            monitor = await qmp.Monitor.connect(tmp_path / "qmp.sock", told.set, 2)
            assert await monitor.status() == "running"
            with pytest.raises(qmp.MonitorError, match=r"no$"):
                await monitor.run("refused")
            with pytest.raises(qmp.MonitorError, match="no answer"):
                await monitor.run("silent", patience=0.05)
            await monitor.run("tell", some_name=1)
            async with asyncio.timeout(2):
                await told.wait()
            await monitor.close()
        with pytest.raises(qmp.MonitorError, match="no session"):
            await qmp.Monitor.connect(tmp_path / "none" / "qmp.sock", told.set, 1)

    asyncio.run(story())
