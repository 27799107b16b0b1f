"""Record a clip as a real H.264 movie, and read it back."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TypeAlias

import av
import numpy as np
import numpy.typing as npt

from kwaflux_core.errors import RequestError, WorkerError
from kwaflux_models.child_call import call_in_child
from kwaflux_models.training.degradations.codec_roundtrip import (
    CODECS,
    Encode,
    planes_from_rgb,
    rgb_from_planes,
)

__all__ = ["Movie", "record"]

Clip: TypeAlias = npt.NDArray[np.float32]

_LIMIT_S = 300.0
_CODEC = "h264"


@dataclass(frozen=True, slots=True)
class Movie:
    """A decoded recording.

    Args:
        frames: (T, H, W, 3) display-encoded BT.709, 0..1, as decoded from the file.
        kbit_s: Kilobits per second of the file.
    """

    frames: Clip
    kbit_s: float


def record(clip: Clip, path: Path, *, crf: int, fps: int, preset: str = "medium") -> Movie:
    """Encode a clip into an MP4 file in a child process, and decode that file.

    Args:
        clip: (T, H, W, 3) display-encoded BT.709; clipped to 0..1 as codecs do; H and W even.
        path: The movie to write.
        crf: Constant rate factor of x264: 18 is nearly transparent, 28 is a low bitrate.
        fps: Frames per second.
        preset: Preset of x264.

    Raises:
        RequestError: A side is odd.
        WorkerError: The child process failed, or the movie has another size or number of frames.
        DeadlineExceeded: The child process did not finish in time.
    """
    if clip.shape[1] % 2 or clip.shape[2] % 2:
        raise RequestError("a clip for a codec needs even sides", hint="crop it by one pixel")
    frames = call_in_child(
        _LIMIT_S, _encode_and_decode, clip, path, crf=crf, fps=fps, preset=preset
    )
    if frames.shape != clip.shape:
        raise WorkerError(f"the movie decodes to {frames.shape}, expected {clip.shape}")
    seconds = clip.shape[0] / fps
    return Movie(frames, path.stat().st_size * 8 / 1000 / seconds)


def _encode_and_decode(clip: Clip, path: Path, *, crf: int, fps: int, preset: str) -> Clip:
    """Write the movie and read it; runs in a child process."""
    _encode(clip, path, crf=crf, fps=fps, preset=preset)
    return _decode(path)


def _encode(clip: Clip, path: Path, *, crf: int, fps: int, preset: str) -> None:
    codec = CODECS[_CODEC]
    height, width = clip.shape[1:3]
    with av.open(str(path), "w") as container:
        # One thread: the same bits on every machine.
        params = "log-level=none:threads=1:lookahead_threads=1"
        options = {"crf": str(crf), "preset": preset, "x264-params": params}
        stream = container.add_stream(codec.encoder, rate=fps, options=options)
        if not isinstance(stream, av.VideoStream):
            raise WorkerError(f"{codec.encoder} is not a video encoder")
        stream.width, stream.height, stream.pix_fmt = width, height, codec.layout
        # BT.709 in every respect: 1 is the number of ITU-T H.273 for it.
        stream.codec_context.color_primaries = 1
        stream.codec_context.color_trc = 1
        stream.codec_context.colorspace = 1
        for number, picture in enumerate(clip):
            planes = planes_from_rgb(picture, codec, is_bt601=False)
            packed = np.concatenate([plane.ravel() for plane in planes]).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(packed.reshape(-1, width), format=codec.layout)
            frame.pts, frame.time_base = number, Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _decode(path: Path) -> Clip:
    codec, how = CODECS[_CODEC], Encode(_CODEC, 0)
    pictures = []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            rows, columns = frame.height, frame.width
            packed = frame.to_ndarray(format=codec.layout).ravel().astype(np.uint16)
            luma, blue, red = np.split(packed, [rows * columns, rows * columns * 5 // 4])
            small = (rows // 2, columns // 2)
            planes = [luma.reshape(rows, columns), blue.reshape(small), red.reshape(small)]
            pictures.append(rgb_from_planes(planes, codec, how))
    return np.stack(pictures)
