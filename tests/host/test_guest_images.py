"""`andromede image` and the builder's own command, with petit."""

import os
import re
import subprocess
import sys
from pathlib import Path

from andromede.run import images
from andromede.run.guest_images import register
from tests.real import RealCloud


def test_a_shipped_image_is_built_and_offered(real):
    listed = real.cli("image").stdout
    assert re.search(r"^debian +Debian 12", listed, re.MULTILINE)
    assert re.search(r"^petit +", listed, re.MULTILINE)
    said = real.cli("image", "petit").stdout
    (image,) = real.user.get("/image/v2/images?name=petit")["images"]
    assert image["id"] in said
    assert image["visibility"] == "public"
    assert image["os_distro"] == "debian"
    assert image["min_ram"] == 128
    kernel = real.user.get(f"/image/v2/images/{image['kernel_id']}")
    assert (kernel["name"], kernel["disk_format"], kernel["status"]) == ("petit-kernel", "aki", "active")


def test_a_newer_build_takes_the_name_and_hides_the_older(real, tmp_path):
    admin = real.admin

    def built(content: bytes) -> images.Built:
        path = tmp_path / "disk"
        path.write_bytes(content)
        import hashlib

        disk = images.Artifact(path, len(content), hashlib.sha512(content).hexdigest(), "raw")
        return images.Built("relief", "0" * 64, disk, None, None, "", {"min_disk": 1, "os_distro": "debian"})

    try:
        first = register(admin, built(b"one" * 1000))
        assert register(admin, built(b"one" * 1000))["id"] == first["id"]
        second = register(admin, built(b"two" * 1000))
        assert [one["id"] for one in admin.get("/image/v2/images?name=relief")["images"]] == [second["id"]]
        assert [one["id"] for one in admin.get("/image/v2/images?name=relief&os_hidden=true")["images"]] == [first["id"]]
    finally:
        for hidden in ("false", "true"):
            for one in admin.get(f"/image/v2/images?name=relief&os_hidden={hidden}")["images"]:
                admin.delete(f"/image/v2/images/{one['id']}")


def test_a_name_without_a_recipe_and_a_cloud_that_is_not(real):
    refused = real.cli("image", "nothing", check=False)
    assert refused.returncode != 0
    assert "There are: debian, debian-lxc, hadoop, hadoop-spark, petit" in refused.stderr
    none = RealCloud()
    try:
        assert "andromede up" in none.cli("image", "petit", check=False).stderr
    finally:
        none.destroy()


def test_building_alone_tells_what_it_does(real):
    env = {key: value for key, value in os.environ.items() if not key.startswith("COVERAGE")}
    command = [sys.executable, "-m", "andromede.run.images"]
    done = subprocess.run([*command, "petit", str(real.home.cache)], env=env, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("petit: resolving packages\n")
    assert Path(done.stdout.splitlines()[-1].split()[1]).name == "petit.qcow2"
    assert subprocess.run([*command, "nothing", "/nowhere"], env=env, capture_output=True, timeout=60, check=False).returncode == 1
    assert subprocess.run(command, env=env, capture_output=True, timeout=60, check=False).returncode == 2
