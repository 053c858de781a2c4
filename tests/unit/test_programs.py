"""A program that is not installed is said by its name and its package, also behind what starts it."""

from andromede.core.daemon import Daemon
from andromede.run import programs
from andromede.run.supervisor import Supervisor


def test_what_is_missing_behind_wrappers(monkeypatch):
    assert programs.missing(["/bin/sh", "-c", "absent --"]) == ""
    chain = ["nsenter", "--net=/run/netns/x", "--", "setpriv", "--no-new-privs", "--", "/usr/sbin/ovs-vswitchd", "unix:x"]
    monkeypatch.setattr(programs, "have", lambda name: not name.endswith("vswitchd"))
    assert programs.missing(chain) == "ovs-vswitchd is not installed; install it with: apt-get install openvswitch-switch"
    assert programs.missing(["/opt/own-vswitchd"]) == "own-vswitchd is not installed"


def test_the_supervisor_tells_of_it_and_starts_the_rest(tmp_path):
    gone = Daemon(name="gone", argv=("/usr/bin/nsenter", "--", "/usr/sbin/absent-ovn-northd"), ready=str(tmp_path / "no.sock"))
    keeper = Supervisor([gone], tmp_path, tmp_path)
    (kept,) = keeper._kept
    keeper._start(kept)
    keeper._tell()
    assert kept.said == "absent-ovn-northd is not installed"
    assert not kept.running
    assert '"missing": true' in (tmp_path / "status.json").read_text()
