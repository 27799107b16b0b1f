"""What stays in a limited memory."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kwaflux_core.errors import ModelError, OutOfMemory, SettingsError
from kwaflux_models.rendering.lru_budget import Residency


def test_what_fits_stays() -> None:
    memory = Residency(100)
    assert memory.touch("denoise", 60) == []
    assert memory.touch("upscale", 40) == []
    assert memory.resident == ("denoise", "upscale")
    assert (memory.used_bytes, memory.budget_bytes) == (100, 100)


def test_the_longest_unused_goes_first() -> None:
    memory = Residency(100)
    memory.touch("denoise", 50)
    memory.touch("upscale", 50)
    memory.touch("denoise", 50)
    assert memory.touch("deblur", 10) == ["upscale"]
    assert memory.resident == ("denoise", "deblur")


def test_as_few_go_as_make_room() -> None:
    memory = Residency(100)
    for key in "abcd":
        memory.touch(key, 25)
    assert memory.touch("e", 50) == ["a", "b"]
    assert memory.resident == ("c", "d", "e")


def test_what_takes_no_memory_is_not_evicted_for_it() -> None:
    memory = Residency(100)
    memory.touch("identity", 0)
    memory.touch("denoise", 100)
    assert memory.touch("upscale", 100) == ["denoise"]
    assert memory.resident == ("identity", "upscale")


def test_what_is_pinned_stays() -> None:
    memory = Residency(100)
    memory.touch("denoise", 50)
    memory.touch("upscale", 50)
    memory.pin("denoise")
    assert memory.touch("deblur", 50) == ["upscale"]
    memory.unpin("denoise")
    assert memory.touch("deband", 50) == ["denoise"]


def test_each_pin_wants_its_unpin() -> None:
    memory = Residency(100)
    memory.touch("denoise", 100)
    memory.pin("denoise")
    memory.pin("denoise")
    memory.unpin("denoise")
    with pytest.raises(OutOfMemory):
        memory.touch("upscale", 1)
    memory.unpin("denoise")
    assert memory.touch("upscale", 1) == ["denoise"]


def test_what_can_never_fit_is_refused_and_evicts_nothing() -> None:
    memory = Residency(100)
    memory.touch("denoise", 50)
    with pytest.raises(OutOfMemory, match="'huge' needs 101 bytes") as caught:
        memory.touch("huge", 101)
    assert caught.value.fields["needed_bytes"] == 101
    assert caught.value.hint
    assert memory.resident == ("denoise",)


def test_what_does_not_fit_beside_what_is_in_use_is_refused_with_what_both_need() -> None:
    memory = Residency(100)
    memory.touch("denoise", 70)
    memory.pin("denoise")
    with pytest.raises(OutOfMemory, match="beside 70 bytes in use") as caught:
        memory.touch("upscale", 40)
    assert caught.value.fields["needed_bytes"] == 110
    assert memory.resident == ("denoise",)


def test_a_resident_may_grow_and_shrink() -> None:
    memory = Residency(100)
    memory.touch("denoise", 50)
    memory.touch("upscale", 50)
    assert memory.touch("upscale", 20) == []
    assert memory.used_bytes == 70
    assert memory.touch("upscale", 60) == ["denoise"]
    memory.pin("upscale")
    assert memory.touch("upscale", 100) == []
    with pytest.raises(OutOfMemory):
        memory.touch("upscale", 101)


def test_what_is_forgotten_takes_no_memory_and_holds_no_pin() -> None:
    memory = Residency(100)
    memory.touch("denoise", 100)
    memory.pin("denoise")
    memory.forget("denoise")
    memory.forget("denoise")
    assert memory.touch("upscale", 100) == []
    with pytest.raises(ModelError, match="more often"):
        memory.unpin("denoise")


def test_only_what_is_resident_can_be_pinned() -> None:
    with pytest.raises(ModelError, match="before it is resident"):
        Residency(100).pin("denoise")


def test_sizes_below_zero_and_budgets_of_nothing_are_refused() -> None:
    with pytest.raises(SettingsError, match="-1 bytes"):
        Residency(100).touch("denoise", -1)
    with pytest.raises(SettingsError, match="0 bytes"):
        Residency(0)


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 60), st.booleans())))
def test_the_budget_holds_and_the_books_balance_whatever_is_touched(
    touches: list[tuple[str, int, bool]],
) -> None:
    memory = Residency(100)
    sizes: dict[str, int] = {}
    pinned: set[str] = set()
    for key, size_bytes, is_pinned in touches:
        beside_bytes = sum(sizes[other] for other in pinned - {key})
        if beside_bytes + size_bytes > 100:
            with pytest.raises(OutOfMemory) as caught:
                memory.touch(key, size_bytes)
            assert caught.value.fields["needed_bytes"] == beside_bytes + size_bytes
            continue
        evicted = memory.touch(key, size_bytes)
        assert not set(evicted) & (pinned | {key})
        for gone in evicted:
            del sizes[gone]
        sizes[key] = size_bytes
        if is_pinned and key not in pinned:
            memory.pin(key)
            pinned.add(key)
        elif not is_pinned and key in pinned:
            memory.unpin(key)
            pinned.discard(key)
        assert set(memory.resident) == set(sizes)
        assert memory.resident[-1] == key
        assert memory.used_bytes == sum(sizes.values()) <= 100


def test_spares_go_before_what_is_not_quickly_made_anew() -> None:
    memory = Residency(10)
    assert memory.touch("base", 4) == []
    assert memory.touch("spare", 3, is_spare=True) == []
    assert memory.touch("other", 3) == []
    assert memory.touch("next", 2) == ["spare"]
    assert memory.touch("last", 4) == ["base"]
    assert memory.touch("spare", 1) == []
    assert memory.touch("big", 3) == ["other"]
    assert memory.resident == ("next", "last", "spare", "big")
