"""Who may call a route. The rule stands on the route; rows of other projects are kept apart by the services' queries.

The roles are OpenStack's (admin > manager > member > reader, each implying the next) and `service`.
"""

from enum import Enum

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
