"""The documents agree with each other and with the program."""

import re
from pathlib import Path
from typing import get_args, get_origin

import msgspec
import pytest

from andromede.run import settings, settings_doc
from andromede.run.cli import app

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
COMMANDS = {name for name in app if not name.startswith("-") and app[name].show}
CODE = re.compile(r"^```.*?^```$|`[^`\n]+`", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def headings(page: Path) -> set[str]:
    """Anchors of a page, as GitHub makes them."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target in LINK.findall(page.read_text()):
        if target.startswith(("https://", "http://")):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), target
        assert not anchor or anchor in headings(there), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_that_are_named_exist(page):
    named = {word for code in CODE.findall(page.read_text()) for word in re.findall(r"(?:^|[\s`(]|\./)andromede ([a-z]+)", code)}
    assert named <= COMMANDS | {"test"}


def test_every_command_is_in_the_operations_manual():
    assert {"up", "down", "openstack", "image"} <= COMMANDS
    manual = (ROOT / "docs" / "operations" / "running.md").read_text()
    assert [name for name in COMMANDS if f"`andromede {name}" not in manual] == []
    front = (ROOT / "andromede").read_text().splitlines()[2]
    assert [name for name in COMMANDS if name not in front] == []


def test_the_tests_that_the_readme_names_exist():
    rows = re.findall(r"\[`(test_\w+)`\]\((tests/[\w/]+\.py)\)", (ROOT / "README.md").read_text())
    assert len(rows) > 15
    for name, path in rows:
        assert re.search(rf"^ *(async )?def {name}\(", (ROOT / path).read_text(), re.MULTILINE), f"{path} has no {name}"


def test_the_page_of_settings_is_current():
    said = (ROOT / "docs" / "operations" / "settings.md").read_text()
    assert said == settings_doc.markdown(), "run: python -m andromede.run.settings_doc >docs/operations/settings.md"


def test_every_setting_is_described_and_read_by_the_program():
    sources = [path for path in (ROOT / "src").rglob("*.py") if path.name not in {"settings.py", "settings_doc.py"}]
    code = "\n".join(path.read_text() for path in sources)
    todo, page = [(field.name, field.type) for field in msgspec.structs.fields(settings.Settings)], settings_doc.markdown()
    while todo:
        name, section = todo.pop()
        for option in msgspec.structs.fields(section):
            if get_origin(option.type) is dict and issubclass(get_args(option.type)[1], settings.Section):
                todo.append((f"{name}.{option.name}.NAME", get_args(option.type)[1]))
                assert f"## `[{todo[-1][0]}]`" in page
            else:
                assert f"| `{option.name}` |" in page
            assert re.search(rf"\b{option.name}\b", code), f"nothing reads {name}.{option.name}"


def test_no_page_names_a_place_that_only_its_writer_has():
    for page in PAGES:
        assert not re.search(r"/var/tmp", page.read_text()), page
