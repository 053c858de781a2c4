"""Drivers: the only code that touches a hypervisor, a network or a disk. Each asks for a state rather than an act."""
