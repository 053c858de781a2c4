"""How long petit takes from QEMU's start to a listening sshd, by phase and by way of booting.

    python benchmarks/guest_boot.py [ROUNDS]

Ways take turns, so that a busy machine is unfair to none; each figure is the median. Firmware and loader is all that passes
before the kernel's clock starts; everything is under TCG, with one vCPU and 128 MiB.
"""

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.host.guest import Guest, config_drive, overlay

from andromede.run import images

PHASES = ("firmware and loader", "kernel", "userspace to sshd", "sshd answers after", "ready (keys in) after")


def measure(petit: images.Built, machine: str, direct: bool) -> tuple[float, ...]:
    assert petit.kernel is not None
    assert petit.initrd is not None
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        key = folder / "id"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
        drive = config_drive(folder, key.with_suffix(".pub").read_text())
        boot = ("-kernel", str(petit.kernel.path), "-initrd", str(petit.initrd.path), "-append", petit.command_line)
        disk = overlay(folder, petit.disk.path, "1G")
        with Guest(folder, disk, key, drive=drive, machine=machine, extra=boot if direct else ()) as guest:
            banner = guest.banner()
            ready = guest.wait_for("petit: ready")
            at = guest.wait_for("petit: userspace")
            uptime = next(float(line.split()[-1]) for _, line in guest.lines if "petit: userspace" in line)
            return at - uptime, uptime, banner - at, banner, ready


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    cache = Path(os.environ.get("ANDROMEDE_CACHE", "/var/cache/andromede"))
    petit = images.build("petit", cache, lambda _stage, _share: None)
    ways = [(machine, direct) for machine in ("pc", "q35") for direct in (False, True)]
    figures: dict[tuple[str, bool], list[tuple[float, ...]]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way in ways:
            figures[way].append(measure(petit, *way))
    print(f"{'seconds, median of ' + str(rounds):32}" + "".join(f"{m + (' direct' if d else ' disk'):>12}" for m, d in ways))
    medians = {way: [statistics.median(column) for column in zip(*rows, strict=True)] for way, rows in figures.items()}
    for at, phase in enumerate(PHASES):
        print(f"{phase:32}" + "".join(f"{medians[way][at]:12.2f}" for way in ways))
    for machine in ("pc", "q35"):
        print(f"{machine}: disk / direct = {medians[machine, False][3] / medians[machine, True][3]:.2f}")


if __name__ == "__main__":
    main()
