"""Documents of S3, in and out. In: expat with every declaration refused, so that no entity is ever expanded.

A shape says what a document holds: a mapping of element names to `str`, `int`, `bool`, another shape, or a list of one of
these where the element repeats. The same shape reads a document into plain values and writes it again.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any
from xml.parsers import expat

from andromede.services.object.s3.errors import S3Error

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'
_DEEP, _MANY, _QUICK = 12, 60_000, 32_768
_ESCAPES = {ord("&"): "&amp;", ord("<"): "&lt;", ord(">"): "&gt;", ord('"'): "&quot;", 13: "&#xD;"} | {
    code: f"&#x{code:x};" for code in range(32) if code not in {9, 10, 13}
}

Fields = Sequence[tuple[str, Any]]


class Node:
    """An element: its name and attributes without their namespaces, its text, and the elements in it."""

    __slots__ = ("attributes", "children", "name", "text")

    def __init__(self, name: str, attributes: dict[str, str]) -> None:
        self.name, self.attributes, self.text = name, attributes, ""
        self.children: list[Node] = []

    def find(self, name: str) -> "Node | None":
        """The first element of a name in it."""
        return next((child for child in self.children if child.name == name), None)

    def all(self, name: str) -> "list[Node]":
        """The elements of a name in it."""
        return [child for child in self.children if child.name == name]

    def value(self, name: str, default: str = "") -> str:
        """The text of the first element of a name in it."""
        found = self.find(name)
        return default if found is None else found.text


def malformed(text: str = "") -> S3Error:
    """The error of a document that is not what it should be."""
    return S3Error("MalformedXML", text)


def parse(data: bytes, root: str = "") -> Node:
    """The root element, which is a `root`. Raises MalformedXML."""
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    top = Node("", {})
    path, count = [top], 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal count
        count += 1
        if len(path) > _DEEP or count > _MANY:
            raise malformed()
        node = Node(name.rpartition(" ")[2], {key.rpartition(" ")[2]: value for key, value in attributes.items()})
        path[-1].children.append(node)
        path.append(node)

    def end(_name: str) -> None:
        path.pop()

    def text(data: str) -> None:
        path[-1].text += data

    def refuse(*_given: Any) -> None:
        raise malformed()

    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, text
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = parser.ProcessingInstructionHandler = refuse
    try:
        parser.Parse(data, True)
    except (expat.ExpatError, LookupError, ValueError) as error:  # the last two: of an encoding that nobody knows
        raise malformed() from error
    if not top.children or (root and top.children[0].name != root):
        raise malformed()
    return top.children[0]


async def parsed(data: bytes, root: str = "") -> Node:
    """As `parse`; a long document elsewhere than on the event loop."""
    return parse(data, root) if len(data) < _QUICK else await asyncio.to_thread(parse, data, root)


def escape(text: str) -> str:
    """A text as it stands in a document."""
    return text.translate(_ESCAPES)


def document(root: str, fields: Fields, *, namespace: str = NAMESPACE) -> bytes:
    """A document. fields: names and values: a text, a number, a truth, further fields, or None for what is left out; a value
    that is a `Raw` is written as it is."""
    out = [_HEAD, f'<{root} xmlns="{namespace}">' if namespace else f"<{root}>"]
    _put(out, fields)
    out.append(f"</{root}>")
    return "".join(out).encode("utf-8", "surrogatepass")


class Raw(str):
    """Text that is XML already."""

    __slots__ = ()


def _put(out: list[str], fields: Fields) -> None:
    for name, value in fields:
        if value is None:
            continue
        if isinstance(value, Raw):
            out.append(value)
        elif isinstance(value, str):
            out.append(f"<{name}>{escape(value)}</{name}>")
        elif isinstance(value, bool):
            out.append(f"<{name}>{'true' if value else 'false'}</{name}>")
        elif isinstance(value, int):
            out.append(f"<{name}>{value}</{name}>")
        else:
            out.append(f"<{name}>")
            _put(out, value)
            out.append(f"</{name}>")


def shaped(node: Node, shape: Mapping[str, Any]) -> dict[str, Any]:
    """The values of an element of a shape. Raises MalformedXML for what does not belong there."""
    values: dict[str, Any] = {}
    for child in node.children:
        kind = shape.get(child.name)
        if kind is None:
            raise malformed()
        if isinstance(kind, list):
            values.setdefault(child.name, []).append(_value(child, kind[0]))
        elif child.name in values:
            raise malformed()
        else:
            values[child.name] = _value(child, kind)
    return values


def _value(node: Node, kind: Any) -> Any:
    if isinstance(kind, Mapping):
        return shaped(node, kind)
    text = node.text.strip()
    if node.children:
        raise malformed()
    if kind is int:
        digits = text.removeprefix("-")
        if not (digits.isascii() and digits.isdigit() and len(digits) <= 18):
            raise malformed()
        return int(text)
    if kind is bool:
        if text.lower() not in {"true", "false"}:
            raise malformed()
        return text.lower() == "true"
    return node.text


def fields(values: Mapping[str, Any], shape: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The values of a shape as fields of a document, in the shape's order."""
    made: list[tuple[str, Any]] = []
    for name, kind in shape.items():
        if name not in values:
            continue
        one = kind[0] if isinstance(kind, list) else kind
        many = values[name] if isinstance(kind, list) else [values[name]]
        made += [(name, fields(value, one) if isinstance(one, Mapping) else value) for value in many]
    return made
