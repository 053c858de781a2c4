"""System containers with LXC."""

from andromede.drivers.hypervisor.lxc.driver import Lxc

__all__ = ["Lxc"]
