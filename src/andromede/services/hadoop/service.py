"""Data Processing's face for the wiring."""

from andromede.services.hadoop.reconcile import reconcilers

__all__ = ["reconcilers"]
