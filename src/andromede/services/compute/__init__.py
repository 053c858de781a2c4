"""Compute v2.1: servers, flavors, key pairs, and the hosts they run on."""
