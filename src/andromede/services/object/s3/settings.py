"""What an operator decides of the S3 face."""

import msgspec

GIB = 1 << 30


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """region: what requests are signed for; domain: buckets are also at `<bucket>.<domain>` where it is set; website_domain:
    their websites are at `<bucket>.<website_domain>`; version2: whether the old signatures are taken; most_put: bytes of one
    request's body; most_object: bytes of an object; most_xml: bytes of a document that is sent; classes: names of
    storage classes to those of the driver, beside STANDARD, which is the driver's first.
    """

    region: str = "us-east-1"
    domain: str = ""
    website_domain: str = ""
    version2: bool = False
    most_put: int = 5 * GIB
    most_object: int = 5120 * GIB
    most_xml: int = 4 << 20
    classes: dict[str, str] = {}
