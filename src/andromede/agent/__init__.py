"""The agent: one per host, the only process of ours with root's rights. It has no database."""
