"""All of Key Manager's routes, declared by being imported here; `APIS` is what the application serves."""

from andromede.services.key_manager import api, routes_containers, routes_secrets

MODULES = (routes_secrets, routes_containers)
APIS = (api.root, api.api)
