"""Params: what they may be described as, and the check of what a person sets."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kwaflux_core.errors import ModelError, ParamError
from kwaflux_core.flows.card import Param

Raw = dict[str, object]


def param(**changes: object) -> Param:
    raw: Raw = {"name": "amount", "type": "double", "label": "Amount", "hint": "h"}
    raw |= {"default": 0.5, "range": [0, 1]} | changes
    raw = {key: value for key, value in raw.items() if value is not None}
    return Param.from_json_object(raw, at="params[0]", what="the card")


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"name": "Amount"}, "name"),
        ({"type": "float"}, "type"),
        ({"label": "A-mount"}, "label"),
        ({"page": "A-B"}, "label"),
        ({"range": None}, "range"),
        ({"range": [1, 0]}, "range"),
        ({"display_range": [0, 2]}, "display_range"),
        ({"default": 2}, "default"),
        ({"default": "0.5"}, "default"),
        ({"choices": ["a"]}, "choices"),
        ({"type": "int", "default": 1, "range": [0, 2.5]}, "range"),
        ({"type": "choice", "range": None, "default": "a"}, "choices"),
        ({"type": "choice", "range": None, "default": "a", "choices": ["a", "a"]}, "choices"),
        ({"type": "choice", "range": None, "default": "a", "choices": ["a", "\n"]}, "choices"),
        ({"type": "string", "range": None, "default": "", "display_range": [0, 1]},
         "display_range"),
        ({"type": "string", "default": ""}, "range"),
    ],
)  # fmt: skip
def test_a_param_that_contradicts_itself_names_the_key(changes: Raw, key: str) -> None:
    with pytest.raises(ModelError) as caught:
        param(**changes)
    assert caught.value.fields["key"] == key


@pytest.mark.parametrize(
    ("changes", "value", "expected"),
    [
        ({}, 1, 1.0),
        ({}, 0.25, 0.25),
        ({}, -0.0, 0.0),
        ({"type": "int", "default": 1, "range": [1, 4]}, 4, 4),
        ({"type": "boolean", "default": True, "range": None}, False, False),
        ({"type": "string", "default": "", "range": None}, "show:0.8", "show:0.8"),
        ({"type": "choice", "default": "2", "range": None, "choices": ["2", "x"]}, "x", "x"),
        ({"type": "choice", "default": "2", "range": None, "choices": ["2", "x"]}, 2, "2"),
    ],
)
def test_a_value_is_taken_as_the_param_holds_it(
    changes: Raw, value: object, expected: object
) -> None:
    found = param(**changes).check(value)
    assert (found, type(found)) == (expected, type(expected))
    assert not isinstance(found, float) or math.copysign(1, found) == 1


@pytest.mark.parametrize(
    ("changes", "value"),
    [
        *(({}, wrong) for wrong in (True, "1", None, math.nan, math.inf, 1.0001, -1e-9, 10**400)),
        *(
            ({"type": "int", "default": 1, "range": [1, 4]}, wrong)
            for wrong in (1.0, 5, True, "2", -(10**400))
        ),
        *(({"type": "boolean", "default": True, "range": None}, wrong) for wrong in (0, "true")),
        *(
            ({"type": "string", "default": "", "range": None}, wrong)
            for wrong in (1, "a\nb", "\x1b[31m", "\ud800")
        ),
        *(
            ({"type": "choice", "default": "1", "range": None, "choices": ["1", "b"]}, wrong)
            for wrong in ("c", True, 1.0, 10**5000, ["b"])
        ),
    ],
    ids=lambda value: "huge" if isinstance(value, int) and abs(value) > 9999 else None,
)
def test_a_value_that_is_not_accepted_names_the_param_and_the_value(
    changes: Raw, value: object
) -> None:
    with pytest.raises(ParamError, match="'amount'") as caught:
        param(**changes).check(value)
    assert caught.value.fields["param"] == "amount"
    assert caught.value.fields["value"]
    assert len(str(caught.value)) < 400


def test_a_number_out_of_range_names_the_range() -> None:
    with pytest.raises(ParamError, match="is 3, not a number from 0 to 1") as caught:
        param().check(3)
    assert caught.value.fields["range"] == "0..1"


def test_a_misspelt_choice_gets_the_nearest() -> None:
    choices: Raw = {"type": "choice", "default": "soft", "range": None, "choices": ["soft", "hard"]}
    with pytest.raises(ParamError, match="did you mean 'soft'"):
        param(**choices).check("sofd")


@given(st.floats() | st.integers() | st.booleans() | st.text(max_size=5) | st.none())
def test_what_a_double_takes_is_a_finite_float_in_its_range(value: object) -> None:
    try:
        found = param().check(value)
    except ParamError:
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        assert not (is_number and 0 <= value <= 1)  # type: ignore[operator]
    else:
        assert isinstance(found, float)
        assert 0 <= found <= 1
        assert found == value
