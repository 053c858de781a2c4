"""The declaration that Compute's routes hang on."""

from andromede.http import faults
from andromede.http.api import Api
from andromede.http.policy import Level, Policy
from andromede.http.versions import Microversions
from andromede.services.compute import queries

VERSIONS = Microversions("compute", (2, 1), (2, 104), "X-OpenStack-Nova-API-Version")
root = Api("compute", type="compute", prefix="/compute", fault=faults.compute)
api = Api(
    "compute", type="compute", prefix="/compute/v2.1", fault=faults.compute, versions=VERSIONS, plain="/compute/v2", slash=False,
    check=queries.check,
)  # fmt: skip


def reader(name: str) -> Policy:
    """May be read by a reader of the project."""
    return Policy(f"compute:{name}", Level.READER)


def member(name: str) -> Policy:
    """May be done by a member of the project."""
    return Policy(f"compute:{name}", Level.MEMBER)


def manager(name: str) -> Policy:
    """May be done by whoever manages the project."""
    return Policy(f"compute:{name}", Level.MANAGER)


def admin(name: str) -> Policy:
    """For the operators of the cloud."""
    return Policy(f"compute:{name}", Level.ADMIN)
