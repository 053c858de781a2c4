"""How much an account or a container may hold: `X-Container-Meta-Quota-Bytes`/`-Count`, `X-Account-Quota-Bytes`/`-Count`, and of a
storage policy `X-Account-Quota-Bytes-Policy-NAME`/`-Count-Policy-NAME`."""

from andromede.services.object.service import Place
from andromede.services.object.swift import accounts
from andromede.services.object.swift.answers import Refused
from andromede.services.object.swift.call import Call
from andromede.services.object.swift.metadata import Changes

EXCEEDED, EXCEEDED_POLICY = "Upload exceeds quota.", "Upload exceeds policy quota."
_OF_ACCOUNT = ("x-account-quota-bytes", "x-account-quota-count")


def valid_of_container(wanted: Changes) -> None:
    """Raise Refused where a container's quota is no number."""
    for kind in ("bytes", "count"):
        value = wanted.get(f"x-container-meta-quota-{kind}", "")
        if value and not _number(value):
            raise Refused(400, f"Invalid {kind} quota.")


def of_account(call: Call, wanted: Changes) -> Changes:
    """What a request changes of an account's quotas, by their old names too. Raises Refused: only admins may."""
    out: Changes = {}
    old = wanted.get("x-account-meta-quota-bytes")
    if old is not None:
        out["x-account-quota-bytes"] = old
    of_policies = [f"{name}-policy-{policy.lower()}" for policy in call.policies for name in _OF_ACCOUNT]
    for name in (*_OF_ACCOUNT, *of_policies):
        if name in call.headers:
            out[name] = call.headers.get(name)
        elif "x-remove-" + name[2:] in call.headers:
            out[name] = ""
    if out and not (call.caller is not None and call.caller.admin):
        raise Refused(403)
    for value in out.values():
        if value and not _number(value):
            raise Refused(400)
    return out


async def check(call: Call, place: Place, size: int) -> None:
    """Raise Refused where an object of a size may not be put in a container."""
    kept, account = place.container.headers, call.account_headers(place.account)
    if "x-container-meta-quota-bytes" in kept or "x-container-meta-quota-count" in kept:
        count, used = accounts.held(call.objects, place)
        if _over(kept.get("x-container-meta-quota-bytes"), used + size) or _over(kept.get("x-container-meta-quota-count"), count + 1):
            raise Refused(413, EXCEEDED)
    if any(name.startswith("x-account-quota-") for name in account) and not (call.caller is not None and call.caller.admin):
        total = await accounts.totals(call.objects, place.account)
        if _over(account.get("x-account-quota-bytes"), total.bytes + size) or _over(account.get("x-account-quota-count"), total.objects + 1):
            raise Refused(413, EXCEEDED)
        name = accounts.policy(call.objects, place.container)
        _containers, count, used = total.policies.get(name, [0, 0, 0])
        most, many = (account.get(f"{quota}-policy-{name.lower()}") for quota in _OF_ACCOUNT)
        if _over(most, used + size) or _over(many, count + 1):
            raise Refused(413, EXCEEDED_POLICY)


def limited(call: Call, place: Place) -> bool:
    """Whether there is any quota to look at."""
    kept, account = place.container.headers, call.account_headers(place.account)
    return any("quota-" in name for name in kept) or any("quota-" in name for name in account)


def _over(limit: str | None, amount: int) -> bool:
    return limit is not None and _number(limit) and amount > int(limit)


def _number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 20
