"""A host's settings, state and render: written and read back, kept and put back, run and ended."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from kwaflux_core.errors import HostError
from kwaflux_hosting.timeline_host.external_scripting import external_app
from kwaflux_hosting.timeline_host.restore_state import State, put_back
from kwaflux_hosting.timeline_host.step_generators import drained, one_by_one, rendered
from kwaflux_hosting.timeline_host.verified_settings import refused, rejected_settings, text_of


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


def test_state_is_put_back_in_order_whatever_happens() -> None:
    now = {"page": "edit", "bin": "master", "gone": None}
    said: list[str] = []
    order: list[str] = []

    def part(name: str) -> State:
        def write(value: str) -> bool:
            order.append(name)
            now[name] = value
            return True

        return name, lambda: now[name], write

    def broken(value: object) -> bool:
        raise RuntimeError(value)

    states: list[State] = [
        ("queue", lambda: 1, broken), part("page"), ("mode", lambda: 1, lambda value: False),
        part("bin"), part("gone"),
    ]  # fmt: skip

    def work() -> None:
        with put_back(states, host="It", say=said.append):
            now.update(page="color", bin="other")
            raise KeyError

    with pytest.raises(KeyError):
        work()
    assert now == {"page": "edit", "bin": "master", "gone": None}
    assert order == ["page", "bin"]
    assert said == [
        "It did not take back its queue: please look at it",
        "It did not take back its mode: please look at it",
    ]


class Render:
    """A host's render that goes as it is told."""

    def __init__(self, *percents: float, why: str = "", starts: bool = True) -> None:
        self.left: Iterator[float] = iter(percents)
        self.now, self.why, self.starts, self.stops = 0.0, why, starts, 0

    def is_going(self) -> bool:
        now = next(self.left, None)
        self.now = self.now if now is None else now
        return now is not None

    def stop(self) -> None:
        self.stops += 1

    def steps(self, *, stall_s: float = 60.0) -> Generator[float, None, None]:
        return rendered(
            start=lambda: self.starts,
            is_going=self.is_going,
            status=lambda: (self.now, self.why),
            stop=self.stop,
            host="It",
            stall_s=stall_s,
        )


def test_a_render_tells_its_shares_and_is_not_stopped_at_its_end() -> None:
    render = Render(0, 40, 100)
    assert list(render.steps()) == [0, 0.4, 1]
    assert render.stops == 0


@pytest.mark.parametrize(
    ("render", "why", "stops"),
    [
        (Render(starts=False), "did not start", 1),
        (Render(0, 40), "failed: it ended at 40 %", 0),
        (Render(0, 100, why="disk full"), "failed: disk full", 0),
    ],
)
def test_a_render_that_fails_says_how(render: Render, why: str, stops: int) -> None:
    with pytest.raises(HostError, match=why):
        list(render.steps())
    assert render.stops == stops


def test_a_render_that_stands_still_or_is_closed_is_stopped() -> None:
    still = Render(*[40.0] * 9)
    with pytest.raises(HostError, match="stands still at 40 %"):
        list(still.steps(stall_s=-1))
    closed = Render(10, 20)
    steps = closed.steps()
    next(steps)
    steps.close()
    assert (still.stops, closed.stops) == (1, 1)


def test_one_that_fails_does_not_end_the_others_and_none_is_an_error() -> None:
    said: list[str] = []

    def do(number: int) -> Generator[str, None, int]:
        yield str(number)
        if number % 2:
            raise HostError(f"{number} is odd")
        return number

    assert drained(one_by_one([1, 2, 4], do, say=said.append), tick_s=0) == [2, 4]
    assert said == ["1 is odd"]
    with pytest.raises(HostError, match="1 is odd; 3 is odd"):
        drained(one_by_one([1, 3], do, say=said.append), tick_s=0)
    assert drained(one_by_one([], do, say=said.append), tick_s=0) == []


# --- from outside a host ------------------------------------------------------------------------


def _reached(folder: Path, code: str | None, *, is_risky: bool = False) -> object:
    name = f"kwaflux_outside_{folder.name.replace('-', '_')}"
    if code is not None:
        (folder / f"{name}.py").write_text(code, encoding="utf-8")
    return external_app(
        name, lambda module: module.app(), host="It", folder=str(folder), is_risky=is_risky,
        missing="install it", misfit="another Python", silent="start it",
    )  # fmt: skip


@pytest.fixture(autouse=True)
def _path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.path", list(__import__("sys").path))


@pytest.mark.parametrize("is_risky", [False, True])
def test_a_host_is_reached_through_its_module(tmp_path: Path, is_risky: bool) -> None:
    assert _reached(tmp_path, "def app():\n    return 7\n", is_risky=is_risky) == 7


@pytest.mark.parametrize(
    ("code", "is_risky", "why", "hint"),
    [
        (None, False, "does not import", "install it; tried"),
        ("def app():\n    return None\n", False, "no It answers", "start it"),
        ("import os\nos._exit(9)\n", True, "does not load into this Python", "another Python"),
    ],
)
def test_a_host_that_is_not_reached_says_what_to_do(
    tmp_path: Path, code: str | None, is_risky: bool, why: str, hint: str
) -> None:
    with pytest.raises(HostError, match=why) as error:
        _reached(tmp_path, code, is_risky=is_risky)
    assert error.value.hint.startswith(hint)
