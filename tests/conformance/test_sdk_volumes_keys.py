"""openstacksdk's proxies for Block Storage and Key Manager against the cloud in this process, over HTTP, with hosts that keep books."""

import openstack
import pytest

from tests.api.images import active
from tests.cloud import Cloud
from tests.conformance import in_process


@pytest.fixture(scope="module")
def sdk(tmp_path_factory):
    """A connection as the user demo, and the id of an image."""
    cloud = Cloud(tmp_path_factory.mktemp("cloud"))
    try:
        cloud.start()
        image = active(cloud.admin, b"BOOT" + b"\0" * 65532, visibility="public")["id"]
        with in_process.api(cloud) as url:
            connection = in_process.sdk(url, "demo")
            try:
                yield connection, image
            finally:
                connection.close()
    finally:
        cloud.close()


def ready(proxy, one, status="available"):
    return proxy.wait_for_status(one.fetch(proxy), status=status, failures=["error"], interval=0.2, wait=30)


def test_volumes_snapshots_and_backups(sdk):
    connection, image = sdk
    store = connection.block_storage
    first = ready(store, store.create_volume(name="first", size=1, image_id=image))
    assert (first.is_bootable, first.volume_image_metadata["image_id"]) == (True, image)
    assert [one.id for one in store.volumes(name="first")] == [first.id]
    assert store.find_volume("first").id == first.id
    store.extend_volume(first, 2)
    assert ready(store, first).size == 2
    store.set_volume_metadata(first, colour="red")
    assert store.get_volume_metadata(first).metadata == {"colour": "red"}
    kept = ready(store, store.create_snapshot(volume_id=first.id, name="kept"))
    older = ready(store, store.create_volume(snapshot_id=kept.id, size=2))
    assert older.snapshot_id == kept.id
    clone = ready(store, store.create_volume(source_volume_id=first.id, size=2))
    store.revert_volume_to_snapshot(first, kept)
    ready(store, first)
    backup = ready(store, store.create_backup(volume_id=first.id, name="away"))
    store.restore_backup(backup, volume_id=clone.id)
    ready(store, clone)
    store.delete_backup(backup, ignore_missing=False)
    store.wait_for_delete(backup, interval=0.2, wait=30)
    store.delete_snapshot(kept, ignore_missing=False)
    store.wait_for_delete(kept, interval=0.2, wait=30)
    for one in (first, older, clone):
        store.delete_volume(one, ignore_missing=False)
        store.wait_for_delete(one, interval=0.2, wait=30)
    assert list(store.volumes()) == []


def test_what_is_there_of_the_service(sdk):
    store = sdk[0].block_storage
    assert "__DEFAULT__" in [one.name for one in store.types()]
    assert [one.name for one in store.availability_zones()] == ["nova"]
    assert store.get_limits().absolute.max_total_volumes == 10
    with pytest.raises(openstack.exceptions.NotFoundException):
        store.get_volume("11111111-2222-4333-8444-555555555555")
    with pytest.raises(openstack.exceptions.BadRequestException):
        store.create_volume(name="none", size=0)


def test_secrets(sdk):
    keys = sdk[0].key_manager
    made = keys.create_secret(name="word", payload="open sesame", payload_content_type="text/plain", secret_type="opaque")
    found = keys.get_secret(made.secret_id)
    assert (found.name, found.status, found.payload) == ("word", "ACTIVE", "open sesame")
    assert [one.secret_id for one in keys.secrets(name="word")] == [made.secret_id]
    consumer = {"service": "image", "resource_type": "image", "resource_id": "11111111-2222-4333-8444-555555555555"}
    keys.create_secret_consumer(made.secret_id, **consumer)
    assert [one.service for one in keys.secret_consumers(made.secret_id)] == ["image"]
    keys.delete_secret_consumer(made.secret_id, ignore_missing=False, **consumer)
    assert keys.get_secret_acl(made.secret_id).read["project-access"] is True
    keys.set_secret_acl(made.secret_id, read={"project-access": False})
    assert keys.get_secret_acl(made.secret_id).read["project-access"] is False
    container = keys.create_container(name="box", type="generic", secret_refs=[{"name": "word", "secret_ref": made.secret_ref}])
    assert keys.get_container(container.container_id).secret_refs[0]["secret_ref"] == made.secret_ref
    keys.delete_container(container.container_id, ignore_missing=False)
    keys.delete_secret(made.secret_id, ignore_missing=False)
    assert list(keys.secrets(name="word")) == []


def test_an_order_makes_a_key(sdk):
    keys = sdk[0].key_manager
    meta = {"name": "made", "algorithm": "aes", "bit_length": 256, "mode": "cbc", "payload_content_type": "application/octet-stream"}
    order = keys.create_order(type="key", meta=meta)
    found = keys.get_order(order.order_id)
    assert found.status == "ACTIVE"
    assert keys.find_secret("made") is not None or found.secret_id
    keys.delete_order(order.order_id, ignore_missing=False)
    assert keys.get_quota() is not None
