"""Random actions of a user on servers, containers, volumes, snapshots and ports, as many as asked for, one after the other.

Nothing is awaited in between, so they meet each other at any point of their work. An action may be refused; an answer that tells
of a fault of ours may not. `gone` are the ids whose deletion was accepted.
"""

import re
import time

from andromede.core.errors import CloudError
from tests.host.hypervisors import HAVE_LXC

ENDS = ("ACTIVE", "SHUTOFF", "PAUSED", "VERIFY_RESIZE", "ERROR")
SERVERS, VOLUMES, NET = "/compute/v2.1/servers", "/volume/v3", "/network/v2.0"
PREFIX = "churn-"
MACHINES, CONTAINERS, DISKS, PORTS = 2, 4, 5, 4
REFUSED = {400, 403, 404, 409}


class Actions:
    """Does `most` actions; `done` counts each by its name, `refused` those that were."""

    def __init__(self, client, chance, most):
        self.client, self.chance, self.most = client, chance, most
        self.network = client("one", f"{NET}/networks?name=private", "networks")["id"]
        images = {one["name"]: one["id"] for one in client("get", "/image/v2/images")["images"]}
        self.images = {"machine": images["petit"], "container": images.get("petit-lxc") if HAVE_LXC else None}
        self.made, self.gone, self.done, self.refused = 0, set(), {}, {}
        self.kinds = [
            *[self.create_server] * 5, *[self.delete_server] * 3, *[self.power] * 5, *[self.rebuild] * 2, *[self.resize] * 3, self.rename,
            *[self.create_volume] * 3, *[self.delete_volume] * 2, *[self.attach] * 5, *[self.detach] * 3, self.extend,
            *[self.snapshot] * 2, *[self.delete_snapshot] * 2, *[self.create_port] * 2, *[self.plug] * 3, *[self.unplug] * 2, *[self.delete_port] * 2,
        ]  # fmt: skip

    def run(self):
        for _ in range(self.most):
            time.sleep(self.chance.uniform(0.0, 0.3))
            self.turn()

    def turn(self):
        kind = self.chance.choice(self.kinds)
        try:
            name = kind()
        except CloudError as error:
            if getattr(error.__cause__, "code", 0) not in REFUSED:
                raise
            self.refused[kind.__name__] = self.refused.get(kind.__name__, 0) + 1
        else:
            if name:
                self.done[name] = self.done.get(name, 0) + 1

    # what there is

    def servers(self):
        return [one for one in self.client("get", f"{SERVERS}/detail")["servers"] if one["name"].startswith(PREFIX)]

    def volumes(self):
        return [one for one in self.client("get", f"{VOLUMES}/volumes/detail")["volumes"] if (one["name"] or "").startswith(PREFIX)]

    def snapshots(self):
        return [one for one in self.client("get", f"{VOLUMES}/snapshots/detail")["snapshots"] if (one["name"] or "").startswith(PREFIX)]

    def ports(self):
        return [one for one in self.client("get", f"{NET}/ports")["ports"] if one["name"].startswith(PREFIX)]

    def some(self, many):
        here = [one for one in many if one["id"] not in self.gone]
        return self.chance.choice(here) if here else None

    def name(self):
        self.made += 1
        return f"{PREFIX}{self.made}"

    def remove(self, path, id_):
        self.client("delete", f"{path}/{id_}")
        self.gone.add(id_)
        return "delete"

    def act(self, server, name, value=None):
        self.client("post", f"{SERVERS}/{server['id']}/action", {name: value})
        return name

    # servers

    def create_server(self):
        here = [one for one in self.servers() if one["id"] not in self.gone]
        machines = sum(one["image"]["id"] == self.images["machine"] for one in here if one["image"])
        kinds = ["machine"] * (machines < MACHINES) + ["container"] * (self.images["container"] is not None and len(here) - machines < CONTAINERS) * 2
        if not kinds:
            return None
        kind = self.chance.choice(kinds)
        wanted = {"name": self.name(), "imageRef": self.images[kind], "flavorRef": "1", "networks": [{"uuid": self.network}]}
        self.client("post", SERVERS, {"server": wanted})
        return kind

    def delete_server(self):
        server = self.some(self.servers())
        return server and self.remove(SERVERS, server["id"])

    def power(self):
        server = self.some(self.servers())
        action, value = self.chance.choice(
            [("os-stop", None), ("os-start", None), ("os-start", None), ("reboot", {"type": "HARD"}), ("pause", None), ("unpause", None),
             ("unpause", None)]
        )  # fmt: skip
        return server and self.act(server, action, value)

    def rebuild(self):
        server = self.some(self.servers())
        return server and server["image"] and self.act(server, "rebuild", {"imageRef": server["image"]["id"]})

    def resize(self):
        server = self.some(self.servers())
        if server and server["status"] == "VERIFY_RESIZE":
            return self.act(server, self.chance.choice(["confirmResize", "revertResize"]))
        return server and self.act(server, "resize", {"flavorRef": self.chance.choice("12")})

    def rename(self):
        server = self.some(self.servers())
        if server:
            self.client("put", f"{SERVERS}/{server['id']}", {"server": {"name": self.name()}})
        return server and "rename"

    # volumes

    def create_volume(self):
        if len(self.volumes()) >= DISKS:
            return None
        snapshot = self.some(self.snapshots()) if self.chance.random() < 0.3 else None
        wanted = {"name": self.name(), "size": 1} | ({"snapshot_id": snapshot["id"], "size": snapshot["size"]} if snapshot else {})
        self.client("post", f"{VOLUMES}/volumes", {"volume": wanted})
        return "volume"

    def delete_volume(self):
        volume = self.some(self.volumes())
        return volume and self.remove(f"{VOLUMES}/volumes", volume["id"])

    def extend(self):
        volume = self.some(self.volumes())
        if volume:
            self.client("post", f"{VOLUMES}/volumes/{volume['id']}/action", {"os-extend": {"new_size": volume["size"] + 1}})
        return volume and "extend"

    def snapshot(self):
        volume = self.some(self.volumes())
        if volume:
            self.client("post", f"{VOLUMES}/snapshots", {"snapshot": {"volume_id": volume["id"], "name": self.name(), "force": True}})
        return volume and "snapshot"

    def delete_snapshot(self):
        snapshot = self.some(self.snapshots())
        return snapshot and self.remove(f"{VOLUMES}/snapshots", snapshot["id"])

    def attach(self):
        server, volume = self.some(self.servers()), self.some(self.volumes())
        if server and volume:
            self.client("post", f"{SERVERS}/{server['id']}/os-volume_attachments", {"volumeAttachment": {"volumeId": volume["id"]}})
        return server and volume and "attach"

    def detach(self):
        volume = self.some([one for one in self.volumes() if one["attachments"]])
        if volume:
            held = volume["attachments"][0]
            self.client("delete", f"{SERVERS}/{held['server_id']}/os-volume_attachments/{volume['id']}")
        return volume and "detach"

    # ports

    def create_port(self):
        if len(self.ports()) >= PORTS:
            return None
        self.client("post", f"{NET}/ports", {"port": {"network_id": self.network, "name": self.name()}})
        return "port"

    def plug(self):
        server, port = self.some(self.servers()), self.some([one for one in self.ports() if not one["device_id"]])
        if server and port:
            self.client("post", f"{SERVERS}/{server['id']}/os-interface", {"interfaceAttachment": {"port_id": port["id"]}})
        return server and port and "plug"

    def unplug(self):
        port = self.some([one for one in self.ports() if one["device_id"]])
        if port:
            self.client("delete", f"{SERVERS}/{port['device_id']}/os-interface/{port['id']}")
        return port and "unplug"

    def delete_port(self):
        port = self.some([one for one in self.ports() if not one["device_id"]])
        return port and self.remove(f"{NET}/ports", port["id"])

    # afterwards

    def unsettled(self):
        """What is not in a final state, or not as the answers said; empty when all is."""
        out, servers, volumes, ports = [], self.servers(), self.volumes(), self.ports()
        ids = {one["id"] for one in servers}
        for one in servers:
            if one["OS-EXT-STS:task_state"] or one["status"] not in ENDS or one["id"] in self.gone:
                out.append(f"server {one['id']} is {one['status']}, {one['OS-EXT-STS:task_state']}")
            assert one["status"] != "ERROR" or one["fault"]["message"]
        kept = [one for one in volumes + self.snapshots() if one["status"] not in ("available", "in-use") or one["id"] in self.gone]
        out += [f"volume or snapshot {one['id']} is {one['status']}" for one in kept]
        held = {(one["id"], item["server_id"]) for one in volumes for item in one["attachments"]}
        has = {(item["id"], one["id"]) for one in servers for item in one["os-extended-volumes:volumes_attached"]}
        out += [f"volume and server do not agree: {pair}" for pair in held ^ has]
        out += [f"port {one['id']} is of no server" for one in ports if one["device_id"] and one["device_id"] not in ids]
        out += [f"port {one['id']} should be gone" for one in ports if one["id"] in self.gone]
        return "; ".join(out)

    def clear(self):
        """Ask for the deletion of what is left; what still is, afterwards."""
        left = []
        kinds = {SERVERS: self.servers, f"{VOLUMES}/snapshots": self.snapshots, f"{VOLUMES}/volumes": self.volumes, f"{NET}/ports": self.ports}
        for path, many in kinds.items():
            for one in many():
                left.append(f"{path.rpartition('/')[2]} {one['id']} {one['status']}")
                if re.search("deleting", one["status"]) or (one["id"] in self.gone and path == SERVERS):
                    continue
                try:
                    self.remove(path, one["id"])
                except CloudError as error:
                    if getattr(error.__cause__, "code", 0) not in REFUSED:
                        raise
        return "; ".join(left)
