"""The declarations that Network's routes hang on."""

from andromede.http import faults
from andromede.http.api import Api
from andromede.http.policy import Level, Policy

root = Api("network", type="network", prefix="/network", fault=faults.network)
api = Api("network", type="network", prefix="/network/v2.0", fault=faults.network)


def reader(name: str) -> Policy:
    """May be read by a reader of the project, and by admins with a token of any scope."""
    return Policy(f"network:{name}", Level.READER)


def member(name: str) -> Policy:
    """May be done by a member of the project."""
    return Policy(f"network:{name}", Level.MEMBER)


def admin(name: str) -> Policy:
    """For the operators of the cloud."""
    return Policy(f"network:{name}", Level.ADMIN)
