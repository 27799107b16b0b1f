"""Codecs at the settings people meet: layouts, sizes, qualities, and the step they are named by."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from kwaflux_core.errors import RequestError
from kwaflux_models.training.degradations import codec_level, ycbcr_planes
from kwaflux_models.training.degradations.ycbcr_planes import Codec

pytest.importorskip("av")

from kwaflux_models.training.degradations.codec_roundtrip import CODECS, Encode, round_trip


def textured_clip(frames: int = 3, height: int = 96, width: int = 96) -> NDArray[np.float32]:
    """Texture of every size in gray, soft color, two pixels a frame; display-encoded."""
    rng = np.random.default_rng(3)
    size = (height, width + 2 * frames)
    spectrum = np.hypot(
        *np.meshgrid(np.fft.fftfreq(size[0]), np.fft.rfftfreq(size[1]), indexing="ij")
    )
    white = np.fft.rfft2(rng.standard_normal(size))
    gray = np.fft.irfft2(white / np.maximum(spectrum, 0.01) ** 0.8, s=size)
    gray = 0.5 + 0.13 * gray / gray.std()
    rows, columns = np.mgrid[0 : size[0], 0 : size[1]]
    tint = np.stack(
        [np.sin(rows / 19.0), np.cos(columns / 17.0), np.sin((rows + columns) / 23.0)], -1
    )
    picture = np.clip(gray[..., None] + 0.12 * tint, 0.0, 1.0).astype(np.float32)
    return np.stack([picture[:, 2 * n : 2 * n + width] for n in range(frames)])


def luma_error(back: NDArray[np.float32], clip: NDArray[np.float32]) -> float:
    weights = np.array([0.2126, 0.7152, 0.0722], dtype=np.float32)
    return float(255.0 * np.sqrt(np.square((back - clip) @ weights).mean()))


def middle(name: str) -> int:
    return (CODECS[name].best + CODECS[name].worst) // 2


@pytest.mark.parametrize("name", sorted(CODECS))
def test_the_same_clip_comes_back_with_the_same_bits_twice(name: str) -> None:
    clip = textured_clip()
    how = Encode(name, middle(name), preset="veryfast")
    assert np.array_equal(round_trip(clip, how), round_trip(clip, how))


@pytest.mark.parametrize("name", sorted(set(CODECS) - {"dv"}))
def test_the_worst_quality_harms_more_than_the_best(name: str) -> None:
    clip = textured_clip()
    best, worst = (
        luma_error(round_trip(clip, Encode(name, quality, preset="veryfast")), clip)
        for quality in (CODECS[name].best, CODECS[name].worst)
    )
    assert best < 0.8 * worst


@pytest.mark.parametrize("name", sorted(CODECS))
def test_the_step_grows_as_the_quality_falls(name: str) -> None:
    best, worst = CODECS[name].best, CODECS[name].worst
    way = range(best, worst + 1) if best < worst else range(best, worst - 1, -1)
    steps = [Encode(name, quality).step for quality in way]
    assert all(first <= second for first, second in pairwise(steps))
    assert 0.0 < steps[0] < steps[-1]


def test_the_step_foretells_the_error_across_codecs() -> None:
    clip = textured_clip(frames=2)
    hows = [Encode("h264", crf) for crf in (14, 20, 26, 32)]
    hows += [Encode("jpeg", quality, subsampling="444") for quality in (92, 75, 40, 15)]
    hows += [Encode(name, q) for name in ("mpeg2", "mpeg4", "mjpeg") for q in (2, 5, 12)]
    errors = np.array([luma_error(round_trip(clip, how), clip) for how in hows])
    steps = np.array([how.step for how in hows])
    assert np.corrcoef(np.log(steps), np.log(errors))[0, 1] > 0.9
    ratio = errors / steps**0.6
    assert ratio.max() / ratio.min() < 3.0


def test_steps_are_those_of_the_standards() -> None:
    assert codec_level.quantizer_step("h264", 4) == pytest.approx(1.0, rel=0.01)
    assert codec_level.quantizer_step("h265", 34) == pytest.approx(32.0, rel=0.01)
    assert codec_level.quantizer_step("mpeg4", 7) == 14.0
    twice = codec_level.quantizer_step("jpeg", 25) / codec_level.quantizer_step("jpeg", 50)
    assert twice == pytest.approx(2.0)
    with pytest.raises(KeyError):
        codec_level.quantizer_step("cinepak", 4)


def test_a_still_keeps_the_color_that_its_chroma_has_room_for() -> None:
    clip = np.zeros((1, 64, 64, 3), dtype=np.float32)
    clip[..., 0::2, 0] = 0.9
    clip[..., 1::2, 2] = 0.9
    full, halved = (
        float(np.abs(round_trip(clip, Encode("jpeg", 95, subsampling=kind)) - clip).mean())
        for kind in ("444", "420")
    )
    assert full < 0.1 * halved


@pytest.mark.parametrize("quality", [0, 1, 2])
def test_dv_takes_a_small_clip_out_of_its_own_frame_where_it_was_put(quality: int) -> None:
    clip = textured_clip(frames=2, height=70, width=94)
    back = round_trip(clip, Encode("dv", quality, is_bt601=True))
    assert back.shape == clip.shape
    here = luma_error(back[:, 4:-4, 4:-4], clip[:, 4:-4, 4:-4])
    beside = luma_error(back[:, 4:-4, 4:-4], clip[:, 4:-4, 5:-3])
    assert here < 0.6 * beside


def test_dv_of_ntsc_has_a_quarter_of_the_color_across() -> None:
    clip = np.full((1, 64, 64, 3), 0.4, dtype=np.float32)
    clip[:, :, 1::4, 0] += 0.3
    clip[:, :, 3::4, 2] += 0.3
    how = Encode("dv", 0, is_smooth_chroma=False)
    back = round_trip(clip, how)
    color = back[..., 0] - back[..., 2]
    assert float(np.ptp(color[:, 8:-8, 8:-8].mean(axis=(0, 1)))) < 0.05
    assert float(np.ptp((clip[..., 0] - clip[..., 2])[:, 8:-8, 8:-8].mean(axis=(0, 1)))) > 0.5


def test_what_a_codec_cannot_take_is_refused() -> None:
    clip = np.zeros((1, 32, 722, 3), dtype=np.float32)
    with pytest.raises(RequestError, match="do not fit dv"):
        round_trip(clip, Encode("dv", 1))
    for how in (Encode("prores", 4), Encode("mpeg2", 0), Encode("jpeg", 2), Encode("dv", 3)):
        with pytest.raises(RequestError, match="has no quality"):
            round_trip(clip[:, :, :32], how)


@pytest.mark.parametrize("name", ["dnxhd", "h265", "vp9", "prores"])
def test_a_clip_smaller_than_a_codec_likes_comes_back_in_its_size(name: str) -> None:
    clip = textured_clip(frames=2, height=16, width=24)
    back = round_trip(clip, Encode(name, CODECS[name].best))
    assert back.shape == clip.shape
    assert luma_error(back, clip) < 6.0 < luma_error(back, clip[:, ::-1])


@pytest.mark.parametrize("layout", ["yuv420p", "yuv422p", "yuv411p", "yuv444p"])
def test_planes_come_back_out_of_their_mirror_images(layout: str) -> None:
    codec = Codec("", "", layout)
    picture = textured_clip(frames=1, height=24, width=40)[0]
    made = ycbcr_planes.planes_from_rgb(picture, codec, is_bt601=True)
    large, (top, left) = ycbcr_planes.mirror_planes(made, codec, (64, 96))
    rows, columns = codec.chroma_px
    assert large[0].shape == (64, 96)
    assert large[1].shape == (64 // rows, 96 // columns)
    assert np.array_equal(large[0][top : top + 24, left : left + 40], made[0])
    down, across = top // rows, left // columns
    height, width = made[2].shape
    assert np.array_equal(large[2][down : down + height, across : across + width], made[2])
    assert np.array_equal(large[0][top - 1], large[0][top])
