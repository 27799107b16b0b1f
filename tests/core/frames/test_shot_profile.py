"""Shot profiles as documents: written, read, edited and put together."""

from __future__ import annotations

import json

import pytest

from kwaflux_core.errors import RequestError
from kwaflux_core.frames.shot_profile import Shot, ShotProfile, profile_path

TWO = ShotProfile(
    (
        Shot(1001, 1040, (1005, 1021), {"denoise": {"level": 0.023, "share": 1.0}}),
        Shot(1041, 1050, (1045,), {"denoise": {"level": 0.0, "share": 0.0}}),
    ),
    source="plate.####.exr",
    flow="denoise",
)


def test_what_is_written_is_read_again() -> None:
    assert ShotProfile.parse(TWO.to_text()) == TWO


def test_a_frame_belongs_to_the_shot_that_has_it() -> None:
    assert TWO.shot_of(1040) == TWO.shots[0]
    assert TWO.shot_of(1041) == TWO.shots[1]
    assert TWO.shot_of(1051) is None
    assert TWO.of_frame(1041).shots == TWO.shots[1:]


def test_a_profile_of_one_shot_holds_for_every_frame() -> None:
    assert TWO.of_frame(1001).shot_of(77) == TWO.shots[0]


def test_new_shots_take_the_place_of_those_they_overlap() -> None:
    new = Shot(1030, 1045)
    assert TWO.with_shots((new,)).shots == (new,)
    later = Shot(1060, 1070)
    assert TWO.with_shots((later,)).shots == (*TWO.shots, later)


@pytest.mark.parametrize(
    "change",
    [
        {"kwaflux_profile": 2},
        {"shots": {}},
        {"shots": [7]},
        {"shots": [{"frames": 5}]},
        {"shots": [{"frames": ""}]},
        {"shots": [{"frames": "10-x"}]},
        {"shots": [{"frames": "1-2", "effects": {"denoise": 3}}]},
    ],
)
def test_what_is_no_profile_is_refused(change: dict[str, object]) -> None:
    document = json.loads(TWO.to_text()) | change
    with pytest.raises(RequestError) as caught:
        ShotProfile.parse(json.dumps(document))
    assert "kwaflux profile" in caught.value.hint


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 100_000])
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(RequestError):
        ShotProfile.parse(text)


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/out/clean.####.exr", "/out/clean.profile.json"),
        ("/out/clean_%04d.exr", "/out/clean.profile.json"),
        ("/out/clean.exr", "/out/clean.profile.json"),
        ("/out/####.exr", "/out/shot.profile.json"),
    ],
)
def test_a_profile_lies_beside_the_results(target: str, path: str) -> None:
    assert profile_path(target) == path
