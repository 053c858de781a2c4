"""`/info`: what this Swift can do, and its limits. Nothing is listed that is not there."""

import hmac
from typing import Any

import msgspec

from andromede.core.clock import now
from andromede.http.plain import Reply
from andromede.services.object.swift.answers import Refused
from andromede.services.object.swift.call import Call
from andromede.services.object.swift.settings import Settings

METHODS = ("GET", "HEAD", "PUT", "POST", "DELETE")


def facts(settings: Settings, policies: tuple[str, ...]) -> dict[str, Any]:
    """The public part."""
    limits = {
        name: getattr(settings, name)
        for name in (
            "max_file_size", "max_meta_name_length", "max_meta_value_length", "max_meta_count", "max_meta_overall_size", "max_header_size",
            "max_object_name_length", "max_account_name_length", "max_container_name_length",
        )
    }  # fmt: skip
    digests = {"allowed_digests": list(settings.digests), "deprecated_digests": [name for name in settings.digests if name == "sha1"]}
    out: dict[str, Any] = {
        "swift": {
            "version": settings.version, "strict_cors_mode": True, "allow_account_management": True, "account_autocreate": True,
            "policies": [{"name": name, "aliases": name, **({"default": True} if index == 0 else {})} for index, name in enumerate(policies)],
            **limits, "container_listing_limit": settings.listing_limit, "account_listing_limit": settings.listing_limit,
        },
        "symlink": {"symloop_max": 2, "static_links": True},
        "versioned_writes": {"allowed_flags": ["x-versions-location", "x-history-location"]},
        "object_versioning": {},
        "slo": {
            "max_manifest_segments": settings.max_manifest_segments, "max_manifest_size": settings.max_manifest_size,
            "yield_frequency": settings.heartbeat, "min_segment_size": 1, "allow_async_delete": False,
        },
        "dlo": {"max_segments": 9999},
        "account_quotas": {},
        "container_quotas": {},
        "staticweb": {},
        "formpost": digests,
        "tempurl": {
            "methods": list(METHODS), "incoming_remove_headers": ["x-timestamp"], "incoming_allow_headers": [],
            "outgoing_remove_headers": ["x-object-meta-*"], "outgoing_allow_headers": ["x-object-meta-public-*"], **digests,
        },
        "bulk_upload": {"max_containers_per_extraction": settings.max_extracted_containers, "max_failed_extractions": settings.max_failed},
        "bulk_delete": {"max_deletes_per_request": settings.max_deletes, "max_failed_deletes": settings.max_failed},
    }  # fmt: skip
    if settings.realms:
        out["container_sync"] = {
            "realms": {name: {"clusters": {cluster: {} for cluster in realm.clusters}} for name, realm in settings.realms.items() if realm.clusters}
        }
    if settings.crossdomain:
        out["crossdomain"] = {}
    if settings.read_only:
        out["read_only"] = {}
    if settings.writes_per_second:
        out["ratelimit"] = {"account_ratelimit": settings.writes_per_second, "max_sleep_time_seconds": settings.longest_wait}
    if settings.storage_domain:
        out["domain_remap"] = {"default_reseller_prefix": "AUTH"}
    return out


def answer(call: Call) -> Reply:
    """What is public, and with a signature of the operator's the admin's section too."""
    if call.method not in {"GET", "HEAD", "OPTIONS"}:
        raise Refused(405, headers=[("Allow", "GET, HEAD, OPTIONS")])
    out = facts(call.settings, call.policies)
    if "swiftinfo_sig" in call.query or "swiftinfo_expires" in call.query:
        if not call.settings.info_key:
            raise Refused(403)
        if not _signed(call):
            raise Refused(401)
        out["admin"] = {"shards": call.store.shards, "inline": call.store.inline}
    return Reply(200, [("Content-Type", "application/json; charset=UTF-8")], msgspec.json.encode(out))


def _signed(call: Call) -> bool:
    until, given = call.query.get("swiftinfo_expires", ""), call.query.get("swiftinfo_sig", "")
    if not (until.isascii() and until.isdigit() and len(until) < 16) or int(until) < now().timestamp() or not given.isascii():
        return False
    names = {40: "sha1", 64: "sha256", 128: "sha512"}
    if names.get(len(given)) not in call.settings.digests:
        return False
    text = f"{'GET' if call.method == 'HEAD' else call.method}\n{until}\n/info".encode()
    return hmac.compare_digest(hmac.new(call.settings.info_key.encode(), text, names[len(given)]).hexdigest(), given.lower())
