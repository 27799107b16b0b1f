"""Decompress takes a file's word before it judges pixels."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import Tensor

from kwaflux_core.images.coding import Coding, h264_step
from kwaflux_models.catalog.registry import Registry
from kwaflux_models.effects.decompress.effect import EFFECT
from kwaflux_models.rendering.effect_api import Measured, Samples, Value
from kwaflux_models.rendering.local_renderer import LocalRenderer

CARD = Registry.discover().cards["decompress"]
VALUES: dict[str, Value] = {param.name: param.default for param in CARD.params}
JPEG_30 = Coding(25.0, "JPEG quality 30", is_jpeg=True)
JPEG_95 = Coding(2.9, "JPEG quality 95", is_jpeg=True)
H264_18 = Coding(h264_step(18), "H.264 QP 18")
H264_30 = Coding(h264_step(30), "H.264 QP 30")


@pytest.fixture(scope="module")
def local() -> LocalRenderer:
    return LocalRenderer.on_cpu()


def brick() -> Tensor:
    """Return (2, 3, 128, 128) of texture that the pixels alone are often taken for damage by."""
    rng = np.random.default_rng(3)
    rows, columns = np.mgrid[0:128, 0:128]
    wall = 0.4 + 0.25 * ((rows % 16 > 2) & ((columns + 16 * (rows // 16 % 2)) % 32 > 2))
    wall = wall[None, None] + 0.06 * rng.standard_normal((2, 3, 128, 128))
    return torch.from_numpy(wall.astype(np.float32))


def measured(local: LocalRenderer, coding: Coding | None, **given: Value) -> Measured:
    picture = brick()
    with local.warm.lend(CARD) as loaded, torch.inference_mode():
        samples = Samples(picture, picture, coding=coding)
        return EFFECT.measure(loaded.network, samples, VALUES | given)


@pytest.mark.parametrize("coding", [JPEG_95, H264_18])
def test_what_the_file_calls_light_is_left_alone(local: LocalRenderer, coding: Coding) -> None:
    found = measured(local, coding)
    assert found.shown["applied"] == 0.0
    assert found.decision == f"{coding.words}: too light to repair, left as it came"


@pytest.mark.parametrize("coding", [JPEG_30, H264_30])
def test_what_the_file_calls_coarse_is_repaired(local: LocalRenderer, coding: Coding) -> None:
    found = measured(local, coding)
    assert found.shown["applied"] == 1.0
    assert found.decision.startswith(f"{coding.words}, codec damage 0.")
    assert found.decision.endswith("repaired")


def test_a_quantizer_beyond_the_trained_scale_is_said_and_held(local: LocalRenderer) -> None:
    found = measured(local, Coding(180.0, "JPEG quality 8", is_jpeg=True))
    assert found.shown["level"] == 1.0
    assert "coarser than what the network was trained on" in found.decision


def test_a_persons_level_counts_before_the_file(local: LocalRenderer) -> None:
    assert measured(local, JPEG_30, level=0.2) == Measured()


def test_a_shots_level_is_that_of_the_frame_in_the_middle(local: LocalRenderer) -> None:
    frames = [measured(local, Coding(h264_step(qp), f"H.264 QP {qp}")) for qp in (34, 24, 30)]
    with local.warm.lend(CARD) as loaded:
        shot = EFFECT.combine(loaded.network, frames)
    record = json.loads(json.dumps(dict(EFFECT.to_record(shot))))
    assert record["evidence"] == "H.264 QP 30"
    assert EFFECT.from_record(record, VALUES).decision.startswith("H.264 QP 30")
