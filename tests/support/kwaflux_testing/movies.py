"""Small real movies, made by real encoders, whose every frame shows its own number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

__all__ = ["Shot", "code_planes", "drawn_number", "read_planes", "write_movie"]

Codes = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
_CELL_PX = 8
_DIGITS = 6
_QUIET = {
    "libx264": ("x264-params", "log-level=none"),
    "libx265": ("x265-params", "log-level=none:pools=none:frame-threads=1"),
}


@dataclass(frozen=True, slots=True)
class Shot:
    """How a movie is made.

    Args:
        encoder: Of FFmpeg's libraries.
        layout: The pixel format.
        suffix: Of the file, which names the container.
        options: Of the encoder; ``params`` goes to x264 and x265 themselves.
        count: Frames.
        width: Pixels.
        height: Pixels.
        first: When the first frame is shown, in frames.
        rate: Frames a second.
        tags: Primaries, transfer, matrix (H.273) and range (1 video, 2 full).
        metadata: Of the file.
        muxing: Options of the container.
        times: When each frame is shown, in frames, where they do not follow on each other.
    """

    encoder: str = "libx264"
    layout: str = "yuv420p"
    suffix: str = ".mp4"
    options: Mapping[str, str] = field(default_factory=dict)
    count: int = 24
    width: int = 64
    height: int = 48
    first: int = 0
    rate: Fraction = Fraction(24)
    tags: tuple[int, int, int, int] = (1, 1, 1, 1)
    metadata: Mapping[str, str] = field(default_factory=dict)
    muxing: Mapping[str, str] = field(default_factory=dict)
    times: Sequence[int] = ()

    @property
    def bits(self) -> int:
        """Of one code value."""
        return 10 if "10" in self.layout else 12 if "12" in self.layout else 8


def code_planes(shot: Shot, number: int) -> list[Codes]:
    """Return the code values of frame ``number``: its number in cells, and ramps that move.

    Luma is within video levels. Chroma has ramps across and down, so that its siting is seen.
    """
    top = 1 << shot.bits
    dtype = np.uint8 if shot.bits == 8 else np.uint16
    down, across = np.mgrid[0 : shot.height, 0 : shot.width]
    luma = top * (0.2 + 0.5 * ((across + 2 * down + 3 * number) % 97) / 97)
    for digit in range(_DIGITS):
        is_set = number >> digit & 1
        cell = slice(digit * _CELL_PX, (digit + 1) * _CELL_PX)
        luma[:_CELL_PX, cell] = top * (0.85 if is_set else 0.1)
    planes: list[Codes] = [np.rint(luma).astype(dtype)]
    name = shot.layout
    half_x, half_y = "420" in name or "422" in name, "420" in name
    rows = -(-shot.height // 2) if half_y else shot.height
    columns = -(-shot.width // 2) if half_x else shot.width
    y, x = np.mgrid[0:rows, 0:columns]
    planes.append(np.rint(top * (0.35 + 0.3 * x / columns)).astype(dtype))
    planes.append(np.rint(top * (0.65 - 0.3 * y / rows)).astype(dtype))
    return planes


def drawn_number(luma: Codes, bits: int) -> int:
    """Return the number that a frame shows, as a person would read it off."""
    half = _CELL_PX // 2
    middle = [luma[half, digit * _CELL_PX + half] for digit in range(_DIGITS)]
    return sum(1 << digit for digit, code in enumerate(middle) if code > 0.5 * (1 << bits))


def write_movie(folder: Path, shot: Shot, *, name: str = "clip") -> Path:
    """Write a movie; frame N (from 1) shows the number N."""
    path = folder / f"{name}{shot.suffix}"
    with av.open(str(path), "w", options=dict(shot.muxing)) as container:
        container.metadata.update(shot.metadata)
        stream = container.add_stream(shot.encoder, rate=shot.rate, options=_options(shot))
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = shot.width, shot.height, shot.layout
        stream.thread_count = 1
        context = stream.codec_context
        context.time_base = 1 / shot.rate
        primaries, transfer, matrix, levels = shot.tags
        context.color_primaries, context.color_trc = primaries, transfer
        context.colorspace, context.color_range = matrix, levels
        times = shot.times or range(shot.first, shot.first + shot.count)
        for number, time in enumerate(times, start=1):
            frame = _frame(shot, number)
            frame.pts, frame.time_base = time, 1 / shot.rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def _options(shot: Shot) -> dict[str, str]:
    options = dict(shot.options)
    said = options.pop("params", "")
    if shot.encoder in _QUIET:
        name, quiet = _QUIET[shot.encoder]
        options[name] = f"{quiet}:{said}" if said else quiet
    return options


def _frame(shot: Shot, number: int) -> av.VideoFrame:
    frame = av.VideoFrame(shot.width, shot.height, shot.layout)
    for plane, codes in zip(frame.planes, code_planes(shot, number), strict=True):
        row = plane.line_size // codes.dtype.itemsize
        padded = np.zeros((plane.height, row), codes.dtype)
        padded[: codes.shape[0], : codes.shape[1]] = codes
        plane.update(padded.tobytes())
    primaries, transfer, matrix, levels = shot.tags
    frame.color_primaries, frame.color_trc = primaries, transfer
    frame.colorspace, frame.color_range = matrix, levels
    return frame


def read_planes(frame: av.VideoFrame, bits: int) -> list[Codes]:
    """Return the code values of a decoded frame's planes."""
    found: list[Codes] = []
    for plane in frame.planes:
        data = bytes(plane)
        codes: Codes = (
            np.frombuffer(data, np.uint8) if bits == 8 else np.frombuffer(data, np.dtype("<u2"))
        )
        rows = codes.reshape(-1, plane.line_size // codes.dtype.itemsize)
        found.append(rows[: plane.height, : plane.width])
    return found
