"""Where one cloud's OVN and OVS keep their things on a host, and how they are reached. Values only; touches nothing.

`central` holds the northbound and southbound databases and northd, run by an unprivileged user; `switch` holds what
belongs to root: the local database, ovs-vswitchd and ovn-controller.
"""

import hashlib

import msgspec

INTEGRATION, PROVIDER, TUNNEL = "br-int", "br-ex", "br-tun"
"""The bridges: of guests, of the provider network, and of what goes from host to host."""

LONELY = "127.0.0.1"
"""Where a host is reached by other hosts, while there are none."""


def short_tag(name: str) -> str:
    """The tag of a cloud: `main` for the default one, else 7 hex digits of a hash of its name (or state directory)."""
    return "main" if name in {"", "main", "default"} else hashlib.sha256(name.encode()).hexdigest()[:7]


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """One host of one cloud.

    state: the directory for databases and sockets. chassis: this host's name in OVN (its system-id). uid, gid: who runs
    the central daemons; members of `gid` may use the northbound database. datapath: `system` or `netdev`. public: the
    gateway addresses (CIDR) that the machine gets on the provider network `physical`. outside: the namespace that plays
    the machine, None for the one we run in. central: whether this host runs the databases and northd; where it does
    not, `southbound` is their address.

    Hosts on one machine hang on the first of them. joined: on that one, the tags of the others. hub: on the others, the
    namespace of the first; `outside` is the same.
    """

    state: str
    chassis: str
    tag: str = "main"
    uid: int = 0
    gid: int = 0
    datapath: str = "netdev"
    physical: str = "public"
    public: tuple[str, ...] = ("172.24.4.1/24",)
    outside: str | None = None
    encap_ip: str = LONELY
    central: bool = True
    southbound: str = ""
    joined: tuple[str, ...] = ()
    hub: str = ""

    @property
    def namespace(self) -> str:
        """The network namespace in which OVS, ovn-controller, the agent, taps and guests live."""
        return f"andromede-{self.tag}"

    @property
    def namespace_path(self) -> str:
        """The file that stands for the namespace."""
        return f"/run/netns/{self.namespace}"

    @property
    def host_link(self) -> str:
        """The machine's end of the provider network."""
        return f"andro-{self.tag}"

    @property
    def several(self) -> bool:
        """Whether there are other hosts on this machine."""
        return bool(self.joined or self.hub)

    @property
    def tunnel_links(self) -> tuple[str, ...]:
        """The links to other hosts, whose both ends have the same name."""
        return (f"tun-{self.tag}",) if self.hub else tuple(f"tun-{tag}" for tag in self.joined)

    @property
    def provider_links(self) -> tuple[str, ...]:
        """The links of the provider network, likewise."""
        return (self.host_link, *(f"andro-{tag}" for tag in self.joined))

    @property
    def central_dir(self) -> str:
        """Databases and sockets of the unprivileged daemons."""
        return f"{self.state}/ovn"

    @property
    def switch_dir(self) -> str:
        """Database and sockets of root's daemons."""
        return f"{self.state}/ovs"

    @property
    def nb(self) -> str:
        """The northbound database, for `OvnFabric`."""
        return f"unix:{self.central_dir}/nb.sock"

    @property
    def sb(self) -> str:
        """The southbound database, for ovn-controller."""
        return self.southbound or f"unix:{self.central_dir}/sb.sock"

    @property
    def ovs(self) -> str:
        """The local switch's database, for `OvsPlug`."""
        return f"unix:{self.switch_dir}/db.sock"
