"""Read JSON key by key, typed, so that what is wrong is said with the key's full path."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from typing import NoReturn, TypeAlias

from kwaflux_core.errors import KwafluxError
from kwaflux_core.suggestions import shortened, suggestion

__all__ = ["JsonObject", "Value", "as_value", "parse_json", "plain_values"]

Value: TypeAlias = "str | int | float | bool"

_KINDS: tuple[tuple[type, str], ...] = (
    (bool, "true or false"),
    (int, "a whole number"),
    (float, "a number"),
    (str, "a text"),
    (list, "a list"),
    (tuple, "a list"),
    (Mapping, "an object"),
)


def parse_json(text: str, *, what: str, error: type[KwafluxError]) -> object:
    """Return the value of a JSON text.

    Raises:
        KwafluxError: Of the class ``error``: no JSON, a key that stands twice, NaN or Infinity,
            or nested too deep. ``column`` is the place in the text, from 1.
    """

    def refuse_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
        found: dict[str, object] = {}
        for key, value in pairs:
            if key in found:
                raise error(
                    f"the key {shortened(key)} stands twice in {what}", hint="remove one of the two"
                )
            found[key] = value
        return found

    def refuse_constant(name: str) -> object:
        raise error(f"{what} holds {name}", hint="numbers must be finite")

    try:
        value: object = json.loads(
            text, object_pairs_hook=refuse_duplicates, parse_constant=refuse_constant
        )
    except json.JSONDecodeError as broken:
        raise error(
            f"{what} is no JSON: {broken.msg} in line {broken.lineno}, column {broken.colno}",
            hint="correct the text there",
            column=broken.pos + 1,
        ) from broken
    except (ValueError, RecursionError) as broken:  # thousands of digits, thousands of brackets
        raise error(
            f"{what} is no JSON that can be read",
            hint="it nests too deep or holds a number that is too long",
        ) from broken
    return value


def as_value(raw: object, *, path: str, what: str, error: type[KwafluxError]) -> Value:
    """Return a text, finite number or boolean as it is.

    Raises:
        KwafluxError: Of the class ``error``: it is something else.
    """
    if isinstance(raw, (bool, int, str)):
        return raw
    if isinstance(raw, float) and math.isfinite(raw):
        return raw
    raise _wrong(raw, "a text, a finite number or a boolean", path=path, what=what, error=error)


class JsonObject:
    """Hold one JSON object and give its values out by type.

    Args:
        raw: What the parser gave.
        at: Where it stands (``params[0]``); empty for the whole.
        what: What is being read, for messages (``the card``).
        known: Every key it may have.
        error: The class of error that is raised.

    Raises:
        KwafluxError: Of the class ``error``: no object, or a key that is not known. Every method
            raises it where the key is missing (and has no default) or holds another type.
    """

    def __init__(
        self,
        raw: object,
        *,
        at: str = "",
        what: str,
        known: Collection[str],
        error: type[KwafluxError],
    ) -> None:
        self._at, self._what, self._error = at, what, error
        if not isinstance(raw, Mapping):
            raise _wrong(raw, "an object", path=at or "the whole", what=what, error=error)
        self._raw: Mapping[object, object] = raw
        for key in raw:
            if not isinstance(key, str) or key not in known:
                raise error(
                    f"{what} has an unknown key {self._path(str(key)[:60])!r}",
                    hint=suggestion(str(key), known, kind="the keys"),
                    key=self._path(str(key)[:60]),
                )

    def has(self, key: str) -> bool:
        """Tell whether the key stands there."""
        return key in self._raw

    def is_object(self, key: str) -> bool:
        """Tell whether an object stands under the key."""
        return isinstance(self._raw.get(key), Mapping)

    def text(self, key: str) -> str:
        """Return a text."""
        raw = self._get(key)
        return raw if isinstance(raw, str) else self._refuse(key, "a text")

    def flag(self, key: str, *, default: bool) -> bool:
        """Return true or false."""
        raw = self._raw.get(key, default)
        return raw if isinstance(raw, bool) else self._refuse(key, "true or false")

    def integer(self, key: str, *, low: int, default: int | None = None) -> int:
        """Return a whole number that is at least ``low``."""
        raw = self._get(key) if default is None else self._raw.get(key, default)
        if isinstance(raw, int) and not isinstance(raw, bool) and raw >= low:
            return raw
        return self._refuse(key, f"a whole number of {low} or more")

    def number(self, key: str) -> float:
        """Return a finite number; a whole one stays an int."""
        return self._number(key, self._get(key), "a finite number")

    def pair(self, key: str) -> tuple[float, float]:
        """Return two finite numbers."""
        raw = self._get(key)
        if not isinstance(raw, (list, tuple)) or len(raw) != 2:
            return self._refuse(key, "a list of two numbers")
        wanted = "a list of two finite numbers"
        return (self._number(key, raw[0], wanted), self._number(key, raw[1], wanted))

    def value(self, key: str) -> Value:
        """Return a text, finite number or boolean."""
        return as_value(self._get(key), path=self._path(key), what=self._what, error=self._error)

    def items(self, key: str, *, is_optional: bool = False) -> list[tuple[str, object]]:
        """Return the items of a list with the path of each; an optional list may be missing."""
        raw = self._raw.get(key, ()) if is_optional else self._get(key)
        if not isinstance(raw, (list, tuple)):
            return self._refuse(key, "a list")
        return [(f"{self._path(key)}[{index}]", item) for index, item in enumerate(raw)]

    def texts(self, key: str, *, is_optional: bool = False) -> tuple[str, ...]:
        """Return a list of texts."""
        items = self.items(key, is_optional=is_optional)
        found = tuple(item for _, item in items if isinstance(item, str))
        return found if len(found) == len(items) else self._refuse(key, "a list of texts")

    def mapping(self, key: str, *, is_optional: bool = False) -> dict[str, object]:
        """Return an object whose keys are free; the values are not looked at."""
        raw = self._raw.get(key, {}) if is_optional else self._get(key)
        if not isinstance(raw, Mapping) or not all(isinstance(name, str) for name in raw):
            return self._refuse(key, "an object")
        return dict(raw)

    def values(self, key: str, *, is_optional: bool = False) -> dict[str, Value]:
        """Return an object whose keys are free and whose values are plain."""
        raw = self.mapping(key, is_optional=is_optional)
        return plain_values(raw, at=self._path(key), what=self._what, error=self._error)

    def _get(self, key: str) -> object:
        if key not in self._raw:
            raise self._error(
                f"{self._what} has no {self._path(key)!r}", hint="add it", key=self._path(key)
            )
        return self._raw[key]

    def _number(self, key: str, raw: object, wanted: str) -> float:
        # A whole number beyond 64 bits fits neither a float's precision nor the wire.
        if isinstance(raw, int) and not isinstance(raw, bool) and abs(raw) < 2**63:
            return raw
        if isinstance(raw, float) and math.isfinite(raw):
            return raw
        return self._refuse(key, wanted)

    def _path(self, key: str) -> str:
        return f"{self._at}.{key}" if self._at else key

    def _refuse(self, key: str, wanted: str) -> NoReturn:
        raise _wrong(
            self._raw[key], wanted, path=self._path(key), what=self._what, error=self._error
        )


def plain_values(raw: object, *, at: str, what: str, error: type[KwafluxError]) -> dict[str, Value]:
    """Return an object whose keys are free and whose values are plain.

    Raises:
        KwafluxError: Of the class ``error``: no object, or a value that is none of them.
    """
    if not isinstance(raw, Mapping):
        raise _wrong(raw, "an object", path=at, what=what, error=error)
    return {
        str(name): as_value(value, path=f"{at}.{name}", what=what, error=error)
        for name, value in raw.items()
    }


def _kind(raw: object) -> str:
    return next((name for kind, name in _KINDS if isinstance(raw, kind)), "null")


def _wrong(
    raw: object, wanted: str, *, path: str, what: str, error: type[KwafluxError]
) -> KwafluxError:
    return error(
        f"{path} of {what} is {_kind(raw)} ({shortened(raw)}), not {wanted}",
        hint=f"give {wanted}",
        key=path,
    )
