"""Lens, tape and resizing: each does what it says, as much as it says, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from kwaflux_models.training.degradations import lens_blur
from kwaflux_models.training.degradations.analog_video import (
    NTSC,
    PAL,
    Composite,
    Standard,
    TimeBase,
    from_yuv,
    to_yuv,
)
from kwaflux_models.training.degradations.lens_blur import Defocus, Lens, Streak
from kwaflux_models.training.degradations.resample import KERNELS, Kernel, resize_clip

Array = NDArray[np.float32]


def noisy_clip(frames: int = 2, side: int = 64) -> Array:
    return np.random.default_rng(9).random((frames, side, side, 3), dtype=np.float32)


def spread_px(kernel: Array) -> tuple[float, float]:
    """Return a kernel's standard deviation along rows and columns."""
    axis = np.arange(kernel.shape[0]) - kernel.shape[0] // 2
    down, across = kernel.sum(axis=1), kernel.sum(axis=0)
    return float(np.sqrt((down * axis**2).sum())), float(np.sqrt((across * axis**2).sum()))


@pytest.mark.parametrize("radius_px", [1.0, 2.5, 6.0])
def test_a_disk_is_as_wide_as_it_says_and_keeps_the_light(radius_px: float) -> None:
    kernel = lens_blur.disk_kernel(radius_px, edge_px=0.5)
    assert float(kernel.sum()) == pytest.approx(1.0, abs=1e-5)
    down, across = spread_px(kernel)
    assert down == pytest.approx(across, rel=1e-4)
    assert down == pytest.approx(np.hypot(Defocus(radius_px).sigma_px, 0.29), rel=0.12)


def test_a_softer_edge_falls_more_slowly() -> None:
    hard, soft = (lens_blur.disk_kernel(4.0, edge_px=edge) for edge in (0.5, 3.0))
    middle = hard.shape[0] // 2, soft.shape[0] // 2
    assert soft[middle[1], middle[1] + 5] > 2.0 * hard[middle[0], middle[0] + 4 + 1]
    assert soft[middle[1], middle[1] + 3] < hard[middle[0], middle[0] + 3]


def test_a_streak_blurs_along_its_way_only() -> None:
    down, across = spread_px(lens_blur.line_kernel(12.0, 0.0))
    assert across == pytest.approx(12.0 / np.sqrt(12.0), rel=0.03)
    assert down < 0.01
    down, across = spread_px(lens_blur.line_kernel(12.0, np.pi / 2))
    assert down > 100.0 * max(across, 1e-3)


def test_a_lens_spreads_as_it_says() -> None:
    kernel = lens_blur.lens_kernel(1.5)
    assert spread_px(kernel)[0] == pytest.approx(Lens(1.5).sigma_px, rel=0.06)


@pytest.mark.parametrize("step", [Defocus(3.0), Streak(7.0, 0.5), Lens(1.2)])
def test_a_blur_keeps_flat_light_and_every_highlight_s_energy(
    step: Defocus | Streak | Lens,
) -> None:
    flat = np.full((1, 40, 40, 3), 7.5, dtype=np.float32)
    assert np.allclose(step.apply(flat), 7.5, rtol=1e-5)
    point = np.zeros((1, 61, 61, 3), dtype=np.float32)
    point[0, 30, 30] = 500.0
    assert step.apply(point).sum() == pytest.approx(1500.0, rel=1e-3)
    rows = step.apply(point)[0, ..., 0]
    place = (rows * np.arange(61)).sum() / rows.sum(), (rows.T * np.arange(61)).sum() / rows.sum()
    assert place == pytest.approx((30.0, 30.0), abs=0.01)


@pytest.mark.parametrize("standard", [NTSC, PAL])
@pytest.mark.parametrize("decoder", ["notch", "comb"])
def test_composite_video_keeps_a_flat_color(standard: Standard, decoder: str) -> None:
    color = np.array([0.7, 0.4, 0.3], dtype=np.float32)
    clip = np.tile(color, (2, 48, 64, 1))
    how = Composite(standard, decoder=decoder, luma_mhz=standard.luma_mhz)  # type: ignore[arg-type]
    back = how.apply(clip, np.random.default_rng(0))
    # 2 lines of PAL are 1.503 cycles of its subcarrier, so its comb leaves a trace.
    assert np.abs(back - clip).max() < 0.02
    assert np.allclose(back.mean(axis=(0, 1, 2)), color, atol=1e-3)


def edge_width_px(row: Array) -> float:
    """Return over how many pixels the middle 80 % of an edge lies."""
    low, high = float(row[:8].mean()), float(row[-8:].mean())
    share = (row - low) / (high - low)
    fine = np.interp(np.arange(0, len(row), 0.05), np.arange(len(row)), share)
    return float(0.05 * ((fine > 0.1) & (fine < 0.9)).sum())


def edge_clip() -> Array:
    """An edge in Y', U and V together."""
    yuv = np.zeros((1, 64, 128, 3), dtype=np.float32)
    yuv[..., :64, :] = (0.35, -0.12, 0.1)
    yuv[..., 64:, :] = (0.65, 0.12, -0.1)
    return from_yuv(yuv)


def test_less_bandwidth_for_color_widens_color_and_not_luma() -> None:
    rng = np.random.default_rng(0)
    studio = Composite(NTSC, decoder="comb", chroma_mhz=1.3)
    wide, narrow = (
        to_yuv(how.apply(edge_clip(), rng))[0, 20:40].mean(axis=0)
        for how in (studio, replace(studio, chroma_mhz=0.45))
    )
    assert edge_width_px(narrow[:, 1]) > 2.0 * edge_width_px(wide[:, 1])
    assert edge_width_px(narrow[:, 0]) == pytest.approx(edge_width_px(wide[:, 0]), abs=0.6)


def test_color_lags_by_its_delay_and_luma_does_not() -> None:
    rng = np.random.default_rng(0)
    prompt = Composite(NTSC, decoder="comb", chroma_mhz=0.8)
    first, late = (
        to_yuv(how.apply(edge_clip(), rng))[0, 20:40].mean(axis=0)
        for how in (prompt, replace(prompt, delay_px=3.0))
    )
    at = [float(np.interp(0.0, row, np.arange(128))) for row in (first[:, 1], late[:, 1])]
    assert at[1] - at[0] == pytest.approx(3.0, abs=0.1)
    assert np.allclose(first[:, 0], late[:, 0], atol=1e-5)


@pytest.mark.parametrize("standard", [NTSC, PAL])
def test_fine_luma_becomes_false_color_through_a_notch_and_not_through_a_comb(
    standard: Standard,
) -> None:
    cycles = standard.subcarrier_mhz / 13.5
    wave = 0.5 + 0.2 * np.sin(2.0 * np.pi * cycles * np.arange(256))
    clip = np.tile(wave[None, None, :, None], (1, 32, 1, 3)).astype(np.float32)
    colors, details = [], []
    for decoder in ("notch", "comb"):
        how = Composite(standard, decoder=decoder, luma_mhz=6.0)
        yuv = to_yuv(how.apply(clip, np.random.default_rng(0)))[:, 8:, 32:-32]
        colors.append(float(np.abs(yuv[..., 1:]).mean()))
        details.append(float(yuv[..., 0].std()))
    assert colors[0] > 0.05 > 5.0 * colors[1]
    assert details[0] < 0.3 * details[1]


def test_dots_crawl_on_a_still_color_and_gray_stands() -> None:
    still = np.tile(edge_clip(), (2, 1, 1, 1))
    how = Composite(NTSC, trap=0.5)
    luma = to_yuv(how.apply(still, np.random.default_rng(0)))[..., 0]
    assert np.abs(luma[0] - luma[1]).max() > 0.05
    gray = np.repeat(to_yuv(still)[..., :1], 3, axis=-1)
    luma = to_yuv(how.apply(gray, np.random.default_rng(0)))[..., 0]
    assert np.abs(luma[0] - luma[1])[:, :40].max() < 0.01


def test_signal_noise_is_as_strong_as_it_says() -> None:
    clip = np.full((2, 96, 128, 3), 0.5, dtype=np.float32)
    how = Composite(NTSC, decoder="comb", noise=0.03)
    luma = to_yuv(how.apply(clip, np.random.default_rng(0)))[..., 0]
    assert 0.8 * 0.03 < float(luma.std()) < 1.05 * 0.03


def test_rows_slip_by_what_the_time_base_says_and_keep_their_pixels() -> None:
    slips = TimeBase(1.5, 0.8).slips(40, 200, np.random.default_rng(1))
    assert float(slips.std()) == pytest.approx(1.5, rel=0.05)
    apart = float(np.corrcoef(slips[:, 1:].ravel(), slips[:, :-1].ravel())[0, 1])
    assert apart == pytest.approx(0.8, abs=0.03)
    ramp = np.tile(np.arange(64, dtype=np.float32)[None, None, :, None], (1, 32, 1, 3))
    step = TimeBase(1.0, 0.5)
    moved = step.apply(ramp, np.random.default_rng(2))
    slip = step.slips(1, 32, np.random.default_rng(2))
    assert np.allclose(moved[0, :, 20:40, 0], ramp[0, :, 20:40, 0] - slip[0][:, None], atol=1e-4)
    assert np.array_equal(TimeBase(0.0).apply(ramp, np.random.default_rng(2)), ramp)


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_resize_keeps_flat_light_and_does_not_move_the_picture(kernel: Kernel) -> None:
    rows, columns = np.mgrid[0:64, 0:64]
    blob = np.exp(-((rows - 24.0) ** 2 + (columns - 40.0) ** 2) / 60.0).astype(np.float32)
    clip = np.tile(blob[None, ..., None], (1, 1, 1, 3))
    small = resize_clip(clip, (32, 32), kernel)
    assert small.shape == (1, 32, 32, 3)
    back = resize_clip(small, (64, 64), kernel)[0, ..., 0]
    place = (back * rows).sum() / back.sum(), (back * columns).sum() / back.sum()
    assert place == pytest.approx((24.0, 40.0), abs=0.1)
    flat = np.full((1, 50, 46, 3), 0.3, dtype=np.float32)
    assert np.allclose(resize_clip(flat, (24, 22), kernel), 0.3, atol=1e-5)
