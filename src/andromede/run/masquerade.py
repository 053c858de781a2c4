"""Letting servers reach beyond the machine, behind its own address: one nftables table and one sysctl, both taken back when it ends.

Off unless `network.masquerade` is set.
"""

import subprocess
from pathlib import Path

from andromede.core.errors import CloudError

_FORWARD = Path("/proc/sys/net/ipv4/ip_forward")


def _table(tag: str) -> str:
    return f"andromede_{tag}"


def ensure(tag: str, link: str, cidr: str, kept: Path) -> None:
    """Masquerade what comes from `cidr` through `link` and leaves by another. kept: where the machine's own setting is noted.

    Raises CloudError where nftables does not take the rule.
    """
    rules = (
        f"add table ip {_table(tag)}\ndelete table ip {_table(tag)}\ntable ip {_table(tag)} {{\n chain leave {{\n"
        f'  type nat hook postrouting priority srcnat; policy accept;\n  ip saddr {cidr} oifname != "{link}" masquerade\n }}\n}}\n'
    )
    try:
        subprocess.run(["nft", "-f", "-"], input=rules, text=True, capture_output=True, check=True, timeout=20)
    except (OSError, subprocess.CalledProcessError) as error:
        said = error.stderr if isinstance(error, subprocess.CalledProcessError) else error
        raise CloudError("network.masquerade needs nftables, which does not take the rule on this machine.") from RuntimeError(said)
    if not kept.exists():
        kept.write_text(_FORWARD.read_text())
    _FORWARD.write_text("1")


def remove(tag: str, kept: Path) -> None:
    """Take the rule back, and the machine's own setting as it was. Nothing where there is none."""
    if not kept.exists():
        return
    subprocess.run(["nft", "delete", "table", "ip", _table(tag)], capture_output=True, check=False, timeout=20)
    _FORWARD.write_text(kept.read_text())
    kept.unlink()
