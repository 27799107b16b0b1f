"""Beside edges of light a correction makes no extremes; elsewhere it is untouched."""

from __future__ import annotations

import torch

from kwaflux_models.effects.light_edges import REACH_PX, limit_beside_light


def _step(bright: float) -> torch.Tensor:
    picture = torch.full((1, 3, 40, 60), 0.15)
    picture[..., 30:] = bright
    return picture


def test_no_outline_is_left_beside_a_lamp() -> None:
    picture, change = _step(3.0), torch.zeros(1, 3, 40, 60)
    change[..., 26:29] = -0.1
    change[..., 29] = 0.2
    limited = picture + limit_beside_light(picture, change)
    assert torch.equal(limited[..., :29], picture[..., :29])
    assert float(limited.amin()) >= 0.15
    assert float(limited.amax()) <= 3.0


def test_contrasts_of_a_display_are_corrected_whole() -> None:
    picture, change = _step(1.1), torch.full((1, 3, 40, 60), -0.05)
    assert torch.equal(limit_beside_light(picture, change), change)


def test_away_from_the_edge_a_correction_is_whole() -> None:
    picture, change = _step(3.0), torch.full((1, 3, 40, 60), -0.05)
    limited = limit_beside_light(picture, change)
    far = 30 - REACH_PX - 1
    assert torch.allclose(limited[..., :far], change[..., :far])
    assert not limited[..., 26:30].any()
