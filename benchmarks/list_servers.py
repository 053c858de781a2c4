"""`GET /servers/detail` with 1,000 servers in the project, in pages of 100; on fake hosts, over HTTP.

    sudo python benchmarks/list_servers.py [SERVERS] [ROUNDS]

Its ratio is to the same request without servers (`limit=1` in an empty project): what rows cost over what any request costs.
"""

import http.client
import json
import sys
import threading
import time
import urllib.parse

import lib

BAR = 30.0


def sign_in(made: object, name: str) -> str:
    body = lib.password_body(name, made.password(name), name)  # type: ignore[attr-defined]
    return str(lib.call(f"{made.url}/identity/v3/auth/tokens", "POST", body)[1]["X-Subject-Token"])  # type: ignore[attr-defined]


class Caller:
    """One client with a connection of its own."""

    def __init__(self, url: str, token: str) -> None:
        self.link = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc, timeout=60)
        self.headers = {"x-auth-token": token, "content-type": "application/json", "x-openstack-nova-api-version": "2.79"}

    def __call__(self, path: str, method: str = "GET", body: object = None) -> tuple[float, dict]:
        """Milliseconds until the last byte, and the JSON."""
        began = time.perf_counter()
        self.link.request(method, path, None if body is None else json.dumps(body), self.headers)
        answer = self.link.getresponse()
        raw = answer.read()
        took = (time.perf_counter() - began) * 1000
        assert answer.status < 300, raw
        return took, json.loads(raw)


def pages(call: Caller, rounds: int) -> list[float]:
    """The time of each page, over the whole list again and again."""
    out, path = [], "/compute/v2.1/servers/detail?limit=100"
    for _ in range(rounds):
        took, answer = call(path)
        if len(answer["servers"]) == 100:  # the last page may be shorter
            out.append(took)
        links = answer.get("servers_links")
        path = links[0]["href"].removeprefix(f"http://{call.link.host}:{call.link.port}") if links else "/compute/v2.1/servers/detail?limit=100"
    return out


def fill(admin: Caller, user: Caller, count: int) -> None:
    """`count` servers with a port each, all ACTIVE."""
    project = next(one["id"] for one in admin("/identity/v3/projects")[1]["projects"] if one["name"] == "demo")
    admin(f"/compute/v2.1/os-quota-sets/{project}", "PUT", {"quota_set": {"instances": -1, "cores": -1, "ram": -1}})
    admin(f"/network/v2.0/quotas/{project}", "PUT", {"quota": {"port": -1}})
    network = user("/network/v2.0/networks", "POST", {"network": {"name": "wide"}})[1]["network"]["id"]
    user("/network/v2.0/subnets", "POST", {"subnet": {"network_id": network, "ip_version": 4, "cidr": "10.9.0.0/16"}})
    image = next(one["id"] for one in user("/image/v2/images?name=petit")[1]["images"])
    flavor = next(one["id"] for one in user("/compute/v2.1/flavors")[1]["flavors"])
    server = {"name": "s", "imageRef": image, "flavorRef": flavor, "networks": [{"uuid": network}], "min_count": 50, "max_count": 50}
    for _ in range(count // 50):
        user("/compute/v2.1/servers", "POST", {"server": server})
    end = time.monotonic() + 1200
    while user("/compute/v2.1/servers?status=BUILD&limit=1")[1]["servers"]:
        if time.monotonic() > end:
            raise TimeoutError("the servers do not become ACTIVE")
        time.sleep(1)


def main() -> None:
    numbers = [int(word) for word in sys.argv[1:]]
    count, rounds = (numbers + [1000, 300][len(numbers) :])[:2]
    lib.isolate()
    ratios = "\ncpu_ratio = 100000.0\nram_ratio = 100000.0\ndisk_ratio = 100000.0\n"
    with lib.cloud(lib.FAKE + ratios) as made:
        made.cli("up")
        token = sign_in(made, "demo")
        admin, user = Caller(made.url, sign_in(made, "admin")), Caller(made.url, token)
        empty = [admin("/compute/v2.1/servers/detail?limit=1")[0] for _ in range(rounds)]
        fill(admin, user, count)
        time.sleep(3)
        pages(user, 20)
        alone = pages(user, rounds)
        together: list[float] = []
        lock = threading.Lock()

        def client() -> None:
            own = pages(Caller(made.url, token), rounds // 4)
            with lock:
                together.extend(own)

        threads = [threading.Thread(target=client) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for name, times in (("no server", empty), ("100 servers, one after another", alone), ("100 servers, 4 at once", together)):
        lib.say(name, p50_ms=lib.middle(times), p99_ms=lib.percentile(times, 0.99), ratio=lib.middle(times) / lib.middle(empty))
    lib.verdict(f"p99 under {BAR:.0f} ms, one after another", holds=lib.percentile(alone, 0.99) < BAR)
    lib.verdict(f"p99 under {BAR:.0f} ms, 4 at once", holds=lib.percentile(together, 0.99) < BAR)


if __name__ == "__main__":
    main()
