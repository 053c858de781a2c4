"""Volumes in real guests: seen with their serial, written, carried to another guest, booted from, snapshotted."""

import os
import signal
from pathlib import Path

import pytest
from sqlalchemy import select

from andromede.db.engine import Database
from andromede.drivers.seal import from_file
from andromede.run import supervisor
from andromede.services.key_manager.tables import secret
from tests.host.test_cloud import address, bonjour, reachable
from tests.waiting import until

V, C = "/volume/v3", "/compute/v2.1"


@pytest.fixture(scope="module")
def other(real):
    """A second server of the same image, with an address of its own."""
    first = bonjour(real)
    network = real.user.get("/network/v2.0/networks?name=private")["networks"][0]["id"]
    body = {
        "name": "other", "imageRef": petit(real), "flavorRef": first["flavor"]["id"], "networks": [{"uuid": network}],
        "security_groups": [{"name": "ssh"}], "key_name": "bonjour",
    }  # fmt: skip
    yield from built(real, body)


def petit(real):
    """The image of the first server as it was installed, whatever that server was rebuilt from since."""
    return real.user.get("/image/v2/images?name=petit")["images"][0]["id"]


def built(real, body):
    made = real.user.post(f"{C}/servers", {"server": body})["server"]
    port = until(lambda: real.user.get(f"/network/v2.0/ports?device_id={made['id']}")["ports"])[0]
    public = real.user.get("/network/v2.0/networks?name=public")["networks"][0]["id"]
    floating = real.user.post("/network/v2.0/floatingips", {"floatingip": {"floating_network_id": public, "port_id": port["id"]}})["floatingip"]
    server = until(lambda: (found := server_of(real, made["id"]))["status"] in ("ACTIVE", "ERROR") and found, 120)
    assert server["status"] == "ACTIVE", server.get("fault")
    reachable(real, server)
    yield server
    real.user.delete(f"{C}/servers/{made['id']}")
    real.user.delete(f"/network/v2.0/floatingips/{floating['id']}")
    until(lambda: made["id"] not in [one["id"] for one in real.user.get(f"{C}/servers")["servers"]], 60)


def server_of(real, id_):
    return real.user.get(f"{C}/servers/{id_}")["server"]


def volume(real, **wanted):
    made = real.user.post(f"{V}/volumes", {"volume": {"size": 1, **wanted}})["volume"]["id"]
    return ready(real, made)


def show(real, id_):
    return real.user.get(f"{V}/volumes/{id_}")["volume"]


def ready(real, id_, status="available", seconds=60):
    found = until(lambda: (one := show(real, id_))["status"] in (status, "error") and one, seconds)
    assert found["status"] == status, found
    return id_


def remove(real, *ids):
    for id_ in ids:
        real.user.delete(f"{V}/volumes/{id_}")
    until(lambda: not set(ids) & {one["id"] for one in real.user.get(f"{V}/volumes")["volumes"]}, 60)
    assert not [id_ for id_ in ids if (real.home.volumes / id_).exists()]


def test_another_volume_takes_the_place_of_one_that_is_written_to(real):
    server = bonjour(real)
    reachable(real, server)
    old, new = volume(real), volume(real, size=2)
    before = disks(real, server)
    attach(real, server, old)
    (disk,) = until(lambda: disks(real, server) - before)
    guest(real, server, f"echo before | sudo dd of=/dev/{disk} conv=fsync; sudo dd if=/dev/urandom of=/dev/{disk} bs=1M seek=1 count=20 conv=fsync")
    whole = guest(real, server, f"sudo dd if=/dev/{disk} bs=1M count=40 2>/dev/null | md5sum")
    real.admin.put(f"{C}/servers/{server['id']}/os-volume_attachments/{old}", {"volumeAttachment": {"volumeId": new}})
    ready(real, new, "in-use")
    ready(real, old)
    guest(real, server, "echo 3 | sudo tee /proc/sys/vm/drop_caches")
    assert guest(real, server, f"sudo dd if=/dev/{disk} bs=1M count=40 2>/dev/null | md5sum") == whole
    guest(real, server, f"echo behind | sudo dd of=/dev/{disk} bs=1M seek=30 conv=fsync")
    real.user.delete(f"{C}/servers/{server['id']}/os-volume_attachments/{new}")
    ready(real, new)
    until(lambda: disks(real, server) == before)
    for id_, found in ((new, "behind"), (old, "")):
        attach(real, server, id_)
        (disk,) = until(lambda: disks(real, server) - before)
        assert guest(real, server, f"sudo head -c 6 /dev/{disk}") == "before"
        assert guest(real, server, f"sudo dd if=/dev/{disk} bs=1M skip=30 count=1 2>/dev/null | tr -d '\\0'") == found
        real.user.delete(f"{C}/servers/{server['id']}/os-volume_attachments/{id_}")
        ready(real, id_)
        until(lambda: disks(real, server) == before)
    remove(real, old, new)


def guest(real, server, command):
    done = real.ssh(address(server), command)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def disks(real, server):
    return set(guest(real, server, "ls /sys/block").split())


def attach(real, server, id_):
    made = real.user.post(f"{C}/servers/{server['id']}/os-volume_attachments", {"volumeAttachment": {"volumeId": id_}})["volumeAttachment"]
    ready(real, id_, "in-use")
    return made["device"]


def detach(real, server, id_):
    real.user.delete(f"{C}/servers/{server['id']}/os-volume_attachments/{id_}")
    ready(real, id_, seconds=60)


def run(real, server, command, check=True):
    done = real.ssh(address(server), command)
    assert done.returncode == 0 or not check, (command, done)
    return done.stdout.strip()


def device_of(real, server, id_):
    """The device in the guest whose serial number is the volume's."""
    return until(lambda: run(real, server, f"grep -l {id_[:20]} /sys/block/*/serial | cut -d/ -f4", check=False), 30)


def test_what_is_written_in_one_guest_is_there_in_another(real, other):
    first = bonjour(real)
    reachable(real, first)
    id_ = volume(real, name="carried")
    assert attach(real, first, id_) == "/dev/vdb"
    assert device_of(real, first, id_) == "vdb"
    run(real, first, "dd if=/dev/urandom of=/tmp/x bs=1M count=8 2>/dev/null")
    digest = run(real, first, "sudo dd if=/tmp/x of=/dev/vdb bs=1M seek=100 conv=fsync 2>/dev/null && sha256sum < /tmp/x")
    detach(real, first, id_)
    assert run(real, first, "ls /sys/block | grep vd") == "vda"
    assert attach(real, other, id_) == "/dev/vdb"
    device_of(real, other, id_)
    assert run(real, other, "sudo dd if=/dev/vdb bs=1M skip=100 count=8 2>/dev/null | sha256sum") == digest
    detach(real, other, id_)
    remove(real, id_)


def test_a_volume_arrives_and_leaves_although_the_agent_is_killed(real):
    server, id_ = bonjour(real), volume(real)
    reachable(real, server)
    real.user.post(f"{C}/servers/{server['id']}/os-volume_attachments", {"volumeAttachment": {"volumeId": id_}})
    kill(real, "agent")
    ready(real, id_, "in-use")
    device = device_of(real, server, id_)
    run(real, server, f"echo synced | sudo dd of=/dev/{device} conv=fsync 2>/dev/null")
    kill(real, "agent")
    kill(real, "engine")
    detach(real, server, id_)
    attach(real, server, id_)
    device = device_of(real, server, id_)
    assert run(real, server, f"sudo head -c 6 /dev/{device}") == "synced"
    detach(real, server, id_)
    remove(real, id_)


def test_a_server_boots_from_a_volume_and_from_what_it_became(real):
    first = bonjour(real)
    network = real.user.get("/network/v2.0/networks?name=private")["networks"][0]["id"]
    device = {"source_type": "image", "destination_type": "volume", "uuid": petit(real), "boot_index": 0, "volume_size": 1}
    body = {
        "name": "rooted", "flavorRef": first["flavor"]["id"], "networks": [{"uuid": network}], "security_groups": [{"name": "ssh"}],
        "key_name": "bonjour", "block_device_mapping_v2": [device],
    }  # fmt: skip
    world = built(real, body)
    server = next(world)
    (root,) = [one["id"] for one in server["os-extended-volumes:volumes_attached"]]
    assert device_of(real, server, root) == "vda"
    run(real, server, "echo kept | sudo tee /etc/kept && sync")
    next(world, None)
    ready(real, root)
    again = {"source_type": "volume", "destination_type": "volume", "uuid": root, "boot_index": 0, "delete_on_termination": True}
    world = built(real, body | {"block_device_mapping_v2": [again]})
    server = next(world)
    assert run(real, server, "cat /etc/kept") == "kept"
    next(world, None)
    until(lambda: root not in {one["id"] for one in real.user.get(f"{V}/volumes")["volumes"]}, 60)


def kill(real, name):
    """End one of our processes at once; it is started again."""
    (one,) = [one for one in supervisor.status(real.home.run)["programs"] if one["name"] == name]
    os.kill(one["pid"], signal.SIGKILL)


def encrypted_type(real):
    """A type whose volumes are encrypted, with a limit on writing that a guest can feel."""
    if found := [one for one in real.admin.get(f"{V}/types")["volume_types"] if one["name"] == "sealed-by-tests"]:
        return found[0]["id"]
    made = real.admin.post(f"{V}/types", {"volume_type": {"name": "sealed-by-tests"}})["volume_type"]["id"]
    wanted = {"provider": "luks", "control_location": "front-end", "key_size": 256, "cipher": "aes-xts-plain64"}
    real.admin.post(f"{V}/types/{made}/encryption", {"encryption": wanted})
    specs = real.admin.post(f"{V}/qos-specs", {"qos_specs": {"name": "slow", "consumer": "front-end", "write_bytes_sec": str(2 << 20)}})["qos_specs"]
    real.admin.get(f"{V}/qos-specs/{specs['id']}/associate?vol_type_id={made}")
    return made


def test_an_encrypted_volume_is_snapshotted_enlarged_and_limited_in_use(real):
    server = bonjour(real)
    reachable(real, server)
    id_ = volume(real, volume_type=encrypted_type(real))
    attach(real, server, id_)
    device = device_of(real, server, id_)
    run(real, server, f"echo BEFORE-THE-SNAPSHOT | sudo dd of=/dev/{device} conv=fsync 2>/dev/null")
    on_disk = b"".join(path.read_bytes() for path in (real.home.volumes / id_).iterdir())
    assert b"BEFORE-THE-SNAPSHOT" not in on_disk
    kept = real.user.post(f"{V}/snapshots", {"snapshot": {"volume_id": id_, "force": True}})["snapshot"]["id"]
    until(lambda: real.user.get(f"{V}/snapshots/{kept}")["snapshot"]["status"] == "available", 60)
    run(real, server, f"echo AFTERWARDS-IT-CHANGED | sudo dd of=/dev/{device} conv=fsync 2>/dev/null")
    before = float(run(real, server, "cut -d' ' -f1 /proc/uptime"))
    run(real, server, f"sudo dd if=/dev/urandom of=/dev/{device} bs=1M seek=8 count=8 conv=fsync 2>/dev/null")
    assert float(run(real, server, "cut -d' ' -f1 /proc/uptime")) - before > 3, "8 MiB at 2 MiB/s take 4 s"
    older = ready(real, real.user.post(f"{V}/volumes", {"volume": {"snapshot_id": kept}})["volume"]["id"], seconds=120)
    attach(real, server, older)
    second = device_of(real, server, older)
    assert run(real, server, f"sudo head -c 19 /dev/{second}") == "BEFORE-THE-SNAPSHOT"
    detach(real, server, older)
    newer = {"openstack-api-version": "volume 3.70"}
    real.user._call("POST", f"{V}/volumes/{id_}/action", {"os-extend": {"new_size": 2}}, newer)
    until(lambda: run(real, server, f"cat /sys/block/{device}/size") == str(2 << 21), 60)
    ready(real, id_, "in-use")
    detach(real, server, id_)
    real.user.delete(f"{V}/snapshots/{kept}")
    until(lambda: kept not in [one["id"] for one in real.user.get(f"{V}/snapshots")["snapshots"]], 60)
    remove(real, id_, older)


def test_no_passphrase_is_in_a_ledger_a_record_a_log_or_a_process_list(real):
    server, id_ = bonjour(real), volume(real, volume_type=encrypted_type(real))
    reachable(real, server)
    attach(real, server, id_)
    database = Database(real.home.database_url)
    with database.read() as db:
        sealed = db.scalars(select(secret.c.payload).where(secret.c.hidden)).all()
    database.close()
    sealer = from_file(real.home.secrets_key)
    words = [sealer.passphrase(one) for one in sealed] + [sealer.open(one) for one in sealed]
    kept = [real.home.host_state / "ledger", *real.home.logs.glob("*.log"), *(real.home.host_state / "guests").rglob("*.json")]
    told = [path.read_bytes() for path in kept] + [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert words
    assert not any(word in text for word in words for text in told)
    detach(real, server, id_)
    remove(real, id_)


def test_a_backup_brings_back_what_was_written_and_an_image_holds_it(real):
    server, id_ = bonjour(real), volume(real)
    reachable(real, server)
    attach(real, server, id_)
    device = device_of(real, server, id_)
    run(real, server, f"echo first | sudo dd of=/dev/{device} conv=fsync 2>/dev/null")
    whole = backed_up(real, volume_id=id_, force=True)
    run(real, server, f"echo second | sudo dd of=/dev/{device} bs=1M seek=100 conv=fsync 2>/dev/null")
    more = backed_up(real, volume_id=id_, force=True, incremental=True)
    assert more["is_incremental"]
    detach(real, server, id_)
    assert more["object_count"] < 2 * whole["object_count"] + 2
    made = real.user.post(f"{V}/backups/{more['id']}/restore", {"restore": {}})["restore"]["volume_id"]
    ready(real, made, seconds=120)
    attach(real, server, made)
    device = device_of(real, server, made)
    look = f"sudo head -c 5 /dev/{device}; sudo dd if=/dev/{device} bs=1M skip=100 count=1 2>/dev/null | head -c 6"
    assert run(real, server, look) == "firstsecond"
    detach(real, server, made)
    wanted = {"os-volume_upload_image": {"image_name": "kept", "disk_format": "qcow2"}}
    image = real.user.post(f"{V}/volumes/{id_}/action", wanted)["os-volume_upload_image"]["image_id"]
    until(lambda: real.user.get(f"/image/v2/images/{image}")["status"] == "active", 120)
    ready(real, id_)
    real.user.delete(f"/image/v2/images/{image}")
    for one in (more, whole):
        real.user.delete(f"{V}/backups/{one['id']}")
        until(lambda one=one: one["id"] not in [left["id"] for left in real.user.get(f"{V}/backups")["backups"]], 60)
    remove(real, id_, made)


def backed_up(real, **wanted):
    made = real.user.post(f"{V}/backups", {"backup": wanted})["backup"]["id"]
    found = until(lambda: (one := real.user.get(f"{V}/backups/{made}")["backup"])["status"] in ("available", "error") and one, 120)
    assert found["status"] == "available", found
    return found
