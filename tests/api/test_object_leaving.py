"""What a deleted project kept is removed, with its keys; nothing of the others is touched."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from andromede.core.errors import DriverError
from andromede.drivers.blob.local import Local
from andromede.services.identity.service import projects_known
from andromede.services.object.leaving import Left, leave
from tests import objects as beside
from tests import s3 as ground

DAY = 86_400.0


@pytest.fixture
def site(tmp_path):
    store = Local(tmp_path / "store", b"m" * 32, shards=4, sync=False)
    with ground.site(tmp_path, store) as made:
        yield made
    store.close()


def left(site, moment, grace=7 * DAY):
    def known(ids):
        return site.cloud.database.look(lambda db: projects_known(db, ids))

    return asyncio.run(leave(site.objects, known, moment, grace))


def entries(site, account):
    """Every key of the store that is an account's own."""
    store, text = site.objects.store, account.encode()
    return [key for shard in range(store.shards) for key, _entry in store.scan(shard, b"", b"\xff" * 9, 100_000) if text in key]


def test_a_project_leaves_nothing(site):
    admin, other = site.cloud.admin, site.cloud.other("leaver")
    project = site.token(other)["project"]["id"]
    s3, mine = site.client(beside.access_key(site.cloud, other)), site.client()
    kept = site.bucket(mine)
    mine.put_object(Bucket=kept, Key="k", Body=b"stays")
    bucket = site.bucket(s3)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    for body in (b"1", b"2" * 300_000):
        s3.put_object(Bucket=bucket, Key="k", Body=body, ServerSideEncryption="aws:kms")
    s3.delete_object(Bucket=bucket, Key="k")
    upload = s3.create_multipart_upload(Bucket=bucket, Key="parts")["UploadId"]
    s3.upload_part(Bucket=bucket, Key="parts", UploadId=upload, PartNumber=1, Body=b"part")
    keys = list((site.objects.store.folder / "keys").iterdir())
    moment = datetime.now(UTC).timestamp()

    assert left(site, moment) == Left()
    assert admin.delete(f"/identity/v3/projects/{project}").status == 204
    assert left(site, moment) == Left()
    assert left(site, moment + 6 * DAY) == Left()
    assert left(site, moment + 8 * DAY) == Left(removed=5, gone=1)
    assert entries(site, project) == []
    assert len(list((site.objects.store.folder / "keys").iterdir())) == len(keys) - 1
    assert left(site, moment + 9 * DAY) == Left()
    assert mine.get_object(Bucket=kept, Key="k")["Body"].read() == b"stays"
    mine.create_bucket(Bucket=bucket)


def test_a_project_that_is_there_again_loses_nothing(site):
    s3 = site.client()
    bucket = site.bucket(s3)
    s3.put_object(Bucket=bucket, Key="k", Body=b"stays")
    moment, there = datetime.now(UTC).timestamp(), {"a" * 32}

    def known(ids):
        return there if not ids else ids & there

    def run(moment):
        return asyncio.run(leave(site.objects, known, moment, 7 * DAY))

    run(moment)
    there.add(site.project)
    run(moment + 5 * DAY)
    there.remove(site.project)
    run(moment + 8 * DAY)
    there.clear()
    with pytest.raises(DriverError):
        run(moment + 30 * DAY)
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"stays"


def test_what_is_locked_stays_until_the_lock_ends(site):
    s3 = site.client()
    bucket = site.bucket(s3, ObjectLockEnabledForBucket=True)
    until = datetime.now(UTC) + timedelta(seconds=4)
    s3.put_object(Bucket=bucket, Key="locked", Body=b"x", ObjectLockMode="COMPLIANCE", ObjectLockRetainUntilDate=until)
    s3.put_object(Bucket=bucket, Key="free", Body=b"x")
    moment = datetime.now(UTC).timestamp()

    def run():
        return asyncio.run(leave(site.objects, lambda ids: {"a" * 32} - ids if not ids else set(), moment, 0))

    first = run()
    assert (first.removed, first.gone) == (1, 0)
    while datetime.now(UTC) <= until + timedelta(seconds=1):
        asyncio.run(asyncio.sleep(0.2))
    assert run() == Left(removed=1, gone=1)
