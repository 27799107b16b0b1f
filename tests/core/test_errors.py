"""The tree of errors: drawn as it is, and the same class on both ends of the wire."""

from __future__ import annotations

import inspect
import pickle
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kwaflux_core import errors
from kwaflux_core.errors import (
    FlowError,
    KwafluxError,
    ProtocolError,
    ResourceError,
    all_errors,
    from_wire,
    to_wire,
)

CLASSES: list[type[KwafluxError]] = [
    cls for _, cls in inspect.getmembers(errors, inspect.isclass) if issubclass(cls, KwafluxError)
]


def drawn_parents() -> dict[str, str]:
    """Return the parent of every class as the module's docstring draws it."""
    parents: dict[str, str] = {}
    above: dict[int, str] = {}
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"    ((?:\|   )*)(\+-- )?([A-Z][A-Za-z]+)( {2,}\S|$)", line)
        if match:
            depth = len(match[1]) // 4 + bool(match[2])
            above[depth] = match[3]
            parents[match[3]] = above.get(depth - 1, "Exception")
    return parents


def test_the_docstring_draws_the_tree_as_it_is() -> None:
    assert drawn_parents() == {cls.__name__: cls.__bases__[0].__name__ for cls in CLASSES}


def test_every_class_has_a_code_of_its_own_and_is_public() -> None:
    assert len({cls.code for cls in CLASSES}) == len(CLASSES) == len(all_errors())
    assert {cls.__name__ for cls in CLASSES} <= set(errors.__all__)
    assert list(errors.__all__) == sorted(errors.__all__)


@pytest.mark.parametrize("cls", CLASSES)
def test_an_error_crosses_the_wire_as_its_own_class(cls: type[KwafluxError]) -> None:
    sent = cls("the plate is gone", hint="look for it", column=7, path="/a", share=0.5, gone=None)
    got = from_wire(to_wire(sent))
    assert type(got) is cls
    assert (got.message, got.hint, got.fields) == (sent.message, sent.hint, sent.fields)
    assert got.retryable is sent.retryable
    assert str(got) == "the plate is gone. look for it"


@pytest.mark.parametrize("cls", CLASSES)
def test_an_error_pickles_as_itself(cls: type[KwafluxError]) -> None:
    sent = cls("the plate is gone", hint="look for it", column=7)
    got = pickle.loads(pickle.dumps(sent))
    assert type(got) is cls
    assert (got.message, got.hint, got.fields) == (sent.message, sent.hint, sent.fields)
    assert str(got) == str(sent)


def test_a_retry_makes_sense_for_what_may_pass() -> None:
    retryable = {cls.__name__ for cls in CLASSES if cls.retryable}
    assert retryable == {
        "DeadlineExceeded",
        "OutOfMemory",
        "ResourceError",
        "TooManyRequests",
        "Unavailable",
        "WorkerError",
    }
    assert ResourceError("full").retryable


def test_an_error_without_a_hint_is_its_message_alone() -> None:
    assert str(KwafluxError("it broke")) == "it broke"


def test_a_code_of_a_newer_peer_becomes_the_plain_class_and_is_kept() -> None:
    got = from_wire({"code": "moon_phase", "message": "wrong moon", "fields": {"phase": 3}})
    assert type(got) is KwafluxError
    assert got.fields == {"phase": 3, "code": "moon_phase"}


def test_fields_that_are_not_plain_are_left_out() -> None:
    raw = {"code": "flow", "message": "m", "hint": 3, "fields": {"column": 4, "x": [1], 5: "y"}}
    got = from_wire(raw)
    assert (got.fields, got.hint) == ({"column": 4}, "")


@pytest.mark.parametrize(
    "raw", [{}, {"code": "flow"}, {"message": "m"}, {"code": 3, "message": ""}]
)
def test_an_error_without_a_code_or_a_message_is_a_protocol_error(raw: dict[str, object]) -> None:
    with pytest.raises(ProtocolError):
        from_wire(raw)


@given(
    st.dictionaries(
        st.sampled_from(["code", "message", "hint", "fields", "retryable", "other"]),
        st.none() | st.text() | st.integers() | st.dictionaries(st.text(), st.text()),
    )
)
def test_any_map_from_the_wire_becomes_an_error_or_a_protocol_error(raw: dict[str, object]) -> None:
    try:
        got = from_wire(raw)
    except ProtocolError:
        assert not (isinstance(raw.get("code"), str) and isinstance(raw.get("message"), str))
    else:
        assert got.message == raw["message"]


@pytest.mark.parametrize("column", [None, "3", 2.5])
def test_a_flow_error_with_a_senseless_column_points_at_the_first(column: object) -> None:
    error = FlowError("wrong")
    error.fields["column"] = column  # type: ignore[assignment]
    assert error.column == 1
    assert FlowError("wrong", column=9).column == 9
