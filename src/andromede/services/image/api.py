"""The declarations that Image's routes hang on."""

from andromede.http import faults
from andromede.http.api import Api
from andromede.http.policy import Level, Policy

root = Api("image", type="image", prefix="/image", fault=faults.image)
api = Api("image", type="image", prefix="/image/v2", fault=faults.image, slash=False)


def public(name: str) -> Policy:
    """May be read by anyone."""
    return Policy(f"image:{name}", Level.PUBLIC)


def user(name: str) -> Policy:
    """May be read with any token."""
    return Policy(f"image:{name}", Level.USER)


def reader(name: str) -> Policy:
    """May be read by a reader of the project."""
    return Policy(f"image:{name}", Level.READER)


def member(name: str) -> Policy:
    """May be done by a member of the project."""
    return Policy(f"image:{name}", Level.MEMBER)


def admin(name: str) -> Policy:
    """For the operators of the cloud."""
    return Policy(f"image:{name}", Level.ADMIN)
