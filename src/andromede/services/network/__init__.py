"""Network (Neutron v2.0): networks, subnets, ports, routers, floating IPs and security groups, as rows; a reconciler brings them to the fabric."""
