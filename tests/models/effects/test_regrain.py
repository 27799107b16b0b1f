"""Regrain: its random numbers, what it measures, what it puts back, and how grain is judged."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from torch import Tensor

from kwaflux_core.color.luma import REC709_LUMA
from kwaflux_core.errors import RequestError
from kwaflux_core.frames.shot_profile import Record
from kwaflux_core.geometry import Box
from kwaflux_core.images.lanczos import lanczos_upscale
from kwaflux_models.catalog.registry import Registry
from kwaflux_models.effects.regrain.effect import EFFECT
from kwaflux_models.effects.regrain.synthesize import Grain, Place, white_noise
from kwaflux_models.evaluation.metrics.grain import (
    correlation,
    power_spectrum,
    spectrum_distance,
    variance_error_percent,
)
from kwaflux_models.rendering import working_curves
from kwaflux_models.rendering.effect_api import (
    Measured,
    MeasuringEffect,
    Samples,
    TileInput,
    Value,
    no_network,
)
from kwaflux_models.rendering.local_renderer import LocalRenderer
from kwaflux_models.training.degradations.sensor_noise import Sensor, add_sensor_noise

CARD = Registry.discover().cards["regrain"]
CPU = torch.device("cpu")
SIDE = 512
QUIET = Sensor(shot=1e-14, read=0.0, gains=(1.8, 1.5), crosstalk=0.4)
NOISY = replace(QUIET, shot=0.002, read=0.006)

Array = npt.NDArray[np.float32]


def values(**given_values: Value) -> dict[str, Value]:
    return {param.name: param.default for param in CARD.params} | given_values


def picture(side: int = SIDE) -> Array:
    """A slow ramp through the levels with soft waves, scene-linear."""
    y, x = np.mgrid[0:side, 0:side].astype(np.float32) / side
    waves = 1.0 + 0.2 * np.sin(x * 25.0) * np.cos(y * 18.0)
    base = (0.01 + 0.7 * x**2) * waves
    return np.stack([base, 0.8 * base + 0.02 * y, 0.6 * base + 0.05], axis=-1).astype(np.float32)


def curve(linear: Array) -> Array:
    encoded: Array = working_curves.encode(torch.from_numpy(np.ascontiguousarray(linear))).numpy()
    return encoded


def sensor_plates() -> tuple[Array, Array]:
    """What a sensor would have seen without noise, and what it saw; working curve."""
    rng = np.random.default_rng(4)
    clean = add_sensor_noise(picture(), QUIET, rng)
    return curve(clean), curve(add_sensor_noise(picture(), NOISY, rng))


def film_plates(blur_px: float = 1.1, side: int = SIDE) -> tuple[Array, Array]:
    rng = np.random.default_rng(8)
    clean = curve(picture(side))
    noise = gaussian_filter(rng.standard_normal(clean.shape), (blur_px, blur_px, 0))
    noise = 0.8 * noise + 0.6 * noise.mean(axis=-1, keepdims=True) * np.sqrt(3.0)
    strength = 0.01 + 0.1 * clean * np.clip(1.1 - clean, 0.1, None)
    return clean, (clean + strength * noise / noise.std()).astype(np.float32)


def samples_of(cleaned: Array, plate: Array, *, scale: int = 1) -> Samples:
    def cut(picture: Array, side: int) -> Tensor:
        last = picture.shape[0] - side
        starts = [last * index // 3 for index in range(4)]
        places = [picture[y : y + side, x : x + side] for y in starts for x in starts]
        return torch.from_numpy(np.stack(places)).permute(0, 3, 1, 2).contiguous()

    return Samples(cut(cleaned, 128), cut(plate, 128 // scale), scale)


def measured(samples: Samples, **given_values: Value) -> Measured:
    return EFFECT.measure(no_network(), samples, values(**given_values))


def added(
    found: Measured, under: Array, *, frame: int = 7, box: Box | None = None, **given: Value
) -> Array:
    """The grain that is added to a part of a picture, (H, W, 3)."""
    box = box or Box.from_size(under.shape[1], under.shape[0])
    part = np.ascontiguousarray(under[box.y0 : box.y1, box.x0 : box.x1].transpose(2, 0, 1))
    tiles = (torch.from_numpy(part)[None],)
    pictures = TileInput(
        lambda: tiles, center=0, frames=(frame,), origin=(box.x0, box.y0), measured=found
    )
    grain = EFFECT.residual(no_network(), pictures, values(**given))
    assert grain is not None
    return grain[0].permute(1, 2, 0).numpy()


def luma(picture: Array) -> Array:
    return np.asarray(picture @ np.array(REC709_LUMA, np.float32))


@pytest.fixture(scope="module")
def film() -> tuple[Array, Array, Measured]:
    clean, plate = film_plates()
    return clean, plate, measured(samples_of(clean, plate))


# --- random numbers -------------------------------------------------------------------------


def splitmix(words: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


def test_the_random_numbers_are_splitmix_of_the_place_the_frame_and_the_seed() -> None:
    row, column = np.array([0x9E3779B97F4A7C15, 0xD1B54A32D192ED03], np.uint64)
    of_frame = splitmix(np.array([1001], np.uint64) * column + np.uint64(1))
    key = splitmix(np.array([3], np.uint64) * row + of_frame)
    rows = splitmix(np.arange(40, 44, dtype=np.uint64) * row + key)
    columns = splitmix(np.arange(70, 75, dtype=np.uint64) * column - key)
    words = splitmix(rows[:, None] + columns)
    drawn = np.stack([(words >> np.uint64(21 * c)) & np.uint64(2**21 - 1) for c in range(3)])
    uniform = (drawn.astype(np.float64) + 0.5) / 2**20 - 1.0
    expected = torch.erfinv(torch.from_numpy(uniform)) * np.sqrt(2.0)
    found = white_noise(Place(70, 40, 5, 4, 1001, 3), device=CPU)
    assert torch.allclose(found.double(), expected, atol=1e-4)


@settings(deadline=None)
@given(
    x=st.integers(-300, 9000),
    y=st.integers(-300, 9000),
    frame=st.integers(-(2**40), 2**40),
    seed=st.integers(0, 2**31 - 1),
)
def test_a_pixel_has_its_number_wherever_the_tile_begins(
    x: int, y: int, frame: int, seed: int
) -> None:
    whole = white_noise(Place(x, y, 12, 9, frame, seed), device=CPU)
    part = white_noise(Place(x + 5, y + 2, 7, 7, frame, seed), device=CPU)
    assert torch.equal(whole[:, 2:, 5:], part)


def test_the_random_numbers_are_normal_and_white() -> None:
    noise = white_noise(Place(-7, 3, 700, 600, 5, 0), device=CPU)
    assert noise.mean(dim=(1, 2)).abs().max() < 0.006
    assert (noise.square().mean(dim=(1, 2)) - 1.0).abs().max() < 0.01
    assert (noise.pow(4).mean(dim=(1, 2)) - 3.0).abs().max() < 0.08
    for moved in (noise.roll(1, 1), noise.roll(1, 2), noise.roll(1, 0)):
        assert abs(float((noise * moved).mean())) < 0.006


# --- what is measured and put back ----------------------------------------------------------


def test_it_measures() -> None:
    assert isinstance(EFFECT, MeasuringEffect)


@pytest.mark.parametrize("plates", [sensor_plates, film_plates])
def test_the_grain_put_back_has_the_spectrum_and_the_strength_of_what_was_removed(
    plates: partial[tuple[Array, Array]],
) -> None:
    clean, plate = plates()
    grain = added(measured(samples_of(clean, plate)), clean)
    distance = spectrum_distance(grain, plate - clean)
    assert distance.mean < 0.5
    assert distance.plane < 1.2
    made, wanted = (luma(each)[..., None] for each in (grain, plate - clean))
    errors = variance_error_percent(made, wanted, luma(clean))
    assert np.nanmean(np.abs(errors)) < 5.0
    assert np.count_nonzero(np.isfinite(errors)) >= 8
    for first, second in ((0, 1), (0, 2), (1, 2)):
        alike, wanted_alike = (
            correlation(each[..., first], each[..., second]) for each in (grain, plate - clean)
        )
        assert abs(alike - wanted_alike) < 0.05


@pytest.mark.parametrize("plates", [sensor_plates, film_plates])
def test_of_grain_that_was_half_removed_only_what_is_missing_is_added(
    plates: partial[tuple[Array, Array]],
) -> None:
    clean, plate = plates()
    half = 0.5 * (clean + plate)
    result = half + added(measured(samples_of(half, plate)), half)
    ratio = (result - clean).var(axis=(0, 1)) / (plate - clean).var(axis=(0, 1))
    assert np.abs(ratio - 1.0).max() < 0.12


def test_texture_that_was_lost_with_the_grain_is_not_taken_for_grain() -> None:
    rng = np.random.default_rng(2)
    clean = np.full((SIDE, SIDE, 3), 0.6, np.float32)
    clean[:, SIDE // 2 :] += rng.normal(0, 0.08, (SIDE, SIDE // 2, 3)).astype(np.float32)
    plate = clean + rng.normal(0, 0.03, clean.shape).astype(np.float32)
    cleaned = clean.copy()
    cleaned[:, SIDE // 2 :] = 0.6 + 0.6 * (clean[:, SIDE // 2 :] - 0.6)
    found = measured(samples_of(cleaned, plate))
    assert found.shown["strength"] == pytest.approx(0.03, rel=0.05)


def lively_plates(deviation: float, size_px: float) -> tuple[Array, Array, npt.NDArray[np.bool_]]:
    """Texture of all sizes and edges on four fifths of a picture, a plate, and where it is flat."""
    rng = np.random.default_rng(12)
    flat = np.zeros((SIDE, SIDE), bool)
    flat[:, ::128] = True
    flat = np.cumsum(flat, axis=1) % 5 == 0
    flat[:112] = True
    texture = sum(
        gaussian_filter(rng.standard_normal((SIDE, SIDE)), sigma) * sigma
        for sigma in (0.7, 1.5, 3.0, 6.0)
    )
    texture += 2.0 * np.sign(gaussian_filter(rng.standard_normal((SIDE, SIDE)), 9.0))
    texture = np.where(flat, 0.0, 0.03 * texture / texture[~flat].std())
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    clean = (0.35 + 0.35 * x + 0.1 * y + texture)[..., None] * np.array([1.0, 0.95, 0.9])
    grain = rng.standard_normal(clean.shape)
    if size_px > 1.0:
        grain = gaussian_filter(grain, (size_px / 3.545, size_px / 3.545, 0))
    plate = clean + deviation * grain / grain.std()
    return clean.astype(np.float32), plate.astype(np.float32), flat


@pytest.mark.parametrize("size_px", [1.0, 1.8])
@pytest.mark.parametrize("kept", [0.0, 0.3])
def test_flat_places_get_back_the_grain_they_had_whatever_texture_the_cleaning_took(
    size_px: float, kept: float
) -> None:
    clean, plate, flat = lively_plates(0.02, size_px)
    smooth = gaussian_filter(plate, (1.6, 1.6, 0))
    cleaned = (smooth + kept * (plate - smooth)).astype(np.float32)
    inside = gaussian_filter(flat.astype(np.float32), 4.0) > 0.98
    result = cleaned + added(measured(samples_of(cleaned, plate)), cleaned)
    ratio = (result - clean)[inside].var() / (plate - clean)[inside].var()
    assert ratio == pytest.approx(1.0, abs=0.06)


def test_flat_areas_tell_the_grain_of_a_plate_that_nothing_is_known_of() -> None:
    clean, plate = film_plates()
    known = measured(samples_of(clean, plate))
    alone = samples_of(plate, plate)
    judged = measured(Samples(alone.pictures, alone.pictures), measure="flat_areas")
    assert judged.shown["strength"] == pytest.approx(known.shown["strength"], rel=0.15)
    assert judged.shown["size_px"] == pytest.approx(known.shown["size_px"], rel=0.15)
    assert isinstance(judged.data, Grain)


def test_where_no_step_cleaned_it_leaves_the_frame_alone_and_says_why() -> None:
    sample = samples_of(*film_plates()).sources
    found = measured(Samples(sample, sample))
    assert "grain" in found.refusal
    pictures = TileInput(lambda: (sample[:1],), center=0, measured=found)
    assert EFFECT.residual(no_network(), pictures, values()) is None


def test_where_a_cleaning_step_found_nothing_no_grain_is_added() -> None:
    sample = samples_of(*film_plates()).sources
    found = measured(Samples(sample, sample.clone()))
    assert not found.refusal
    assert found.shown == {"strength": 0.0}
    pictures = TileInput(lambda: (sample[:1],), center=0, measured=found)
    assert EFFECT.residual(no_network(), pictures, values()) is None


def test_samples_without_any_detail_measure_nothing_that_is_not_finite() -> None:
    for level in (0.0, 0.5):
        flat = torch.full((1, 3, 128, 128), level)
        for plate in (flat + 0.01, torch.full_like(flat, 1e-30)):
            found = measured(Samples(flat, plate))
            grain = added(found, np.full((40, 40, 3), level, np.float32)) if found.data else 0.0
            assert np.abs(grain).max() < 1e-3


def test_behind_an_enlargement_the_plates_own_grain_is_found() -> None:
    clean, plate = film_plates(side=256)
    known = measured(samples_of(clean, plate))
    large, noisy = (
        np.ascontiguousarray(lanczos_upscale(each.transpose(2, 0, 1).copy(), 2).transpose(1, 2, 0))
        for each in (clean, plate)
    )
    found = measured(samples_of(large, plate, scale=2))
    assert found.shown["strength"] == pytest.approx(known.shown["strength"], rel=0.1)
    assert found.shown["size_px"] == pytest.approx(known.shown["size_px"], rel=0.1)
    kept = measured(samples_of(noisy, plate, scale=2))
    assert kept.shown["strength"] < 0.02 * known.shown["strength"]
    widths = [
        (data.kernel.shape[-1])
        for data in (
            measured(samples_of(large, plate, scale=2), grows_with_picture=grows).data
            for grows in (True, False)
        )
        if isinstance(data, Grain)
    ]
    assert widths[0] > widths[1]


def test_the_grain_of_a_shot_is_the_median_of_its_frames() -> None:
    clean, plate = film_plates(side=256)
    steady = [
        measured(samples_of(clean, (clean + share * (plate - clean)).astype(np.float32)))
        for share in (0.97, 1.0, 1.03)
    ]
    coarse = measured(samples_of(*film_plates(blur_px=2.5, side=256)), size=1.0)
    shot = EFFECT.combine(no_network(), [coarse, *steady])
    assert shot.shown["strength"] == pytest.approx(steady[1].shown["strength"], rel=0.04)
    assert shot.shown["size_px"] == pytest.approx(steady[1].shown["size_px"], rel=0.1)
    assert isinstance(shot.data, Grain)
    grain, wanted = added(shot, clean), added(steady[1], clean)
    assert grain.std() == pytest.approx(wanted.std(), rel=0.04)
    assert np.array_equal(grain, added(shot, clean))


def test_frames_that_miss_nothing_do_not_count_unless_they_are_the_most(
    film: tuple[Array, Array, Measured],
) -> None:
    found, nothing = film[2], Measured({"strength": 0.0})
    shot = EFFECT.combine(no_network(), [nothing, found, found])
    assert shot.shown["strength"] == pytest.approx(found.shown["strength"], rel=1e-3)
    assert shot.shown["size_px"] == pytest.approx(found.shown["size_px"], rel=1e-2)
    assert EFFECT.combine(no_network(), [nothing, found, nothing]).data is None
    sample = samples_of(*film_plates(side=256)).sources
    refused = measured(Samples(sample, sample))
    assert EFFECT.combine(no_network(), [refused, refused]).refusal == refused.refusal


@pytest.mark.parametrize(
    "flow", ["regrain", "regrain(amount=2.0)", "denoise | regrain(amount=2.0)"]
)
def test_a_plate_that_keeps_its_grain_keeps_its_bits(flow: str) -> None:
    planes = np.ascontiguousarray(picture(160).transpose(2, 0, 1))
    if "denoise" not in flow:
        planes += np.random.default_rng(3).normal(0, 0.02, planes.shape).astype(np.float32)
    result = LocalRenderer.on_cpu().render(flow, planes)
    assert np.array_equal(np.stack(result.color).view(np.uint32), planes.view(np.uint32))


# --- what a person sets ---------------------------------------------------------------------


def test_amount_scales_the_deviation(film: tuple[Array, Array, Measured]) -> None:
    clean, _, found = film
    once, twice = (added(found, clean, amount=amount) for amount in (1.0, 2.0))
    assert twice.std() == pytest.approx(2.0 * once.std(), rel=0.01)
    assert CARD.is_identity(values(amount=0.0))


def test_size_makes_grain_coarser_and_leaves_its_strength() -> None:
    clean, plate = film_plates()
    samples = samples_of(clean, plate)
    normal, larger = (added(measured(samples, size=size), clean, size=size) for size in (1.0, 2.0))
    assert larger.std() == pytest.approx(normal.std(), rel=0.04)
    stretched = gaussian_filter(
        np.random.default_rng(1).standard_normal(clean.shape), (2.2, 2.2, 0)
    )
    stretched *= larger.std() / stretched.std()
    low = np.s_[:, 3:9, 3:9]
    decibels = 10 * np.log10(
        power_spectrum(larger)[low].mean()
        / power_spectrum(stretched.astype(np.float32))[low].mean()
    )
    assert abs(decibels) < 1.0


def test_without_color_all_channels_share_the_lumas_grain(
    film: tuple[Array, Array, Measured],
) -> None:
    clean, _, found = film
    colored, gray = (added(found, clean, color=color) for color in (1.0, 0.0))
    assert luma(gray).std() == pytest.approx(luma(colored).std(), rel=0.01)
    spread = gray - gray.mean(axis=-1, keepdims=True)
    assert spread.std() < 0.05 * gray.std()


def test_frames_and_seeds_have_grain_of_their_own_and_always_the_same(
    film: tuple[Array, Array, Measured],
) -> None:
    clean, _, found = film
    first = added(found, clean, frame=1001)
    assert np.array_equal(first, added(found, clean, frame=1001))
    for other in (added(found, clean, frame=1002), added(found, clean, frame=1001, seed=1)):
        assert abs(correlation(first, other)) < 0.02


@settings(deadline=None, max_examples=20)
@given(x=st.integers(0, 300), y=st.integers(0, 300), size=st.integers(1, 200))
def test_a_tiles_grain_is_that_of_the_whole(
    film: tuple[Array, Array, Measured], x: int, y: int, size: int
) -> None:
    clean, _, found = film
    box = Box.from_size(size, size + 3, x0=x, y0=y)
    whole = added(found, clean)[box.y0 : box.y1, box.x0 : box.x1]
    assert np.abs(added(found, clean, box=box) - whole).max() < 1e-6


# --- the picture under it -------------------------------------------------------------------


@pytest.mark.parametrize("level", [0.005, 0.02, 0.18, 0.8, 3.0])
def test_the_mean_of_a_flat_patch_stays(film: tuple[Array, Array, Measured], level: float) -> None:
    flat = curve(np.full((SIDE, SIDE, 3), level, np.float32))
    with_grain = working_curves.decode(torch.from_numpy(flat + added(film[2], flat))).numpy()
    assert np.abs(with_grain.mean(axis=(0, 1)) / level - 1.0).max() < 1e-3


def test_grain_fades_in_highlights_and_is_finite_at_any_level(
    film: tuple[Array, Array, Measured],
) -> None:
    data = film[2].data
    assert isinstance(data, Grain)
    levels = torch.linspace(-3.0, 6.0, 901).reshape(1, 1, 1, -1).expand(1, 3, 1, -1)
    deviation = data.strength.variance(levels.contiguous()).sqrt()
    assert torch.isfinite(deviation).all()
    bright = deviation[0, :, 0, levels[0, 0, 0] > 1.1]
    assert (bright.diff(dim=-1) <= 1e-9).all()
    assert (bright[:, -1] < 0.2 * bright[:, 0]).all()
    assert torch.allclose(deviation[..., :300].flip(-1), deviation[..., 301:601], rtol=1e-4)


def test_a_flow_that_cleans_and_regrains_agrees_in_tiles_and_regions() -> None:
    local = LocalRenderer.on_cpu()
    planes = np.ascontiguousarray(add_sensor_noise(picture(112), NOISY, np.random.default_rng(1)))
    planes = np.ascontiguousarray(planes.transpose(2, 0, 1))
    flow, region = "denoise | regrain", Box(21, 13, 90, 100)
    whole = np.stack(local.render(flow, planes, tile_px=4096).color)
    clean = np.stack(local.render("denoise", planes, tile_px=4096).color)
    tiled = np.stack(local.render(flow, planes, tile_px=64).color)
    part = np.stack(local.render(flow, planes, tile_px=64, region=region).color)
    crop = whole[:, region.y0 : region.y1, region.x0 : region.x1]
    assert np.abs(curve(tiled) - curve(whole)).max() < 1e-5
    assert np.abs(curve(part) - curve(crop)).max() < 1e-5
    assert (curve(whole) - curve(clean)).std() > 0.02


# --- how grain is judged --------------------------------------------------------------------


def test_a_tenth_more_deviation_is_a_fifth_more_variance_and_0_8_db() -> None:
    rng = np.random.default_rng(6)
    grain = rng.normal(0, 0.05, (256, 256, 3)).astype(np.float32)
    level = np.broadcast_to(np.linspace(0, 1, 256, dtype=np.float32), (256, 256))
    distance = spectrum_distance(1.1 * grain, grain)
    expected = 20.0 * np.log10(1.1)
    assert distance.mean == pytest.approx(expected, abs=1e-3)
    assert distance.plane == pytest.approx(expected, abs=1e-3)
    errors = variance_error_percent(1.1 * grain, grain, level)
    assert errors == pytest.approx(21.0, abs=0.01)


def test_a_spectrums_mean_is_the_variance_and_blur_shows_in_it() -> None:
    white = np.random.default_rng(6).normal(0, 0.05, (320, 320, 3)).astype(np.float32)
    assert power_spectrum(white).mean() == pytest.approx(0.05**2, rel=0.02)
    soft = gaussian_filter(white, (0.8, 0.8, 0)).astype(np.float32)
    assert spectrum_distance(soft, white).mean > 5.0
    crossed = white + np.roll(white, 1, axis=1)
    assert spectrum_distance(crossed, white + np.roll(white, 1, axis=0)).plane > 3.0


def test_a_band_that_hardly_occurs_is_not_judged() -> None:
    grain = np.random.default_rng(6).normal(0, 0.05, (64, 64, 1)).astype(np.float32)
    level = np.zeros((64, 64), np.float32)
    level[0, :20] = 1.0
    errors = variance_error_percent(grain, grain, level)
    assert errors[0, 0] == 0.0
    assert np.isnan(errors[1:]).all()


# --- the record of a shot -------------------------------------------------------------------


def _in_json(record: Record) -> Record:
    """Return a record as a profile holds it."""
    plain: Record = json.loads(json.dumps(dict(record)))
    return plain


def test_the_grain_of_a_record_is_the_grain_that_was_measured() -> None:
    found = measured(samples_of(*film_plates(blur_px=1.8)))
    record = _in_json(EFFECT.to_record(found))
    again = EFFECT.from_record(record, values())
    assert isinstance(found.data, Grain)
    assert isinstance(again.data, Grain)
    level = torch.linspace(0.0, 1.0, 64).expand(1, 3, 1, 64)
    before, after = (each.strength.variance(level) for each in (found.data, again.data))
    torch.testing.assert_close(after, before, rtol=0.02, atol=1e-9)
    torch.testing.assert_close(again.data.kernel, found.data.kernel, rtol=0, atol=2e-3)
    assert EFFECT.to_record(again)["size_px"] == record["size_px"]
    assert len(json.dumps(record)) < 60_000
    assert "put back" in again.decision


def test_a_strength_that_a_person_changed_is_the_strength_put_back() -> None:
    found = measured(samples_of(*film_plates(blur_px=1.8)))
    record = dict(EFFECT.to_record(found)) | {"strength": 0.03}
    assert EFFECT.from_record(record, values()).shown["strength"] == pytest.approx(0.03, rel=1e-3)
    assert EFFECT.from_record(record | {"strength": 0}, values()).data is None


def test_a_refusal_is_kept_in_the_record() -> None:
    plate = torch.rand(2, 3, 128, 128, generator=torch.Generator().manual_seed(1))
    found = measured(Samples(plate, plate))
    assert found.refusal
    assert EFFECT.from_record(_in_json(EFFECT.to_record(found)), values()).refusal == found.refusal


@pytest.mark.parametrize(
    "change", [{"strength": "much"}, {"strength": -1.0}, {"own": "?"}, {"spectrum": ""}, {"own": 3}]
)
def test_a_damaged_record_is_refused(change: dict[str, object]) -> None:
    found = measured(samples_of(*film_plates(blur_px=1.8)))
    with pytest.raises(RequestError):
        EFFECT.from_record(dict(EFFECT.to_record(found)) | change, values())
