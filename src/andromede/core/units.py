"""Sizes in bytes. OpenStack's "GB" of disk and "MB" of RAM are powers of two."""

KIB = 1 << 10
MIB = 1 << 20
GIB = 1 << 30


def show_bytes(count: int) -> str:
    """`count` bytes for people: `12.3 MiB`."""
    size = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
