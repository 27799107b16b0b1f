"""Noise is told from texture by its color."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from kwaflux_models.catalog.registry import Registry
from kwaflux_models.effects.denoise.chroma_evidence import chroma_to_luma
from kwaflux_models.effects.denoise.effect import EFFECT
from kwaflux_models.rendering.effect_api import Samples, Value
from kwaflux_models.rendering.local_renderer import LocalRenderer

CARD = Registry.discover().cards["denoise"]
VALUES: dict[str, Value] = {param.name: param.default for param in CARD.params}
TINT = np.array([1.0, 0.85, 0.7], np.float32)


def texture(*, color: float, seed: int = 1) -> Tensor:
    """Return (4, 3, 128, 128): fine detail on a tinted ground, in part each channel's own."""
    rng = np.random.default_rng(seed)
    shared = rng.standard_normal((4, 1, 128, 128))
    own = rng.standard_normal((4, 3, 128, 128))
    detail = gaussian_filter(shared + color * own, (0, 0, 0.5, 0.5))
    picture = (0.4 + 0.08 * detail) * TINT[None, :, None, None]
    return torch.from_numpy(picture.astype(np.float32))


def test_gravel_has_little_color_and_noise_has_much() -> None:
    gravel, noise = chroma_to_luma(texture(color=0.0)), chroma_to_luma(texture(color=1.0))
    assert gravel is not None
    assert noise is not None
    assert gravel < 0.2
    assert noise > 0.6


@pytest.mark.parametrize("value", [0.0, 0.4])
def test_a_gray_picture_says_nothing(value: float) -> None:
    gray = texture(color=0.0)[:, :1].expand(-1, 3, -1, -1)
    assert chroma_to_luma(gray) is None
    assert chroma_to_luma(torch.full((1, 3, 128, 128), value)) is None


def test_gravel_in_a_single_frame_is_left_alone_and_noise_is_removed() -> None:
    local = LocalRenderer.on_cpu()
    neutral = texture(color=0.0) / torch.from_numpy(TINT).view(1, 3, 1, 1)
    gravel = neutral + 0.02 * torch.from_numpy(TINT - TINT.mean()).view(1, 3, 1, 1)
    noise = texture(color=1.0)
    with local.warm.lend(CARD) as loaded, torch.inference_mode():
        found = [
            EFFECT.measure(loaded.network, Samples(each, each), VALUES) for each in (gravel, noise)
        ]
    assert found[0].shown["applied"] == 0.0
    assert "left as it came" in found[0].decision
    assert found[1].shown["applied"] == 1.0
