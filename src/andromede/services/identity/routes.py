"""All of Identity's routes, declared by being imported here; `APIS` is what the application serves."""

from andromede.services.identity import (
    routes_application_credentials,
    routes_auth,
    routes_catalog,
    routes_credentials,
    routes_endpoint_filters,
    routes_limits,
    routes_misc,
    routes_oauth,
    routes_projects,
    routes_roles,
    routes_trusts,
    routes_users,
)  # fmt: skip

MODULES = (
    routes_auth, routes_misc, routes_projects, routes_users, routes_roles, routes_catalog, routes_credentials,
    routes_application_credentials, routes_trusts, routes_limits, routes_endpoint_filters, routes_oauth,
)  # fmt: skip
APIS = (routes_auth.root, routes_auth.api)
