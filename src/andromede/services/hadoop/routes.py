"""All of Data Processing's routes."""

from andromede.services.hadoop import routes_about, routes_clusters, routes_data, routes_jobs, routes_templates
from andromede.services.hadoop.api import V1, V2, root

MODULES = (routes_about, routes_templates, routes_data, routes_jobs, routes_clusters)
APIS = (root, V1, V2)
