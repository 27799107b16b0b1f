"""Flows: one grammar, one spelling, and errors that point at the column."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kwaflux_core.errors import FlowError
from kwaflux_core.flows import flow as flow_module
from kwaflux_core.flows.flow import Flow, Step, Value

# --- what is read ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("denoise", "denoise"),
        ("  denoise ( ) ", "denoise"),
        ("denoise(strength=0.60)|upscale(scale=2,denoise=.2,)|regrain",
         "denoise(strength=0.6) | upscale(scale=2, denoise=0.2) | regrain"),
        ("a\n|\tb(\r\nc = 1 )", "a | b(c=1)"),
        ("a(b=-1, c=+2, d=1e-3, e=1., f=-0, g=007, h=1E3)",
         "a(b=-1, c=2, d=0.001, e=1.0, f=0, g=7, h=1000.0)"),
        ("a(b=true, c=false, d=True)", "a(b=true, c=false, d=True)"),
        ('a(b=soft, c="hard", d="two b", e="true", f="", g="7")',
         'a(b=soft, c=hard, d="two b", e="true", f="", g="7")'),
        (r'a(b="say \"hi\" \\ | , ( ) = ü 水")', r'a(b="say \"hi\" \\ | , ( ) = ü 水")'),
        ("a | a | a", "a | a | a"),
        ("a(b=9223372036854775807, c=-9223372036854775807)",
         "a(b=9223372036854775807, c=-9223372036854775807)"),
    ],
)  # fmt: skip
def test_a_flow_has_one_canonical_spelling(text: str, canonical: str) -> None:
    flow = Flow.parse(text)
    assert flow.to_text() == canonical
    assert Flow.parse(canonical) == flow
    assert Flow.from_json(flow.to_json()) == flow
    assert Flow.from_json(flow.to_json()).to_text() == canonical


def test_values_have_the_type_they_are_written_in() -> None:
    (step,) = Flow.parse('a(i=1, f=1.0, b=true, w=word, q="1", t=True)').steps
    assert [type(value) for value in step.values.values()] == [int, float, bool, str, str, str]
    assert step.values == {"i": 1, "f": 1.0, "b": True, "w": "word", "q": "1", "t": "True"}


def test_the_flows_of_the_docstring_are_read() -> None:
    lines = [line.strip() for line in (flow_module.__doc__ or "").splitlines() if "regrain" in line]
    assert lines == ["denoise(strength=0.6) | upscale(scale=2, denoise=0.2) | regrain"]
    assert [step.effect for step in Flow.parse(lines[0]).steps] == ["denoise", "upscale", "regrain"]


def test_where_a_step_stood_makes_no_difference_to_what_it_is() -> None:
    one, other = Flow.parse("a(b=1)"), Flow.parse("  a ( b = 1 )")
    assert one == other
    assert hash(one) == hash(other)
    assert (other.steps[0].column, dict(other.steps[0].columns)) == (3, {"b": 7})
    assert Flow.parse("a(b=1)") != Flow.parse("a(b=2)")


# --- what is not ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "column", "words"),
    [
        ("", 1, "empty"),
        (" \n ", 1, "empty"),
        ("|a", 1, "name of an effect"),
        ("a|", 3, "the flow ends"),
        ("a||b", 3, "name of an effect"),
        ("a b", 3, "'|' or the end"),
        ("a)", 2, "'|' or the end"),
        ("a(b=1))", 7, "'|' or the end"),
        ("a(", 3, "name of a param"),
        ("a(,)", 3, "name of a param"),
        ("a(b)", 4, "'='"),
        ("a(b=", 5, "value of 'b'"),
        ("a(b=)", 5, "value of 'b'"),
        ("a(b=1", 6, "',' or ')'"),
        ("a(b=1 c=2)", 7, "',' or ')'"),
        ("a(b=1,,)", 7, "name of a param"),
        ("a(b=1x)", 6, "',' or ')'"),
        ("a(b=1, b=2)", 8, "stands twice"),
        ("a | Denoise", 5, "no name"),
        ("a(B=1)", 3, "no name"),
        ("a(1=1)", 3, "name of a param"),
        ("5", 1, "name of an effect"),
        ("a(b=$)", 5, "no meaning"),
        ("a(b=--1)", 5, "no meaning"),
        ("a(b='x')", 5, "no meaning"),
        ("a\u00a0|b", 2, "no meaning"),
        ("a(b=٣)", 5, "no meaning"),
        ('a(b="x', 5, "not closed"),
        ('a(b="x\\', 7, "backslash"),
        ('a(b="x\\n")', 7, "backslash"),
        ('a(b="x\ny")', 7, "cannot be printed"),
        ('a(b="\ud800")', 6, "cannot be printed"),
        ("a(b=1e999)", 5, "too large"),
        ("a(b=9223372036854775808)", 5, "too large"),
        ("a(b=" + "9" * 5000 + ")", 5, "too large"),
        (" | ".join(["a"] * 33), 129, "more than 32"),
        ("a" * 10_001, 10_001, "10001 characters"),
    ],
)
def test_an_error_points_at_the_column(text: str, column: int, words: str) -> None:
    with pytest.raises(FlowError) as caught:
        Flow.parse(text)
    assert caught.value.column == column
    assert words in caught.value.message
    assert caught.value.hint


def test_the_error_shows_the_flow_with_a_caret_under_the_column() -> None:
    with pytest.raises(FlowError) as caught:
        Flow.parse("denoise(strength=) | b")
    assert str(caught.value).splitlines()[1:] == [
        "  denoise(strength=) | b",
        "                   ^",
    ]


@pytest.mark.parametrize("before", [0, 30, 80, 4000])
@pytest.mark.parametrize("behind", [0, 30, 80, 4000])
def test_the_caret_stands_under_the_column_however_long_the_flow_is(
    before: int, behind: int
) -> None:
    text = f'a(b="{"x" * before}", c=$, d="{"y" * behind}")'
    with pytest.raises(FlowError) as caught:
        Flow.parse(text)
    _, shown, caret = str(caught.value).splitlines()
    assert shown[caret.index("^")] == "$"
    assert len(shown) < 90
    assert caught.value.column == text.index("$") + 1


def test_the_picture_of_a_flow_of_many_lines_is_one_line_and_never_a_terminal_command() -> None:
    with pytest.raises(FlowError) as caught:
        Flow.parse("a |\n\tb |\x1b[2J c")
    _, shown, caret = str(caught.value).splitlines()
    assert shown == "  a |  b |?[2J c"
    assert caret.index("^") == shown.index("?")


def test_a_flow_that_is_too_long_when_spelled_out_is_refused() -> None:
    text = "a(" + ",".join(f"p{n}=.5" for n in range(1200)) + ")"
    assert len(text) < 10_000
    with pytest.raises(FlowError, match="when it is spelled out"):
        Flow.parse(text)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Step("Denoise"),
        lambda: Step("a", {"B": 1}),
        lambda: Step("a", {"b": float("nan")}),
        lambda: Step("a", {"b": 2**63}),
        lambda: Step("a", {"b": "x\n"}),
        lambda: Step("a", {"b": None}),  # type: ignore[dict-item]
        lambda: Flow(()),
        lambda: Flow((Step("a"),) * 33),
    ],
)
def test_a_flow_made_by_hand_is_checked_too(make: object) -> None:
    assert callable(make)
    with pytest.raises(FlowError):
        make()


def test_a_step_cannot_be_changed_from_outside() -> None:
    values: dict[str, Value] = {"b": 1}
    step = Step("a", values)
    values["b"] = 2
    assert step.values == {"b": 1}
    with pytest.raises(TypeError):
        step.values["b"] = 3  # type: ignore[index]


# --- JSON -----------------------------------------------------------------------------------


def test_json_is_the_same_thing_spelled_out() -> None:
    flow = Flow.parse("denoise(strength=0.6) | regrain")
    spelled = {
        "steps": [
            {"effect": "denoise", "values": {"strength": 0.6}},
            {"effect": "regrain", "values": {}},
        ]
    }
    assert json.loads(flow.to_json()) == spelled
    assert Flow.from_json(spelled) == flow
    assert Flow.from_json({"steps": [{"effect": "a"}]}) == Flow.parse("a")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"steps": []}',
        '{"steps": {}}',
        '{"steps": ["a"]}',
        '{"steps": [{"effect": 3}]}',
        '{"steps": [{"effect": "A"}]}',
        '{"steps": [{"effect": "a", "values": []}]}',
        '{"steps": [{"effect": "a", "values": {"b": null}}]}',
        '{"steps": [{"effect": "a", "values": {"b": NaN}}]}',
        '{"steps": [{"effect": "a", "values": {"b": 1e999}}]}',
        '{"steps": [{"effect": "a", "values": {"b": "\\ud800"}}]}',
        '{"steps": [{"effect": "a", "values": {"b": 1, "b": 2}}]}',
        '{"steps": [{"effect": "a", "params": {}}]}',
        "[" * 50_000,
        '{"steps": [' + " " * 90_000,
    ],
)  # fmt: skip
def test_json_that_spells_out_no_flow_is_a_flow_error(text: str) -> None:
    with pytest.raises(FlowError):
        Flow.from_json(text)


# --- any text -------------------------------------------------------------------------------

NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,6}", fullmatch=True)
TEXTS = st.text(
    st.characters(blacklist_categories=("Cs", "Cc")) | st.sampled_from('"\\ |=(),'), max_size=8
)
VALUES: st.SearchStrategy[Value] = (
    st.booleans()
    | st.integers(-(2**63) + 1, 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS
    | st.sampled_from(["true", "false", "nan", "inf", "soft", "1", "-1", "None"])
)
STEPS = st.builds(Step, NAMES, st.dictionaries(NAMES, VALUES, max_size=4))
FLOWS = st.builds(Flow, st.lists(STEPS, min_size=1, max_size=5).map(tuple))
NEARLY = st.lists(
    st.sampled_from(
        [*'abB_01.+-eE"\\|(),= \n', "a(b=1)", "a | ", "true", '"x"', "1e5", "ü", "\x00", "b=2,"]
    ),
    max_size=24,
).map("".join)


def typed(flow: Flow) -> list[list[tuple[str, str, str]]]:
    """Return what equality overlooks too: 1 is 1.0 is True, and 0.0 is -0.0."""
    return [
        [(name, type(value).__name__, repr(value)) for name, value in step.values.items()]
        for step in flow.steps
    ]


def outcome(text: str) -> Flow | FlowError:
    try:
        return Flow.parse(text)
    except FlowError as error:
        return error


@given(FLOWS)
def test_text_and_json_bring_any_flow_back(flow: Flow) -> None:
    for again in (
        Flow.parse(flow.to_text()),
        Flow.from_json(flow.to_json()),
        Flow.from_json(json.loads(flow.to_json())),
    ):
        assert again == flow
        assert typed(again) == typed(flow)
        assert again.to_text() == flow.to_text()


@given(st.text() | NEARLY)
@example("a(b=1.)")
@example("a(b=00000000000000000000000000)")
def test_any_text_is_a_flow_or_a_flow_error_inside_it(text: str) -> None:
    flow = outcome(text)
    if isinstance(flow, FlowError):
        assert 1 <= flow.column <= len(text) + 1
        assert all(line.isprintable() for line in str(flow).split("\n"))
        return
    again = Flow.parse(flow.to_text())
    assert (again, typed(again)) == (flow, typed(flow))
    for step in flow.steps:
        assert text.startswith(step.effect, step.column - 1)
        for name, column in step.columns.items():
            assert text.startswith(name, column - 1)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda deep: (
        st.lists(deep, max_size=3)
        | st.dictionaries(st.sampled_from(["steps", "effect", "values", "a"]), deep, max_size=3)
    ),
)


@given(
    JSON
    | st.fixed_dictionaries(
        {
            "steps": st.lists(
                st.fixed_dictionaries({"effect": NAMES | JSON, "values": JSON}), max_size=3
            )
        }
    )
)
def test_any_json_is_a_flow_or_a_flow_error(value: object) -> None:
    try:
        flow = Flow.from_json(json.dumps(value))
    except FlowError:
        return
    assert Flow.from_json(flow.to_json()) == flow
