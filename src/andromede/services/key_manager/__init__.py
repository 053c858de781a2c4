"""Key Manager v1: secrets, containers, orders, access lists and consumers."""
