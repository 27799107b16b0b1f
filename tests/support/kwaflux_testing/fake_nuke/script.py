"""Scripts: a tokenizer of .nk files, which are TCL, and how a fake Nuke saves and opens them.

Saved scripts have what Nuke's have: ``addUserKnob`` lines, values, a stack of nodes, groups closed
by ``end_group``. Knobs that were split by view are spelled as this fake does it, for the real
spelling is not documented.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from kwaflux_testing.fake_nuke.knobs import (
    FLAGS,
    KNOBS,
    Array_Knob,
    Enumeration_Knob,
    Knob,
    Link_Knob,
    PyScript_Knob,
    Tab_Knob,
    Text_Knob,
    quoted,
)
from kwaflux_testing.fake_nuke.nodes import Group, Node

if TYPE_CHECKING:
    from kwaflux_testing.fake_nuke.session import FakeNuke

__all__ = ["commands", "load", "saved"]

_CODES = {cls._code: cls for cls in reversed(list(KNOBS.values())) if isinstance(cls, type)}  # type: ignore[attr-defined]


def commands(text: str) -> Iterator[list[str]]:
    """Yield the commands of a TCL text as words; braces and quotes are taken off once."""
    words: list[str] = []
    position = 0
    while position < len(text):
        letter = text[position]
        if letter in "\n;":
            if words:
                yield words
            words, position = [], position + 1
        elif letter in " \t\r":
            position += 1
        elif letter == "#" and not words:
            position = (text.find("\n", position) + 1) or len(text)
        else:
            word, position = _word(text, position)
            words.append(word)
    if words:
        yield words


def _word(text: str, start: int) -> tuple[str, int]:
    if text[start] == "{":
        return _braced(text, start)
    if text[start] == '"':
        return _until(text, start + 1, ends='"')
    if text[start] == "[":
        end = text.index("]", start) + 1
        return text[start:end], end
    word, end = _until(text, start, ends=" \t\r\n;")
    return word, end - 1 if end <= len(text) and text[end - 1 : end] in ("\n", ";") else end


def _braced(text: str, start: int) -> tuple[str, int]:
    depth, position = 0, start
    while position < len(text):
        letter = text[position]
        if letter == "\\":
            position += 1
        elif letter == "{":
            depth += 1
        elif letter == "}":
            depth -= 1
            if depth == 0:
                return text[start + 1 : position], position + 1
        position += 1
    raise ValueError("a brace is not closed")


def _until(text: str, start: int, *, ends: str) -> tuple[str, int]:
    found, position = [], start
    while position < len(text) and text[position] not in ends:
        if text[position] == "\\" and position + 1 < len(text):
            position += 1
            found.append("\n" if text[position] == "n" else text[position])
        else:
            found.append(text[position])
        position += 1
    if ends == '"' and position == len(text):
        raise ValueError("a quote is not closed")
    return "".join(found), position + 1


# --- saving -----------------------------------------------------------------------------------


def saved(root: Group) -> str:
    """Return the text of a script."""
    lines = ["version 15.1 v3", "Root {", " inputs 0", *_knob_lines(root, " "), "}"]
    lines += _saved_nodes(root, "")
    return "\n".join(lines) + "\n"


def _saved_nodes(group: Group, indent: str) -> list[str]:
    lines: list[str] = []
    for node in _in_order(group):
        inputs = node._inputs
        pushed = ["0" if found is None else f"$N_{found.name()}" for found in reversed(inputs)]
        lines += [f"{indent}push {name}" for name in pushed]
        lines.append(f"{indent}{node.Class()} {{")
        lines += [f"{indent} inputs {len(inputs)}"] if len(inputs) != 1 else []
        lines += [*_knob_lines(node, indent + " "), f"{indent}}}"]
        if isinstance(node, Group):
            lines += [*_saved_nodes(node, indent + " "), f"{indent}end_group"]
        lines.append(f"{indent}set N_{node.name()} [stack 0]")
    return lines


def _in_order(group: Group) -> list[Node]:
    found: list[Node] = []

    def visit(node: Node) -> None:
        if node in found or node._parent is not group:
            return
        for before in node._inputs:
            if before is not None:
                visit(before)
        found.append(node)

    for child in group._children:
        visit(child)
    return found


def _knob_lines(node: Node, indent: str) -> list[str]:
    lines = []
    for name, knob in node._knobs.items():
        if knob._is_user:
            lines.append(f"{indent}addUserKnob {{{_definition(knob)}}}")
        is_silent = isinstance(knob, (Tab_Knob, Text_Knob, PyScript_Knob, Link_Knob))
        is_silent = is_silent and knob._is_user
        if knob.getFlag(FLAGS["DO_NOT_WRITE"]) or is_silent:
            continue
        if knob._value != knob._default or knob.isAnimated():
            lines.append(f"{indent}{name} {knob.toScript()}")
        if isinstance(knob, Array_Knob):
            lines += [
                f"{indent}{name}.{view} {{{curve._script()}}}"
                for view, curve in sorted(knob._curves.items())
                if view
            ]
    return lines


def _definition(knob: Knob) -> str:
    words = [str(knob._code), knob._name]
    words += ["l", quoted(knob._label)] if knob._label else []
    words += ["t", quoted(knob._tooltip)] if knob._tooltip else []
    words += ["+INVISIBLE"] if not knob.visible() else []
    words += ["+STARTLINE"] if knob.getFlag(FLAGS["STARTLINE"]) else []
    words += ["+READ_ONLY"] if knob.getFlag(FLAGS["READ_ONLY"]) else []
    if isinstance(knob, Enumeration_Knob):
        words.append("M {" + " ".join(quoted(value) for value in knob._values) + "}")
    elif isinstance(knob, Array_Knob) and knob._range != (0.0, 1.0):
        words.append(f"R {knob._range[0]:g} {knob._range[1]:g}")
    elif isinstance(knob, (Text_Knob, PyScript_Knob, Link_Knob)):
        words.append("T " + quoted(str(knob._value)))
    return " ".join(words)


# --- opening ----------------------------------------------------------------------------------


def load(session: FakeNuke, text: str) -> None:
    """Add what a script says to the root, running no Python but ``onCreate``."""
    groups: list[Group] = [session.root]
    stacks: list[list[Node | None]] = [[]]
    names: dict[str, Node | None] = {}
    for words in commands(text):
        if words[0] in ("version", "define_window_layout_xml"):
            continue
        if words[0] == "end_group":
            stacks.pop()
            stacks[-1].append(groups.pop())
        elif words[0] == "push":
            found = names.get(words[1].lstrip("$"))
            stacks[-1].append(found)
        elif words[0] == "set":
            names[words[1]] = stacks[-1][-1] if stacks[-1] else None
        elif words[0] == "Root":
            _fill(session.root, words[1])
        else:
            node = _loaded(session, words, groups[-1], stacks[-1])
            if isinstance(node, Group):
                groups.append(node)
                stacks.append([])
            else:
                stacks[-1].append(node)


def _loaded(session: FakeNuke, words: list[str], parent: Group, stack: list[Node | None]) -> Node:
    body = list(commands(words[1]))
    counts = [line[1] for line in body if line[0] == "inputs"]
    wanted = sum(int(part) for part in counts[0].split("+")) if counts else 1
    inputs = [stack.pop() if stack else None for _ in range(wanted)]
    node = session._make(words[0], parent)
    node._inputs = inputs
    _fill(node, words[1])
    return node


def _fill(node: Node, body: str) -> None:
    for line in commands(body):
        name = line[0]
        if name == "inputs":
            continue
        if name == "addUserKnob":
            knob = _declared(line[1])
            knob._node, knob._is_user = node, True
            node._knobs[knob._name] = knob
        elif name in node._knobs:
            node._knobs[name].fromScript(line[1])
        elif name.partition(".")[0] in node._knobs:
            _fill_view(node._knobs[name.partition(".")[0]], name.partition(".")[2], line[1])
        else:
            raise ValueError(f"{node.name()}: there is no knob {name}")


def _fill_view(knob: Knob, view: str, script: str) -> None:
    assert isinstance(knob, Array_Knob)
    held = dict(knob._curves)
    knob.fromScript(script)
    curve = knob._curves.pop("")
    knob._curves = {**held, view: curve}
    knob._views.add(view)


def _declared(text: str) -> Knob:
    (words,) = list(commands(text))
    code, name, *rest = words
    knob: Knob = _CODES[int(code)](name)
    position = 0
    while position < len(rest):
        mark = rest[position]
        if mark.startswith("+"):
            knob.setFlag(FLAGS[mark[1:]])
            position += 1
            continue
        value = rest[position + 1]
        if mark == "l":
            knob._label = value
        elif mark == "t":
            knob._tooltip = value
        elif mark == "M" and isinstance(knob, Enumeration_Knob):
            (values,) = list(commands(value)) or [[]]
            knob._set_values(values)
        elif mark == "R" and isinstance(knob, Array_Knob):
            knob.setRange(float(value), float(rest[position + 2]))
            position += 1
        elif mark == "T":
            knob._value = value
        position += 2
    return knob
