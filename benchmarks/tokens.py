"""Tokens: validating, and issuing by password, against Keystone 30 with uWSGI, MariaDB and memcached.

    sudo python benchmarks/tokens.py [SECONDS] [ROUNDS]

wrk with 8 connections asks both in turns. Issuing compares both at bcrypt cost 4, so that the hash weighs little on either
side, and prints ours at the real cost of argon2id.
"""

import contextlib
import json
import os
import sys

import keystone
import lib

BAR = 50.0


def scenarios(url: str, user: str, password: str, seconds: int) -> tuple[dict, dict]:
    """(validate, issue) as arguments for wrk, with a token of the service at `url`."""
    tokens = f"{url}/auth/tokens"
    body = json.dumps(lib.password_body(user, password, user)).encode()
    _, headers, _ = lib.call(tokens, "POST", body)
    token = headers["X-Subject-Token"]
    validate = {"url": tokens, "headers": {"X-Auth-Token": token, "X-Subject-Token": token}}
    issue = {"url": tokens, "method": "POST", "body": body, "headers": {"Content-Type": "application/json"}}
    return tuple({"clients": 8, "seconds": seconds, **one} for one in (validate, issue))  # type: ignore[return-value]


def main() -> None:
    numbers = [int(word) for word in sys.argv[1:] if word.isdecimal()]
    seconds, rounds = (numbers + [6, 3][len(numbers) :])[:2]
    if "ANDROMEDE_BENCH_PEER" not in os.environ:  # before the namespace, where nothing can be fetched
        os.environ["ANDROMEDE_BENCH_PEER"] = str(keystone.install())
    lib.isolate()
    have = os.environ["ANDROMEDE_BENCH_PEER"] == "True"
    with contextlib.ExitStack() as stack:
        cheap = stack.enter_context(lib.cloud(lib.FAKE + '[identity]\npassword_hash = "bcrypt"\nbcrypt_rounds = 4\n'))
        real = stack.enter_context(lib.cloud(lib.FAKE))
        for made in (cheap, real):
            made.cli("up")
        validate, issue = scenarios(f"{cheap.url}/identity/v3", "admin", cheap.password("admin"), seconds)
        _, issue_real = scenarios(f"{real.url}/identity/v3", "admin", real.password("admin"), seconds)
        ways = {"validate ours": validate, "issue ours, bcrypt 4": issue, "issue ours, argon2id": issue_real}
        if have:
            url, pid = stack.enter_context(keystone.serving())
            theirs = scenarios(url, "admin", keystone.PASSWORD, seconds)
            ways |= {"validate keystone": theirs[0], "issue keystone, bcrypt 4": theirs[1]}
        for how in ways.values():
            lib.wrk(**{**how, "seconds": 2})  # warm
        found = lib.in_turns({name: (lambda how=how: lib.wrk(**how)) for name, how in ways.items()}, rounds)
        for name, run in found.items():
            lib.say(name, rate=run["rate"], p50_ms=run["p50"], p99_ms=run["p99"], bad=int(run["bad"]), broken=int(run["broken"]))
        if have:
            rss, pss = (sum(column) for column in zip(*(lib.memory(one) for one in lib.tree([pid])), strict=True))
            lib.say("keystone's memory, without MariaDB and memcached", rss_mib=rss, pss_mib=pss)
            for what, how in (("validate", ""), ("issue", ", bcrypt 4")):
                ratio = found[f"{what} ours{how}"]["rate"] / found[f"{what} keystone{how}"]["rate"]
                lib.say(f"{what}: ours / keystone", ratio=ratio)
                lib.verdict(f"{what} {BAR:.0f} times keystone's", holds=ratio >= BAR)


if __name__ == "__main__":
    main()
