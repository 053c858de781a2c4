"""Object storage: one store, seen through Swift and through S3."""
