"""A movie's own word on how coarsely it was quantized."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

av = pytest.importorskip("av")

from kwaflux_core.images.coding import h264_step  # noqa: E402
from kwaflux_server.movie.reader import Movie  # noqa: E402

SIDE = 96


def movie(path: Path, codec: str, options: dict[str, str], *, pixels: str = "yuv420p") -> Path:
    """Write six frames of a moving pattern."""
    rng = np.random.default_rng(2)
    wide = rng.integers(0, 256, (SIDE // 4, SIDE // 2, 3), dtype=np.uint8)
    wide = wide.repeat(4, axis=0).repeat(4, axis=1)
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=Fraction(24))
        stream.width = stream.height = SIDE
        stream.pix_fmt = pixels
        stream.options = options
        for at in range(6):
            picture = np.ascontiguousarray(wide[:, 2 * at : 2 * at + SIDE])
            frame = av.VideoFrame.from_ndarray(picture, "rgb24").reformat(format=pixels)
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return path


def step_of(path: Path, number: int = 3) -> tuple[float, str]:
    opened = Movie(str(path), frame_bytes_max=1 << 30, cache_bytes=1 << 24)
    try:
        found = opened.coding(opened.frame(number))
    finally:
        opened.close()
    return (0.0, "") if found is None else (found.step, found.words)


@pytest.mark.parametrize("qp", [16, 24, 34])
def test_h264_has_its_quantizer_in_every_picture(tmp_path: Path, qp: int) -> None:
    path = movie(tmp_path / "a.mp4", "libx264", {"qp": str(qp), "bf": "0"})
    for number in (1, 4):
        step, words = step_of(path, number)
        assert step == pytest.approx(h264_step(qp), rel=0.45)  # the first picture gets 3 less
        assert words.startswith("H.264 QP ")


def test_coarser_mpeg_has_the_larger_step(tmp_path: Path) -> None:
    for suffix, codec, words in (("mkv", "mpeg2video", "MPEG-2"), ("mp4", "mpeg4", "MPEG-4")):
        fine, coarse = (
            step_of(movie(tmp_path / f"{q}.{suffix}", codec, {"qmin": str(q), "qmax": str(q)}))
            for q in (3, 12)
        )
        assert coarse[0] == pytest.approx(4.0 * fine[0], rel=0.1)
        assert coarse[1] == f"{words} quantizer 12"


def test_x265_has_its_rate_factor_in_the_header(tmp_path: Path) -> None:
    options = {"crf": "28", "x265-params": "log-level=error"}
    step, words = step_of(movie(tmp_path / "a.mp4", "libx265", options))
    assert step == pytest.approx(h264_step(28))
    assert words == "H.265 CRF 28"


def test_motion_jpeg_has_its_tables_in_every_packet(tmp_path: Path) -> None:
    options = {"qmin": "8", "qmax": "8"}
    path = movie(tmp_path / "a.avi", "mjpeg", options, pixels="yuvj420p")
    step, words = step_of(path)
    assert step > 10.0
    assert words.startswith("JPEG quality ")


def test_prores_says_nothing(tmp_path: Path) -> None:
    path = movie(tmp_path / "a.mov", "prores_ks", {"profile": "3"}, pixels="yuv422p10le")
    assert step_of(path) == (0.0, "")
