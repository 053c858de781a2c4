"""Who the drive lets in, and what it lets them in with: passwords, app passwords, tokens; Login Flow v2 and the page of one's devices."""

import time
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from andromede.core.clock import now
from andromede.core.errors import Forbidden, TooManyRequests
from andromede.run.settings import Identity, Settings
from andromede.services.drive import devices, leaving, people, slowing
from andromede.services.drive.login import Account
from andromede.services.drive.tables_people import device, login
from andromede.services.identity.tables import user
from tests.cloud import USER_PASSWORD, Cloud
from tests.drive_people import Browser, drive
from tests.waiting import until

WEBDAV = "/remote.php/webdav/"


@pytest.fixture
def site(cloud):
    with drive(cloud) as site:
        yield site


def add(cloud, name="demo", **more):
    id_ = cloud.id_of("users", name)
    return cloud.database.run(lambda db: devices.add(db, id_, "laptop", **more))


def test_a_user_is_let_in_by_password_id_token_and_app_password(cloud, site):
    id_ = cloud.id_of("users", "demo")
    assert site("GET", WEBDAV).status == 401
    assert site("GET", WEBDAV).headers["www-authenticate"].startswith("Basic ")
    for way in (site.signed("demo"), site.signed(id_), site.signed("demo", add(cloud)[1])):
        answer = way("GET", WEBDAV)
        assert answer.status == 200, answer
        assert answer.text == "demo GET /remote.php/webdav/"
        assert "sandbox" in answer.headers["content-security-policy"]
    for headers in ({"Authorization": f"Bearer {cloud.user.token}"}, {"X-Auth-Token": cloud.user.token}):
        assert site("GET", WEBDAV, headers=headers).status == 200
    wrong = [("demo", "no"), ("nobody", USER_PASSWORD), ("demo", "aaaaa-bbbbb-ccccc-ddddd-eeeee"), ("admin", add(cloud)[1])]
    for words in wrong:
        assert site.signed(*words)("GET", WEBDAV).status == 401
    for header in ("Basic", "Basic ###", "Basic YQ==", "Bearer nothing", "Digest x"):
        assert site("GET", WEBDAV, headers={"Authorization": header}).status == 401


def test_a_token_that_was_lent_is_not_taken(cloud, site):
    id_ = cloud.id_of("users", "demo")
    made = cloud.user.post(f"/identity/v3/users/{id_}/application_credentials", {"application_credential": {"name": "lent"}})
    kept = made.json["application_credential"]
    proof = {"methods": ["application_credential"], "application_credential": {"id": kept["id"], "secret": kept["secret"]}}
    answer = cloud.anyone.post("/identity/v3/auth/tokens", {"auth": {"identity": proof}})
    assert site("GET", WEBDAV, headers={"X-Auth-Token": answer.headers["x-subject-token"]}).status == 401


def test_identitys_rules_hold_here(tmp_path):
    cloud = Cloud(tmp_path, settings=Settings(identity=Identity(lockout_failure_attempts=2, lockout_duration=1000)))
    try:
        with drive(cloud) as site:
            id_, good = cloud.id_of("users", "demo"), site.signed("demo")
            assert good("GET", WEBDAV).status == 200
            cloud.admin.patch(f"/identity/v3/users/{id_}", {"user": {"enabled": False}})
            until(lambda: good("GET", WEBDAV).status == 401)
            secret = add(cloud)[1]
            assert site.signed("demo", secret)("GET", WEBDAV).status == 401, "a disabled user's app password"
            cloud.admin.patch(f"/identity/v3/users/{id_}", {"user": {"enabled": True}})
            assert good("GET", WEBDAV).status == 200
            assert site.signed("demo", secret)("GET", WEBDAV).status == 200
            cloud.admin.patch(f"/identity/v3/users/{id_}", {"user": {"password": "another"}})
            until(lambda: good("GET", WEBDAV).status == 401)
            assert site.signed("demo", "another")("GET", WEBDAV).status == 200
            other = cloud.other("eve")
            assert other
            for _ in range(2):
                assert site.signed("eve", "wrong")("GET", WEBDAV).status == 401
            assert site.signed("eve")("GET", WEBDAV).status == 401, "Identity has locked the account"
            cloud.admin.delete(f"/identity/v3/users/{id_}")
            until(lambda: site.signed("demo", secret)("GET", WEBDAV).status == 401)
    finally:
        cloud.close()


def test_an_app_password_is_revoked_alone_and_expires(cloud, site):
    (first, one), (_, other) = add(cloud), add(cloud)
    id_ = cloud.id_of("users", "demo")
    assert site.signed("demo", one)("GET", WEBDAV).status == 200
    with cloud.database.read() as db:
        seen = {row.id: row for row in db.execute(select(device))}
        assert seen[first].used is not None
        assert one not in str(seen)
    cloud.database.run(lambda db: devices.remove(db, id_, first))
    until(lambda: site.signed("demo", one)("GET", WEBDAV).status == 401)
    assert site.signed("demo", other)("GET", WEBDAV).status == 200
    _, short = add(cloud, expires=now() + timedelta(seconds=1))
    until(lambda: site.signed("demo", short)("GET", WEBDAV).status == 401)


def test_an_app_password_may_be_for_reading_only(cloud, site):
    reader = site.signed("demo", add(cloud, scopes=(devices.READ,))[1])
    assert reader("PROPFIND", WEBDAV).status == 200
    assert reader("PUT", WEBDAV + "a", b"x").status == 403


def test_there_are_only_so_many(cloud, monkeypatch):
    monkeypatch.setattr(devices, "MOST", 1)
    add(cloud)
    with pytest.raises(Forbidden):
        add(cloud)


def test_a_verified_password_is_remembered_for_a_while(cloud, site, monkeypatch):
    asked = []
    real = site.people.directory.sign_in
    monkeypatch.setattr(site.people.directory, "sign_in", lambda *words: asked.append(words) or real(*words))
    for _ in range(5):
        assert site.signed("demo")("GET", WEBDAV).status == 200
    assert len(asked) == 1
    cloud.admin.post("/identity/v3/groups", {"group": {"name": "g"}})
    cloud.admin.put(f"/identity/v3/groups/{cloud.id_of('groups', 'g')}/users/{cloud.id_of('users', 'demo')}")

    def groups():
        return site.people.by_password("demo", USER_PASSWORD, "127.0.0.1").groups

    until(lambda: cloud.id_of("groups", "g") in groups())
    assert len(asked) == 1, "another epoch does not cost another hash"
    monkeypatch.setattr(people, "_MOST", 0)
    assert site.signed("demo", add(cloud)[1])("GET", WEBDAV).status == 200


def test_guesses_are_slowed_by_account_and_address(cloud, site):
    for _ in range(5):
        assert site.signed("demo", "guess")("GET", WEBDAV).status == 401
    answer = site.signed("demo", "guess")("GET", WEBDAV)
    assert answer.status == 429, answer
    assert int(answer.headers["retry-after"]) >= 1
    assert site.signed("demo", add(cloud)[1])("GET", WEBDAV).status == 200, "devices go on"
    until(lambda: site.signed("demo")("GET", WEBDAV).status == 200)
    assert site.signed("demo", "guess")("GET", WEBDAV).status == 401


def test_slowing_forgets(monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr(slowing, "monotonic", lambda: clock[0])
    monkeypatch.setattr(slowing, "_MOST", 2)
    slow = slowing.Slowing(1)
    for name in ("a", "b", "c"):
        slow.wrong(name)
    slow.check("a")
    with pytest.raises(TooManyRequests):
        slow.check("c")
    clock[0] += 1000
    slow.check("c")
    slow.wrong("c")
    with pytest.raises(TooManyRequests):
        slow.check("c")


def test_accounts_are_names_of_the_domain_default_and_ids_elsewhere(cloud):
    from andromede.services.identity.service import Member

    assert people.account_of(Member("1", "ann", "default")) == "ann"
    assert people.account_of(Member("1", "ann", "other")) == "1"
    assert people.account_of(Member("1", "a/b", "default")) == "1"
    assert people.account_of(Member("1", "f" * 32, "default")) == "1"


def begin(site, agent="Mozilla/5.0 (Linux) mirall/3.7.3 (<b>)"):
    answer = site("POST", "/index.php/login/v2", headers={"User-Agent": agent})
    assert answer.status == 200, answer
    said = answer.json
    assert said["login"].startswith("http://127.0.0.1:8083/index.php/login/v2/flow/")
    return said["login"].removeprefix("http://127.0.0.1:8083"), said["poll"]["token"]


def poll(site, token):
    return site("POST", "/index.php/login/v2/poll", {"token": token})


@pytest.mark.parametrize("language", ["en", "fr"])
def test_login_flow(cloud, site, language):
    path, token = begin(site)
    browser = Browser(site, language)
    page = browser.open(path)
    assert page.status == 200
    assert f'lang="{language}"' in page.text
    assert "&lt;b&gt;" in page.text
    assert "<script" not in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert poll(site, token).status == 404
    wrong = browser.send(page, path, user="demo", password="no")
    assert wrong.status == 403
    assert 'role="alert"' in wrong.text
    done = browser.send(wrong, path, user="demo", password=USER_PASSWORD)
    assert done.status == 200, done
    assert "demo" in done.text
    answer = poll(site, token)
    assert answer.status == 200, answer
    assert answer.json["loginName"] == "demo"
    assert site.signed("demo", answer.json["appPassword"])("GET", WEBDAV).status == 200
    assert poll(site, token).status == 404
    assert browser.open(path).status == 404


def test_login_flow_needs_its_own_form_and_ends(cloud, site):
    path, token = begin(site)
    form = {"user": "demo", "password": USER_PASSWORD}
    assert site("POST", path, form).status == 403
    assert site("POST", path, {**form, "csrf": "x"}, {"Cookie": "drive_csrf=y"}).status == 403
    assert site("POST", path, form, {"Sec-Fetch-Site": "cross-site"}).status == 403
    assert site("GET", path + "x").status == 404
    browser = Browser(site)
    page = browser.open(path)
    cloud.database.run(lambda db: db.execute(update(login).values(created=now() - timedelta(minutes=21))).rowcount)
    assert browser.send(page, path, **form).status == 404
    assert poll(site, token).status == 404
    begin(site)
    with cloud.database.read() as db:
        assert len(db.execute(select(login)).all()) == 1, "old ones are forgotten"


def test_login_flow_of_who_is_disabled_meanwhile(cloud, site):
    path, token = begin(site)
    browser = Browser(site)
    assert browser.send(browser.open(path), path, user="demo", password=USER_PASSWORD).status == 200
    cloud.database.run(lambda db: db.execute(update(user).where(user.c.name == "demo").values(enabled=False)).rowcount)
    assert poll(site, token).status == 404


def test_sign_ins_are_not_begun_without_end(cloud, site):
    assert 429 in [site("POST", "/index.php/login/v2").status for _ in range(30)]


def test_a_person_sees_makes_and_takes_away_devices(cloud, site):
    browser = Browser(site)
    page = browser.open("/")
    assert page.status == 200
    assert browser.send(page, Account.PATH, user="demo", password="no").status == 403
    page = browser.send(page, Account.PATH, user="demo", password=USER_PASSWORD)
    assert "There is no device yet" in page.text
    made = browser.send(page, Account.PATH, do="make", name="<phone>", may="read", days="3")
    secret = made.text.partition("<code>")[2].partition("</code>")[0]
    assert site.signed("demo", secret)("GET", WEBDAV).status == 200
    assert site.signed("demo", secret)("PUT", WEBDAV).status == 403
    assert browser.send(page, Account.PATH, do="make", name="x", days="nine").status == 400
    page = browser.open(Account.PATH)
    assert "&lt;phone&gt;" in page.text
    assert secret not in page.text
    id_ = page.text.partition('name="id" value="')[2].partition('"')[0]
    assert browser.send(page, Account.PATH, do="remove", id="none").status == 404
    page = browser.send(page, Account.PATH, do="remove", id=id_)
    assert "There is no device yet" in page.text
    assert site.signed("demo", secret)("GET", WEBDAV).status == 401
    path, token = begin(site)
    flow = browser.open(path)
    assert "demo" in flow.text
    assert browser.send(flow, path).status == 200
    assert poll(site, token).status == 200
    assert 'name="user"' in browser.send(browser.open(Account.PATH), Account.PATH, do="leave").text


def test_pages_refuse_when_guessed(cloud, site):
    browser = Browser(site)
    page = browser.open(Account.PATH)
    for _ in range(6):
        browser.send(page, Account.PATH, user="demo", password="no")
    began = time.monotonic()
    assert browser.send(page, Account.PATH, user="demo", password="no").status in ({429} if time.monotonic() - began < 1 else {403, 429})


def test_what_deleted_users_had_goes(cloud):
    add(cloud)
    cloud.other("eve")
    add(cloud, "eve")
    cloud.admin.delete(f"/identity/v3/users/{cloud.id_of('users', 'eve')}")
    assert cloud.database.run(leaving.forget) == 1
    assert cloud.database.run(leaving.forget) == 0
    with cloud.database.read() as db:
        assert [row.user_id for row in db.execute(select(device))] == [cloud.id_of("users", "demo")]
    cloud.settle()
    assert cloud.engine.health["drive.leaving"].error is None or not cloud.engine.health["drive.leaving"].error
