"""A server's display in a real browser: the console's page opens, shows what the guest shows, and what is typed reaches the guest."""

import shutil

import pytest

from tests.host.test_server_life import ask, bonjour
from tests.waiting import until

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [pytest.mark.timeout(600), pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")]
SERVERS = "/compute/v2.1/servers"
WORD = "3bonjours"


@pytest.fixture(scope="module")
def browser():
    """A browser without a window."""
    driver = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    with driver.sync_playwright() as play:
        started = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield started
        started.close()


def test_what_is_typed_in_a_browser_reaches_the_guest(real, browser):
    server = bonjour(real)
    addresses = [one["addr"] for ends in server["addresses"].values() for one in ends if one["OS-EXT-IPS:type"] == "floating"]
    until(lambda: real.ssh(addresses[0], f"echo petit:{WORD} | sudo chpasswd").returncode == 0, 120)
    asked = {"remote_console": {"protocol": "vnc", "type": "novnc"}}
    url = ask(real.user, f"{SERVERS}/{server['id']}/remote-consoles", asked, "2.6")["remote_console"]["url"]
    page = browser.new_page()
    failures = []

    def note(error):
        failures.append(error)

    page.on("pageerror", note)
    page.goto(url)
    page.get_by_text("Connected", exact=True).wait_for(timeout=60_000)
    screen = page.locator("#screen canvas")
    width, height = screen.evaluate("canvas => [canvas.width, canvas.height]")
    assert width >= 640
    assert height >= 350
    lit = "canvas => canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.some((byte, at) => at % 4 < 3 && byte > 100)"
    until(lambda: screen.evaluate(lit), 60)
    screen.click()
    where = "for one in /proc/[0-9]*; do [ \"$(readlink $one/fd/0)\" = /dev/tty1 ] && cat $one/comm; done"
    for line, comes in (("petit", "login"), (WORD, "sh"), ("touch /tmp/typed", "sh")):
        page.keyboard.type(line, delay=40)
        page.keyboard.press("Enter")
        until(lambda comes=comes: comes in real.ssh(addresses[0], f"sudo sh -c '{where}'").stdout.split(), 60)
    until(lambda: real.ssh(addresses[0], "ls /tmp/typed").stdout.strip() == "/tmp/typed", 60)
    assert failures == []
    page.close()
    again = browser.new_page()
    again.goto(url.replace("token%3D", "token%3D0"))
    again.get_by_text("The connection ended").wait_for(timeout=30_000)
