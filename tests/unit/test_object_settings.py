"""What the settings file says of the object store reaches its parts, and classes of several folders keep a copy in each."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from andromede.drivers.blob.local import Local
from andromede.run import drivers, object_settings
from andromede.run.home import Home
from andromede.run.settings import SettingsError
from andromede.services.object.kms import LocalKeys
from andromede.services.object.s3 import Webhook, run_lifecycle
from andromede.services.object.s3.settings import Remote
from andromede.services.object.service import Objects
from andromede.services.object.swift.settings import Realm
from tests import s3 as ground

TEXT = """
[identity]
region = "here"
[object]
s3_domain = "s3.test"
s3_website_domain = "web.test"
s3_version2 = true
webhook_ports = [8080]
webhook_hosts = ["inside.test"]
swift_domain = "swift.test"
swift_policies = ["two", "standard"]
swift_digests = ["sha512"]
swift_info_key = "k"
swift_writes_per_second = 2.5
swift_read_only = true
swift_origins = ["https://page.test"]
swift_crossdomain = "<x/>"
sync_hosts = ["other.test"]
[object.classes.two]
folders = ["{one}", "{other}"]
s3 = "STANDARD_IA"
[object.classes.third]
[object.webhooks.hook]
url = "http://127.0.0.1/"
secret = "s"
[object.remotes.far]
url = "https://far.test"
access_key = "a"
secret_key = "b"
projects = ["p"]
[object.realms.pair]
key = "first"
key2 = "second"
clusters = {{ there = "https://there.test/v1/" }}
"""


@pytest.fixture
def home(tmp_path):
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    (tmp_path / "andromede.toml").write_text(TEXT.format(one=tmp_path / "one", other=tmp_path / "other"))
    return Home.at(tmp_path)


def test_settings_reach_the_faces(home):
    s3, swift = object_settings.of_s3(home.settings), object_settings.of_swift(home.settings)
    assert (s3.region, s3.domain, s3.website_domain, s3.version2) == ("here", "s3.test", "web.test", True)
    assert (s3.classes, s3.webhooks) == ({"STANDARD_IA": "two"}, {"hook": Webhook("http://127.0.0.1/", "s")})
    assert (s3.webhook_ports, s3.webhook_hosts) == ((8080,), ("inside.test",))
    assert s3.remotes == {"far": Remote("https://far.test", "a", "b", "us-east-1", ("p",))}
    assert (swift.storage_domain, swift.policies, swift.digests, swift.info_key) == ("swift.test", ("two", "standard"), ("sha512",), "k")
    assert (swift.writes_per_second, swift.read_only, swift.origins, swift.crossdomain) == (2.5, True, ("https://page.test",), "<x/>")
    assert (swift.sync_hosts, swift.realms) == (("other.test",), {"PAIR": Realm(("first", "second"), {"THERE": "https://there.test/v1/"})})


def test_an_option_that_is_not_there_is_named(home):
    home.config.write_text(home.config.read_text() + "clusterz = 1\n")
    with pytest.raises(SettingsError, match="clusterz"):
        object_settings.of_s3(home.settings)


def test_a_class_of_two_folders_keeps_two_copies(home, tmp_path):
    home.keys.mkdir()
    store = drivers.store(home)
    assert isinstance(store, Local)
    assert store.classes == ("standard", "plain", "two", "third")
    keys = drivers.object_keys(home, store)
    assert isinstance(keys, LocalKeys)
    assert keys.arn("p", "i") == "arn:aws:kms:here:p:key/i"
    with ground.site(tmp_path, store, classes=object_settings.of_s3(home.settings).classes) as site:
        s3, bucket = site.client(), site.bucket()
        s3.put_object(Bucket=bucket, Key="k", Body=b"twice", StorageClass="STANDARD_IA")
        s3.put_object(Bucket=bucket, Key="later", Body=b"moved")
        rule = {"ID": "r", "Status": "Enabled", "Filter": {"Prefix": "l"}, "Transitions": [{"Days": 1, "StorageClass": "STANDARD_IA"}]}
        s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [rule]})
        done = asyncio.run(run_lifecycle(Objects(store), datetime.now(UTC) + timedelta(days=3), site.settings.classes))
        assert done.moved == 1
        assert s3.head_object(Bucket=bucket, Key="later")["StorageClass"] == "STANDARD_IA"
        copies = {name: [path for path in (tmp_path / name).rglob("*") if path.is_file()] for name in ("one", "other")}
        assert len(copies["one"]) == len(copies["other"]) == 2
        for path in copies["one"]:
            path.write_bytes(b"\0" * path.stat().st_size)
        assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"twice"
        assert s3.get_object(Bucket=bucket, Key="later")["Body"].read() == b"moved"
    store.close()
