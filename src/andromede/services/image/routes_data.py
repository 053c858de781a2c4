"""Routes of images' data: upload, download, staging, import."""

import re
from collections.abc import AsyncIterator

from andromede.core.context import Context
from andromede.core.errors import CloudError, Forbidden, Unavailable
from andromede.http.response import Response
from andromede.services.image import images, imports, store, uploads
from andromede.services.image.api import api, member, reader
from andromede.services.image.wire import ImportRequest

_IMAGE = "/images/{image_id}"
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


@api.put(_IMAGE + "/file", status=204, policy=member("images:upload"), stream=True, tx="none")
async def upload_image(ctx: Context, image_id: str, body: AsyncIterator[bytes]) -> Response:
    """Upload an image's data, which makes it active. A broken upload leaves it queued.

    Errors: 400 data that is not of the image's format, or unsafe; 409 not queued; 410 deleted meanwhile; 413 too large.
    """
    await uploads.upload(ctx, image_id, body)
    return Response(status=204)


@api.put(_IMAGE + "/stage", status=204, policy=member("images:stage"), stream=True, tx="none")
async def stage_image(ctx: Context, image_id: str, body: AsyncIterator[bytes]) -> Response:
    """Upload data to be imported. Errors: 409 not queued; 410 deleted meanwhile; 413 too large."""
    await uploads.stage(ctx, image_id, body)
    return Response(status=204)


@api.get(_IMAGE + "/file", policy=reader("images:download"))
def download_image(ctx: Context, image_id: str) -> Response:
    """An image's data, or the one range of it that is asked for; 204 where there is none yet.

    Errors: 403 a deactivated image; 416 a range outside.
    """
    row = images.find(ctx, image_id)
    if row["status"] == "deactivated" and not ctx.caller.admin:
        raise Forbidden("The requested image has been deactivated. Image data download is forbidden.")
    if row["blob"] is None:
        return Response(status=204)
    size = row["size"]
    part = _range(ctx.headers.get("range"), size)
    start, count = part or (0, size)
    headers = [("content-length", str(count)), ("accept-ranges", "bytes")]
    if part is None:
        headers.append(("content-md5", row["checksum"]))
    else:
        headers.append(("content-range", f"bytes {start}-{start + count - 1}/{size}"))
    answer = Response(status=200 if part is None else 206, headers=headers, content_type="application/octet-stream")
    if ctx.method == "HEAD":
        answer.headers.append(("content-type", answer.content_type))
        return answer
    try:
        file = ctx.parts.images.path(image_id, row["blob"]).open("rb", buffering=0)
    except OSError as error:
        raise Unavailable("The image's data cannot be read now.") from error
    answer.stream = store.read(file, start, count)
    return answer


@api.post(_IMAGE + "/import", status=202, policy=member("images:import"))
def import_image(ctx: Context, image_id: str, body: ImportRequest) -> Response:
    """Import an image from the staging area (glance-direct) or from the web (web-download); vmdk, vdi, vhd and vhdx become qcow2.

    Errors: 400 a method or URL that is not allowed; 409 an image that is not in a state for it; 413 over quota.
    """
    imports.begin(ctx, image_id, body)
    return Response(status=202)


def _range(text: str | None, size: int) -> tuple[int, int] | None:
    """(start, count) of a Range header; None for the whole, which a header that is no byte range asks for, too. Source: RFC 9110, 14."""
    if text is None or not text.startswith("bytes="):
        return None
    match = _RANGE.fullmatch(text.replace(" ", ""))
    outside = CloudError(
        f"Invalid range {text} for an image of {size} bytes.", status=416, kind="RangeNotSatisfiable",
        headers={"content-range": f"bytes */{size}"},
    )  # fmt: skip
    if match is None or match.groups() == ("", ""):
        raise outside
    first, last = match.groups()
    start = int(first) if first else max(0, size - int(last))
    end = min(int(last), size - 1) if first and last else size - 1
    if start > end:
        raise outside
    return start, end - start + 1


