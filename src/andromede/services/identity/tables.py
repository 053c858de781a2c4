"""Identity's rows. Ids are 32 hex digits (the domain `default` excepted), as Keystone writes them."""

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, String, Table, Text, UniqueConstraint

from andromede.db.base import Json, Moment, metadata

_ID = String(64)


def _cascade(column: str) -> ForeignKey:
    return ForeignKey(column, ondelete="CASCADE")


epoch = Table(
    "identity_epoch",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("value", Integer, nullable=False),
)
"""One row. Its value goes up with every change that may alter what a token proves; workers' caches hold for one value."""

domain = Table(
    "identity_domain",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("name", String(255), nullable=False, unique=True),
    Column("description", Text, nullable=False, default=""),
    Column("enabled", Boolean, nullable=False, default=True),
    Column("tags", Json, nullable=False),
    Column("options", Json, nullable=False),
    Column("extra", Json, nullable=False),
)

project = Table(
    "identity_project",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("domain_id", _ID, _cascade("identity_domain.id"), nullable=False),
    Column("parent_id", _ID, ForeignKey("identity_project.id"), index=True),  # None: directly under the domain
    Column("name", String(255), nullable=False),
    Column("description", Text, nullable=False, default=""),
    Column("enabled", Boolean, nullable=False, default=True),
    Column("tags", Json, nullable=False),
    Column("options", Json, nullable=False),
    Column("extra", Json, nullable=False),
    UniqueConstraint("domain_id", "name"),
)

user = Table(
    "identity_user",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("domain_id", _ID, _cascade("identity_domain.id"), nullable=False),
    Column("name", String(255), nullable=False),
    Column("enabled", Boolean, nullable=False, default=True),
    Column("default_project_id", _ID),
    Column("options", Json, nullable=False),
    Column("extra", Json, nullable=False),  # email, description and what else the caller put there
    Column("failures", Integer, nullable=False, default=0),  # wrong passwords in a row
    Column("failed", Moment),  # the last of them
    Column("last_seen", Moment),
    Column("created", Moment, nullable=False),
    UniqueConstraint("domain_id", "name"),
)

password = Table(
    "identity_password",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("user_id", _ID, _cascade("identity_user.id"), nullable=False, index=True),
    Column("hash", Text, nullable=False),
    Column("created", Moment, nullable=False),
    Column("expires", Moment),
    Column("by_user", Boolean, nullable=False, default=False),
)
"""The newest row of a user is the password; older ones are kept as far as history asks."""

group = Table(
    "identity_group",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("domain_id", _ID, _cascade("identity_domain.id"), nullable=False),
    Column("name", String(255), nullable=False),
    Column("description", Text, nullable=False, default=""),
    Column("extra", Json, nullable=False),
    UniqueConstraint("domain_id", "name"),
)

membership = Table(
    "identity_membership",
    metadata,
    Column("user_id", _ID, _cascade("identity_user.id"), primary_key=True),
    Column("group_id", _ID, _cascade("identity_group.id"), primary_key=True, index=True),
)

role = Table(
    "identity_role",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("name", String(255), nullable=False),
    Column("domain_id", _ID, nullable=False, default=""),  # empty: a role of the whole cloud
    Column("description", Text),
    Column("options", Json, nullable=False),
    Column("extra", Json, nullable=False),
    UniqueConstraint("name", "domain_id"),
)

implied = Table(
    "identity_implied_role",
    metadata,
    Column("prior_id", _ID, _cascade("identity_role.id"), primary_key=True),
    Column("implied_id", _ID, _cascade("identity_role.id"), primary_key=True),
)

assignment = Table(
    "identity_assignment",
    metadata,
    Column("actor", String(8), primary_key=True),  # user, group
    Column("actor_id", _ID, primary_key=True),
    Column("target", String(8), primary_key=True),  # project, domain, system
    Column("target_id", _ID, primary_key=True),  # `all` for the system
    Column("role_id", _ID, _cascade("identity_role.id"), primary_key=True),
    Column("inherited", Boolean, primary_key=True),
    Index("ix_identity_assignment_target", "target", "target_id"),
)

region = Table(
    "identity_region",
    metadata,
    Column("id", String(255), primary_key=True),
    Column("description", Text, nullable=False, default=""),
    Column("parent_id", String(255)),
    Column("extra", Json, nullable=False),
)

service = Table(
    "identity_service",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("type", String(255), nullable=False),
    Column("name", String(255), nullable=False, default=""),
    Column("description", Text, nullable=False, default=""),
    Column("enabled", Boolean, nullable=False, default=True),
    Column("extra", Json, nullable=False),
)

endpoint = Table(
    "identity_endpoint",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("service_id", _ID, _cascade("identity_service.id"), nullable=False),
    Column("interface", String(8), nullable=False),  # public, internal, admin
    Column("region_id", String(255)),
    Column("url", Text, nullable=False),
    Column("enabled", Boolean, nullable=False, default=True),
    Column("name", String(255), nullable=False, default=""),
    Column("extra", Json, nullable=False),
)

stored_policy = Table(
    "identity_policy",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("type", String(255), nullable=False),
    Column("blob", Json, nullable=False),
    Column("extra", Json, nullable=False),
)
"""Policy documents that other services may keep in Identity; nothing here reads them."""

credential = Table(
    "identity_credential",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("user_id", _ID, nullable=False, index=True),
    Column("project_id", _ID),
    Column("type", String(64), nullable=False),  # ec2, totp, cert, …
    Column("blob", Text, nullable=False),  # encrypted with the credential key
    Column("extra", Json, nullable=False),
)

application_credential = Table(
    "identity_application_credential",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("user_id", _ID, _cascade("identity_user.id"), nullable=False),
    Column("project_id", _ID, _cascade("identity_project.id"), nullable=False),
    Column("name", String(255), nullable=False),
    Column("description", Text),
    Column("hash", Text, nullable=False),
    Column("roles", Json, nullable=False),  # role ids
    Column("unrestricted", Boolean, nullable=False, default=False),
    Column("expires", Moment),
    Column("rules", Json),  # access rule ids; NULL: any call
    Column("created", Moment, nullable=False),
    UniqueConstraint("user_id", "name"),
)

access_rule = Table(
    "identity_access_rule",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("user_id", _ID, _cascade("identity_user.id"), nullable=False, index=True),
    Column("service", String(64), nullable=False),
    Column("method", String(16), nullable=False),
    Column("path", String(255), nullable=False),
)

trust = Table(
    "identity_trust",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("trustor_id", _ID, _cascade("identity_user.id"), nullable=False, index=True),
    Column("trustee_id", _ID, _cascade("identity_user.id"), nullable=False, index=True),
    Column("project_id", _ID),
    Column("impersonation", Boolean, nullable=False),
    Column("roles", Json, nullable=False),  # role ids
    Column("expires", Moment),
    Column("remaining_uses", Integer),
    Column("deleted", Moment),
    Column("redelegated_trust_id", _ID),
    Column("redelegation_count", Integer, nullable=False, default=0),
    Column("extra", Json, nullable=False),
)

registered_limit = Table(
    "identity_registered_limit",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("service_id", _ID, nullable=False),
    Column("region_id", String(255)),
    Column("resource_name", String(255), nullable=False),
    Column("default_limit", Integer, nullable=False),
    Column("description", Text),
)

project_limit = Table(
    "identity_limit",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("registered_id", _ID, ForeignKey("identity_registered_limit.id"), nullable=False),
    Column("project_id", _ID),
    Column("domain_id", _ID),
    Column("resource_limit", Integer, nullable=False),
    Column("description", Text),
)

revocation = Table(
    "identity_revocation",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("audit_id", String(64), index=True),  # one token …
    Column("user_id", _ID, index=True),  # … or every token of a user issued before `before`
    Column("before", Moment),
    Column("expires", Moment, nullable=False),  # when no token that it meets can still be valid
)

endpoint_group = Table(
    "identity_endpoint_group",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("name", String(255), nullable=False),
    Column("description", Text),
    Column("filters", Json, nullable=False),  # any of service_id, region_id and interface
)

endpoint_filter = Table(
    "identity_endpoint_filter",
    metadata,
    Column("project_id", _ID, _cascade("identity_project.id"), primary_key=True),
    Column("kind", String(8), primary_key=True),  # endpoint, group
    Column("target_id", _ID, primary_key=True),
)
"""What a project's catalog is limited to; a project without any row has the whole catalog."""

consumer = Table(
    "identity_consumer",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("description", Text),
    Column("secret", Text, nullable=False),  # sealed
    Column("extra", Json, nullable=False),
)
"""Programs that users may let act for them (OS-OAUTH1)."""

request_token = Table(
    "identity_request_token",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("consumer_id", _ID, _cascade("identity_consumer.id"), nullable=False),
    Column("project_id", _ID, _cascade("identity_project.id"), nullable=False),
    Column("secret", Text, nullable=False),  # sealed
    Column("expires", Moment, nullable=False),
    Column("user_id", _ID, _cascade("identity_user.id")),  # who has let it; NULL until then
    Column("roles", Json),  # role ids
    Column("verifier", Text),  # sealed
)

access_token = Table(
    "identity_access_token",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("consumer_id", _ID, _cascade("identity_consumer.id"), nullable=False),
    Column("user_id", _ID, _cascade("identity_user.id"), nullable=False, index=True),
    Column("trust_id", _ID, _cascade("identity_trust.id"), nullable=False, unique=True),
    Column("secret", Text, nullable=False),  # sealed
)
"""What a consumer may do is a trust of the user's with itself: roles, project and end stand there."""
