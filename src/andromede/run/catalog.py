"""Where each service is reached."""


def catalog(api: str, swift: str, s3: str, drive: str = "") -> dict[str, tuple[str, str]]:
    """What the catalog of a cloud says, from where each face is reached: name and address by the type of a service. drive: empty for none."""
    entries = {
        "identity": ("keystone", f"{api}/identity/v3"),
        "compute": ("nova", f"{api}/compute/v2.1"),
        "image": ("glance", f"{api}/image"),
        "network": ("neutron", f"{api}/network"),
        "block-storage": ("cinder", f"{api}/volume/v3"),
        "volumev3": ("cinderv3", f"{api}/volume/v3"),
        "key-manager": ("barbican", f"{api}/key-manager"),
        "data-processing": ("sahara", f"{api}/data-processing/v1.1/%(project_id)s"),
        "audit": ("audit", f"{api}/audit/v1"),
        "object-store": ("swift", f"{swift}/v1/AUTH_%(project_id)s"),
        "s3": ("s3", s3),
    }
    return entries | ({"drive": ("drive", drive)} if drive else {})
