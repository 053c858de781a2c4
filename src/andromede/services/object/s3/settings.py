"""What an operator decides of the S3 face."""

import msgspec

GIB = 1 << 30


class Webhook(msgspec.Struct, frozen=True):
    """Where events are sent. secret: signs them."""

    url: str
    secret: str = ""


class Remote(msgspec.Struct, frozen=True):
    """Another S3 service. projects: ids of those that may use it."""

    url: str
    access_key: str
    secret_key: str
    region: str = "us-east-1"
    projects: tuple[str, ...] = ()


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """region: what requests are signed for; domain: buckets are also at `<bucket>.<domain>` where it is set; website_domain:
    their websites are at `<bucket>.<website_domain>`; version2: whether the old signatures are taken; most_put: bytes of one
    request's body; most_object: bytes of an object; most_xml: bytes of a document that is sent; classes: names of
    storage classes to those of the driver, beside STANDARD, which is the driver's first; log_seconds: for which lines of access logs
    are gathered; webhooks: those that the operator declared, by
    name; remotes: services that buckets may be replicated to, by name; webhook_ports, webhook_hosts: ports that others may have, and
    hosts that they may be although these are inside.
    """

    region: str = "us-east-1"
    domain: str = ""
    website_domain: str = ""
    version2: bool = False
    most_put: int = 5 * GIB
    most_object: int = 5120 * GIB
    most_xml: int = 4 << 20
    classes: dict[str, str] = {}
    log_seconds: float = 60.0
    webhooks: dict[str, Webhook] = {}
    remotes: dict[str, Remote] = {}
    webhook_ports: tuple[int, ...] = (80, 443)
    webhook_hosts: tuple[str, ...] = ()
