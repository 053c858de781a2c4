"""The daemons of OVN and Open vSwitch, described as data for a supervisor to run. Starts nothing itself.

The order for a supervisor: `databases.prepare`, `host.make`, then each of `daemons` in the order given, waiting for
`is_ready` before the next; any that ends is started again after `backoff` seconds. Sockets are private, nothing listens
on TCP. ovs-vswitchd forwards nothing in userspace while the local ovsdb-server is away, and asks for it again after 1, 2, 4, 8 s:
that server must be back at once. Daemons log warnings to stderr, which the supervisor bounds; OVS limits the rate of each message itself.
"""

from andromede.core.daemon import Daemon
from andromede.drivers.network.ovn.layout import Layout

_QUIET = ("-vconsole:warn", "-vsyslog:off", "-vfile:off")
_SWITCH_CAPS = "+net_admin,+net_raw,+net_broadcast,+dac_override,+sys_nice,+ipc_lock,+sys_resource"


def daemons(layout: Layout) -> list[Daemon]:
    """What this host must run, in the order of starting."""
    return (_central(layout) if layout.central else []) + _switch(layout)


def _central(layout: Layout) -> list[Daemon]:
    home = layout.central_dir
    env = dict.fromkeys(("OVS_RUNDIR", "OVN_RUNDIR", "OVN_DBDIR", "OVS_LOGDIR", "OVN_LOGDIR"), home)
    limits = _without_capabilities("-all")
    return [
        Daemon(
            outlives=True, name="ovn-ovsdb",
            argv=(
                *limits, "/usr/sbin/ovsdb-server", f"--remote=punix:{home}/nb.sock", f"--remote=punix:{home}/sb.sock",
                *_common(home, "ovn-ovsdb"), f"{home}/nb.db", f"{home}/sb.db",
            ),
            env=env, ready=f"{home}/sb.sock", pidfile=f"{home}/ovn-ovsdb.pid",
            uid=layout.uid, gid=layout.gid, umask=0o007,
        ),
        Daemon(
            outlives=True, name="ovn-northd",
            argv=(
                *limits, "/usr/bin/ovn-northd", f"--ovnnb-db=unix:{home}/nb.sock", f"--ovnsb-db=unix:{home}/sb.sock",
                *_common(home, "ovn-northd"),
            ),
            env=env, ready=f"{home}/ovn-northd.ctl", pidfile=f"{home}/ovn-northd.pid", uid=layout.uid, gid=layout.gid,
        ),
    ]  # fmt: skip


def _switch(layout: Layout) -> list[Daemon]:
    home = layout.switch_dir
    env = dict.fromkeys(("OVS_RUNDIR", "OVN_RUNDIR", "OVS_DBDIR", "OVS_LOGDIR", "OVN_LOGDIR", "OVS_SYSCONFDIR"), home)
    enter = ("/usr/bin/nsenter", f"--net={layout.namespace_path}", "--")
    return [
        Daemon(
            outlives=True, name="ovs-ovsdb",
            argv=(
                *_without_capabilities("-all"), "/usr/sbin/ovsdb-server", f"--remote=punix:{home}/db.sock",
                *_common(home, "ovs-ovsdb"), f"{home}/conf.db",
            ),
            env=env, ready=f"{home}/db.sock", pidfile=f"{home}/ovs-ovsdb.pid", backoff=0.02,
        ),
        Daemon(
            outlives=True, name="ovs-vswitchd",
            argv=(
                *enter, *_without_capabilities(f"-all,{_SWITCH_CAPS}"), "/usr/sbin/ovs-vswitchd", layout.ovs,
                *_common(home, "ovs-vswitchd"),
            ),
            env=env, ready=f"{home}/ovs-vswitchd.ctl", pidfile=f"{home}/ovs-vswitchd.pid",
        ),
        Daemon(
            outlives=True, name="ovn-controller",
            argv=(
                *enter, *_without_capabilities("-all,+dac_override"), "/usr/bin/ovn-controller", layout.ovs,
                *_common(home, "ovn-controller")[1:],
            ),
            env=env, ready=f"{home}/ovn-controller.{{pid}}.ctl", pidfile=f"{home}/ovn-controller.pid",
            stop=("/usr/bin/ovn-appctl", "-t", "ovn-controller", "exit", "--restart"),
        ),
    ]  # fmt: skip


def _common(home: str, name: str) -> tuple[str, ...]:
    return (f"--unixctl={home}/{name}.ctl", f"--pidfile={home}/{name}.pid", *_QUIET)


def _without_capabilities(bounds: str) -> tuple[str, ...]:
    """A prefix that limits what even root may do; an unprivileged daemon has nothing to lose and cannot change its bounds."""
    return ("/usr/bin/setpriv", "--no-new-privs", "--inh-caps=-all", f"--bounding-set={bounds}", "--")
