"""A cloud in this process, served over HTTP for clients that know nothing of it."""

from collections.abc import Iterator
from contextlib import contextmanager

import openstack

from andromede.run import wiring
from andromede.run.catalog import catalog
from andromede.services.identity import bootstrap
from tests.cloud import ADMIN_PASSWORD, USER_PASSWORD, Cloud
from tests.objects import served


@contextmanager
def api(cloud: Cloud) -> Iterator[str]:
    """Its address; its catalog leads there too."""
    app = wiring.app(cloud.parts, public_url="", threads=4)
    with served(lambda: app) as url:
        app.public_url = url
        entries = catalog(url, f"{url}:8080", f"{url}:9000")
        cloud.database.run(lambda db: bootstrap.foundation(db, catalog=entries))
        yield url


def sdk(url: str, name: str) -> openstack.connection.Connection:
    """openstacksdk, signed in as `admin` or `demo`, in the project of that name."""
    password = {"admin": ADMIN_PASSWORD, "demo": USER_PASSWORD}[name]
    return openstack.connection.Connection(
        auth_url=f"{url}/identity/v3", username=name, password=password, project_name=name, user_domain_id="default",
        project_domain_id="default", region_name="RegionOne",
    )  # fmt: skip
