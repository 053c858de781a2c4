"""What the settings file says of the object store, as its parts take it."""

import ipaddress
from urllib.parse import urlsplit

from andromede.run.settings import LOOPBACK, Settings
from andromede.services.object.s3 import settings as s3
from andromede.services.object.swift import settings as swift


def of_s3(given: Settings) -> s3.Settings:
    """For the face of S3, and for what it has done in the background."""
    store = given.object
    return s3.Settings(
        region=given.identity.region, domain=store.s3_domain, website_domain=store.s3_website_domain, version2=store.s3_version2,
        classes={each.s3: name for name, each in store.classes.items() if each.s3}, webhook_ports=store.webhook_ports,
        webhook_hosts=store.webhook_hosts, webhooks={name: s3.Webhook(each.url, each.secret) for name, each in store.webhooks.items()},
        remotes={
            name: s3.Remote(each.url, each.access_key, each.secret_key, each.region, each.projects) for name, each in store.remotes.items()
        },
    )  # fmt: skip


def for_guests(given: Settings) -> str:
    """Where servers reach S3: at the machine's address in the network `public`, unless the store listens on one of its own."""
    listen, port = given.api.listen, given.object.s3_port
    if not inside(given):
        host = urlsplit(given.api.public_url).hostname or listen
        return f"{'https' if given.api.tls_certificate else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"
    return f"http://{own_address(given)}:{port}"


def inside(given: Settings) -> bool:
    """Whether S3 is served to servers at an address beside the one that it listens on."""
    return given.object.servers and given.api.listen.startswith(LOOPBACK)


def own_address(given: Settings) -> str:
    """The machine's address in the network `public`."""
    return str(next(ipaddress.ip_network(given.network.public_cidr).hosts()))


def of_swift(given: Settings) -> swift.Settings:
    """For the face of Swift, and for what it has done in the background."""
    store = given.object
    return swift.Settings(
        storage_domain=store.swift_domain, policies=store.swift_policies, digests=store.swift_digests, info_key=store.swift_info_key,
        writes_per_second=store.swift_writes_per_second, read_only=store.swift_read_only, origins=store.swift_origins,
        crossdomain=store.swift_crossdomain, sync_hosts=store.sync_hosts,
        realms={
            name.upper(): swift.Realm(
                tuple(key for key in (each.key, each.key2) if key), {cluster.upper(): url for cluster, url in each.clusters.items()}
            )
            for name, each in store.realms.items()
        },
    )  # fmt: skip
