"""Images for the tests: real ones made by qemu-img, hostile ones made by hand, and a web server to import from."""

import contextlib
import http.server
import struct
import subprocess
import threading
import time
from pathlib import Path

OCTETS = {"content-type": "application/octet-stream"}
PATCH = {"content-type": "application/openstack-images-v2.1-json-patch"}
MIB = 1 << 20


def make(folder: Path, kind: str, size: str = "10M", *options: str) -> bytes:
    """A disk image of a format of QEMU's, with some data in it."""
    raw, path = folder / "disk.raw", folder / f"disk.{kind}"
    raw.write_bytes(b"some data on a disk" * 5000)
    subprocess.run(["qemu-img", "resize", "-q", "-f", "raw", raw, size], check=True)
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", kind, *options, raw, path], check=True)
    return path.read_bytes()


def with_backing(folder: Path, secret: str = "/etc/passwd") -> bytes:
    """A qcow2 whose unwritten parts would be read from a file of the host."""
    path = folder / "backed.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-u", "-f", "qcow2", "-b", secret, "-F", "raw", path, "1M"], check=True)
    return path.read_bytes()


def with_data_file(folder: Path) -> bytes:
    """A qcow2 whose data lies in another file."""
    path = folder / "external.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-o", f"data_file={folder}/other,data_file_raw=on", path, "1M"], check=True)
    return path.read_bytes()


def descriptor(extent: str = "/etc/passwd") -> bytes:
    """A VMDK that is only a text, naming another file."""
    lines = ("# Disk DescriptorFile", "version=1", "CID=1", "parentCID=ffffffff", 'createType="monolithicFlat"', "", f'RW 8 FLAT "{extent}" 0')
    return "\n".join(lines).encode().ljust(4096, b"\n")


def qcow2_header(size: int, *, crypt: int = 0, version: int = 3) -> bytes:
    """The header of a qcow2 that promises `size` bytes, and nothing behind it."""
    head = struct.pack(">4sIQIIQIIQQIIQQQQII", b"QFI\xfb", version, 0, 0, 16, size, crypt, 1, 65536, 131072, 1, 0, 0, 0, 0, 0, 4, 104)
    return head.ljust(4096, b"\0")


def create(client, disk_format: str = "raw", **more) -> dict:
    """A new image."""
    answer = client.post("/image/v2/images", {"name": "one", "disk_format": disk_format, "container_format": "bare", **more})
    assert answer.status == 201, answer.body
    return answer.json


def upload(client, image_id: str, data: bytes, place: str = "file", **headers):
    """Send an image's data."""
    return client.put(f"/image/v2/images/{image_id}/{place}", data, headers={**OCTETS, **headers})


def active(client, data: bytes = b"x" * 1024, disk_format: str = "raw", **more) -> dict:
    """A new image with data."""
    image = create(client, disk_format, **more)
    answer = upload(client, image["id"], data)
    assert answer.status == 204, answer.body
    return show(client, image["id"])


def show(client, image_id: str) -> dict:
    """An image as it is now."""
    answer = client.get(f"/image/v2/images/{image_id}")
    assert answer.status == 200, answer.body
    return answer.json


def patch(client, image_id: str, *operations: dict):
    """Change an image."""
    return client.patch(f"/image/v2/images/{image_id}", list(operations), headers=PATCH)


def files(cloud) -> list[str]:
    """Every file there is in the store."""
    return sorted(path.name for path in cloud.images.folder.rglob("*") if path.is_file())


def until(client, image_id: str, *statuses: str, seconds: float = 60) -> dict:
    """Wait for a status."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        image = show(client, image_id)
        if image["status"] in statuses:
            return image
        time.sleep(0.05)
    raise AssertionError(f"still {image['status']}")


@contextlib.contextmanager
def web(answers: dict[str, tuple[int, dict, bytes]]):
    """A web server on loopback; its port. `answers`: status, headers and body by path; `log` gets what was asked for."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            status, headers, body = answers.get(self.path, (404, {}, b""))
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
