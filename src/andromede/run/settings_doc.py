"""`docs/operations/settings.md`, made from `run/settings.py`: `python -m andromede.run.settings_doc` prints it."""

import ast
import sys
from pathlib import Path
from typing import Any, get_args, get_origin

import msgspec

from andromede.run import settings
from andromede.run.home import CONFIG

_HEAD = f"""# Settings

The settings of a cloud are a TOML file, `{CONFIG}` (for a cloud with `--home DIR`: `DIR/andromede.toml`). Every option is
optional; a file need not exist. An option that does not exist, or has a value of the wrong type, is refused with its name. Options count
from the next `andromede down` and `andromede up` on; servers go on meanwhile.

```toml
[api]
port = 5001

[network]
public_cidr = "192.0.2.0/24"
```

This page is made from `src/andromede/run/settings.py` by `python -m andromede.run.settings_doc`.
"""


def markdown() -> str:
    """The page."""
    parts = [_HEAD]
    sections = {field.name: field.type for field in msgspec.structs.fields(settings.Settings)}
    told = _docstrings(Path(settings.__file__).read_text())
    for name, section in sections.items():
        _table(parts, told, name, section)
    return "\n".join(parts)


def _table(parts: list[str], told: dict[str, tuple[str, dict[str, str]]], name: str, section: Any) -> None:
    """A section, and after it those that are named within it."""
    about, meanings = told[section.__name__]
    rows, within = [f"## `[{name}]`\n\n{about}\n\n| option | default | meaning |\n|---|---|---|"], []
    for field in msgspec.structs.fields(section):
        inner = get_args(field.type)[1] if get_origin(field.type) is dict else None
        if inner is not None and issubclass(inner, settings.Section):
            within.append((f"{name}.{field.name}.NAME", inner))
            continue
        default = field.default_factory() if field.default_factory is not msgspec.NODEFAULT else field.default
        rows.append(f"| `{field.name}` | {_shown(default)} | {meanings[field.name]} |")
    parts.append("\n".join(rows) + "\n")
    for each in within:
        _table(parts, told, *each)


def _docstrings(source: str) -> dict[str, tuple[str, dict[str, str]]]:
    """By class: its docstring, and those that follow its fields."""
    found = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef):
            fields = {}
            for line, after in zip(node.body, node.body[1:], strict=False):
                if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name) and isinstance(after, ast.Expr):
                    fields[line.target.id] = ast.literal_eval(after.value)
            found[node.name] = (ast.get_docstring(node) or "", fields)
    return found


def _shown(value: object) -> str:
    """A default as TOML writes it."""
    if value is msgspec.NODEFAULT:
        return "needed"
    if isinstance(value, dict):
        return "`{}`"
    if isinstance(value, tuple):
        return f"`[{', '.join(_shown(one).strip('`') for one in value)}]`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f'`"{value}"`' if isinstance(value, str) else f"`{value}`"


if __name__ == "__main__":
    sys.stdout.write(markdown())
