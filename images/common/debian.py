"""Debian's own packages installed into a folder, from exactly the .deb files that were fetched. Needs root, for chroot."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import layout


def index(pool: Path) -> None:
    """Make a flat package archive of a folder, so that the guest is installed from exactly the packages in it."""
    paragraphs = []
    for package in sorted(pool.glob("*.deb")):
        digest = hashlib.sha256(package.read_bytes()).hexdigest()
        control = layout.run("dpkg-deb", "--field", package).rstrip("\n")
        paragraphs.append(f"{control}\nFilename: ./{package.name}\nSize: {package.stat().st_size}\nSHA256: {digest}\n")
    text = "\n".join(paragraphs).encode()
    (pool / "Packages").write_bytes(text)
    # mmdebstrap takes the essential packages from the archive of the suite's name.
    digest = f"SHA256:\n {hashlib.sha256(text).hexdigest()} {len(text)} Packages\n"
    (pool / "Release").write_text(f"Suite: bookworm\nCodename: bookworm\nArchitectures: amd64 all\n{digest}")


def bootstrap(pool: Path, names: Sequence[str], own: Path, root: Path, *, services: Sequence[str]) -> None:
    """Install Debian into `root`, with the recipe's `own` files and these services of systemd enabled; none where the init is another.
    apt outside verified the packages, so apt inside need not."""
    index(pool)
    enabled = [f'--customize-hook=chroot "$1" systemctl enable {" ".join(services)}'] if services else []
    resolver = "systemd/resolve/stub-resolv.conf" if services else "resolv.conf"
    layout.run(
        "mmdebstrap",
        "--mode=root",
        "--variant=essential",
        f"--include={','.join(names)}",
        "--aptopt=APT::Install-Recommends false",
        "--dpkgopt=path-exclude=/usr/share/man/*",
        "--dpkgopt=path-exclude=/usr/share/doc/*",
        "--dpkgopt=path-include=/usr/share/doc/*/copyright",
        "--dpkgopt=path-exclude=/usr/share/locale/*",
        "--dpkgopt=force-confold",
        f"--essential-hook=sync-in {own} /",
        *enabled,
        '--customize-hook=rm -f "$1"/etc/ssh/ssh_host_* "$1"/etc/apt/sources.list "$1"/etc/hostname',
        '--customize-hook=rm -rf "$1"/etc/dpkg/dpkg.cfg.d/99mmdebstrap "$1"/etc/apt/apt.conf.d/99mmdebstrap',
        f'--customize-hook=ln -sf ../run/{resolver} "$1/etc/resolv.conf"',
        '--customize-hook=: > "$1/etc/machine-id"',
        "bookworm",
        root,
        f"deb [trusted=yes] copy:{pool} ./",
    )
