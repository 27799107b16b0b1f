"""Degradations: repeatable, aligned, and as strong as they say."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from kwaflux_core.color.display_curves import Curve, display_decode, display_encode
from kwaflux_core.errors import RequestError
from kwaflux_models.training.degradations import sensor_noise
from kwaflux_models.training.degradations.demosaic import bayer_mask, demosaic
from kwaflux_models.training.degradations.sensor_noise import Sensor
from kwaflux_models.training.pictures.sources import pictures

av = pytest.importorskip("av")

from kwaflux_models.training.degradations import codec_roundtrip  # noqa: E402
from kwaflux_models.training.degradations.codec_roundtrip import CODECS, Encode  # noqa: E402


def moving_clip(frames: int = 5, side: int = 96) -> NDArray[np.float32]:
    """Soft blobs that move six pixels a frame; scene-linear."""
    rows, columns = np.mgrid[0:side, 0:side].astype(np.float32)
    made = []
    for number in range(frames):
        wave = np.sin((columns + 6 * number) / 5.0) * np.cos((rows - 6 * number) / 7.0)
        made.append(np.stack([0.3 + 0.25 * wave, 0.3 + 0.2 * wave, 0.25 - 0.2 * wave], axis=-1))
    return np.stack(made).astype(np.float32)


@pytest.mark.parametrize("name", sorted(CODECS))
def test_a_codec_returns_every_frame_in_its_place(name: str) -> None:
    clip = display_encode(moving_clip(), "bt709")
    best = {"prores": 3, "h264": 12, "h265": 12, "jpeg": 90}.get(name, 2)
    back = codec_roundtrip.round_trip(clip, Encode(name, best, preset="veryfast"))
    assert back.shape == clip.shape
    distance = np.abs(back[:, None] - clip[None]).mean(axis=(2, 3, 4))
    assert list(distance.argmin(axis=1)) == list(range(clip.shape[0]))
    assert distance.diagonal().max() < 0.02


def test_a_worse_quality_is_worse() -> None:
    clip = display_encode(moving_clip(), "bt709")
    good, bad = (
        float(np.abs(codec_roundtrip.round_trip(clip, Encode("h264", crf)) - clip).mean())
        for crf in (16, 36)
    )
    assert good < bad


def test_an_unknown_codec_and_an_odd_side_are_refused() -> None:
    clip = moving_clip(2)
    with pytest.raises(RequestError, match="no codec named"):
        codec_roundtrip.round_trip(clip, Encode("h266", 20))
    with pytest.raises(RequestError, match="even sides"):
        codec_roundtrip.round_trip(clip[:, :95], Encode("h264", 20))


@pytest.mark.parametrize("is_bt601", [False, True])
def test_planes_keep_gray_neutral_and_color_close(is_bt601: bool) -> None:
    how = Encode("h264", 20, is_bt601=is_bt601)
    gray = np.full((8, 8, 3), 0.5, dtype=np.float32)
    planes = codec_roundtrip.planes_from_rgb(gray, CODECS["h264"], is_bt601=is_bt601)
    assert int(planes[0][0, 0]) == round(16 + 219 * 0.5)
    assert set(planes[1].ravel().tolist()) == {128}
    red = np.zeros((8, 8, 3), dtype=np.float32)
    red[..., 0] = 0.8
    planes = codec_roundtrip.planes_from_rgb(red, CODECS["h264"], is_bt601=is_bt601)
    back = codec_roundtrip.rgb_from_planes(planes, CODECS["h264"], how)
    assert np.abs(back - red).max() < 0.01


@pytest.mark.parametrize("curve", ["srgb", "bt709", "gamma24", "log"])
def test_display_curves_come_back_and_are_odd(curve: Curve) -> None:
    linear = np.linspace(-2.0, 8.0, 500).astype(np.float32)
    code = display_encode(linear, curve)
    assert np.allclose(display_decode(code, curve), linear, atol=1e-3, rtol=1e-3)
    assert np.allclose(display_encode(-linear, curve), -code)


def test_three_sensors_without_a_mosaic_have_the_noise_that_is_asked_for() -> None:
    flat = np.full((128, 128, 3), 0.18, dtype=np.float32)
    sensor = Sensor(shot=0.004, read=0.01, mosaic=-1)
    noise = sensor_noise.add_sensor_noise(flat, sensor, np.random.default_rng(1)) - flat
    expected = np.sqrt(0.004 * 0.18 + 0.01**2)
    assert float(noise.std()) == pytest.approx(float(expected), rel=0.03)
    assert abs(float(noise.mean())) < 0.001


def test_shot_noise_grows_with_light() -> None:
    sensor = Sensor(shot=0.002, read=0.001, mosaic=-1)
    dark, bright = (
        float(
            sensor_noise.add_sensor_noise(
                np.full((96, 96, 3), level, dtype=np.float32), sensor, np.random.default_rng(2)
            ).std()
        )
        for level in (0.05, 3.2)
    )
    assert bright / dark == pytest.approx(8.0, rel=0.1)


@pytest.mark.parametrize("phase", range(4))
@pytest.mark.parametrize("is_linear", [False, True])
def test_a_demosaic_keeps_a_flat_color(phase: int, is_linear: bool) -> None:
    color = np.array([0.7, 0.4, 0.2], dtype=np.float32)
    mask = bayer_mask(16, 16, phase)
    raw = (mask * color).sum(axis=2)
    found = demosaic(raw, mask, is_linear=is_linear)
    assert np.allclose(found[4:-4, 4:-4], color, atol=1e-5)


def test_highlights_past_white_survive_a_sensor() -> None:
    bright = np.full((32, 32, 3), 6.0, dtype=np.float32)
    sensor = Sensor(shot=1e-4, read=1e-3, gains=(2.0, 1.5), crosstalk=0.5)
    found = sensor_noise.add_sensor_noise(bright, sensor, np.random.default_rng(3))
    assert float(found.mean()) == pytest.approx(6.0, rel=0.01)


def test_no_picture_is_in_two_splits() -> None:
    splits = [set(pictures(split)) for split in ("train", "valid", "test")]
    assert all(splits)
    assert not splits[0] & splits[1]
    assert not (splits[0] | splits[1]) & splits[2]
