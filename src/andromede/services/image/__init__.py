"""Image (Glance v2): disk images, what may be done with them, and their bytes on disk."""
