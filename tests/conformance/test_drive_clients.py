"""The drive of a cloud of several processes, used by programs that nobody here wrote: nextcloudcmd, rclone, davfs2, cadaver."""

import os
import random
import shutil
import subprocess

import msgspec
import pytest

from tests import nextcloud
from tests.conformance import clients
from tests.conformance.environments import Absent
from tests.host.test_guide import follow
from tests.nextcloud import two
from tests.real import RealCloud
from tests.waiting import until

pytestmark = [pytest.mark.real, pytest.mark.skipif(nextcloud.PROGRAM is None, reason="nextcloudcmd is not installed")]
CHANCE = random.Random(8083)


@pytest.fixture(scope="module")
def cloud():
    with nextcloud.serving() as made:
        yield made


@pytest.fixture
def pair(cloud, tmp_path):
    """Two computers of a user of its own, for each test another."""
    return two(cloud, tmp_path)


def both(one, other, rounds=1):
    """Synchronise both, and have them equal."""
    for _ in range(rounds):
        one.sync()
        other.sync()
    one.sync()
    assert one.tree() == other.tree()
    return one.tree()


def test_up_down_rename_move_and_delete(pair):
    one, other = pair
    (one.files / "Été" / "à l’ombre").mkdir(parents=True)
    (one.files / "empty").mkdir()
    (one.files / "Été" / "à l’ombre" / "a & b #1 %25.txt").write_text("ombre\n")
    (one.files / "nothing").write_bytes(b"")
    (one.files / "more").write_bytes(CHANCE.randbytes(3_000_000))
    before = both(one, other)
    assert set(before) == {"Été", "Été/à l’ombre", "Été/à l’ombre/a & b #1 %25.txt", "empty", "nothing", "more"}
    assert before["nothing"] == b""

    (other.files / "more").rename(other.files / "Été" / "renamed")
    (other.files / "Été" / "à l’ombre").rename(other.files / "moved")
    (other.files / "empty").rmdir()
    (other.files / "nothing").write_text("something")
    other.sync()
    after = both(other, one)
    assert set(after) == {"Été", "Été/renamed", "moved", "moved/a & b #1 %25.txt", "nothing"}
    assert after["Été/renamed"] == before["more"]
    assert after["nothing"] == b"something"

    shutil.rmtree(one.files / "Été")
    (one.files / "nothing").unlink()
    one.sync()
    assert set(both(one, other)) == {"moved", "moved/a & b #1 %25.txt"}


def test_deep_changes_are_seen(pair):
    one, other = pair
    deep = "/".join("abcdefghijkl")
    (one.files / deep).mkdir(parents=True)
    (one.files / deep / "leaf").write_text("1")
    both(one, other)
    (other.files / deep / "leaf").write_text("twice")
    (other.files / deep / "second").write_text("2")
    other.sync()
    found = both(one, other)
    assert (found[f"{deep}/leaf"], found[f"{deep}/second"]) == (b"twice", b"2")


def test_a_conflict_loses_nothing(pair):
    one, other = pair
    (one.files / "plan.txt").write_text("first\n")
    both(one, other)
    (one.files / "plan.txt").write_text("of the one side\n")
    (other.files / "plan.txt").write_text("of the other side, longer\n")
    one.sync()
    other.sync()
    tree = other.tree()
    (copy,) = [name for name in tree if "conflicted copy" in name]
    assert {tree["plan.txt"], tree[copy]} == {b"of the one side\n", b"of the other side, longer\n"}
    one.sync()
    assert one.tree()["plan.txt"] == tree["plan.txt"]


def test_changed_here_and_deleted_there_comes_back(pair):
    one, other = pair
    (one.files / "kept").write_text("1")
    (one.files / "beside").write_text("without it, all would be gone, which the client asks a person about")
    both(one, other)
    (one.files / "kept").unlink()
    (other.files / "kept").write_text("changed meanwhile")
    one.sync()
    assert both(other, one)["kept"] == b"changed meanwhile"


def test_the_guide_works_as_written(cloud, tmp_path):
    follow("drive.md", cloud, tmp_path)


def test_two_people_on_a_shared_folder(cloud, tmp_path):
    (one, _), (other, _) = two(cloud, tmp_path / "one"), two(cloud, tmp_path / "other")
    (one.files / "team" / "deep").mkdir(parents=True)
    (one.files / "team" / "deep" / "plan").write_text("first\n")
    one.sync()
    other.sync()
    assert other.tree() == {}
    command = ["curl", "-sS", "--fail", "-u", f"{one._user}:{one._password}", "-d", f"path=/team&shareType=0&shareWith={other._user}"]
    url = f"{one.url}/ocs/v2.php/apps/files_sharing/api/v1/shares"
    subprocess.run([*command, url], check=True, capture_output=True, timeout=60)
    other.sync()
    assert other.tree() == one.tree()
    (other.files / "team" / "deep" / "plan").write_text("second, by the other\n")
    (other.files / "team" / "new").write_bytes(CHANCE.randbytes(12_000_000))
    (other.files / "own").write_text("not shared")
    other.sync()
    one.sync()
    assert one.tree() == {name: data for name, data in other.tree().items() if name != "own"}
    assert one.tree()["team/deep/plan"] == b"second, by the other\n"
    (one.files / "team" / "deep").rename(one.files / "team" / "moved")
    one.sync()
    other.sync()
    assert one.tree() == {name: data for name, data in other.tree().items() if name != "own"}
    assert "team/moved/plan" in one.tree()


def log(cloud, offset=0):
    """The lines of the log about the drive's WebDAV, from an offset: method, path, status; and where it ends."""
    raw = (cloud.home.logs / "object.log").read_bytes()[offset:]
    lines = [msgspec.json.decode(line) for line in raw.splitlines() if b'"face":"drive"' in line and b"/remote.php/" in line]
    return [(one["method"], one["path"], one["status"]) for one in lines], offset + len(raw)


def test_a_large_file_goes_up_in_chunks(cloud, tmp_path):
    one, other = two(cloud, tmp_path, chunk=5_000_000)
    whole = CHANCE.randbytes(64_000_000)
    (one.files / "large").write_bytes(whole)
    _, start = log(cloud)
    assert both(one, other) == {"large": whole}
    with (one.files / "large").open("r+b") as file:
        file.seek(30_000_000)
        file.write(b"changed within")
    changed = (one.files / "large").read_bytes()
    assert both(one, other) == {"large": changed}
    until(lambda: any(method == "MOVE" for method, *_ in log(cloud, start)[0]))
    parts = [path for method, path, _ in log(cloud, start)[0] if method == "PUT" and "/uploads/" in path]
    assert len(parts) >= 20


@pytest.fixture
def bulky():
    """A cloud that tells Debian's client of uploads in bulk, although it cannot send empty files so."""
    made = RealCloud('[compute]\nhypervisor = "fake"', drive='bulk_from = "3.7"', public="172.24.6.0/24")
    try:
        made.cli("up")
        yield made
    finally:
        made.destroy()


def test_a_thousand_small_files_go_up_in_bulk(bulky, tmp_path):
    cloud, (one, other) = bulky, two(bulky, tmp_path)
    for number in range(1000):
        folder = one.files / f"folder {number % 10}"
        folder.mkdir(exist_ok=True)
        (folder / f"{number}.bin").write_bytes(CHANCE.randbytes(4096))
    _, start = log(cloud)
    one.sync()
    until(lambda: sum(method == "POST" and path.endswith("/bulk") for method, path, _ in log(cloud, start)[0]) >= 10)
    assert sum(method == "PUT" for method, *_ in log(cloud, start)[0]) < 20
    assert len(both(one, other)) == 1010


@pytest.fixture(scope="module")
def bin_of():
    try:
        return clients.installed()
    except Absent as why:
        pytest.skip(f"LEFT OUT: {why}")


def rclone(folder, computer, program, *words, check=True):
    config = folder / "rclone.conf"
    if not config.exists():
        hidden = subprocess.run([program, "obscure", computer._password], capture_output=True, text=True, check=True, timeout=60).stdout.strip()
        where = f"{computer.url}/remote.php/dav/files/{computer._user}"
        lines = ["[d]", "type = webdav", f"url = {where}", "vendor = nextcloud", f"user = {computer._user}", f"pass = {hidden}"]
        config.write_text("\n".join(lines) + "\n")
    command = [program, "--config", str(config), "--transfers", "8", *words]
    return subprocess.run(command, capture_output=True, text=True, check=check, timeout=300)


def test_rclone_syncs_and_checks(pair, tmp_path, bin_of):
    one, other = pair
    program = str(bin_of / "rclone")
    source = tmp_path / "source"
    (source / "sub folder").mkdir(parents=True)
    for number in range(60):
        (source / "sub folder" / f"file {number}").write_bytes(CHANCE.randbytes(CHANCE.randrange(20_000)))
    os.utime(source / "sub folder" / "file 1", (1_500_000_000, 1_500_000_000))
    rclone(tmp_path, one, program, "sync", str(source), "d:copy")
    rclone(tmp_path, one, program, "check", str(source), "d:copy")
    said = rclone(tmp_path, one, program, "check", "--download", str(source), "d:copy").stderr
    assert "0 differences found" in said
    assert "60 matching files" in said
    assert "2017-07-14" in rclone(tmp_path, one, program, "lsl", "d:copy/sub folder/file 1").stdout
    (source / "sub folder" / "file 2").write_text("other")
    (source / "sub folder" / "file 3").unlink()
    assert rclone(tmp_path, one, program, "check", str(source), "d:copy", check=False).returncode
    rclone(tmp_path, one, program, "sync", str(source), "d:copy")
    rclone(tmp_path, one, program, "check", str(source), "d:copy")
    assert '"used"' in rclone(tmp_path, one, program, "about", "--json", "d:").stdout
    one.sync()
    assert one.tree()["copy/sub folder/file 2"] == b"other"
    rclone(tmp_path, one, program, "moveto", "d:copy/sub folder", "d:elsewhere")
    rclone(tmp_path, one, program, "purge", "d:copy")
    tree = both(one, other)
    assert "elsewhere/file 2" in tree
    assert "copy" not in tree


@pytest.mark.skipif(shutil.which("mount.davfs") is None or not os.access("/dev/fuse", os.W_OK), reason="davfs2 or FUSE is not there")
def test_davfs2_mounts_it(pair, tmp_path):
    one, _ = pair
    where = tmp_path / "mount"
    where.mkdir()
    command = ["mount.davfs", f"{one.url}/remote.php/webdav/", str(where), "-o", "uid=0,gid=0"]
    given = f"{one._user}\n{one._password}\n"
    done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode and "fuse" in done.stderr.lower():
        pytest.skip(f"LEFT OUT: {done.stderr}")
    assert done.returncode == 0, done.stderr
    try:
        (where / "letters").mkdir()
        (where / "letters" / "a.txt").write_text("by a mount\n")
        (where / "letters" / "a.txt").rename(where / "letters" / "b.txt")
        assert (where / "letters" / "b.txt").read_text() == "by a mount\n"
    finally:
        subprocess.run(["umount", str(where)], check=True, capture_output=True, timeout=120)
    one.sync()
    assert one.tree() == {"letters": None, "letters/b.txt": b"by a mount\n"}


@pytest.mark.skipif(shutil.which("cadaver") is None, reason="cadaver is not installed")
def test_cadaver(pair, tmp_path):
    one, _ = pair
    home = tmp_path / "home"
    home.mkdir()
    netrc = home / ".netrc"
    netrc.write_text(f"machine 127.0.0.1 login {one._user} password {one._password}\n")
    netrc.chmod(0o600)
    (tmp_path / "letter.txt").write_text("Dear drive\n")
    words = f"mkcol letters\ncd letters\nput {tmp_path}/letter.txt\ncopy letter.txt second.txt\nmove second.txt third.txt\nls\n"
    words += f"get third.txt {tmp_path}/back\nquit\n"
    command = ["cadaver", f"{one.url}/remote.php/webdav/"]
    done = subprocess.run(command, input=words, capture_output=True, text=True, env={**os.environ, "HOME": str(home)}, timeout=120, check=False)
    assert (tmp_path / "back").read_text() == "Dear drive\n", done.stdout
    assert "third.txt" in done.stdout
    one.sync()
    assert set(one.tree()) == {"letters", "letters/letter.txt", "letters/third.txt"}
