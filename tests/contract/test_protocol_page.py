"""``docs/protocol.md`` says of every message what the code says, no more and no less."""

from __future__ import annotations

import dataclasses
import json
import re
import types
from typing import Literal, Union, get_args, get_origin, get_type_hints

import pytest

from kwaflux_core.protocol import messages
from kwaflux_core.protocol.codec import CodecLimits
from kwaflux_core.protocol.messages import MESSAGES, PROTOCOL_VERSION, PixelRef, Target
from kwaflux_testing.packages import REPOSITORY

PAGE = (REPOSITORY / "docs" / "protocol.md").read_text(encoding="utf-8")
RECORDS = {
    name: found
    for name, found in vars(messages).items()
    if isinstance(found, type) and dataclasses.is_dataclass(found) and not hasattr(found, "kind")
}
_HEADING = re.compile(r"^### `([A-Za-z_]+)`$", re.MULTILINE)
_ROW = re.compile(r"^\| `([a-z_]+)` \| (.*?) \| (.*?) \| (.*?) \|$", re.MULTILINE)
_SCALARS = {str: "text", int: "int", float: "float", bool: "bool", types.NoneType: "none"}
_UNIONS = {PixelRef: "PixelRef", Target: "Target"}


@dataclasses.dataclass(frozen=True)
class Row:
    """One field as the page has it."""

    name: str
    type: str
    default: str
    meaning: str


def _sections() -> dict[str, list[Row]]:
    """Return the rows of each message's and each record's table, under its heading."""
    parts = _HEADING.split(PAGE)
    return {
        name: [Row(*cells) for cells in _ROW.findall(re.split(r"^##? ", text, flags=re.M)[0])]
        for name, text in zip(parts[1::2], parts[2::2], strict=True)
    }


SECTIONS = _sections()


def test_the_page_has_every_message_and_record_once_and_no_other() -> None:
    assert sorted(_HEADING.findall(PAGE)) == sorted([*MESSAGES, *RECORDS])


@pytest.mark.parametrize("name", [*MESSAGES, *RECORDS])
def test_every_field_stands_in_the_page_with_its_type_and_default(name: str) -> None:
    cls = MESSAGES.get(name) or RECORDS[name]
    found = [(row.name, row.type, row.default) for row in SECTIONS[name]]
    assert found == _expected(cls), f"correct the table of {name} in docs/protocol.md"
    assert all(row.meaning.strip() for row in SECTIONS[name])


def test_the_page_states_the_version_the_code_speaks() -> None:
    assert f"This page describes version **{PROTOCOL_VERSION}**" in PAGE


@pytest.mark.parametrize("limit", dataclasses.fields(CodecLimits), ids=lambda limit: limit.name)
def test_the_page_states_the_limits_of_the_codec(limit: dataclasses.Field[int]) -> None:
    assert f"| `{limit.name}` | {limit.default:,} |" in PAGE


def test_the_page_names_no_message_that_does_not_exist() -> None:
    named = set(re.findall(r"\[`([A-Za-z_]+)`\]\(#", PAGE))
    assert named <= {*MESSAGES, *RECORDS}
    anchors = set(re.findall(r"\]\(#([a-z0-9_-]+)\)", PAGE))
    headings = re.findall(r"^#+ (.*)$", PAGE, re.MULTILINE)
    assert anchors <= {_anchor(heading) for heading in headings}


def _anchor(heading: str) -> str:
    return re.sub(r"[^a-z0-9_ -]", "", heading.lower()).replace(" ", "-")


def _expected(cls: type) -> list[tuple[str, str, str]]:
    hints = get_type_hints(cls)
    tag = [("by", f'`"{cls.by}"`', "")] if hasattr(cls, "by") else []
    rows = [
        (field.name, _spelled(hints[field.name]), _default(field))
        for field in dataclasses.fields(cls)
    ]
    return tag + rows


def _default(field: dataclasses.Field[object]) -> str:
    """Return a default as JSON; nothing for a field that must be there."""
    if field.default_factory is not dataclasses.MISSING:
        return f"`{json.dumps(field.default_factory())}`"
    if field.default is dataclasses.MISSING:
        return ""
    default = field.default
    if dataclasses.is_dataclass(default):
        return "`{}`"  # each of its fields has a default
    return f"`{json.dumps(list(default) if isinstance(default, tuple) else default)}`"


def _spelled(hint: object) -> str:
    """Return a type as the page spells it."""
    if isinstance(hint, type) and hint in _SCALARS:
        return _SCALARS[hint]
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        name = str(getattr(hint, "kind", hint.__name__))
        return f"[`{name}`](#{name.lower()})"
    origin, items = get_origin(hint), get_args(hint)
    if origin is Literal:
        return " or ".join(f"`{json.dumps(item)}`" for item in items)
    if origin is tuple:
        if items[-1] is Ellipsis:
            return f"list of {_spelled(items[0])}"
        return f"list of {len(items)} {_spelled(items[0])}"
    if origin is dict:
        return f"map of {_spelled(items[0])} to {_spelled(items[1])}"
    assert origin in (Union, types.UnionType), hint
    for union, name in _UNIONS.items():
        if set(items) == set(get_args(union)):
            return f"[{name}](#pixels)"
    return " or ".join(_spelled(item) for item in items)
