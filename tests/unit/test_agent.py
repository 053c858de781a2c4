"""The agent with fake drivers: it converges, survives faults and restarts, and speaks with its client over a real socket."""

import asyncio
import socket
import threading
import time
from pathlib import Path

import msgspec
import pytest

from andromede.agent.client import AgentHosts
from andromede.agent.config_drive import build, lay
from andromede.agent.halt import halt
from andromede.agent.host import HostLoop
from andromede.agent.images import ImageCache
from andromede.agent.ledger import Ledger
from andromede.agent.metadata import PASSWORD, Posted, lookup
from andromede.agent.server import serve
from andromede.core.errors import Conflict, DriverError, Unavailable
from andromede.drivers.block import Volume
from andromede.drivers.host import Attached, Desired, Image, Nic, Wish
from andromede.drivers.hypervisor import Capture, Power, State
from andromede.drivers.hypervisor.fake import Fake
from andromede.drivers.network import MetadataEnd, link_local
from andromede.drivers.network.fake import FakePlug

GUEST = "11111111-2222-4333-8444-555555555555"
NIC = Nic(port_id="aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee", network_id="n1", mac="fa:16:3e:00:00:01", addresses=("10.0.0.5",))


def wish(**values) -> Wish:
    return Wish(**{"id": GUEST, "vcpus": 1, "memory": 128 << 20, "disk": 1 << 30, "nics": (NIC,)} | values)


class FakeMetadata:
    def __init__(self) -> None:
        self.listening: set[str] = set()
        self.documents: dict = {}
        self.ends = socket.socketpair()

    def listen(self, end, namespace):
        self.listening.add(end.network_id)

    def silence(self, network_id):
        self.listening.discard(network_id)

    def publish(self, documents):
        self.documents = documents

    alive = True

    def fileno(self):
        return self.ends[0].fileno()

    def posted(self):
        try:
            self.ends[0].recv(100, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return []
        return [Posted("n1", "10.0.0.5", b"word"), Posted("n1", "10.0.0.99", b"stranger")]


class Agent:
    """A host loop with its socket, on a thread of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.socket = folder, folder / "agent.sock"
        self.hypervisor, self.plug, self.metadata = Fake(folder / "guests"), FakePlug(), FakeMetadata()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()))
        self._thread.start()
        assert self._ready.wait(5)

    async def _main(self) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        self.loop = HostLoop(self.folder, self.hypervisor, self.plug, self.metadata)
        server = await serve(self.loop, self.socket)
        task = asyncio.create_task(self.loop.run())
        self._ready.set()
        await self._end.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        server.close()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(5)


@pytest.fixture
def agent(tmp_path):
    agent = Agent(tmp_path)
    yield agent
    agent.stop()


@pytest.fixture
def hosts(agent):
    hosts = AgentHosts(lambda: {"here": agent.socket})
    yield hosts
    hosts.close()


def until(hosts, check, seconds=5.0):
    serial, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        report = hosts.wait({"here": serial}, 0.5)["here"]
        serial = report.serial
        found = {seen.id: seen for seen in report.guests}
        if check(found, report):
            return report
    raise AssertionError(found)


def test_a_card_comes_and_goes_and_its_tap_stays_until_the_guest_lets_go(agent, hosts):
    agent.hypervisor._letting_go = 1.0
    more = Nic(port_id="cccccccc-bbbb-4ccc-8ddd-eeeeeeeeeeee", network_id="n1", mac="fa:16:3e:00:00:02")
    hosts.push("here", Desired(generation=1, guests=(wish(),)))
    until(hosts, lambda found, _: GUEST in found and found[GUEST].nics == (NIC.port_id,))
    hosts.push("here", Desired(generation=2, guests=(wish(nics=(NIC, more)),)))
    until(hosts, lambda found, _: found[GUEST].nics == (NIC.port_id, more.port_id))
    agent.hypervisor.ignore_acpi(GUEST)
    hosts.push("here", Desired(generation=3, guests=(wish(),)))
    time.sleep(0.3)
    assert asyncio.run(agent.plug.observe())[0] == {NIC.port_id[:11], more.port_id[:11]}
    until(hosts, lambda found, _: found[GUEST].nics == (NIC.port_id,))
    taps(agent, {NIC.port_id[:11]})


def taps(agent, wanted, seconds=5.0):
    """Wait until these taps are there and no others; the sweep that removes them comes after the guest's end is told."""
    end = time.monotonic() + seconds
    while (found := asyncio.run(agent.plug.observe())[0]) != wanted:
        assert time.monotonic() < end, found
        time.sleep(0.02)


def test_a_wish_becomes_a_running_guest_and_its_absence_removes_it(agent, hosts):
    hosts.push("here", Desired(generation=1, guests=(wish(),)))
    report = until(hosts, lambda found, _: GUEST in found and found[GUEST].state is State.RUNNING)
    assert report.generation == 1
    taps(agent, {NIC.port_id[:11]})
    hosts.push("here", Desired(generation=2))
    until(hosts, lambda found, _: not found)
    taps(agent, set())
    assert asyncio.run(agent.hypervisor.observe()) == []


def test_what_changes_while_the_host_is_looked_over_is_looked_at_again_at_once(agent, hosts):
    hosts.push("here", Desired(generation=1, guests=(wish(),)))
    until(hosts, lambda found, _: GUEST in found and found[GUEST].state is State.RUNNING)
    looked, observe = [], agent.plug.observe

    async def slow():
        looked.append(time.monotonic())
        await asyncio.sleep(0.3 if len(looked) == 1 else 0)
        return await observe()

    agent.plug.observe = slow
    hosts.push("here", Desired(generation=2, guests=(wish(memory=256 << 20),)))
    end = time.monotonic() + 5
    while not looked:
        assert time.monotonic() < end
        time.sleep(0.01)
    hosts.push("here", Desired(generation=3))
    taps(agent, set())


def test_power_and_reboots_follow_the_wish(hosts):
    hosts.push("here", Desired(generation=1, guests=(wish(),)))
    until(hosts, lambda found, _: GUEST in found and found[GUEST].state is State.RUNNING)
    hosts.push("here", Desired(generation=2, guests=(wish(boots=1),)))
    until(hosts, lambda found, _: found[GUEST].boots == 1 and found[GUEST].state is State.RUNNING)
    hosts.push("here", Desired(generation=3, guests=(wish(boots=1, power=Power.STOPPED),)))
    until(hosts, lambda found, _: found[GUEST].state is State.STOPPED)


def test_an_older_set_is_ignored(hosts):
    hosts.push("here", Desired(generation=5, guests=(wish(),)))
    until(hosts, lambda found, _: GUEST in found and found[GUEST].state is State.RUNNING)
    hosts.push("here", Desired(generation=4))
    assert until(hosts, lambda found, report: report.generation == 5).guests


def test_a_fault_of_the_host_is_reported_in_words_and_mended(agent, hosts):
    agent.hypervisor.fail_next("ensure", GUEST, "The disk is full.")
    hosts.push("here", Desired(generation=1, guests=(wish(),)))
    until(hosts, lambda found, _: GUEST in found and found[GUEST].fault == "The disk is full.")
    until(hosts, lambda found, _: found[GUEST].state is State.RUNNING and found[GUEST].fault is None)


def test_a_fault_of_a_guest_does_not_make_its_volumes_free(agent, hosts):
    volume = Volume(id="22222222-2222-4333-8444-555555555555", size=1 << 30)
    with_it = wish(volumes=(Attached(id=volume.id),))
    hosts.push("here", Desired(generation=1, guests=(with_it,), volumes=(volume,)))
    until(hosts, lambda found, report: GUEST in found and found[GUEST].drives and any(one.held for one in report.volumes))
    asked, free, able = [], agent.loop.block.ensure, agent.hypervisor.ensure

    async def ensure(one):
        asked.append(one.id)
        return await free(one)

    async def mute(_guest):
        raise DriverError("The hypervisor does not answer.")

    agent.loop.block.ensure, agent.hypervisor.ensure = ensure, mute
    hosts.push("here", Desired(generation=2, guests=(with_it,), volumes=(msgspec.structs.replace(volume, snapshots=("kept",)),)))
    report = until(hosts, lambda found, _: found[GUEST].fault == "The hypervisor does not answer.")
    assert [[held.id for held in seen.drives] for seen in report.guests] == [[volume.id]]
    assert report.volumes[0].held
    agent.hypervisor.ensure = able
    until(hosts, lambda found, report: found[GUEST].fault is None and report.volumes[0].snapshots == ("kept",))
    assert asked == [], "it would have been changed under the guest that has it"


def test_a_guest_that_ends_by_itself_is_noticed_at_once(agent, hosts):
    hosts.push("here", Desired(generation=1, guests=(wish(),)))
    until(hosts, lambda found, _: GUEST in found and found[GUEST].state is State.RUNNING)
    agent._loop.call_soon_threadsafe(agent.hypervisor.power_off, GUEST)
    began = time.monotonic()
    until(hosts, lambda found, _: found[GUEST].state is State.STOPPED)
    assert time.monotonic() - began < 2


def test_a_restarted_agent_goes_on_from_its_ledger(tmp_path):
    first = Agent(tmp_path)
    hosts = AgentHosts(lambda: {"here": first.socket})
    hosts.push("here", Desired(generation=7, guests=(wish(),)))
    until(hosts, lambda found, _: GUEST in found and found[GUEST].state is State.RUNNING)
    first.stop()
    with pytest.raises(Unavailable):
        hosts.console("here", GUEST)
    second = Agent(tmp_path)
    try:
        report = until(hosts, lambda found, _: GUEST in found and found[GUEST].state is State.RUNNING)
        assert report.generation == 7
        assert hosts.console("here", GUEST)
        assert hosts.diagnostics("here", GUEST)["state"] == "running"
        assert asyncio.run(halt(second.hypervisor, tmp_path)) == 1
    finally:
        hosts.close()
        second.stop()


def test_without_a_ledger_nothing_is_removed(tmp_path):
    fake = Fake(tmp_path / "guests")

    async def start():
        from andromede.agent.prepare import guest_of

        await fake.ensure(guest_of(wish(), tmp_path))

    asyncio.run(start())
    (tmp_path / "ledger").write_bytes(b"\xc1 damaged")
    agent = Agent(tmp_path)
    try:
        time.sleep(0.5)
        assert [seen.id for seen in asyncio.run(agent.hypervisor.observe())] == [GUEST]
    finally:
        agent.stop()


def test_metadata_is_published_for_every_address_of_a_guest(agent, hosts):
    end = MetadataEnd(network_id="n1", port_id="p", mac="fa:16:3e:00:00:02", addresses=("10.0.0.2/24",))
    hosts.push("here", Desired(generation=1, guests=(wish(files={"latest/user-data": b"x"}),), metadata=(end,)))
    until(hosts, lambda found, _: GUEST in found and found[GUEST].state is State.RUNNING and agent.metadata.listening == {"n1"})
    assert set(agent.metadata.documents) == {("n1", "10.0.0.5"), ("n1", "fe80::f816:3eff:fe00:1")}
    hosts.push("here", Desired(generation=2))
    until(hosts, lambda found, _: not found and not agent.metadata.listening)


def test_several_hosts_are_waited_for_at_once(agent, tmp_path):
    hosts = AgentHosts(lambda: {"here": agent.socket, "away": tmp_path / "nobody"})
    reports = hosts.wait({"here": 0, "away": 0}, 1)
    assert "here" in reports or reports["away"] is None
    hosts.close()


def test_nonsense_on_the_socket_is_refused(agent, hosts):
    import socket
    import struct

    with socket.socket(socket.AF_UNIX) as link:
        link.connect(str(agent.socket))
        link.sendall(struct.pack(">I", 3) + b"\xc1\xc1\xc1")
        (length,) = struct.unpack(">I", link.recv(4))
        assert b"does not understand" in link.recv(length)


def test_a_damaged_ledger_is_no_ledger(tmp_path):
    ledger = Ledger(tmp_path / "ledger")
    assert ledger.load() is None
    ledger.store(Desired(generation=3, guests=(wish(),)))
    assert (tmp_path / "ledger").stat().st_mode & 0o777 == 0o600
    assert ledger.load() == Desired(generation=3, guests=(wish(),))
    (tmp_path / "ledger").write_bytes(b"\xc1")
    assert ledger.load() is None


def test_an_image_stays_under_its_guests_when_it_is_deleted(tmp_path):
    source = tmp_path / "store"
    source.write_bytes(b"data")
    cache = ImageCache(tmp_path / "cache")
    image = Image(id="i1", path=str(source), format="raw", size=4)
    path = Path(cache.ensure(image))
    source.unlink()
    assert Path(cache.ensure(image)).read_bytes() == b"data"
    cache.keep(set())
    assert not path.exists()
    with pytest.raises(DriverError):
        cache.ensure(image)


def test_a_config_drive_holds_the_files_for_every_reader(tmp_path):
    import pycdlib

    both = {"latest/meta-data/public-keys": b"0=k", "latest/meta-data/public-keys/0/openssh-key": b"k"}
    build(tmp_path / "drive", {"openstack/latest/meta_data.json": b"{}", "openstack/content/0000": b"x", **both})
    assert (tmp_path / "drive").stat().st_mode & 0o777 == 0o600
    image = pycdlib.PyCdlib()
    image.open(str(tmp_path / "drive"))
    assert image.pvd.volume_identifier.strip() == b"config-2"
    assert [child.file_identifier() for child in image.list_children(rr_path="/openstack") if child]
    image.close()


def test_a_container_gets_the_same_files_in_a_folder_and_changes_with_them(tmp_path):
    lay(tmp_path / "seed", {"openstack/latest/meta_data.json": b"{}", "latest/meta-data/hostname": b"h"})
    before = (tmp_path / "seed").stat().st_ino
    lay(tmp_path / "seed", {"openstack/latest/meta_data.json": b"{}"})
    assert (tmp_path / "seed").stat().st_ino == before
    assert [file.name for file in (tmp_path / "seed").rglob("*") if file.is_file()] == ["meta_data.json"]
    lay(tmp_path / "seed", {"openstack/latest/user_data": b"#!"})
    assert (tmp_path / "seed/openstack/latest/user_data").read_bytes() == b"#!"


def test_metadata_paths():
    files = {"openstack/latest/meta_data.json": b"{}", "latest/meta-data/hostname": b"h", "latest/meta-data/placement/zone": b"z"}
    assert lookup(files, "openstack/2018-08-27/meta_data.json") == (200, b"{}")
    assert lookup(files, "2009-04-04/meta-data") == (200, b"hostname\nplacement/")
    assert lookup(files, "latest/meta-data/hostname") == (200, b"h")
    assert lookup(files, "nothing")[0] == 404


def test_a_link_local_address_comes_from_the_card():
    assert link_local("fa:16:3e:12:34:56") == "fe80::f816:3eff:fe12:3456"


def test_wishes_travel_unchanged():
    whole = wish(files={"a": b"\x00\xff"}, image=Image(id="i", path="/x", format="raw", size=1))
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(whole), type=Wish) == whole


def test_an_unforeseen_error_is_a_fault_too_and_its_text_stays_in_the_log(agent, hosts):
    original = agent.hypervisor.ensure
    errors = [ValueError("secret")]

    async def once(guest):
        if errors:
            raise errors.pop()
        return await original(guest)

    agent.hypervisor.ensure = once
    hosts.push("here", Desired(generation=1, guests=(wish(),)))
    report = until(hosts, lambda found, _: GUEST in found and found[GUEST].fault is not None)
    assert "secret" not in report.guests[0].fault
    until(hosts, lambda found, _: found[GUEST].state is State.RUNNING)


def test_a_password_that_a_guest_posts_is_kept_reported_and_forgotten_with_it(agent, hosts):
    hosts.push("here", Desired(generation=1, guests=(wish(),)))
    until(hosts, lambda found, _: GUEST in found and found[GUEST].state is State.RUNNING)
    agent.metadata.ends[1].send(b"x")
    assert until(hosts, lambda _, report: report.passwords).passwords == {GUEST: b"word"}
    assert (agent.folder / "passwords").stat().st_mode & 0o777 == 0o600
    hosts.push("here", Desired(generation=2, guests=(wish(boots=1),)))
    until(hosts, lambda found, _: found[GUEST].boots == 1)
    end = time.monotonic() + 3
    while time.monotonic() < end and PASSWORD not in agent.metadata.documents["n1", "10.0.0.5"]:
        time.sleep(0.05)
    assert agent.metadata.documents["n1", "10.0.0.5"][PASSWORD] == b"word"
    hosts.push("here", Desired(generation=3))
    assert until(hosts, lambda found, _: not found).passwords == {}


def test_a_console_is_joined_with_a_link_of_its_own(agent, hosts):
    with pytest.raises(Conflict):
        hosts.open("here", GUEST, "vnc")
    hosts.push("here", Desired(generation=1, guests=(wish(),)))
    until(hosts, lambda found, _: GUEST in found and found[GUEST].state is State.RUNNING)
    with hosts.open("here", GUEST, "serial") as line:
        line.settimeout(5)
        said = line.recv(100)
        assert said.startswith(b"guest-")
        line.sendall(b"typed")
        assert line.recv(100) == b"typed"
    with pytest.raises(Unavailable):
        hosts.open("nowhere", GUEST, "serial")


def test_a_copy_of_a_disk_is_asked_for_and_told_of(agent, hosts, tmp_path):
    copy = Capture(id="one", disk=GUEST, path=str(tmp_path / "copy"))
    hosts.push("here", Desired(generation=1, guests=(wish(captures=(copy,)),)))
    until(hosts, lambda found, _: GUEST in found and found[GUEST].captures == {"one": ""})
    assert (tmp_path / "copy").exists()
    agent.hypervisor.fail_next("capture", GUEST, "No room.")
    hosts.push("here", Desired(generation=2, guests=(wish(captures=(Capture(id="two", disk=GUEST, path=str(tmp_path / "two")),)),)))
    until(hosts, lambda found, _: found[GUEST].captures == {"two": "No room."})
    hosts.push("here", Desired(generation=3, guests=(wish(power=Power.SUSPENDED),)))
    until(hosts, lambda found, _: found[GUEST].state is State.SUSPENDED and found[GUEST].captures == {})
