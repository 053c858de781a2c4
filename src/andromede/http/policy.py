"""Who may call a route. The rule stands on the route; rows of other projects are kept apart by the services' queries.

The roles are OpenStack's (admin > manager > member > reader, each implying the next) and `service`.
"""

from enum import Enum
from urllib.parse import unquote

import msgspec

from andromede.core.context import Context
from andromede.core.errors import Unauthorized


class Level(Enum):
    """What a caller needs: nothing, any valid token, or a role (in a project, unless the caller is an admin)."""

    PUBLIC = "anyone"
    USER = "any valid token"
    READER = "reader"
    MEMBER = "member"
    MANAGER = "manager"
    SERVICE = "service"
    ADMIN = "admin"


class Policy(msgspec.Struct, frozen=True):
    """A named rule, e.g. `compute:servers:create` at MEMBER.

    `wide`: holds for tokens of a domain or the system too; otherwise a project is needed.
    """

    name: str
    level: Level
    wide: bool = False

    def check(self, ctx: Context) -> None:
        """Raise Forbidden where the caller may not; Unauthorized where nobody is known."""
        caller = ctx.caller
        if self.level is Level.PUBLIC:
            return
        if not caller.user_id:
            raise Unauthorized("The request you have made requires authentication.")
        if self.level is Level.USER or caller.admin:
            return
        if self.level is Level.ADMIN or not caller.has(self.level.value):
            ctx.refuse(self.name)
        if caller.project_id is None and not self.wide:
            ctx.refuse(self.name)


def permitted(rules: tuple[tuple[str, str, str], ...], service: str, method: str, path: str) -> bool:
    """Whether the access rules of an application credential allow a call."""
    return any(kind == service and verb == method and _matches(pattern, path) for kind, verb, pattern in rules)


def _matches(pattern: str, path: str) -> bool:
    """`*` is one segment, `**` any number, `{name}` one; the pattern is compared with the path's end (prefixes differ)."""
    wanted, have = [part for part in pattern.split("/") if part], [unquote(part) for part in path.split("/") if part]

    def fits(left: list[str], right: list[str]) -> bool:
        if not left:
            return not right
        if left[0] == "**":
            return any(fits(left[1:], right[skip:]) for skip in range(len(right) + 1))
        if not right:
            return False
        return (left[0] == "*" or left[0].startswith("{") or left[0] == right[0]) and fits(left[1:], right[1:])

    return any(fits(wanted, have[skip:]) for skip in range(len(have) + 1) if skip <= 1)
