"""Tags of objects and buckets. Source: Amazon S3 User Guide, "Categorizing your objects using tags"."""

import re
from urllib.parse import unquote_plus

from andromede.services.object.s3.errors import S3Error
from andromede.services.object.s3.xml import Node, document, malformed

_ALLOWED = re.compile(r"[\w\s+\-=.,_:/@]*")
OBJECT_MOST, BUCKET_MOST = 10, 50


def _checked(pairs: list[tuple[str, str]], most: int) -> dict[str, str]:
    if len(pairs) > most:
        raise S3Error("BadRequest", f"{'Bucket' if most == BUCKET_MOST else 'Object'} tag count cannot be greater than {most}")
    tags: dict[str, str] = {}
    for key, value in pairs:
        if not 0 < len(key) <= 128 or not _ALLOWED.fullmatch(key) or key.startswith("aws:"):
            raise S3Error("InvalidTag", "The TagKey you have provided is invalid", TagKey=key[:128])
        if len(value) > 256 or not _ALLOWED.fullmatch(value):
            raise S3Error("InvalidTag", "The TagValue you have provided is invalid", TagKey=key[:128])
        if key in tags:
            raise S3Error("InvalidTag", "Cannot provide multiple Tags with the same key", TagKey=key[:128])
        tags[key] = value
    return tags


def from_header(text: str) -> dict[str, str]:
    """The tags of an `x-amz-tagging` header. Raises InvalidArgument, InvalidTag."""
    pairs = []
    for part in text.split("&"):
        name, _, value = part.partition("=")
        if not name and part:
            raise S3Error("InvalidArgument", "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters "
                          "without tag name duplicates.", ArgumentName="x-amz-tagging")  # fmt: skip
        if part:
            pairs.append((unquote_plus(name), unquote_plus(value)))
    return _checked(pairs, OBJECT_MOST)


def from_document(node: Node, most: int) -> dict[str, str]:
    """The tags of a `Tagging`. Raises MalformedXML, InvalidTag."""
    listed = node.find("TagSet")
    if node.name != "Tagging" or listed is None or any(each.name != "Tag" or each.find("Key") is None for each in listed.children):
        raise malformed()
    return _checked([(each.value("Key"), each.value("Value")) for each in listed.children], most)


def shown(tags: dict[str, str]) -> bytes:
    """The document of tags."""
    return document("Tagging", [("TagSet", [("Tag", [("Key", key), ("Value", value)]) for key, value in tags.items()])])
