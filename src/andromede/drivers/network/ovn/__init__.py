"""The network driver on OVN: `OvnFabric` for the cloud, `OvsPlug` for a host, and the daemons that both need."""
