"""State that a block changed is restored, whatever happens in it."""

from __future__ import annotations

import pytest

from kwaflux_resolve.restore_state import State, restored


def test_state_is_restored_in_order_whatever_happens() -> None:
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
        with restored(states, say=said.append):
            now.update(page="color", bin="other")
            raise KeyError

    with pytest.raises(KeyError):
        work()
    assert now == {"page": "edit", "bin": "master", "gone": None}
    assert order == ["page", "bin"]
    assert said == [
        "Resolve did not restore its queue: check it",
        "Resolve did not restore its mode: check it",
    ]
