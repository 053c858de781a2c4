"""S3 clients that people have: aws-cli, s3cmd, rclone, restic, minio, s3fs and pyarrow, against the face on loopback
and the blob driver on disk.

They are those of `tests.conformance.clients`, and left out loudly where these cannot be had.
"""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from andromede.drivers.blob.local import Local
from tests import s3 as ground
from tests.conformance import clients

BIG = bytes(range(256)) * 4096 * 12


@pytest.fixture(scope="module")
def programs():
    try:
        return {group: clients.installed(group) for group in clients.GROUPS}
    except clients.Absent as why:
        pytest.skip(f"LEFT OUT: {why}")


@pytest.fixture(scope="module")
def site(programs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("s3")
    store = Local(folder / "objects", os.urandom(32))
    with ground.site(folder, store) as made:
        made.programs = programs
        yield made
    store.close()


@pytest.fixture
def tree(tmp_path):
    """A folder with small files, a large one, and names that are none too easy."""
    folder = tmp_path / "tree"
    (folder / "sub dir").mkdir(parents=True)
    (folder / "a+b.txt").write_bytes(b"plus")
    (folder / "sub dir" / "été ü.txt").write_bytes(b"accents")
    (folder / "empty").write_bytes(b"")
    (folder / "big").write_bytes(BIG)
    return folder


def same(one, other):
    def sums(folder):
        return {
            str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in Path(folder).rglob("*")
            if path.is_file()
        }

    assert sums(one) == sums(other)


class Tool:
    """A program with an environment; a call answers what it prints."""

    def __init__(self, site, folder, name, group="clients"):
        self.program, self.folder = shutil.which(name, path=f"{site.programs[group]}{os.pathsep}{os.environ['PATH']}"), folder
        self.environment = {
            "PATH": os.environ["PATH"], "HOME": str(folder), "AWS_ACCESS_KEY_ID": site.keys[0], "AWS_SECRET_ACCESS_KEY": site.keys[1],
            "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true", "LC_ALL": "C.UTF-8",
        }  # fmt: skip

    def __call__(self, *arguments, code=0, data=None):
        done = subprocess.run(
            [self.program, *map(str, arguments)],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            timeout=120,
            check=False,
            input=data,
        )
        assert done.returncode == code, (arguments, done.stdout.decode(), done.stderr.decode())
        return done.stdout.decode()


def test_aws(site, tmp_path, tree):
    tool = Tool(site, tmp_path, "aws")
    bucket = "aws-cli-bucket"

    def aws(*arguments, **more):
        return tool("--endpoint-url", site.url, *arguments, **more)

    aws("s3", "mb", f"s3://{bucket}")
    assert bucket in aws("s3", "ls")
    aws("s3", "sync", tree, f"s3://{bucket}/tree")
    assert "été ü.txt" in aws("s3", "ls", "--recursive", f"s3://{bucket}")
    aws("s3", "sync", f"s3://{bucket}/tree", tmp_path / "back")
    same(tree, tmp_path / "back")
    assert aws("s3", "sync", tree, f"s3://{bucket}/tree") == ""
    aws("s3", "cp", f"s3://{bucket}/tree/big", f"s3://{bucket}/copy")
    aws("s3", "mv", f"s3://{bucket}/copy", f"s3://{bucket}/moved")
    assert aws("s3", "cp", f"s3://{bucket}/tree/a+b.txt", "-") == "plus"
    link = aws("s3", "presign", f"s3://{bucket}/tree/a+b.txt").strip()
    assert link.startswith(site.url)
    aws("s3", "rb", "--force", f"s3://{bucket}")


def test_s3cmd(site, tmp_path, tree):
    tool = Tool(site, tmp_path, "s3cmd")
    tool.environment.pop("AWS_DEFAULT_REGION")
    (tmp_path / ".s3cfg").write_text(
        f"[default]\naccess_key = {site.keys[0]}\nsecret_key = {site.keys[1]}\nuse_https = False\n"
        f"host_base = {site.host}\nhost_bucket = {site.host}\n"
    )
    bucket = "s3cmd-bucket"
    tool("mb", f"s3://{bucket}")
    tool("sync", "--multipart-chunk-size-mb=5", f"{tree}/", f"s3://{bucket}/tree/")
    assert "été ü.txt" in tool("ls", "-r", f"s3://{bucket}")
    tool("sync", f"s3://{bucket}/tree/", f"{tmp_path}/back/")
    same(tree, tmp_path / "back")
    tool("put", "--acl-public", tree / "a+b.txt", f"s3://{bucket}/open")
    assert "anon" in tool("info", f"s3://{bucket}/open")
    tool("cp", f"s3://{bucket}/tree/big", f"s3://{bucket}/copy")
    tool("setacl", "--acl-private", f"s3://{bucket}/open")
    (tmp_path / "policy").write_text(
        '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": '
        f'"arn:aws:s3:::{bucket}/*"}}]}}'
    )
    tool("setpolicy", tmp_path / "policy", f"s3://{bucket}")
    tool("du", f"s3://{bucket}")
    tool("del", "--recursive", "--force", f"s3://{bucket}")
    tool("rb", f"s3://{bucket}")


def test_rclone(site, tmp_path, tree):
    tool = Tool(site, tmp_path, "rclone")
    for name, value in {
        "TYPE": "s3", "PROVIDER": "Other", "ENDPOINT": site.url, "ACCESS_KEY_ID": site.keys[0], "SECRET_ACCESS_KEY": site.keys[1],
        "CHUNK_SIZE": "5Mi", "UPLOAD_CUTOFF": "5Mi", "FORCE_PATH_STYLE": "true",
    }.items():  # fmt: skip
        tool.environment[f"RCLONE_CONFIG_HERE_{name}"] = value
    tool("mkdir", "here:rclone-bucket")
    tool("sync", tree, "here:rclone-bucket/tree")
    tool("check", tree, "here:rclone-bucket/tree")
    tool("check", "--download", tree, "here:rclone-bucket/tree")
    tool("copyto", "here:rclone-bucket/tree/big", "here:rclone-bucket/copy")
    assert "été ü.txt" in tool("ls", "here:rclone-bucket")
    assert tool("cat", "here:rclone-bucket/tree/a+b.txt") == "plus"
    tool("rcat", "here:rclone-bucket/streamed", data=b"from a pipe")
    assert tool("cat", "here:rclone-bucket/streamed") == "from a pipe"
    tool("moveto", "here:rclone-bucket/copy", "here:rclone-bucket/moved")
    tool("copy", "here:rclone-bucket/tree", tmp_path / "back")
    same(tree, tmp_path / "back")
    tool("purge", "here:rclone-bucket")


def test_restic(site, tmp_path, tree):
    tool = Tool(site, tmp_path, "restic")
    tool.environment |= {
        "RESTIC_PASSWORD": "secret",
        "RESTIC_REPOSITORY": f"s3:{site.url}/restic-bucket/repo",
        "RESTIC_CACHE_DIR": str(tmp_path / "cache"),
    }
    tool("init")
    tool("backup", tree)
    (tree / "a+b.txt").write_bytes(b"changed")
    tool("backup", tree)
    tool("check", "--read-data")
    tool("restore", "latest", "--target", tmp_path / "back")
    same(tree, tmp_path / "back" / tree.relative_to("/"))
    tool("forget", "--keep-last", "1", "--prune")


def python(site, folder, text, group="clients"):
    """Run a text with the interpreter of the clients."""
    tool = Tool(site, folder, "python3", group)
    tool.environment |= {"URL": site.url, "HOST": site.host}
    return tool("-c", text)


def test_minio(site, tmp_path):
    text = """
import io, os
from datetime import timedelta
from minio import Minio
from minio.commonconfig import CopySource, Tags
from minio.deleteobjects import DeleteObject
key, secret = os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]
try:
    client = Minio(os.environ["HOST"], access_key=key, secret_key=secret, secure=False)
except TypeError:
    client = Minio(endpoint=os.environ["HOST"], access_key=key, secret_key=secret, secure=False)
client.make_bucket(bucket_name="minio-bucket")
assert client.bucket_exists(bucket_name="minio-bucket")
data = b"x" * (12 << 20)
client.put_object(bucket_name="minio-bucket", object_name="a b+c/é", data=io.BytesIO(data), length=len(data), part_size=5 << 20)
client.put_object(bucket_name="minio-bucket", object_name="unknown", data=io.BytesIO(b"12"), length=-1, part_size=5 << 20)
got = client.get_object(bucket_name="minio-bucket", object_name="a b+c/é")
assert got.read() == data
tags = Tags.new_object_tags()
tags["k"] = "v"
client.set_object_tags(bucket_name="minio-bucket", object_name="unknown", tags=tags)
assert client.get_object_tags(bucket_name="minio-bucket", object_name="unknown") == tags
assert sorted(each.object_name for each in client.list_objects(bucket_name="minio-bucket", recursive=True)) == ["a b+c/é", "unknown"]
print(client.presigned_get_object(bucket_name="minio-bucket", object_name="unknown", expires=timedelta(hours=1)))
assert not list(client.remove_objects(bucket_name="minio-bucket", delete_object_list=[DeleteObject("a b+c/é"), DeleteObject("unknown")]))
client.remove_bucket(bucket_name="minio-bucket")
"""
    link = python(site, tmp_path, text)
    assert link.startswith(site.url)


def test_s3fs(site, tmp_path):
    text = """
import os
import s3fs
fs = s3fs.S3FileSystem(endpoint_url=os.environ["URL"])
fs.mkdir("s3fs-bucket")
with fs.open("s3fs-bucket/dir/a+b é", "wb", block_size=5 << 20) as file:
    for _ in range(12):
        file.write(b"y" * (1 << 20))
with fs.open("s3fs-bucket/dir/a+b é", "rb") as file:
    file.seek(5)
    assert file.read(3) == b"yyy"
assert fs.ls("s3fs-bucket/dir") == ["s3fs-bucket/dir/a+b é"]
fs.pipe("s3fs-bucket/small", b"1")
assert fs.cat("s3fs-bucket/small") == b"1"
fs.copy("s3fs-bucket/small", "s3fs-bucket/other")
fs.rm("s3fs-bucket", recursive=True)
"""
    python(site, tmp_path, text, "readers")


def test_pyarrow(site, tmp_path):
    text = """
import os
import pyarrow as pa, pyarrow.parquet as pq
from pyarrow import fs
store = fs.S3FileSystem(endpoint_override=os.environ["HOST"], scheme="http", allow_bucket_creation=True, allow_bucket_deletion=True)
store.create_dir("arrow-bucket")
table = pa.table({"n": list(range(100000))})
pq.write_table(table, "arrow-bucket/t/a.parquet", filesystem=store)
assert pq.read_table("arrow-bucket/t/a.parquet", filesystem=store).equals(table)
assert [each.path for each in store.get_file_info(fs.FileSelector("arrow-bucket", recursive=True)) if each.is_file] == ["arrow-bucket/t/a.parquet"]
store.delete_dir("arrow-bucket")
"""
    python(site, tmp_path, text, "readers")
