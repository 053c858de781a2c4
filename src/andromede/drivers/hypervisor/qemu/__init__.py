"""Virtual machines on QEMU: KVM where it truly works, TCG elsewhere."""

from andromede.drivers.hypervisor.qemu.driver import Qemu
from andromede.drivers.hypervisor.qemu.probe import Acceleration

__all__ = ["Acceleration", "Qemu"]
