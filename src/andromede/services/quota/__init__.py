"""Quotas of every service: one table of limits, one check. Usage is counted from the rows themselves, so it cannot drift."""
