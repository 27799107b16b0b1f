"""Make the demonstration's plate: a shot, a camera's sensor, a codec, and EXR files.

The sensor and the curves are those that the training uses.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from kwaflux_core.color.display_curves import display_decode, display_encode
from kwaflux_core.frames.timecode import Timecode
from kwaflux_core.geometry import Box
from kwaflux_core.images.exr.attributes import to_exr_timecode
from kwaflux_core.images.exr.read import write_exr
from kwaflux_core.images.image import Image, Part
from kwaflux_models.training.degradations.sensor_noise import Sensor, add_sensor_noise
from kwaflux_server.demo.camera_shot import DATA_WINDOW, DISPLAY_WINDOW, Shot
from kwaflux_server.demo.folders import FIRST_FRAME, Sequence
from kwaflux_server.demo.h264_roundtrip import record

__all__ = [
    "DEGRADATION",
    "FPS",
    "Degradation",
    "Plate",
    "shoot",
    "write_frames",
]

Clip: TypeAlias = npt.NDArray[np.float32]

FPS = 24
_GRAY = 0.18

# Rec.709 primaries and its white point, as the standard attribute of OpenEXR orders them.
_REC709 = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, 0.3127, 0.3290)


@dataclass(frozen=True, slots=True)
class Degradation:
    """The strength of the degradation.

    Args:
        sigma: Standard deviation of the sensor's noise on middle gray, in display units (0..1).
        shot_share: Share (0..1) of the variance on middle gray that is shot noise.
        crf: Constant rate factor of x264.
        seed: Seed of the noise.
    """

    sigma: float
    shot_share: float
    crf: int
    seed: int

    def sensor(self) -> Sensor:
        """Return the camera: a Bayer sensor under tungsten light, with its color matrix."""
        # Around middle gray the display curve rises by about 1.2 per unit of light.
        variance = (self.sigma / 1.2) ** 2
        read = math.sqrt((1.0 - self.shot_share) * variance)
        return Sensor(
            shot=self.shot_share * variance / _GRAY,
            read=read,
            row=0.1 * read,
            gains=(1.8, 1.5),
            crosstalk=0.4,
        )


DEGRADATION = Degradation(sigma=0.045, shot_share=0.9, crf=26, seed=1001)
"""A camera at a high ISO that records H.264; a finer sensor or a lower bitrate leaves less to gain.

Both lie in the middle of the usual range (0.03 to 0.06, CRF 23 to 28), which training covers.
"""


@dataclass(frozen=True, slots=True)
class Plate:
    """A degraded shot and its clean frames.

    Args:
        degraded: (T, H, W, 3) scene-linear Rec.709.
        clean: The same shape and colorspace, clipped to 0..1 as the codec's curve does.
        kbit_s: Bit rate of the intermediate movie, kilobits per second.
    """

    degraded: Clip
    clean: Clip
    kbit_s: float


def shoot(shot: Shot, movie: Path, *, how: Degradation = DEGRADATION) -> Plate:
    """Expose the sensor to a shot, record it as H.264 in BT.709, and decode it to scene-linear.

    Args:
        shot: The clean frames; height and width even.
        movie: The MP4 to record.
        how: The strength of the degradation.

    Raises:
        WorkerError: The encoder failed.
        DeadlineExceeded: The encoder did not finish in time.
    """
    sensor = how.sensor()
    noisy = np.stack(
        [
            add_sensor_noise(frame, sensor, np.random.default_rng([how.seed, number]))
            for number, frame in enumerate(shot.color)
        ]
    )
    recorded = record(display_encode(noisy, "bt709"), movie, crf=how.crf, fps=FPS)
    degraded = display_decode(recorded.frames, "bt709")
    return Plate(degraded, np.clip(shot.color, 0.0, 1.0), recorded.kbit_s)


def write_frames(
    sequence: Sequence,
    color: Clip,
    *,
    shot: Shot | None = None,
    window: Box = DATA_WINDOW,
    display_window: Box = DISPLAY_WINDOW,
) -> Iterator[Path]:
    """Write a clip as EXR files from frame 1001 on, and yield the path of each written file.

    Args:
        sequence: The files; their folder exists.
        color: (T, H, W, 3) scene-linear Rec.709.
        shot: Source of the channels ``depth.Z`` and ``object.id``; None writes color only.
        window: The data window of the clip.
        display_window: The display window of the files.

    Raises:
        ImageWriteFailed: The disk is full, or the folder is not writable.
    """
    for index, pixels in enumerate(color):
        channels: dict[str, npt.NDArray[np.float32] | npt.NDArray[np.uint32]] = {
            channel: np.ascontiguousarray(pixels[..., c]) for c, channel in enumerate("RGB")
        }
        if shot is not None:
            channels["depth.Z"] = shot.depth[index]
            channels["object.id"] = shot.object_id[index]
        frame = FIRST_FRAME + index
        part = Part(channels, window, display_window, _attributes(frame))
        path = sequence.file(frame)
        write_exr(path, Image((part,)))
        yield path


def _attributes(frame: int) -> Mapping[str, object]:
    """Return a frame's header: its timecode is its number, counted from one hour on."""
    timecode = Timecode.of_count(3600 * FPS + frame, per_second=FPS)
    return MappingProxyType(
        {
            "chromaticities": _REC709,
            "framesPerSecond": Fraction(FPS, 1),
            "reelName": "A001C001",
            "shot": "demo_0010",
            "timeCode": to_exr_timecode(timecode),
        }
    )
