"""Chains: repeatable, told truthfully, and each step stronger as its numbers grow."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("av")

from kwaflux_models.training.degradations.analog_video import NTSC, Composite, Fields
from kwaflux_models.training.degradations.chain import Chain, draw_chain
from kwaflux_models.training.degradations.chain_sampling import Mix, draw_codec
from kwaflux_models.training.degradations.lens_blur import Defocus, Lens
from kwaflux_models.training.degradations.resample import Enlarge, Shrink
from kwaflux_models.training.degradations.sensor_noise import Sensor
from kwaflux_models.training.degradations.sheet_rows import Row, rows
from kwaflux_models.training.degradations.steps import CodedStep, Grain, LinearStep, Quantize
from kwaflux_models.training.degradations.video_codecs import CODECS, Encode

Array = NDArray[np.float32]


def moving_clip(frames: int = 5, side: int = 96) -> Array:
    """Colored texture with a bright spot, three pixels a frame; scene-linear."""
    rng = np.random.default_rng(2)
    rough = rng.random((side, side + 3 * frames, 3))
    wide = np.stack([np.cumsum(np.cumsum(rough[..., c] - 0.5, 0), 1) for c in range(3)], axis=-1)
    picture = 0.3 + 0.05 * (wide - wide.mean()) / wide.std() + 0.15 * rough
    picture[30:34, 50:54] = 5.0
    return np.stack([picture[:, 3 * n : 3 * n + side] for n in range(frames)]).astype(np.float32)


@pytest.mark.parametrize("seed", range(8))
def test_the_same_seed_gives_the_same_chain_and_the_same_bits(seed: int) -> None:
    chains = [draw_chain(np.random.default_rng(seed)) for _ in range(2)]
    assert chains[0] == chains[1]
    first, second = (
        chain.apply(moving_clip(), np.random.default_rng([seed, 1])) for chain in chains
    )
    for name in ("degraded", "clean"):
        one, other = getattr(first, name), getattr(second, name)
        assert np.array_equal(one, other)
        assert one.shape == (5, 96, 96, 3)
        assert one.dtype == np.float32
        assert bool(np.isfinite(one).all())


def test_another_seed_gives_another_chain_and_other_noise() -> None:
    assert len({repr(draw_chain(np.random.default_rng(seed))) for seed in range(20)}) > 15
    chain = Chain(coded=(Grain(0.05),))
    first, second = (
        chain.apply(moving_clip(), np.random.default_rng(seed)).degraded for seed in (1, 2)
    )
    assert not np.array_equal(first, second)


def test_every_step_and_codec_is_drawn_and_orders_differ() -> None:
    rng = np.random.default_rng(0)
    chains = [draw_chain(rng) for _ in range(900)]
    kinds: set[type] = {type(step) for chain in chains for step in (*chain.linear, *chain.coded)}
    assert kinds == {*get_args(LinearStep), *get_args(CodedStep)}
    codecs = {s.codec for chain in chains for s in chain.coded if isinstance(s, Encode)}
    assert codecs == set(CODECS)
    generations = {sum(isinstance(s, Encode) for s in chain.coded) for chain in chains}
    assert generations == {0, 1, 2}
    orders = {
        tuple(type(step).__name__ for step in chain.coded if isinstance(step, Grain | Quantize))
        for chain in chains
    }
    assert {("Grain", "Quantize"), ("Quantize", "Grain")} <= orders


def test_a_mix_says_what_is_drawn() -> None:
    rng = np.random.default_rng(1)
    only = Mix(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, second=0.0)
    for _ in range(40):
        chain = draw_chain(rng, mix=only)
        assert chain.linear == ()
        assert [type(step) for step in chain.coded] == [Encode]


@pytest.mark.parametrize("is_fine", [False, True])
def test_every_drawn_codec_is_one_that_there_is(is_fine: bool) -> None:
    rng = np.random.default_rng(2)
    drawn = [draw_codec(rng, is_fine=is_fine) for _ in range(600)]
    for how in drawn:
        low, high = sorted((CODECS[how.codec].best, CODECS[how.codec].worst))
        assert low <= how.quality <= high
    median = float(np.median([how.step for how in drawn]))
    assert median < 6.0 if is_fine else median > 10.0


def test_no_steps_change_no_bit() -> None:
    clip = moving_clip()
    done = Chain().apply(clip, np.random.default_rng(0))
    assert np.array_equal(done.degraded, clip)
    assert np.array_equal(done.clean, clip)
    assert Chain().conditions.step == 0.0


def test_conditions_say_what_the_chain_does() -> None:
    chain = Chain(
        linear=(Defocus(3.0), Lens(2.0), Sensor(shot=0.004, read=0.01)),
        coded=(
            Composite(NTSC, delay_px=1.5, noise=0.03),
            Grain(0.04),
            Shrink(0.5),
            Encode("h264", 28),
            Enlarge(),
            Fields(),
            Encode("mpeg4", 6),
        ),
    )
    told = chain.conditions
    sensor = 1.2 * np.sqrt(0.004 * 0.18 + 0.01**2)
    assert told.noise == pytest.approx(np.sqrt(sensor**2 + 0.03**2 + 0.04**2))
    assert told.blur_px == pytest.approx(np.hypot(1.5, 2.0))
    assert told.step == pytest.approx(np.hypot(Encode("h264", 28).step, 12.0))
    assert told.scale == 0.5


def test_what_is_to_be_recovered_is_clipped_where_the_chain_clipped_and_blurred_by_its_lens() -> (
    None
):
    clip = moving_clip()
    rng = np.random.default_rng(0)
    open_end = Chain(linear=(Defocus(2.0),)).apply(clip, rng)
    assert np.array_equal(open_end.clean, open_end.degraded)
    coded = Chain(linear=(Defocus(2.0),), coded=(Quantize(8),)).apply(clip, rng)
    assert float(coded.clean.max()) == 1.0
    assert np.abs(coded.degraded - coded.clean).max() < 0.006
    assert np.abs(coded.degraded - np.clip(clip, 0.0, 1.0)).max() > 0.1
    log = Chain(curve="log", coded=(Quantize(8),))
    assert float(log.apply(clip, rng).clean.max()) == 5.0
    low = Sensor(shot=1e-4, read=1e-3, saturation=1.0)
    assert Chain(linear=(low,)).peak == 1.0


def test_a_step_more_leaves_the_noise_of_the_others() -> None:
    clip = moving_clip()
    short = Chain(linear=(Sensor(shot=0.004, read=0.01),))
    longer = Chain(linear=short.linear, coded=(Quantize(10),))
    first, second = (c.apply(clip, np.random.default_rng(3)).degraded for c in (short, longer))
    inside = (first > 0.01) & (first < 0.99)
    assert np.abs(first - second)[inside].max() < 0.01


def sheet_rows() -> list[Row]:
    return [row for row in rows(np.random.default_rng(0)) if row.name != "a drawn chain"]


# Kinds rather than strengths; or, for composite, false color traded for sharpness.
NOT_BY_STRENGTH = {
    "two fields in a frame",
    "two generations",
    "dv",
    "dnxhd",
    "NTSC, notch: dots, rainbow",
    "PAL, comb: hanging dots",
}


@pytest.mark.parametrize("row", sheet_rows(), ids=lambda row: row.name)
def test_each_step_of_the_sheet_is_felt_and_harms_more_as_it_grows(row: Row) -> None:
    clip = moving_clip(3, 96)
    errors = []
    for chain in row.chains:
        done = chain.apply(clip, np.random.default_rng(4))
        errors.append(float(np.square(done.degraded - np.minimum(clip, chain.peak)).mean()))
    assert min(errors) > 0.0
    if row.name not in NOT_BY_STRENGTH:
        assert errors[0] < errors[1] < errors[2]


def test_the_sheet_has_a_row_for_every_codec() -> None:
    names = {row.name for row in sheet_rows()}
    assert set(CODECS) <= names
    assert len(names) == len(sheet_rows())


@pytest.mark.parametrize("count", [1, 2, 6])
def test_a_clip_of_any_length_passes_a_chain(count: int) -> None:
    clip = moving_clip(count, 64)
    make: Callable[[], Chain] = lambda: Chain(coded=(Fields(), Encode("mpeg2", 4)))  # noqa: E731
    assert make().apply(clip, np.random.default_rng(0)).degraded.shape == clip.shape
