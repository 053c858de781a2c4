"""What a tempest.conf says of a cloud of ours: everything that is true of it, so that Tempest leaves out nothing that it could test."""

from collections.abc import Iterable
from typing import Any

import msgspec

Sections = dict[str, dict[str, object]]


class Facts(msgspec.Struct, kw_only=True):
    """What is asked of a cloud. hosts: how many run servers. guests: whether there are any to sign in to. web: where an image can be fetched
    from. seconds: how long a server may take. fixed_network: the name of a network that every project sees. multiattach: a type of volumes.
    other_image_api: type of a second service that is the same Image. images: path of a manifest of images of every format; without one,
    Tempest makes images of noise, which only pass as raw ones."""

    image: str
    other_image: str
    flavor: str
    other_flavor: str
    public_network: str
    network_extensions: Iterable[str]
    hosts: int = 1
    guests: bool = False
    web: str = ""
    seconds: int = 60
    fixed_network: str = ""
    other_image_api: str = ""
    images: str = ""
    multiattach: str
    image_user: str = "petit"


def sections(facts: Facts) -> Sections:
    """The sections of tempest.conf, all but who the admin is."""
    return {
        "service_available": {
            "cinder": True, "swift": facts.guests, "horizon": False, "neutron": True, "nova": True, "glance": True, "ironic": False,
        },
        "validation": {
            "run_validation": facts.guests, "image_ssh_user": facts.image_user, "image_alt_ssh_user": facts.image_user,
            "ssh_timeout": facts.seconds, "connect_timeout": 60, "ping_timeout": facts.seconds, "connect_method": "floating",
            "auth_method": "keypair", "network_for_ssh": "public", "ssh_key_type": "ecdsa",
        },
        "scenario": {"dhcp_client": "udhcpc"},
        **_identity(), **_compute(facts), **_image(facts), **_network(facts), **_volume(facts),
    }  # fmt: skip


def _identity() -> Sections:
    return {
        "identity-feature-enabled": {
            "application_credentials": True, "access_rules": True, "project_tags": True, "trust": True, "immutable_user_source": False,
            "security_compliance": True, "external_idp": False, "domain_specific_drivers": False,
        },
        "identity": {"user_lockout_failure_attempts": 2, "user_lockout_duration": 5, "user_unique_last_password_count": 2},
    }  # fmt: skip


def _compute(facts: Facts) -> Sections:
    several = facts.hosts > 1
    return {
        "compute": {
            "image_ref": facts.image, "image_ref_alt": facts.other_image, "flavor_ref": facts.flavor, "flavor_ref_alt": facts.other_flavor,
            "build_timeout": facts.seconds, "build_interval": 1, "min_compute_nodes": facts.hosts,
            **({"fixed_network_name": facts.fixed_network} if facts.fixed_network else {}), "min_microversion": "2.1", "max_microversion": "2.104",
        },
        "compute-feature-enabled": {
            "resize": True, "snapshot": True, "suspend": True, "pause": True, "shelve": True, "rescue": True, "stable_rescue": True,
            "cold_migration": several, "live_migration": several, "live_migrate_back_and_forth": several,
            "block_migration_for_live_migration": several, "volume_backed_live_migration": several, "can_migrate_between_any_hosts": True,
            "vnc_console": True, "serial_console": True, "config_drive": True,
            "attach_encrypted_volume": True, "swap_volume": True, "volume_multiattach": True, "personality": True, "console_output": True,
            "metadata_service": True, "interface_attach": True, "change_password": False, "disk_config": True,
            "hostname_fqdn_sanitization": True, "shelve_migrate": several, "ide_bus": True, "scheduler_enabled_filters": "all",
            "dhcp_domain": "", "nova_policy_roles": "admin,manager,member,reader,service",
        },
        "enforce_scope": {"nova": several},
    }  # fmt: skip


def _image(facts: Facts) -> Sections:
    kinds = {"images_manifest_file": facts.images} if facts.images else {"disk_formats": "raw", "container_formats": "bare,ovf,ova,docker,compressed"}
    return {
        "image": {
            "build_timeout": 120, "build_interval": 1, "http_image": facts.web, "http_qcow2_image": facts.web,
            "alternate_image_endpoint": facts.other_image_api, **kinds,
        },
        "image-feature-enabled": {
            "api_v2": True, "import_image": True, "os_glance_reserved": True, "image_format_enforcement": bool(facts.images),
            "image_conversion": True,
        },
    }  # fmt: skip


def _network(facts: Facts) -> Sections:
    return {
        "network": {
            "public_network_id": facts.public_network, "floating_network_name": "public", "project_network_cidr": "10.100.0.0/16",
            "project_network_mask_bits": 28, "port_vnic_type": "normal", "build_timeout": 120,
        },
        "network-feature-enabled": {
            "api_extensions": ",".join(facts.network_extensions), "ipv6": True, "ipv6_subnet_attributes": True, "port_security": True,
            "floating_ips": True,
        },
    }  # fmt: skip


def _volume(facts: Facts) -> Sections:
    return {
        "volume": {
            "build_interval": 1, "build_timeout": facts.seconds, "min_microversion": "3.0", "max_microversion": "3.70",
            "storage_protocol": "file", "vendor_name": "Andromède", "disk_format": "raw", "volume_size": 1, "catalog_type": "block-storage",
            "volume_type_multiattach": facts.multiattach,
        },
        "volume-feature-enabled": {
            "backup": True, "snapshot": True, "clone": True, "manage_snapshot": False, "manage_volume": False, "multi_backend": False,
            "extend_attached_volume": True, "extend_attached_encrypted_volume": True, "volume_revert": True, "api_extensions": "all",
            "enable_volume_image_dep_tests": True,
        },
    }  # fmt: skip


def extensions(answer: Any) -> list[str]:
    """Aliases of Network's extensions, from its answer; and `tag`, by which Tempest still knows `standard-attr-tag`."""
    return [*(one["alias"] for one in answer["extensions"]), "tag"]
