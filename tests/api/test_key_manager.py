"""Key Manager through its API: secrets in one step and two, who may read them, containers, orders, quotas."""

import base64

K = "/key-manager/v1"


def keep(client, **more):
    answer = client.post(f"{K}/secrets", {"name": "s", "payload": "word", "payload_content_type": "text/plain", **more})
    assert answer.status == 201, answer
    return answer.json["secret_ref"].removeprefix("http://cloud.test")


def test_a_secret_in_one_step(cloud):
    where = keep(cloud.user)
    facts = cloud.user.get(where).json
    assert (facts["name"], facts["status"], facts["secret_type"], facts["content_types"]) == ("s", "ACTIVE", "opaque", {"default": "text/plain"})
    told = cloud.user.get(f"{where}/payload", headers={"accept": "text/plain"})
    assert (told.body, told.headers["content-type"]) == (b"word", "text/plain")
    assert cloud.user.get(where, headers={"accept": "text/plain"}).body == b"word"
    assert cloud.user.get(f"{where}/payload", headers={"accept": "application/octet-stream"}).status == 406
    with cloud.database.read() as db:
        rows = db.exec_driver_sql("SELECT payload FROM key_secret").all()
    assert all(b"word" not in bytes(row[0]) for row in rows)
    assert cloud.user.delete(where).status == 204
    assert cloud.user.get(where).status == 404


def test_a_secret_in_two_steps(cloud):
    answer = cloud.user.post(f"{K}/secrets", {"secret_type": "symmetric", "algorithm": "aes", "bit_length": 128})
    where = answer.json["secret_ref"].removeprefix("http://cloud.test")
    assert cloud.user.get(f"{where}/payload").status == 404
    key = bytes(range(16))
    headers = {"content-type": "application/octet-stream", "content-encoding": "base64"}
    assert cloud.user.put(where, base64.b64encode(key), headers=headers).status == 204
    assert cloud.user.get(f"{where}/payload").body == key
    assert cloud.user.put(where, b"again", headers={"content-type": "text/plain"}).status == 409
    assert cloud.user.put(where, b"again", headers={"content-type": "text/html"}).status == 415


def test_what_is_not_a_secret_is_refused(cloud):
    for wrong in (
        {"payload": "", "payload_content_type": "text/plain"}, {"payload": "x"}, {"payload": "x", "payload_content_type": "text/html"},
        {"payload": "?", "payload_content_type": "application/octet-stream", "payload_content_encoding": "base64"},
        {"payload_content_type": "text/plain"}, {"secret_type": "other"}, {"bit_length": 0}, {"expiration": "2001-01-01T00:00:00"},
        {"expiration": "soon"},
    ):  # fmt: skip
        assert cloud.user.post(f"{K}/secrets", wrong).status == 400, wrong
    assert cloud.user.post(f"{K}/secrets", {"payload": "x" * 30000, "payload_content_type": "text/plain"}).status == 413


def test_who_may_read(cloud):
    where, other = keep(cloud.user), cloud.other("reader-of-secrets")
    assert other.get(where).status == 404
    user = cloud.id_of("users", "reader-of-secrets")
    assert cloud.user.put(f"{where}/acl", {"read": {"users": [user], "project-access": True}}).status == 200
    assert other.get(f"{where}/payload").body == b"word"
    assert other.delete(where).status == 403
    assert cloud.user.patch(f"{where}/acl", {"read": {"users": []}}, headers={"content-type": "application/json"}).status == 200
    assert other.get(where).status == 404
    assert cloud.user.get(f"{where}/acl").json["read"]["project-access"] is True
    assert cloud.user.delete(f"{where}/acl").status == 200


def test_metadata_consumers_and_lists(cloud):
    where = keep(cloud.user)
    assert cloud.user.put(f"{where}/metadata", {"metadata": {"A": "b"}}).status == 201
    assert cloud.user.get(f"{where}/metadata").json == {"metadata": {"a": "b"}}
    assert cloud.user.put(f"{where}/metadata/a", {"key": "a", "value": "c"}).json["value"] == "c"
    assert cloud.user.delete(f"{where}/metadata/a").status == 204
    assert cloud.user.get(f"{where}/metadata/a").status == 404
    one = {"service": "load-balancer", "resource_type": "listener", "resource_id": "1"}
    assert cloud.user.post(f"{where}/consumers", one).json["consumers"] == [one]
    assert cloud.user.get(f"{where}/consumers").json["total"] == 1
    assert cloud.user.delete(f"{where}/consumers").status == 400
    keep(cloud.user, name="t")
    page = cloud.user.get(f"{K}/secrets?limit=1&sort=name:desc").json
    assert (page["total"], page["secrets"][0]["name"]) == (2, "t")
    assert "offset=1" in page["next"]
    assert cloud.user.get(f"{K}/secrets?name=s&alg=&bits=x").json["total"] == 1
    assert cloud.user.get(f"{K}/secrets?sort=colour").status == 400


def test_containers_and_orders(cloud):
    where = keep(cloud.user)
    made = cloud.user.post(f"{K}/containers", {"type": "generic", "name": "c", "secret_refs": [{"name": "x", "secret_ref": where}]})
    assert made.status == 201, made
    path = made.json["container_ref"].removeprefix("http://cloud.test")
    assert cloud.user.get(path).json["secret_refs"][0]["secret_ref"].endswith(where)
    second = keep(cloud.user)
    assert cloud.user.post(f"{path}/secrets", {"secret_ref": second, "name": "y"}).status == 201
    assert cloud.user.get(f"{K}/containers").json["total"] == 1
    assert cloud.user.post(f"{path}/consumers", {"name": "lb", "URL": "http://x"}).json["consumers"] == [{"name": "lb", "URL": "http://x"}]
    assert cloud.user.post(f"{K}/containers", {"type": "rsa", "secret_refs": [{"name": "x", "secret_ref": where}]}).status == 400
    assert cloud.user.delete(path).status == 204
    ordered = cloud.user.post(f"{K}/orders", {"type": "key", "meta": {"name": "k", "algorithm": "aes", "bit_length": 256}})
    assert ordered.status == 202, ordered
    order = cloud.user.get(ordered.json["order_ref"].removeprefix("http://cloud.test")).json
    assert order["status"] == "ACTIVE"
    assert len(cloud.user.get(order["secret_ref"].removeprefix("http://cloud.test") + "/payload").body) == 32
    pair = cloud.user.post(f"{K}/orders", {"type": "asymmetric", "meta": {"algorithm": "rsa", "bit_length": 2048, "passphrase": "p"}})
    container = cloud.user.get(pair.json["order_ref"].removeprefix("http://cloud.test")).json["container_ref"]
    names = {one["name"] for one in cloud.user.get(container.removeprefix("http://cloud.test")).json["secret_refs"]}
    assert names == {"private_key", "public_key", "private_key_passphrase"}
    assert cloud.user.post(f"{K}/orders", {"type": "certificate", "meta": {}}).status == 400
    assert cloud.user.post(f"{K}/orders", {"type": "key", "meta": {"algorithm": "aes", "bit_length": 100}}).status == 400
    assert cloud.user.get(f"{K}/orders").json["total"] == 2


def test_quotas(cloud):
    project = cloud.id_of("projects", "demo")
    assert cloud.user.get(f"{K}/quotas").json["quotas"]["secrets"] == -1
    assert cloud.admin.put(f"{K}/project-quotas/{project}", {"project_quotas": {"secrets": 1}}).status == 204
    keep(cloud.user)
    assert cloud.user.post(f"{K}/secrets", {"name": "more"}).status == 403
    assert cloud.admin.get(f"{K}/project-quotas").json["total"] == 1
    assert cloud.admin.delete(f"{K}/project-quotas/{project}").status == 204
    assert cloud.admin.get(f"{K}/project-quotas/{project}").status == 404
