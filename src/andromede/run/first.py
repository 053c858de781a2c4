"""The first things of a new cloud, made through its own APIs: an image, the network `public`, a project network, the server `bonjour`."""

import contextlib
import ipaddress
import os
import pwd
import re
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import msgspec
import yaml
from rich.console import Console

from andromede.core.errors import CloudError
from andromede.run.catalog import catalog
from andromede.run.client import Client, sign_in
from andromede.run.guest_images import register
from andromede.run.home import Home
from andromede.run.images import build

SERVER, USER = "bonjour", "petit"


def first_things(home: Home, steps: Any) -> None:
    """Everything that is missing; each is looked for by name first."""
    admin, demo = sign_in(home, "admin"), sign_in(home, "demo")
    with steps.step("Guest image petit") as tell:
        image = register(admin, build("petit", home.cache, tell))
    with steps.step("Networks"):
        public = _public(admin, home)
        network = _private(demo, public["id"])
    write_clouds(home)
    with steps.step("First server") as tell:
        tell("starting", None)
        _server(demo, home, image, network, public)
    path = home.secrets / "ready"
    path.touch(mode=0o600)


def _public(admin: Client, home: Home) -> dict[str, Any]:
    found = admin.one("/network/v2.0/networks?name=public", "networks", name="public")
    if found is None:
        facts = {
            "name": "public", "router:external": True, "shared": False, "is_default": True,
            "provider:network_type": "flat", "provider:physical_network": "public",
        }  # fmt: skip
        found = admin.post("/network/v2.0/networks", {"network": facts})["network"]
    if not found["subnets"]:
        inside = ipaddress.ip_network(home.settings.network.public_cidr)
        hosts = list(inside.hosts())
        body = {
            "network_id": found["id"], "name": "public-v4", "ip_version": inside.version, "cidr": str(inside), "enable_dhcp": False,
            "gateway_ip": str(hosts[0]), "allocation_pools": [{"start": str(hosts[1]), "end": str(hosts[-1])}],
        }  # fmt: skip
        admin.post("/network/v2.0/subnets", {"subnet": body})
    return found  # type: ignore[no-any-return]


def _private(demo: Client, public: str) -> dict[str, Any]:
    api = "/network/v2.0"
    network = demo.one(f"{api}/networks?name=private", "networks", name="private", project_id=demo.project_id)
    network = network or demo.post(f"{api}/networks", {"network": {"name": "private"}})["network"]
    subnet = demo.one(f"{api}/subnets?network_id={network['id']}", "subnets", network_id=network["id"])
    if subnet is None:
        body = {"network_id": network["id"], "name": "private-v4", "ip_version": 4, "cidr": "10.0.0.0/24"}
        subnet = demo.post(f"{api}/subnets", {"subnet": body})["subnet"]
    router = demo.one(f"{api}/routers?name=router", "routers", name="router")
    if router is None:
        facts = {"name": "router", "external_gateway_info": {"network_id": public}}
        router = demo.post(f"{api}/routers", {"router": facts})["router"]
    if demo.one(f"{api}/ports?device_id={router['id']}&network_id={network['id']}", "ports") is None:
        demo.put(f"{api}/routers/{router['id']}/add_router_interface", {"subnet_id": subnet["id"]})
    group = demo.one(f"{api}/security-groups?name=ssh", "security_groups", name="ssh")
    if group is None:
        facts = {"name": "ssh", "description": "ssh and ping from anywhere"}
        group = demo.post(f"{api}/security-groups", {"security_group": facts})["security_group"]
        for rule in ({"protocol": "tcp", "port_range_min": 22, "port_range_max": 22}, {"protocol": "icmp"}):
            whole = {"security_group_id": group["id"], "direction": "ingress", "ethertype": "IPv4", **rule}
            demo.post(f"{api}/security-group-rules", {"security_group_rule": whole})
    return network  # type: ignore[no-any-return]


def _server(demo: Client, home: Home, image: dict[str, Any], network: dict[str, Any], public: dict[str, Any]) -> None:
    key = key_path(home)
    if demo.one("/compute/v2.1/os-keypairs", "keypairs") is None:
        text = _make_key(key)
        demo.post("/compute/v2.1/os-keypairs", {"keypair": {"name": SERVER, "public_key": text}})
    server = demo.one(f"/compute/v2.1/servers?name=^{SERVER}$", "servers", name=SERVER)
    if server is None:
        flavor = demo.one("/compute/v2.1/flavors", "flavors", name="petit-2")
        body = {
            "name": SERVER, "imageRef": image["id"], "flavorRef": flavor["id"], "key_name": SERVER, "networks": [{"uuid": network["id"]}],
            "security_groups": [{"name": "ssh"}],
        }  # fmt: skip
        server = demo.post("/compute/v2.1/servers", {"server": body})["server"]
    port = demo.one(f"/network/v2.0/ports?device_id={server['id']}", "ports")
    if demo.one(f"/network/v2.0/floatingips?port_id={port['id']}", "floatingips") is None:
        facts = {"floating_network_id": public["id"], "port_id": port["id"]}
        demo.post("/network/v2.0/floatingips", {"floatingip": facts})
    demo.until(f"/compute/v2.1/servers/{server['id']}", "server", "active", 300)


class _Person(msgspec.Struct):
    """Who called: the one behind sudo, or root. ANDROMEDE_PERSON puts what is theirs into another folder."""

    home: Path
    uid: int
    gid: int


def _person() -> _Person:
    entry = pwd.getpwnam(os.environ.get("SUDO_USER", "root"))
    return _Person(Path(os.environ.get("ANDROMEDE_PERSON", entry.pw_dir)), entry.pw_uid, entry.pw_gid)


def key_path(home: Home) -> Path:
    """The private key of the first server, in the caller's ~/.ssh."""
    return _person().home / ".ssh" / home.name


def _make_key(path: Path) -> str:
    person = _person()
    path.parent.mkdir(mode=0o700, exist_ok=True)
    if not path.exists():
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "andromede", "-f", str(path)], check=True, timeout=30)
    public = path.with_suffix(".pub")
    for one in (path.parent, path, public):
        os.chown(one, person.uid, person.gid)
    return public.read_text().strip()


def write_clouds(home: Home) -> Path:
    """Put the clouds `andromede` and `andromede-admin` into the caller's clouds.yaml, beside what is there, mode 0600."""
    person = _person()
    path = person.home / ".config" / "openstack" / "clouds.yaml"
    for folder in (path.parent.parent, path.parent):
        if not folder.exists():
            folder.mkdir(mode=0o700)
            os.chown(folder, person.uid, person.gid)
    known = _known_clouds()
    clouds = known.setdefault("clouds", {})
    for name, user in _clouds(home):
        clouds[name] = {
            "auth": {
                "auth_url": f"{home.url}/identity/v3", "username": user, "password": (home.secrets / f"{user}-password").read_text().strip(),
                "project_name": user, "user_domain_id": "default", "project_domain_id": "default",
            },
            "region_name": home.settings.identity.region,
            "identity_api_version": 3,
        }  # fmt: skip
    _write(path, known)
    return path


def _known_clouds() -> dict[str, Any]:
    path = _person().home / ".config" / "openstack" / "clouds.yaml"
    try:
        known = yaml.safe_load(path.read_text()) if path.exists() else {}
    except yaml.YAMLError as error:
        raise CloudError(f"{path} is not valid YAML; mend or move it, then run this again.") from error
    return known if isinstance(known, dict) else {}


def _clouds(home: Home) -> tuple[tuple[str, str], tuple[str, str]]:
    """(name in clouds.yaml, user)."""
    return (home.name, "demo"), (f"{home.name}-admin", "admin")


def _write(path: Path, known: dict[str, Any]) -> None:
    person = _person()
    temporary = path.with_suffix(".new")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as file:
        yaml.safe_dump(known, file, sort_keys=False)
    os.chown(temporary, person.uid, person.gid)
    temporary.replace(path)


def forget_clouds(home: Home) -> None:
    """Take our clouds out of the caller's clouds.yaml, and the first server's key out of ~/.ssh."""
    path = _person().home / ".config" / "openstack" / "clouds.yaml"
    key = key_path(home)
    for one in (key, key.with_suffix(".pub")):
        one.unlink(missing_ok=True)
    try:
        known = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError):
        return
    if not isinstance(known, dict) or not isinstance(known.get("clouds"), dict):
        return
    for name, _user in _clouds(home):
        known["clouds"].pop(name, None)
    if known["clouds"] or len(known) > 1:
        _write(path, known)
    else:
        path.unlink()


def keep_clouds(home: Home) -> None:
    """Write our clouds into the caller's clouds.yaml again where one of them is not there; those that are stay as they are."""
    known = _known_clouds()
    clouds = known.get("clouds")
    if not isinstance(clouds, dict) or any(name not in clouds for name, _user in _clouds(home)):
        write_clouds(home)


def summary(home: Home, out: Console) -> None:
    """What a person needs to go on."""
    out.print(f"\n[bold]The cloud serves at {home.url}[/]")
    said: dict[str, str] = {}
    for kind, (_name, address) in catalog(home.url, home.swift_url, home.s3_url, home.drive_url).items():
        said.setdefault(address.partition("/v1/AUTH_")[0].removesuffix("/%(project_id)s"), kind)
    for address, kind in said.items():
        out.print(f"  {kind:15} {address}")
    out.print(f"\nAdmin password   {home.secrets}/admin-password (root only)")
    out.print(f"Clients          export OS_CLOUD={home.name}   (or {home.name}-admin), then: openstack server list")
    own = "" if home.tag == "main" else f"--home {home.path} "
    out.print(f"                 without a client of your own: ./andromede openstack {own}server list")


def greet(home: Home, steps: Any, out: Console, seconds: float) -> None:
    """How to log in to the first server, where it is still there: once that works, or with a word where it takes longer than `seconds`."""
    demo = sign_in(home, "demo")
    server = demo.one(f"/compute/v2.1/servers/detail?name=^{SERVER}$", "servers", name=SERVER)
    address = _address(server) if server else None
    if server is None or address is None:
        return
    line = f"[bold]ssh -i {key_path(home)} {USER}@{address}[/]"
    if home.settings.compute.hypervisor == "fake":
        out.print(f"\nThe first server, {SERVER}, is {server['status']}; the fake hypervisor runs no guest to log in to.\n")
    elif server["status"] != "ACTIVE":
        out.print(f"\nThe first server, {SERVER}, is {server['status']}. Start it with: openstack server start {SERVER}\nThen:\n  {line}\n")
    elif _answers(demo, server["id"], address, seconds, steps):
        out.print(f"\nThe first server, {SERVER}:\n  {line}\n")
    else:
        out.print(
            f"\nThe first server, {SERVER}, has not booted to the end within {seconds:.0f} s; it goes on, and says `petit: ready` when it has:\n"
            f"  openstack console log show {SERVER}\nThen:\n  {line}\n"
        )


_MARK = re.compile(r"^petit: (userspace|ready|halt)", re.MULTILINE)


def _answers(demo: Client, server_id: str, address: str, seconds: float, steps: Any) -> bool:
    """Whether the guest's latest boot is complete, as its console says, and its sshd answers; waits so many seconds for it."""
    end, said = time.monotonic() + seconds, False
    with contextlib.ExitStack() as stack:
        while True:
            log = demo.post(f"/compute/v2.1/servers/{server_id}/action", {"os-getConsoleOutput": {}})["output"]
            marks = _MARK.findall(log)
            if (not marks or marks[-1] == "ready") and _banner(address):
                return True
            if time.monotonic() > end:
                return False
            if not said:
                stack.enter_context(steps.step("First server ready"))("booting", None)
                said = True
            time.sleep(0.1)


def _banner(address: str) -> bool:
    try:
        with socket.create_connection((address, 22), timeout=1) as line:
            return line.recv(4) == b"SSH-"
    except OSError:
        return False


def _address(server: dict[str, Any]) -> str | None:
    found = [one["addr"] for entries in server["addresses"].values() for one in entries if one["OS-EXT-IPS:type"] == "floating"]
    return found[0] if found else None
