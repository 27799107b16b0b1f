"""Readers and writers of dataclasses, compiled once per class from its type hints."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias, TypeVar, Union, cast, get_args, get_origin, get_type_hints

__all__ = ["Mismatch", "Reader", "Writer", "reader_of", "writer_of"]

Reader: TypeAlias = Callable[[object], object]
"""Turn plain maps, lists and scalars into the value of a type hint, or raise ``Mismatch``."""

Writer: TypeAlias = Callable[[object], object]
"""Turn a value of a type hint into what msgpack packs."""

_T = TypeVar("_T")
_ABSENT = object()
_SCALARS: tuple[type, ...] = (str, int, float, bool)
_SHOWN_CHARS = 60
# Two threads may compile the same class at once; both get the same function's equal.
_READERS: dict[type, Reader] = {}
_WRITERS: dict[type, Writer] = {}


class Mismatch(Exception):
    """A value of another type than its field's; ``where`` is its path in the body."""

    def __init__(self, wanted: str, value: object = _ABSENT) -> None:
        super().__init__(wanted)
        self.wanted = wanted
        self.found = "nothing" if value is _ABSENT else _shown(value)
        self.where = ""

    def inside(self, place: str) -> Mismatch:
        """Return this mismatch with the path extended by an outer level."""
        joint = "" if not self.where or self.where.startswith("[") else "."
        self.where = f"{place}{joint}{self.where}"
        return self


def _shown(value: object) -> str:
    """Describe a received value briefly."""
    if isinstance(value, str):
        text = repr(value[:_SHOWN_CHARS])
        return text if len(value) <= _SHOWN_CHARS else f"{text}..."
    if value is None or isinstance(value, (bool, int, float)):
        return repr(value)
    if isinstance(value, (dict, list)):
        return "a map" if isinstance(value, dict) else "a list"
    return f"a {type(value).__name__}"


# --- reading --------------------------------------------------------------------------------


def reader_of(cls: type[_T]) -> Callable[[object], _T]:
    """Return the function that reads a map into the dataclass ``cls``.

    Unknown keys are ignored: a newer peer may send more. A field without a default is required.
    """
    reader = _READERS.get(cls)
    if reader is None:
        reader = _READERS[cls] = _dataclass_reader(cls)
    return cast("Callable[[object], _T]", reader)


def _dataclass_reader(cls: type) -> Reader:
    hints = get_type_hints(cls)
    plan = tuple(
        (field.name, _reader(hints[field.name]), _has_default(field))
        for field in dataclasses.fields(cls)
    )

    def read(value: object) -> object:
        if type(value) is not dict:
            raise Mismatch("a map", value)
        values: dict[str, object] = {}
        for name, read_field, has_default in plan:
            raw = value.get(name, _ABSENT)
            if raw is _ABSENT:
                if has_default:
                    continue
                raise Mismatch("a value").inside(name)
            try:
                values[name] = read_field(raw)
            except Mismatch as mismatch:
                raise mismatch.inside(name) from None
        return cls(**values)

    return read


def _has_default(field: dataclasses.Field[object]) -> bool:
    return (
        field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
    )


def _reader(hint: object) -> Reader:
    origin = get_origin(hint)
    if isinstance(hint, type) and origin is None:
        if dataclasses.is_dataclass(hint):
            return reader_of(hint)
        if hint in _SCALARS:
            return _scalar_reader((hint,))
    if origin is Literal:
        return _literal_reader(get_args(hint))
    if origin is tuple:
        return _tuple_reader(get_args(hint))
    if origin is dict:
        return _map_reader(get_args(hint))
    if origin in (Union, types.UnionType):
        return _union_reader(get_args(hint))
    raise TypeError(f"a message cannot hold {hint!r}")


def _scalar_reader(wanted: tuple[type, ...]) -> Reader:
    """Read one of several scalar types; a bool is not an int, an int is accepted as a float."""
    has_float_only = float in wanted and int not in wanted
    names = " or ".join("none" if kind is types.NoneType else kind.__name__ for kind in wanted)
    accepted = frozenset(wanted)

    def read(value: object) -> object:
        kind = type(value)
        if kind in accepted:
            return value
        if has_float_only and kind is int:
            return float(cast(int, value))
        raise Mismatch(names, value)

    return read


def _literal_reader(choices: tuple[object, ...]) -> Reader:
    names = " or ".join(repr(choice) for choice in choices)

    def read(value: object) -> object:
        if type(value) is str and value in choices:
            return value
        raise Mismatch(names, value)

    return read


def _tuple_reader(items: tuple[object, ...]) -> Reader:
    if len(items) == 2 and items[1] is Ellipsis:
        return _sequence_reader(items[0])
    readers = tuple(_reader(item) for item in items)

    def read(value: object) -> object:
        if type(value) is not list or len(value) != len(readers):
            raise Mismatch(f"a list of {len(readers)}", value)
        return tuple(_each(value, readers))

    return read


def _each(values: list[object], readers: tuple[Reader, ...]) -> list[object]:
    results: list[object] = []
    try:
        for value, read in zip(values, readers, strict=True):
            results.append(read(value))
    except Mismatch as mismatch:
        raise mismatch.inside(f"[{len(results)}]") from None
    return results


def _sequence_reader(item: object) -> Reader:
    read_item = _reader(item)

    def read(value: object) -> object:
        if type(value) is not list:
            raise Mismatch("a list", value)
        try:
            return tuple([read_item(entry) for entry in value])
        except Mismatch:
            return tuple(_each(value, (read_item,) * len(value)))  # again, to name the place

    return read


def _map_reader(hints: tuple[object, ...]) -> Reader:
    read_entry = _reader(hints[1])

    def read(value: object) -> object:
        if type(value) is not dict:
            raise Mismatch("a map", value)
        values: dict[str, object] = {}
        for key, entry in value.items():
            if type(key) is not str:
                raise Mismatch("a map with text as keys", value)
            try:
                values[key] = read_entry(entry)
            except Mismatch as mismatch:
                raise mismatch.inside(f"[{_shown(key)}]") from None
        return values

    return read


def _union_reader(members: tuple[object, ...]) -> Reader:
    tagged = _tagged(members)
    if tagged:
        return _tagged_reader(tagged)
    if all(member in (*_SCALARS, types.NoneType) for member in members):
        return _scalar_reader(cast("tuple[type, ...]", members))
    others = [member for member in members if member is not types.NoneType]
    if len(others) != 1 or len(members) != 2:
        raise TypeError(f"a message cannot hold a union of {members!r}")
    read_other = _reader(others[0])
    return lambda value: None if value is None else read_other(value)


def _tagged(members: tuple[object, ...]) -> Mapping[str, type]:
    """Return the dataclasses of a union by their tag ``by``; empty if one has none."""
    if not all(isinstance(member, type) and hasattr(member, "by") for member in members):
        return {}
    return {cast(str, getattr(member, "by")): cast(type, member) for member in members}  # noqa: B009


def _tagged_reader(members: Mapping[str, type]) -> Reader:
    readers: dict[str, Reader] = {tag: reader_of(member) for tag, member in members.items()}
    names = " or ".join(repr(tag) for tag in readers)

    def read(value: object) -> object:
        if type(value) is not dict:
            raise Mismatch("a map", value)
        tag = value.get("by", _ABSENT)
        if type(tag) is not str or tag not in readers:
            raise Mismatch(names, tag).inside("by")
        return readers[tag](value)

    return read


# --- writing --------------------------------------------------------------------------------


def writer_of(cls: type) -> Writer:
    """Return the function that turns a dataclass of type ``cls`` into a map."""
    writer = _WRITERS.get(cls)
    if writer is None:
        writer = _WRITERS[cls] = _dataclass_writer(cls)
    return writer


def _dataclass_writer(cls: type) -> Writer:
    hints = get_type_hints(cls)
    plan = tuple((field.name, _writer(hints[field.name])) for field in dataclasses.fields(cls))
    tag = getattr(cls, "by", None)

    def write(value: object) -> object:
        body: dict[str, object] = {} if tag is None else {"by": tag}
        for name, write_field in plan:
            entry = getattr(value, name)
            body[name] = entry if write_field is None else write_field(entry)
        return body

    return write


def _writer(hint: object) -> Writer | None:
    """Return the function that writes a value, or None if msgpack packs it unchanged."""
    origin = get_origin(hint)
    if dataclasses.is_dataclass(hint):
        return _write_dataclass
    if origin is tuple:
        items = get_args(hint)
        return (
            _write_all if any(dataclasses.is_dataclass(i) or _is_union(i) for i in items) else None
        )
    if _is_union(hint) and any(dataclasses.is_dataclass(member) for member in get_args(hint)):
        return _write_dataclass
    return None


def _is_union(hint: object) -> bool:
    return get_origin(hint) in (Union, types.UnionType)


def _write_dataclass(value: object) -> object:
    return writer_of(type(value))(value) if dataclasses.is_dataclass(value) else value


def _write_all(values: object) -> object:
    return [_write_dataclass(value) for value in cast("tuple[object, ...]", values)]
