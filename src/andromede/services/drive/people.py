"""Who uses the drive."""

import msgspec


class Person(msgspec.Struct, frozen=True):
    """An Identity user. id: Identity's; account: what paths call the user; device: the id of the app password that was used."""

    id: str
    account: str
    name: str
    domain_id: str = "default"
    groups: frozenset[str] = frozenset()
    device: str | None = None
