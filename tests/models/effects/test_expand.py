"""Expand: light above white, and nothing below the knee."""

from __future__ import annotations

from functools import partial

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kwaflux_core.color.display_curves import display_decode, display_encode
from kwaflux_core.geometry import Box
from kwaflux_models.catalog.registry import Registry
from kwaflux_models.effects.expand.curve import expanded
from kwaflux_models.effects.expand.effect import EFFECT
from kwaflux_models.effects.expand.highlights import REACH_PX, share_of_peak
from kwaflux_models.evaluation.metrics.pu21 import pu21_encode, pu21_psnr
from kwaflux_models.rendering import working_curves
from kwaflux_models.rendering.effect_api import TileInput, no_network
from kwaflux_models.rendering.frame_renderer import FrameRenderer
from kwaflux_models.rendering.local_renderer import LocalRenderer
from kwaflux_models.rendering.plate import Plate

CARD = Registry.discover().cards["expand"]
DEFAULTS = {param.name: param.default for param in CARD.params}
Array = npt.NDArray[np.float32]


@pytest.fixture(scope="module")
def local() -> LocalRenderer:
    return LocalRenderer.on_cpu()


def light(local: LocalRenderer, planes: Array, params: str = "") -> Array:
    """Render (3, H, W) scene-linear Rec.709 planes through the runtime."""
    red, green, blue = planes
    window = Box.from_size(planes.shape[2], planes.shape[1])
    plate = Plate((red, green, blue), None, window, "Linear Rec.709 (sRGB)")
    renderer = FrameRenderer(local.warm.lend, device=local.device, config=local.config)
    flow = local.bind(f"expand({params})" if params else "expand")
    take = local.pool.take
    return np.stack(renderer.render(flow, {1: plate}, frame=1, scratch=take, final=take).color)


def lamp(height: int = 150, width: int = 150, radius: float = 30.0) -> Array:
    """Return a dark room with a white disk that was clipped, with a soft edge."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    away = np.hypot(x - width / 2, y - height / 2)
    shown = np.clip(0.1 + (radius - away) / 4, 0.1, 1.0)
    return np.repeat(shown[None], 3, axis=0).astype(np.float32)


def ramp(top: float, width: int, height: int = 40) -> Array:
    values = np.linspace(0.0, top, width, dtype=np.float32)
    return np.ascontiguousarray(np.broadcast_to(values, (3, height, width)))


def test_up_to_the_knee_every_bit_is_kept(local: LocalRenderer) -> None:
    planes = lamp()
    planes[0, 3, 3], planes[1, 4, 4], planes[2, 5, 5] = -0.2, -0.0, 0.89
    result = light(local, planes)
    is_below = planes <= 0.9
    assert (result.view(np.uint32)[is_below] == planes.view(np.uint32)[is_below]).all()
    assert (result[~is_below] >= planes[~is_below]).all()


def test_nothing_above_the_knee_leaves_the_plate_untouched(local: LocalRenderer) -> None:
    frame = local.render("expand", np.full((3, 80, 80), 0.9, np.float32))
    assert not frame.is_touched


def test_a_clipped_disk_rises_at_once_and_gets_a_round_top(local: LocalRenderer) -> None:
    row = light(local, lamp(radius=50.0))[1, 75, 75:]
    white = row[:46]
    assert (white > 1.3).all()
    assert white[0] > 1.05 * white[-1]
    assert (np.diff(row) <= 0.01).all()


def test_a_sky_that_brightened_slowly_goes_on_rising_where_it_was_clipped(
    local: LocalRenderer,
) -> None:
    shown = np.minimum(ramp(1.6, 480, height=160), 1.0)
    result = light(local, shown)[1, 80]
    edge = int(np.argmax(shown[1, 80] >= 1.0))
    assert result[edge + 2] < 2.0
    assert result[edge + 60] > 1.3 * result[edge + 2]
    assert (np.diff(result[: edge + 100]) >= -1e-4).all()
    assert np.diff(result).max() < 0.1


def test_without_recover_white_becomes_the_peak(local: LocalRenderer) -> None:
    result = light(local, lamp(), "recover=0, peak=8")
    assert result[:, 75, 75] == pytest.approx([8.0] * 3, rel=1e-4)


@pytest.mark.parametrize("width", [60, 400, 1500])
@pytest.mark.parametrize("params", ["", "peak=6", "recover=0, peak=100, knee=0.3"])
def test_a_ramp_far_above_white_stays_in_order(
    local: LocalRenderer, width: int, params: str
) -> None:
    planes = ramp(30.0, width, height=8)
    result = light(local, planes, params)
    assert (np.diff(result[1, 4]) >= -2e-4 * result[1, 4, 1:]).all()


@settings(deadline=None, max_examples=40)
@given(
    knee=st.floats(0.1, 0.98),
    clip=st.floats(0.25, 4.0),
    most=st.floats(0.1, 6.7),
    part=st.floats(0.0, 1.0),
)
def test_the_curve_is_monotone_and_smooth_and_ends_in_the_value_itself(
    knee: float, clip: float, most: float, part: float
) -> None:
    def curve(x: torch.Tensor) -> torch.Tensor:
        stops = torch.tensor(part * most, dtype=torch.float64)
        return expanded(x, stops, knee=knee, clip=clip, most_stops=most)

    x = torch.linspace(-clip, 3.0 * clip, 4001, dtype=torch.float64)
    assert bool((torch.diff(curve(x)) > 0).all())
    below = x[x <= knee * clip]
    assert torch.equal(curve(below), below)
    for place in (knee * clip, clip):
        near = place + 1e-9 * torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64)
        before, after = (torch.diff(curve(near)) / torch.diff(near)).tolist()
        assert abs(before - after) < 0.05
    far = torch.tensor([clip * 2 ** (2 * most) * 1.01, 65504.0 * 4], dtype=torch.float64)
    assert torch.equal(curve(far), far)


def test_the_curve_can_be_undone() -> None:
    x = torch.linspace(0.0, 2.0, 2000, dtype=torch.float64)
    y = expanded(x, torch.tensor(2.0), knee=0.8, clip=1.0, most_stops=2.0)
    back = np.interp(y.numpy(), y.numpy(), x.numpy())
    assert np.abs(back - x.numpy()).max() < 1e-9
    assert len(np.unique(y.numpy())) == len(x)


def test_more_clipped_channels_and_darker_surroundings_mean_more_light() -> None:
    def share(color: tuple[float, float, float], around: float) -> float:
        picture = torch.full((1, 3, 141, 141), around)
        picture[..., 60:81, 60:81] = torch.tensor(color).view(1, 3, 1, 1)
        return float(share_of_peak(picture)[0, 0, 70, 70])

    one, two = share((1.0, 0.5, 0.2), 0.3), share((1.0, 1.0, 0.2), 0.3)
    three, dark = share((1.0, 1.0, 1.0), 0.3), share((1.0, 1.0, 1.0), 0.01)
    assert one < two < three < dark
    assert one > 0.1
    assert dark <= 1.0


def test_only_what_was_clipped_rises_unless_ratios_are_kept(local: LocalRenderer) -> None:
    planes = np.empty((3, 90, 90), np.float32)
    planes[0], planes[1], planes[2] = 1.0, 0.6, 0.3
    apart = light(local, planes)
    assert (apart[1:] == planes[1:]).all()
    assert (apart[0] > 1.1).all()
    together = light(local, planes, "hue=1")
    assert together[0, 45, 45] > 1.1
    assert together[1, 45, 45] / together[0, 45, 45] == pytest.approx(0.6, rel=1e-4)
    gray = light(local, planes, "hue=1, saturation=0")
    assert np.ptp(gray[:, 45, 45]) < np.ptp(together[:, 45, 45])


def test_half_the_strength_is_half_the_stops(local: LocalRenderer) -> None:
    full, half = light(local, lamp())[1, 75, 75], light(local, lamp(), "strength=0.5")[1, 75, 75]
    assert np.log2(half) == pytest.approx(0.5 * np.log2(full), rel=1e-3)


def test_noise_at_white_hardly_moves_what_is_judged() -> None:
    rng = np.random.default_rng(6)
    means = []
    for _ in range(6):
        noisy = np.minimum(lamp() + rng.normal(0, 0.01, (3, 150, 150)), 1.0).astype(np.float32)
        share = share_of_peak(torch.from_numpy(noisy)[None])
        means.append(float(share[0, 0, 70:81, 70:81].mean()))
    assert np.ptp(means) < 0.02 * np.mean(means)


def test_nothing_that_a_tile_needs_lies_outside_its_halo() -> None:
    assert CARD.halo_px >= REACH_PX
    whole = torch.rand(1, 3, 240, 260, generator=torch.Generator().manual_seed(2)) * 1.2
    part = share_of_peak(whole[..., 10:230, 20:])
    inner = share_of_peak(whole)[..., 10 + REACH_PX : 230 - REACH_PX, 20 + REACH_PX : -REACH_PX]
    again = part[..., REACH_PX:-REACH_PX, REACH_PX:-REACH_PX]
    assert torch.allclose(inner, again, rtol=0, atol=1e-5)


def test_a_window_in_a_dark_room_comes_nearer_to_what_it_was_than_by_a_fixed_curve() -> None:
    y, x = np.mgrid[0:160, 0:160].astype(np.float32)
    scene = np.full((160, 160, 3), 0.04, np.float32)
    view = np.stack([4.0 + 2.0 * np.exp(-(np.hypot(x - 80, y - 80) ** 2) / 900)] * 3, -1)
    scene[40:120, 50:110] = view[40:120, 50:110].astype(np.float32)
    code = np.rint(display_encode(np.minimum(scene, 1), "srgb") * 255) / 255
    shown = display_decode(code.astype(np.float32), "srgb")
    linear = torch.from_numpy(shown.transpose(2, 0, 1).copy())[None]
    tile = working_curves.encode(linear)
    residual = EFFECT.residual(no_network(), TileInput(partial(_alone, tile), center=0), DEFAULTS)
    assert residual is not None
    found = working_curves.decode(tile + residual)[0].permute(1, 2, 0).numpy()
    fixed = shown * np.where(shown >= 0.99, np.float32(2.0), np.float32(1.0))
    assert pu21_psnr(found, scene) > pu21_psnr(fixed, scene) + 1.0


def _alone(tile: torch.Tensor) -> tuple[torch.Tensor, ...]:
    return (tile,)


def test_pu21_stands_at_its_published_points() -> None:
    points = pu21_encode(np.array([0.005, 100.0, 10_000.0, 1e6, 0.0], np.float32))
    assert points == pytest.approx([0.0, 256.4, 595.4, 595.4, 0.0], abs=0.1)
    steps = np.diff(pu21_encode(np.logspace(-2, 4, 200).astype(np.float32)))
    assert (steps > 0).all()


def test_pu21_psnr_knows_equal_pictures_and_stops_of_error() -> None:
    picture = np.full((8, 8, 3), 2.0, np.float32)
    assert pu21_psnr(picture, picture) == 100.0
    one, two = (pu21_psnr(picture * 2.0**stops, picture) for stops in (1, 2))
    assert 5.0 < two < one < 20.0
