"""Rules about passwords: strength, history, age, and locking out after wrong ones. All off unless the operator sets them, but the lock-out.

Source: Keystone's `security_compliance` options, whose names the settings keep.
"""

import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import msgspec
from sqlalchemy import Connection, update

from andromede.core.clock import iso_z, now
from andromede.core.errors import BadRequest, Unauthorized
from andromede.db.engine import Database
from andromede.services.identity.passwords import Hasher
from andromede.services.identity.tables import user

WRONG = "The request you have made requires authentication."
"""What everybody is told whose proof is not accepted, whatever was wrong with it."""


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """lockout_failure_attempts: wrong passwords in a row, 0 for never; lockout_duration: seconds.

    password_expires_days, unique_last_password_count, minimum_password_age (days): 0 for none.
    password_regex: a new password must match it; its description is what people are told.
    """

    lockout_failure_attempts: int = 10
    lockout_duration: int = 60
    password_expires_days: int = 0
    unique_last_password_count: int = 0
    minimum_password_age: int = 0
    password_regex: str = ""
    password_regex_description: str = ""
    disable_user_account_days_inactive: int = 0

    def refuse_weak(self, secret: str) -> None:
        """Raise BadRequest when a new password is too weak."""
        if not secret:
            raise BadRequest("Password validation error: a password must not be empty.")
        if self.password_regex and not re.match(self.password_regex, secret):
            raise BadRequest(
                "Password validation error: the password does not match the requirements: "
                f"{self.password_regex_description or self.password_regex}."
            )

    def refuse_young(self, kept: Any) -> None:
        """Raise BadRequest when a user may not change its password yet."""
        if self.minimum_password_age and kept.by_user:
            free = kept.created + timedelta(days=self.minimum_password_age)
            if now() < free:
                raise BadRequest(
                    f"Cannot change password before the minimum age of {self.minimum_password_age} days is met; "
                    f"it can be changed from {iso_z(free)} on."
                )

    def refuse_reused(self, hasher: Hasher, recent: Sequence[str], secret: str) -> None:
        """Raise BadRequest when a new password is one of the last ones. recent: their hashes, newest first."""
        last = self.unique_last_password_count
        if any(hasher.verify(hashed, secret) for hashed in recent[:last]):
            raise BadRequest(f"The new password cannot be identical to a previous password. The last {last} passwords must be different.")

    def refuse_locked(self, row: Any) -> None:
        """Raise Unauthorized while a user is locked out."""
        if not self.lockout_failure_attempts or row.options.get("ignore_lockout_failure_attempts"):
            return
        full = row.failures >= self.lockout_failure_attempts and row.failed is not None
        if full and now() < row.failed + timedelta(seconds=self.lockout_duration):
            raise Unauthorized(WRONG)

    def refuse_expired(self, row: Any, kept: Any) -> None:
        """Raise Unauthorized when the password is right but too old."""
        if kept.expires is not None and kept.expires <= now() and not row.options.get("ignore_password_expiry"):
            raise Unauthorized("The password is expired and needs to be changed for user: " + row.id + ".")

    def note_failure(self, database: Database, row: Any) -> None:
        """Count a wrong password."""
        over = row.failed is not None and now() >= row.failed + timedelta(seconds=self.lockout_duration)
        fresh = 1 if over and row.failures >= self.lockout_failure_attempts else user.c.failures + 1

        def write(db: Connection) -> None:
            db.execute(update(user).where(user.c.id == row.id).values(failures=fresh, failed=now()))

        database.run(write)

    def note_success(self, database: Database, row: Any) -> None:
        """Forget wrong passwords. Raises Unauthorized for an account that was left unused for too long."""
        idle = self.disable_user_account_days_inactive
        if idle and (row.last_seen or row.created) < now() - timedelta(days=idle) and not row.options.get("ignore_user_inactivity"):
            raise Unauthorized("The account is disabled after a long time without use.")
        if not row.failures and not idle:
            return

        def write(db: Connection) -> None:
            db.execute(update(user).where(user.c.id == row.id).values(failures=0, failed=None, last_seen=now()))

        database.run(write)

    def expiry(self) -> Any:
        """When a password set now expires; None for never."""
        return now() + timedelta(days=self.password_expires_days) if self.password_expires_days else None
