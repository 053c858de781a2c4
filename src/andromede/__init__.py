"""Andromède: a sovereign cloud in one Python package."""

__version__ = "0.1.0"
