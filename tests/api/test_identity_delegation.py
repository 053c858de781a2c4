"""Credentials, signed requests, application credentials, trusts, limits, the catalog."""

import base64
import hashlib
import hmac

from andromede.core.clock import now
from andromede.services.identity.signatures import Signed, version2
from tests.api.test_identity_people import V3, client_of, grant, make, sign
from tests.cloud import USER_PASSWORD


def key_of(cloud, client):
    me, project = cloud.id_of("users", "demo"), cloud.id_of("projects", "demo")
    answer = client.post(f"{V3}/users/{me}/credentials/OS-EC2", {"tenant_id": project})
    assert answer.status == 201, answer.body
    return answer.json["credential"]


def signed(key):
    request = Signed(
        access=key["access"], host="s", path="/services/Cloud",
        params={"SignatureVersion": "2", "SignatureMethod": "HmacSHA256", "Timestamp": now().isoformat(), "AWSAccessKeyId": key["access"]},
    )  # fmt: skip
    request.signature = version2(request, key["secret"], "s")
    facts = {name: getattr(request, name) for name in ("access", "signature", "host", "verb", "path", "params", "headers", "body_hash")}
    return {"credentials": facts}


def test_access_keys_sign_in(cloud):
    key = key_of(cloud, cloud.user)
    me = cloud.id_of("users", "demo")
    assert cloud.user.get(f"{V3}/users/{me}/credentials/OS-EC2").json["credentials"] == [key]
    assert cloud.admin.get(f"{V3}/credentials?user_id={me}&type=ec2").json["credentials"][0]["project_id"] == key["tenant_id"]
    answer = cloud.admin.post(f"{V3}/ec2tokens", signed(key))
    assert answer.status == 200, answer.body
    assert answer.json["token"]["project"]["name"] == "demo"
    assert answer.json["token"]["methods"] == ["ec2credential"]
    assert cloud.admin.get(f"{V3}/auth/catalog", headers={"x-auth-token": answer.headers["x-subject-token"]}).status == 200
    assert cloud.user.post(f"{V3}/ec2tokens", signed(key)).status == 403, "only services may ask"
    wrong = signed(key | {"secret": "other"})
    assert cloud.admin.post(f"{V3}/ec2tokens", wrong).json == cloud.admin.post(f"{V3}/ec2tokens", signed(key | {"access": "no"})).json
    old = signed(key)
    old["credentials"]["params"]["Timestamp"] = "2011-10-03T15:19:30"
    assert cloud.admin.post(f"{V3}/ec2tokens", old).status == 401
    text = b"GET\n\n\nnow\n/bucket"
    signature = base64.b64encode(hmac.new(key["secret"].encode(), text, hashlib.sha1).digest()).decode()
    body = {"credentials": {"access": key["access"], "signature": signature, "token": base64.b64encode(text).decode()}}
    assert cloud.admin.post(f"{V3}/s3tokens", body).status == 200
    assert cloud.user.delete(f"{V3}/users/{me}/credentials/OS-EC2/{key['access']}").status == 204
    assert cloud.admin.post(f"{V3}/s3tokens", body).status == 401
    with cloud.database.read() as db:
        assert key["secret"] not in str(list(db.exec_driver_sql("select blob from identity_credential")))


def test_credentials_are_ones_own(cloud):
    me, other = cloud.id_of("users", "demo"), cloud.id_of("users", "admin")
    made = cloud.user.post(f"{V3}/credentials", {"credential": {"type": "cert", "blob": "x", "mark": 1}}).json["credential"]
    assert made["user_id"] == me
    assert made["mark"] == 1
    assert cloud.user.post(f"{V3}/credentials", {"credential": {"type": "cert", "blob": "x", "user_id": other}}).status == 403
    theirs = cloud.admin.post(f"{V3}/credentials", {"credential": {"type": "cert", "blob": "y"}}).json["credential"]
    assert cloud.user.get(f"{V3}/credentials/{theirs['id']}").status == 403
    assert len(cloud.user.get(f"{V3}/credentials").json["credentials"]) == 1
    assert cloud.user.patch(f"{V3}/credentials/{made['id']}", {"credential": {"blob": "z"}}).json["credential"]["blob"] == "z"
    assert cloud.user.patch(f"{V3}/credentials/{made['id']}", {"credential": {"type": "ec2"}}).status == 400
    assert cloud.user.post(f"{V3}/credentials", {"credential": {"type": "ec2", "blob": "x"}}).status == 400
    assert cloud.user.delete(f"{V3}/credentials/{made['id']}").status == 204
    assert cloud.user.get(f"{V3}/credentials/{made['id']}").status == 404


def by_credential(cloud, credential):
    proof = {"methods": ["application_credential"], "application_credential": {"id": credential["id"], "secret": credential["secret"]}}
    answer = cloud.anyone.post(f"{V3}/auth/tokens", {"auth": {"identity": proof}})
    return type(cloud.anyone)(cloud.app, answer.headers.get("x-subject-token")) if answer.status == 201 else None


def test_application_credentials(cloud):
    me = cloud.id_of("users", "demo")
    path = f"{V3}/users/{me}/application_credentials"

    def create(client=cloud.user, **facts):
        return client.post(path, {"application_credential": facts})

    assert create(cloud.admin, name="x").status == 403, "only the user itself"
    assert create(name="x", roles=[{"name": "admin"}]).status == 400
    assert create(name="x", expires_at="2001-01-01T00:00:00").status == 400
    assert create(name="x", strange=1).status == 400
    made = create(name="ci", roles=[{"name": "reader"}]).json["application_credential"]
    assert create(name="ci").status == 409
    assert "secret" not in cloud.user.get(f"{path}/{made['id']}").json["application_credential"]
    ci = by_credential(cloud, made)
    assert ci.get(f"{V3}/auth/tokens", headers={"x-subject-token": ci.token}).json["token"]["roles"][0]["name"] == "reader"
    assert create(ci, name="more").status == 403, "a restricted one makes no others"
    trust = {"trustor_user_id": me, "trustee_user_id": me, "impersonation": False, "project_id": made["project_id"], "roles": [{"name": "reader"}]}
    assert ci.post(f"{V3}/OS-TRUST/trusts", {"trust": trust}).status == 403
    free = by_credential(cloud, create(name="free", unrestricted=True).json["application_credential"])
    assert create(free, name="more").status == 201
    ruled = create(name="ruled", access_rules=[{"service": "identity", "method": "GET", "path": "/v3/users/*"}]).json["application_credential"]
    limited = by_credential(cloud, ruled)
    assert limited.get(f"{V3}/users/{me}").status == 200
    assert limited.get(f"{V3}/auth/projects").status == 403
    rule = ruled["access_rules"][0]["id"]
    assert cloud.user.get(f"{V3}/users/{me}/access_rules").json["access_rules"][0]["id"] == rule
    assert cloud.user.delete(f"{V3}/users/{me}/access_rules/{rule}").status == 403
    assert cloud.user.delete(f"{path}/{ruled['id']}").status == 204
    assert cloud.user.delete(f"{V3}/users/{me}/access_rules/{rule}").status == 204
    assert cloud.user.delete(f"{path}/{made['id']}").status == 204
    cloud.signing.known._proofs.clear()
    assert ci.get(f"{V3}/auth/projects").status == 401
    assert by_credential(cloud, made) is None


def trusted(cloud, trust, secret="pw"):
    return sign(cloud, trust["trustee_user_id"], secret, scope={"OS-TRUST:trust": {"id": trust["id"]}})


def test_trusts(cloud):
    me, project = cloud.id_of("users", "demo"), cloud.id_of("projects", "demo")
    ann, bob = (make(cloud.admin, "user", name=name, password="pw") for name in ("ann", "bob"))

    def lend(client=cloud.user, **facts):
        base = {"trustor_user_id": me, "trustee_user_id": ann["id"], "project_id": project, "impersonation": True, "roles": [{"name": "member"}]}
        return client.post(f"{V3}/OS-TRUST/trusts", {"trust": base | facts})

    assert lend(cloud.admin).status == 403
    assert lend(roles=[{"name": "admin"}]).status == 403
    assert lend(roles=[]).status == 403
    assert lend(trustee_user_id="nobody").status == 404
    once = lend(remaining_uses=1).json["trust"]
    assert once["roles"][0]["name"] == "member"
    token = trusted(cloud, once)
    assert token.status == 201, token.body
    assert token.json["token"]["user"]["name"] == "demo"
    assert token.json["token"]["OS-TRUST:trust"]["trustee_user"]["id"] == ann["id"]
    assert trusted(cloud, once).status == 403, "used up"
    assert trusted(cloud, once | {"trustee_user_id": bob["id"]}).status == 403
    chain = lend(allow_redelegation=True, redelegation_count=1).json["trust"]
    answer = trusted(cloud, chain)
    middle = type(cloud.anyone)(cloud.app, answer.headers["x-subject-token"])
    assert lend(middle, trustee_user_id=bob["id"], roles=[{"name": "admin"}]).status == 403
    further = lend(middle, trustee_user_id=bob["id"], impersonation=True).json["trust"]
    assert further["redelegated_trust_id"] == chain["id"]
    answer = trusted(cloud, further)
    assert answer.status == 201, answer.body
    end = type(cloud.anyone)(cloud.app, answer.headers["x-subject-token"])
    assert lend(end, trustee_user_id=ann["id"]).status == 403, "no further"
    plain = client_of(cloud, ann["id"], "pw")
    assert len(plain.get(f"{V3}/OS-TRUST/trusts?trustee_user_id={ann['id']}").json["trusts"]) == 2
    assert plain.get(f"{V3}/OS-TRUST/trusts?trustor_user_id={me}").status == 403
    assert plain.get(f"{V3}/OS-TRUST/trusts").status == 403
    assert plain.delete(f"{V3}/OS-TRUST/trusts/{chain['id']}").status == 403
    path = f"{V3}/OS-TRUST/trusts/{chain['id']}"
    role = cloud.id_of("roles", "member")
    assert plain.get(f"{path}/roles/{role}").json["role"]["name"] == "member"
    assert plain.get(f"{path}/roles/x").status == 404
    assert cloud.user.delete(path).status == 204
    assert cloud.user.get(path).status == 404
    cloud.signing.known._proofs.clear()
    assert end.get(f"{V3}/auth/projects").status == 401, "what was lent on ends too"
    assert trusted(cloud, further).status in (401, 403)


def test_the_catalog_is_what_admins_make_it(cloud):
    service = make(cloud.admin, "service", type="dns", name="designate")
    facts = {"service_id": service["id"], "interface": "public", "url": "http://dns/$(project_id)s"}
    assert cloud.admin.post(f"{V3}/endpoints", {"endpoint": facts | {"enabled": "True"}}).status == 400
    assert cloud.admin.post(f"{V3}/endpoints", {"endpoint": facts | {"service_id": "x"}}).status == 400
    assert cloud.admin.post(f"{V3}/endpoints", {"endpoint": facts | {"url": "nowhere"}}).status == 400
    endpoint = make(cloud.admin, "endpoint", **facts, region="North")
    assert endpoint["region_id"] == "North"
    assert cloud.admin.get(f"{V3}/regions/North").status == 200
    cloud.signing.known._proofs.clear()
    catalog = {one["type"]: one for one in cloud.user.get(f"{V3}/auth/catalog").json["catalog"]}
    assert catalog["dns"]["endpoints"][0]["url"] == f"http://dns/{cloud.id_of('projects', 'demo')}"
    assert cloud.admin.delete(f"{V3}/regions/North").status == 403
    assert cloud.admin.patch(f"{V3}/services/{service['id']}", {"service": {"enabled": False}}).status == 200
    assert "dns" not in {one["type"] for one in cloud.user.get(f"{V3}/auth/catalog").json["catalog"]}
    assert cloud.admin.delete(f"{V3}/services/{service['id']}").status == 204
    assert cloud.admin.get(f"{V3}/endpoints/{endpoint['id']}").status == 404
    assert cloud.admin.put(f"{V3}/regions/South", {"region": {"parent_region_id": "North"}}).status == 201
    assert cloud.admin.patch(f"{V3}/regions/North", {"region": {"parent_region_id": "South"}}).status == 400
    assert cloud.admin.post(f"{V3}/regions", {"region": {"id": "North"}}).status == 409


def test_unified_limits(cloud):
    (service,) = cloud.admin.get(f"{V3}/services?type=identity").json["services"]
    place = {"service_id": service["id"], "resource_name": "widgets"}
    made = cloud.admin.post(f"{V3}/registered_limits", {"registered_limits": [place | {"default_limit": 10}]})
    assert made.status == 201, made.body
    registered = made.json["registered_limits"][0]
    assert cloud.admin.post(f"{V3}/registered_limits", {"registered_limits": [place | {"default_limit": 10}]}).status == 409
    project, other = cloud.id_of("projects", "demo"), cloud.id_of("projects", "admin")
    body = {"limits": [place | {"project_id": project, "resource_limit": 5}, place | {"project_id": other, "resource_limit": 6}]}
    assert cloud.user.post(f"{V3}/limits", body).status == 403
    limits = cloud.admin.post(f"{V3}/limits", body).json["limits"]
    assert cloud.admin.post(f"{V3}/limits", body).status == 409
    assert cloud.admin.post(f"{V3}/limits", {"limits": [body["limits"][0] | {"resource_name": "none"}]}).status == 403
    assert [one["resource_limit"] for one in cloud.user.get(f"{V3}/limits").json["limits"]] == [5]
    assert cloud.user.get(f"{V3}/limits/{limits[1]['id']}").status == 404
    assert cloud.user.get(f"{V3}/limits/model").json["model"]["name"] == "flat"
    assert cloud.admin.patch(f"{V3}/limits/{limits[0]['id']}", {"limit": {"resource_limit": 7}}).json["limit"]["resource_limit"] == 7
    assert cloud.admin.delete(f"{V3}/registered_limits/{registered['id']}").status == 403
    assert all(cloud.admin.delete(f"{V3}/limits/{one['id']}").status == 204 for one in limits)
    assert cloud.admin.delete(f"{V3}/registered_limits/{registered['id']}").status == 204


def test_old_revocations_are_forgotten(cloud):
    from datetime import timedelta

    from sqlalchemy import func, select, update

    from andromede.services.identity.leftovers import reconcilers
    from andromede.services.identity.tables import revocation

    cloud.user.post(f"{V3}/users/{cloud.id_of('users', 'demo')}/password", {"user": {"original_password": USER_PASSWORD, "password": "new"}})
    assert "user_id" in cloud.admin.get(f"{V3}/OS-REVOKE/events").json["events"][0]
    (purge,) = reconcilers(cloud.parts)
    assert not purge.run()
    cloud.database.run(lambda db: db.execute(update(revocation).values(expires=now() - timedelta(seconds=1))))
    assert purge.run()
    assert cloud.database.look(lambda db: db.scalar(select(func.count()).select_from(revocation))) == 0


def test_a_grant_to_a_trustor_that_ends_takes_the_trust_along(cloud):
    ann, bob = (make(cloud.admin, "user", name=name, password="pw") for name in ("ann", "bob"))
    project = make(cloud.admin, "project", name="p")
    grant(cloud, f"projects/{project['id']}", f"users/{ann['id']}", "member")
    trustor = client_of(cloud, ann["id"], "pw", scope={"project": {"id": project["id"]}})
    facts = {"trustor_user_id": ann["id"], "trustee_user_id": bob["id"], "project_id": project["id"], "impersonation": False}
    trust = trustor.post(f"{V3}/OS-TRUST/trusts", {"trust": facts | {"roles": [{"name": "member"}]}}).json["trust"]
    assert trusted(cloud, trust).json["token"]["user"]["name"] == "bob"
    path = f"{V3}/projects/{project['id']}/users/{ann['id']}/roles/{cloud.id_of('roles', 'member')}"
    assert cloud.admin.delete(path).status == 204
    assert trusted(cloud, trust).status == 401
