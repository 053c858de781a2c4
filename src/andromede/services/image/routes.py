"""All of Image's routes, declared by being imported here; `APIS` is what the application serves."""

from andromede.services.image import api, routes_data, routes_images, routes_info, routes_members, routes_metadefs, routes_tasks

MODULES = (routes_data, routes_images, routes_info, routes_members, routes_metadefs, routes_tasks)
APIS = (api.root, api.api)
