"""What Nextcloud's clients ask besides files: the envelope of OCS, capabilities, people, app passwords, statuses, notices, sharees."""

import xml.etree.ElementTree as ET
from functools import partial

import pytest
from sqlalchemy import select

from andromede.core.errors import BadRequest, Forbidden, Unavailable
from andromede.services.drive import devices, notices
from andromede.services.drive.ocs import answers
from andromede.services.drive.ocs.call import Call
from andromede.services.drive.pages import language
from andromede.services.drive.settings import Settings
from andromede.services.drive.tables_people import device
from tests.drive_people import JSON, drive
from tests.waiting import until

STATUS = "apps/user_status/api/v1"
NOTICES = "apps/notifications/api/v2/notifications"


@pytest.fixture
def site(cloud):
    with drive(cloud, name="Drive & co") as site:
        yield site


@pytest.fixture
def demo(site):
    return site.signed("demo")


def test_status_and_small_paths(site):
    said = site("GET", "/status.php").json
    assert said["installed"] is True
    assert said["maintenance"] is False
    assert said["productname"] == "Drive & co"
    assert site("GET", "/index.php/204").status == 204
    assert site("GET", "/nothing").status == 404
    assert site("GET", "/%ff").status == 400
    assert site("DELETE", "/status.php").status == 404


def test_the_envelope(site, demo):
    answer = demo("GET", "/ocs/v1.php/cloud/user")
    assert answer.headers["content-type"].startswith("application/xml")
    tree = ET.fromstring(answer.body)
    assert tree.findtext("meta/statuscode") == "100"
    assert tree.findtext("data/id") == "demo"
    assert tree.findtext("data/enabled") == "1"
    answer = demo("GET", "/ocs/v1.php/cloud/user?format=json")
    assert answer.json["ocs"]["meta"] == {"status": "ok", "statuscode": 100, "message": "OK", "totalitems": "", "itemsperpage": ""}
    assert demo.ocs("GET", "cloud/user").json["ocs"]["meta"] == {"status": "ok", "statuscode": 200, "message": "OK"}
    missing = demo.ocs("GET", "cloud/users/nobody", version=1)
    assert (missing.status, missing.json["ocs"]["meta"]["statuscode"]) == (200, 404)
    missing = demo.ocs("GET", "cloud/users/nobody")
    assert (missing.status, missing.json["ocs"]["meta"]["statuscode"]) == (404, 404)
    assert demo.ocs("GET", "cloud/nothing").status == 404
    assert demo.ocs("POST", "cloud/user").status == 405
    for version, code in ((1, 997), (2, 401)):
        answer = site.ocs("GET", "cloud/user", version=version)
        assert (answer.status, answer.json["ocs"]["meta"]["statuscode"]) == (401, code)
        assert "www-authenticate" in answer.headers
    assert site.signed("demo", "no").ocs("GET", "cloud/capabilities").status == 401
    assert demo("GET", "/ocs/v2.php/cloud/user", headers={"Sec-Fetch-Site": "cross-site"}).status == 403
    assert demo("PUT", f"/ocs/v2.php/{STATUS}/user_status/status", b"{", {**JSON, "Content-Type": "application/json"}).status == 400
    assert demo("PUT", f"/ocs/v2.php/{STATUS}/user_status/status", b"[]", {**JSON, "Content-Type": "application/json"}).status == 400


def test_xml_holds_what_json_holds():
    data = {"list": [1, {"a": "<&>"}], "none": None, "no": False, "5x": "odd", "bell": "\a"}
    body = answers.reply(2, False, answers.Data(data)).body
    assert b"<list><element>1</element><element><a>&lt;&amp;&gt;</a></element></list>" in body
    assert b"<none></none><no></no><element>odd</element><bell></bell>" in body
    assert answers.failure(1, True, Unavailable("no")).status == 503
    assert b"996" in answers.failure(1, True, Unavailable("no")).body


def test_parameters():
    call = Call(None, None, {"a": "x" * 5, "n": "7", "list": [1], "yes": "true", "none": None}, None, Settings())
    assert (call.text("a"), call.text("none", "d"), call.number("n", 0), call.number("m", 3)) == ("xxxxx", "d", 7, 3)
    assert (call.yes("yes"), call.yes("a")) == (True, False)
    for wrong in (lambda: call.text("a", most=4), lambda: call.text("list"), lambda: call.number("a", 0), lambda: call.number("n", 0, 8)):
        with pytest.raises(BadRequest):
            wrong()


def test_languages():
    assert [language(text) for text in ("", "fr", "fr-CA,en;q=0.8", "de,en;q=0.5,fr;q=0.4", "fr;q=x", "de")] == ["en", "fr", "fr", "en", "en", "en"]


def test_capabilities_are_for_everybody(site, demo):
    for who in (site, demo):
        said = who.ocs("GET", "cloud/capabilities", version=1).data
        assert said["version"]["major"] == 31
        assert said["capabilities"]["theming"]["name"] == "Drive & co"
        assert said["capabilities"]["user_status"]["enabled"] is True


def test_people_see_themselves_and_names_of_their_domain(cloud, demo):
    id_ = cloud.id_of("users", "demo")
    cloud.admin.patch(f"/identity/v3/users/{id_}", {"user": {"email": "demo@example.org"}})
    until(lambda: demo.ocs("GET", "cloud/user").data["email"] == "demo@example.org")
    cloud.other("ann")
    assert demo.ocs("GET", "cloud/users/ann").data == {"id": "ann", "displayname": "ann", "display-name": "ann", "email": None}
    assert demo.ocs("GET", f"cloud/users/{id_}").data["email"] == "demo@example.org"
    domain = cloud.admin.post("/identity/v3/domains", {"domain": {"name": "far"}}).json["domain"]["id"]
    far = cloud.admin.post("/identity/v3/users", {"user": {"name": "zoe", "domain_id": domain, "password": "zoe-secret"}}).json["user"]["id"]
    assert demo.ocs("GET", f"cloud/users/{far}").status == 404
    assert demo.signed(far, "zoe-secret").ocs("GET", "cloud/user").data["id"] == far


def test_app_passwords_come_from_passwords_and_go_by_themselves(cloud, site, demo):
    secret = demo.ocs("GET", "core/getapppassword").data["apppassword"]
    phone = site.signed("demo", secret)
    assert phone.ocs("GET", "core/getapppassword").status == 403
    assert site("GET", "/ocs/v2.php/core/getapppassword", headers={"X-Auth-Token": cloud.user.token}).status == 403
    assert demo.ocs("DELETE", "core/apppassword").status == 403
    assert phone.ocs("DELETE", "core/apppassword").status == 200
    assert phone.ocs("GET", "cloud/user").status == 401


def test_a_lost_device_is_wiped(cloud, site, demo):
    secret = demo.ocs("GET", "core/getapppassword").data["apppassword"]
    phone = site.signed("demo", secret)
    assert phone.ocs("GET", "cloud/user").status == 200

    def check():
        return site("POST", "/index.php/core/wipe/check", {"token": secret})

    assert check().status == 404
    user_id = cloud.id_of("users", "demo")
    with cloud.database.read() as db:
        (row,) = db.execute(select(device)).all()
    cloud.database.run(lambda db: devices.wipe(db, user_id, row.id))
    until(lambda: phone.ocs("GET", "cloud/user").status == 401)
    assert check().json == {"wipe": True}
    assert site("POST", "/index.php/core/wipe/success", {"token": secret}).status == 200
    assert site("POST", "/index.php/core/wipe/success", {"token": secret}).status == 404
    assert check().status == 404


def test_people_say_how_they_are(cloud, site, demo):
    cloud.other("ann")
    ann = site.signed("ann")
    assert demo.ocs("GET", f"{STATUS}/user_status").data["status"] == "offline"
    assert ann.ocs("GET", f"{STATUS}/statuses/demo").status == 404
    assert demo.ocs("PUT", f"{STATUS}/heartbeat", {"status": "online"}).data["status"] == "online"
    assert demo.ocs("PUT", f"{STATUS}/heartbeat", {"status": "dnd"}).status == 400
    assert demo.ocs("PUT", f"{STATUS}/user_status/status", {"statusType": "dnd"}).data["status"] == "dnd"
    assert demo.ocs("PUT", f"{STATUS}/heartbeat", {"status": "away"}).data["status"] == "dnd", "what a person said stays"
    assert demo.ocs("PUT", f"{STATUS}/user_status/status", {"statusType": "asleep"}).status == 400
    said = demo.ocs("PUT", f"{STATUS}/user_status/message/custom", {"message": "<hm>", "statusIcon": "🤔", "clearAt": "4102444800"}).data
    assert (said["message"], said["icon"], said["clearAt"], said["messageIsPredefined"]) == ("<hm>", "🤔", 4102444800, False)
    assert demo.ocs("PUT", f"{STATUS}/user_status/message/custom", {"message": "x", "clearAt": "5"}).status == 400
    assert ann.ocs("GET", f"{STATUS}/statuses/demo").data["message"] == "<hm>"
    assert [one["userId"] for one in ann.ocs("GET", f"{STATUS}/statuses").data] == ["demo"]
    (meeting, *_) = demo.ocs("GET", f"{STATUS}/predefined_statuses").data
    said = demo.ocs("PUT", f"{STATUS}/user_status/message/predefined", {"messageId": meeting["id"]}).data
    assert (said["message"], said["messageIsPredefined"]) == ("In a meeting", True)
    assert demo.ocs("PUT", f"{STATUS}/user_status/message/predefined", {"messageId": "no"}).status == 400
    assert demo.ocs("DELETE", f"{STATUS}/user_status/message").status == 200
    assert demo.ocs("GET", f"{STATUS}/user_status").data["message"] is None
    demo.ocs("PUT", f"{STATUS}/user_status/status", {"statusType": "invisible"})
    assert ann.ocs("GET", f"{STATUS}/statuses/demo").data["status"] == "offline"


def test_notices(cloud, site, demo, monkeypatch):
    monkeypatch.setattr(notices, "MOST", 2)
    id_ = cloud.id_of("users", "demo")
    assert demo.ocs("GET", NOTICES).data == []
    for number in range(3):
        facts = {"by": "Ann", "by_account": "ann", "name": f"Plan {number}"}
        cloud.database.run(partial(notices.tell, user_id=id_, kind="shared", share_id=number, facts=facts))
    answer = demo.ocs("GET", NOTICES)
    assert [one["subject"] for one in answer.data] == ["Ann shared Plan 2 with you", "Ann shared Plan 1 with you"]
    assert set(answer.data[0]["subjectRichParameters"]) == {"by", "name"}
    assert demo("GET", f"/ocs/v2.php/{NOTICES}", headers={**JSON, "If-None-Match": answer.headers["etag"]}).status == 304
    french = demo("GET", f"/ocs/v2.php/{NOTICES}", headers={**JSON, "Accept-Language": "fr"})
    assert french.data[0]["subject"] == "Ann a partagé Plan 2 avec vous"
    first = answer.data[0]["notification_id"]
    assert demo.ocs("GET", f"{NOTICES}/{first}").data["object_id"] == "2"
    assert site.signed("admin", "admin-secret").ocs("GET", f"{NOTICES}/{first}").status == 404
    assert demo.ocs("DELETE", f"{NOTICES}/{first}").status == 200
    assert demo.ocs("GET", f"{NOTICES}/{first}").status == 404
    assert demo.ocs("GET", f"{NOTICES}/x").status == 404
    cloud.database.run(lambda db: notices.untell(db, 1))
    assert demo.ocs("GET", NOTICES).data == []
    cloud.database.run(lambda db: notices.tell(db, id_, "shared", 3, facts))
    assert demo.ocs("DELETE", NOTICES).status == 200
    assert demo.ocs("GET", NOTICES).data == []


def test_sharees(cloud, demo):
    cloud.other("anna")
    cloud.other("ann_b")
    cloud.admin.post("/identity/v3/groups", {"group": {"name": "annals"}})
    cloud.admin.patch(f"/identity/v3/users/{cloud.id_of('users', 'anna')}", {"user": {"email": "Anna@Example.org"}})

    def find(query):
        return demo.ocs("GET", f"apps/files_sharing/api/v1/sharees?itemType=folder&{query}").data

    said = find("search=ann&perPage=200&shareType[]=0&shareType[]=1")
    assert [one["value"] for one in said["users"]] == [{"shareType": 0, "shareWith": "ann_b"}, {"shareType": 0, "shareWith": "anna"}]
    assert [one["value"]["shareWith"] for one in said["groups"]] == ["annals"]
    said = find("search=ANNA")
    assert [one["label"] for one in said["exact"]["users"]] == ["anna"]
    assert [one["label"] for one in said["groups"]] == ["annals"]
    assert find("search=anna%40example.org")["exact"]["users"][0]["label"] == "anna"
    assert [one["label"] for one in find("search=n_b&shareType=0")["users"]] == ["ann_b"]
    assert find("search=demo")["exact"]["users"] == [], "not oneself"


def test_faults_are_told_as_the_paths_have_them(site, demo, monkeypatch):
    def fail(*_):
        raise Unavailable("The database does not answer.")

    monkeypatch.setattr(site.people, "of", fail)
    assert demo("GET", "/remote.php/webdav/").status == 503
    assert demo.ocs("GET", "cloud/user").status == 503
    monkeypatch.setattr(site.people, "of", lambda _: (_ for _ in ()).throw(Forbidden("No.")))
    assert demo.ocs("GET", "cloud/user").json["ocs"]["meta"]["message"] == "No."


def test_clients_that_cannot_send_empty_files_in_bulk_are_not_told_of_it(demo):
    def told(agent):
        return "bulkupload" in demo("GET", "/ocs/v1.php/cloud/capabilities", headers={**JSON, "User-Agent": agent}).data["capabilities"]["dav"]

    assert [told(f"Mozilla/5.0 (Linux) mirall/{one} (Nextcloud)") for one in ("3.7.3", "3.9.0", "3.9.1", "3.16.2git")] == [False, False, True, True]
    assert told("something else")
