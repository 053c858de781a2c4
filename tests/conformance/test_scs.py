"""What the standards of the Sovereign Cloud Stack (SCS-compatible IaaS v5.1) demand, seen by a plain member through openstacksdk.

Left to later steps: load balancing and placement in the catalog (SCS-0123). An image named `Ubuntu 24.04` (SCS-0104) is the operator's to add.
"""

import re
from datetime import UTC, date, datetime

import boto3
import openstack
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.cloud import Cloud
from tests.conformance import in_process
from tests.host.test_cloud import address, bonjour, reachable

FLAVORS = {
    "SCS-1V-2": (1, 2, 0), "SCS-1V-4": (1, 4, 0), "SCS-1V-8": (1, 8, 0), "SCS-2V-4": (2, 4, 0), "SCS-2V-8": (2, 8, 0), "SCS-2V-16": (2, 16, 0),
    "SCS-4V-8": (4, 8, 0), "SCS-4V-16": (4, 16, 0), "SCS-4V-32": (4, 32, 0), "SCS-8V-16": (8, 16, 0), "SCS-8V-32": (8, 32, 0),
    "SCS-16V-32": (16, 32, 0), "SCS-1L-1": (1, 1, 0), "SCS-2V-4-20s": (2, 4, 20), "SCS-4V-16-100s": (4, 16, 100),
}  # fmt: skip
"""vCPUs, GiB of memory, GB of root disk. Source: SCS-0103, mandatory."""
MORE = {"SCS-2V-2-10s": (2, 2, 10)}
"""What there is beyond that, named in the same way."""
NAME = re.compile(r"SCS-\d+[LVTC]i?-\d+(\.5)?[uo]*(-(\d+x)?\d*[nhsp]?)?")
"""The mandatory parts of a name. Source: SCS-0100 v3.1."""
IMAGE = ("architecture", "os_version", "os_distro", "hw_disk_bus", "image_build_date", "image_original_user", "image_source", "image_description",
         "replace_frequency", "provided_until", "uuid_validity")  # fmt: skip
"""Properties that public images have. Source: SCS-0102."""
OFTEN = ("yearly", "quarterly", "monthly", "weekly", "daily", "critical_bug", "never")


@pytest.fixture(scope="module")
def member(tmp_path_factory):
    """A connection as the user demo, who is a plain member."""
    cloud = Cloud(tmp_path_factory.mktemp("cloud"))
    try:
        cloud.start()
        with in_process.api(cloud) as url:
            connection = in_process.sdk(url, "demo")
            try:
                yield connection
            finally:
                connection.close()
    finally:
        cloud.close()


def test_the_member_is_no_admin(member):
    roles = {one["name"] for one in member.session.auth.get_access(member.session)._data["token"]["roles"]}
    assert roles == {"member", "reader"}


def test_flavors_are_named_and_described(member):
    flavors = {one.name: one for one in member.compute.flavors(get_extra_specs=True)}
    assert flavors.keys() >= FLAVORS.keys()
    for name, one in flavors.items():
        if not name.startswith("SCS-"):
            continue
        assert NAME.fullmatch(name), name
        cpu, memory, disk = (FLAVORS | MORE)[name]
        assert (one.vcpus, one.ram, one.disk) == (cpu, memory * 1024, disk)
        first = name.removeprefix("SCS-").split("-")
        assert one.extra_specs["scs:name-v1"] == "SCS-" + ":".join(first)
        assert one.extra_specs["scs:name-v2"] == name
        assert one.extra_specs["scs:cpu-type"] == ("crowded-core" if "L" in first[0] else "shared-core")
        assert one.extra_specs.get("scs:disk0-type") == ("ssd" if disk else None)


def test_the_catalog_has_what_is_mandatory(member):
    kinds = {one["type"] for one in member.service_catalog}
    assert kinds >= {"compute", "identity", "image", "network", "block-storage", "object-store", "key-manager"}


def test_volume_types_describe_themselves_well(member):
    for one in member.block_storage.types():
        if told := re.match(r"\[scs:([^\[\]]*)\]", one.description or ""):
            marks = [mark.strip() for mark in told[1].split(",")]
            assert marks == sorted(set(marks) & {"encrypted", "replicated"})


def test_nothing_comes_in_by_default_and_everything_goes_out(member):
    rules = list(member.network.default_security_group_rules())
    coming = [one for one in rules if one.direction == "ingress"]
    assert all(one.remote_group_id == "PARENT" and not one["used_in_non_default_sg"] for one in coming)
    going = [one for one in rules if one.direction == "egress" and not one.remote_ip_prefix]
    for kind in ("used_in_default_sg", "used_in_non_default_sg"):
        assert {one["ethertype"] for one in going if one[kind]} == {"IPv4", "IPv6"}


def test_a_member_keeps_secrets(member):
    member.key_manager.create_secret(name="mine", payload_content_type="text/plain", secret_type="opaque", payload="foo")
    (kept,) = [one for one in member.key_manager.secrets() if one.name == "mine"]
    member.key_manager.delete_secret(kept.id.rpartition("/")[2])
    assert [one for one in member.key_manager.secrets() if one.name == "mine"] == []


def test_a_member_backs_volumes_up(member):
    store = member.block_storage
    first = store.wait_for_status(store.create_volume(name="first", size=1), status="available", interval=0.2, wait=60)
    backup = store.create_backup(name="backup", volume_id=first.id)
    store.wait_for_status(backup, status="available", failures=["error"], interval=0.2, wait=60)
    restored = store.restore_backup(backup, name="restored")
    second = store.get_volume(restored["volume_id"])
    store.wait_for_status(second, status="available", failures=["error_restoring"], interval=0.2, wait=60)
    store.delete_backup(backup)
    store.wait_for_delete(backup, interval=0.2, wait=60)
    for one in (first, second):
        store.delete_volume(one)
        store.wait_for_delete(one, interval=0.2, wait=60)


def test_a_member_makes_no_users(member):
    """Managing users is for a domain's managers (SCS-0302) and admins."""
    with pytest.raises(openstack.exceptions.ForbiddenException):
        member.identity.create_user(name="one", password="secret-one")


def real_member(real):
    config = openstack.config.OpenStackConfig(config_files=[str(real.clouds)], load_envvars=False)
    return openstack.connection.Connection(config=config.get_one(real.name))


def test_images_describe_themselves(real):
    today, images = datetime.now(UTC).date(), [one for one in real_member(real).image.images() if one.visibility in ("public", "community")]
    assert images
    for one in images:
        told = {**one.properties, **{name: one[name] for name in IMAGE if name in one and one[name] is not None}}
        assert [name for name in IMAGE if not told.get(name)] == [], one.name
        assert one.min_disk
        assert one.min_ram
        assert date.fromisoformat(told["image_build_date"][:10]) <= today
        assert told["replace_frequency"] in OFTEN
        if told["provided_until"] not in ("none", "notice"):
            assert date.fromisoformat(told["provided_until"]) > today
        assert re.fullmatch(r"none|notice|forever|last-\d+|\d{4}-\d\d-\d\d", told["uuid_validity"])


def test_guests_have_entropy(real):
    server = bonjour(real)
    reachable(real, server)
    assert int(real.ssh(address(server), "cat /proc/sys/kernel/random/entropy_avail").stdout) > 200
    assert "virtio" in real.ssh(address(server), "cat /sys/devices/virtual/misc/hw_random/rng_current").stdout


def test_the_object_store_speaks_s3(real):
    """At the root of the address that the catalog tells of: SCS-0123."""
    where = re.match(r"https?://[^/]*", real_member(real).object_store.get_endpoint())[0]
    asked = {"aws_access_key_id": "doesnotexist", "aws_secret_access_key": "none", "region_name": "us-east-1"}
    with pytest.raises(ClientError) as refused:
        boto3.client("s3", endpoint_url=where, config=Config(retries={"total_max_attempts": 1}), **asked).list_buckets()
    assert refused.value.response["Error"]["Code"] == "InvalidAccessKeyId"
