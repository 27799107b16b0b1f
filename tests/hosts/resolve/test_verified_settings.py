"""Settings are written, read back, and reported where Resolve does not accept them."""

from __future__ import annotations

import pytest

from kwaflux_resolve.verified_settings import refused, rejected_settings, text_of


class Deaf(dict[str, object]):
    """Settings of which some are never taken, and all are said to be."""

    def __init__(self, values: dict[str, object], *, fixed: tuple[str, ...] = ()) -> None:
        super().__init__(values)
        self._fixed = fixed
        self.written: list[str] = []

    def write(self, name: str, value: object) -> bool:
        self.written.append(name)
        if name not in self._fixed:
            self[name] = value
        return True


def test_what_is_not_taken_is_named() -> None:
    host = Deaf({"a": "1", "b": "2"}, fixed=("b",))
    wanted = {"a": "5", "b": "6"}
    assert rejected_settings(wanted, write=host.write, read=host.get) == "b"
    assert host.written == ["a", "b"]


@pytest.mark.parametrize(("held", "wanted"), [("24.0", "24"), (24, "24.000"), (" x ", "x")])
def test_the_same_is_the_same_however_it_is_spelled(held: object, wanted: str) -> None:
    host = Deaf({"a": held}, fixed=("a",))
    assert not rejected_settings({"a": wanted}, write=host.write, read=host.get)


@pytest.mark.parametrize("held", [None, "", "nan", "25"])
def test_nothing_is_not_something(held: object) -> None:
    host = Deaf({"a": held}, fixed=("a",))
    assert rejected_settings({"a": "24"}, write=host.write, read=host.get) == "a"


def test_only_what_is_otherwise_is_set_and_what_is_not_there_is_left() -> None:
    host = Deaf({"level": "Video", "idt": "x", "space": ""}, fixed=("idt",))
    wanted = {"level": ("Full", "Auto"), "idt": ("y",), "space": ("z",), "lut": ("none",)}
    assert refused(wanted, write=host.write, read=host.get) == ["idt"]
    assert host.written == ["level", "idt"]
    assert host["level"] == "Full"


def test_a_value_that_is_not_there_is_no_text() -> None:
    assert [text_of(value) for value in (None, 0, " a ")] == ["", "0", "a"]
