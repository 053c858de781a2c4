"""The checksum of everything that is longer than a row: CRC64-NVME, which S3 clients send too, at several GB/s a core."""

from awscrt import checksums

Bytes = bytes | bytearray | memoryview


def crc64(data: Bytes, previous: int = 0) -> int:
    """The checksum of `data`, going on from that of the bytes before."""
    total: int = checksums.crc64nvme(data, previous)  # type: ignore[arg-type]
    return total
