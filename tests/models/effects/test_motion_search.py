"""The motion search: what moved is found, what is not there is not matched, tiles agree."""

from __future__ import annotations

import pytest
import torch

from kwaflux_models.effects.denoise.motion import ALIGN_PX, RADIUS_PX, REACH_PX, align


def picture(side: int = 256, seed: int = 0) -> torch.Tensor:
    torch.manual_seed(seed)
    layers = [
        share
        * torch.nn.functional.interpolate(torch.rand(1, 3, n, n), (side, side), mode="bicubic")
        for n, share in ((side // 4, 0.1), (side // 8, 0.2), (side // 32, 0.7))
    ]
    return torch.stack(layers).sum(dim=0)


@pytest.mark.parametrize("shift", [(0, 0), (1, -2), (7, 5), (-13, 18), (26, -26)])
def test_a_shifted_picture_comes_back(shift: tuple[int, int]) -> None:
    center = picture()
    moved = torch.roll(center, shift, dims=(2, 3))
    aligned = align(center, moved)
    inner = slice(96, 160)
    error = (aligned.picture - center)[..., inner, inner].abs()
    before = (moved - center)[..., inner, inner].abs()
    assert float((error < 1e-6).float().mean()) > 0.8
    assert float(error.mean()) <= 0.12 * float(before.mean())


def test_noise_does_not_lead_it_astray() -> None:
    center = picture()
    moved = torch.roll(center, (3, -4), dims=(2, 3))
    torch.manual_seed(1)
    noisy, other = (x + 0.05 * torch.randn_like(x) for x in (center, moved))
    aligned = align(noisy, other)
    inner = slice(96, 160)
    found = (aligned.picture - noisy)[..., inner, inner].std()
    assert float(found) < 1.15 * 0.05 * 2**0.5


def test_another_shot_has_a_large_mismatch() -> None:
    aligned = align(picture(seed=0), picture(seed=9))
    assert float(aligned.mismatch.median()) > 0.03


def test_a_tile_with_its_halo_finds_what_the_whole_finds() -> None:
    center = picture(480)
    moved = torch.roll(center, (5, -3), dims=(2, 3)) + 0.02 * torch.rand_like(center)
    halo = -(-RADIUS_PX // ALIGN_PX) * ALIGN_PX
    whole = align(center, moved)
    top = 224 - halo
    cut = slice(top, 256 + halo)
    tile = align(center[..., cut, :], moved[..., cut, :])
    core = slice(halo, halo + 32)
    assert torch.equal(tile.picture[..., core, :], whole.picture[..., 224:256, :])
    assert torch.equal(tile.mismatch[..., core, :], whole.mismatch[..., 224:256, :])


def test_the_reach_is_as_documented() -> None:
    assert REACH_PX == 31
    assert RADIUS_PX >= REACH_PX


def test_brightness_far_outside_the_display_keeps_sums_exact() -> None:
    center = picture() * 1e4
    aligned = align(center, center)
    assert bool(torch.isfinite(aligned.picture).all())
    assert torch.equal(aligned.picture, center)


def test_half_a_pixel_is_found() -> None:
    large = picture(512)
    center, moved = (
        torch.nn.functional.avg_pool2d(large[..., top : top + 508, left : left + 508], 2)[
            ..., :224, :224
        ]
        for top, left in ((0, 0), (3, 0))
    )
    aligned = align(center, moved)
    inner = slice(64, 160)
    error = (aligned.picture - center)[..., inner, inner].abs().mean()
    whole = (torch.roll(moved, 1, dims=2) - center)[..., inner, inner].abs().mean()
    assert float(error) < 0.6 * float(whole)


def test_the_mismatch_of_what_is_the_same_is_that_of_the_noise() -> None:
    center = picture(128)
    torch.manual_seed(2)
    noisy, other = (center + 0.05 * torch.randn_like(center) for _ in range(2))
    mismatch = align(noisy, other).mismatch.median()
    assert 0.85 * 0.05 * 2**0.5 < float(mismatch) < 1.05 * 0.05 * 2**0.5
