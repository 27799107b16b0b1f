"""Film a real photograph with a moving camera.

The photograph is "Motorcycle" of the Middlebury 2014 stereo benchmark, which scikit-image carries
with its measured disparity; its makers permit to use and publish it, and ask to cite D. Scharstein,
H. Hirschmueller, Y. Kitajima, G. Krathwohl, N. Nesic, X. Wang and P. Westling, "High-resolution
stereo datasets with subpixel-accurate ground truth", GCPR 2014.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from skimage.data import stereo_motorcycle

from kwaflux_core.color.display_curves import display_decode
from kwaflux_core.errors import RequestError
from kwaflux_core.geometry import Box

__all__ = ["DATA_WINDOW", "DISPLAY_WINDOW", "Framing", "Photograph", "Shot", "camera_path", "film"]

Picture: TypeAlias = npt.NDArray[np.float32]

DISPLAY_WINDOW = Box.from_size(640, 360)
DATA_WINDOW = DISPLAY_WINDOW.expanded(8)
"""The data window of the shot: the display window with 8 pixels of overscan on each side."""

_EXPOSURE = 0.85
_FOCAL_PX, _PRINCIPAL_SHIFT_PX, _BASELINE_M = 994.978, 31.086, 0.193001
_LOBES = 3
# The photograph is 741 x 500; a plate pixel covers at least one of its pixels, so that the plate
# is as sharp as a plate can be.
_WIDE, _CLOSE = (372.0, 276.0, 1.11), (350.0, 262.0, 1.0)


@dataclass(frozen=True, slots=True)
class Photograph:
    """Hold a photograph with its depth.

    Args:
        linear: (H, W, 3) scene-linear Rec.709, 0..1.
        depth: (H, W) meters from the camera; NaN where none was measured.
    """

    linear: Picture
    depth: Picture

    @classmethod
    def load(cls) -> Photograph:
        """Return the motorcycle, from the files that scikit-image is installed with."""
        left, _, disparity = stereo_motorcycle()  # type: ignore[no-untyped-call]
        code = np.asarray(left, dtype=np.float32) / np.float32(255.0)
        disparity_px = np.asarray(disparity, dtype=np.float32) + np.float32(_PRINCIPAL_SHIFT_PX)
        depth = np.float32(_FOCAL_PX * _BASELINE_M) / disparity_px
        depth[~np.isfinite(disparity_px)] = np.nan
        return cls(display_decode(code, "srgb"), depth)


@dataclass(frozen=True, slots=True)
class Framing:
    """The part of the photograph that one frame shows.

    Args:
        x: Column of the frame's center, in pixels of the photograph.
        y: Row of the frame's center, in pixels of the photograph, y down.
        step: Pixels of the photograph from one pixel of the frame to the next, at least 1.
    """

    x: float
    y: float
    step: float


@dataclass(frozen=True, slots=True)
class Shot:
    """Hold the clean frames of a shot, each over the same data window.

    Args:
        color: (T, H, W, 3) scene-linear Rec.709, not negative.
        depth: (T, H, W) meters; NaN where none was measured.
        object_id: (T, H, W) one of a few large numbers per distance, as an ID matte has them.
    """

    color: Picture
    depth: Picture
    object_id: npt.NDArray[np.uint32]

    def __len__(self) -> int:
        return int(self.color.shape[0])


def camera_path(frames: int) -> list[Framing]:
    """Return the framings of a camera that zooms in and pans, with an ease in and out."""
    path = []
    for index in range(frames):
        along = index / max(frames - 1, 1)
        eased = along * along * (3.0 - 2.0 * along)
        x, y, step = (a + (b - a) * eased for a, b in zip(_WIDE, _CLOSE, strict=True))
        path.append(Framing(x, y, step))
    return path


def film(photograph: Photograph, path: list[Framing], *, window: Box = DATA_WINDOW) -> Shot:
    """Film a photograph along a path.

    Color is resampled in scene-linear with a three-lobed Lanczos filter as wide as the step; depth
    and IDs take the nearest pixel's value.

    Raises:
        RequestError: A framing reaches beyond the photograph.
    """
    color, depth = [], []
    rows, columns = photograph.depth.shape
    planes = np.ascontiguousarray(photograph.linear.transpose(2, 0, 1))
    for framing in path:
        y = _positions(framing.y, framing.step, window.height, rows)
        x = _positions(framing.x, framing.step, window.width, columns)
        down, across = _lanczos(y, rows, framing.step), _lanczos(x, columns, framing.step)
        filmed = np.stack([down @ plane @ across.T for plane in planes], axis=-1)
        # The filter's negative lobes undershoot beside highlights; light is not negative.
        color.append(np.maximum(filmed, 0.0) * np.float32(_EXPOSURE))
        depth.append(photograph.depth[np.ix_(np.int64(y), np.int64(x))])
    distance = np.stack(depth)
    return Shot(np.stack(color), distance, _object_ids(distance))


def _positions(center: float, step: float, count: int, limit: int) -> npt.NDArray[np.float64]:
    """Return the positions of the frame's pixel centers; a pixel's center is at its index + 0.5."""
    places = center + (np.arange(count, dtype=np.float64) + 0.5 - count / 2) * step
    if places[0] < 0.0 or places[-1] > limit:
        raise RequestError(
            f"a framing reaches from {places[0]:.1f} to {places[-1]:.1f}, the photograph from 0 to "
            f"{limit}",
            hint="film a smaller window, or move the camera less",
        )
    return places


def _lanczos(places: npt.NDArray[np.float64], limit: int, step: float) -> Picture:
    """Return (count, limit) weights that sum to 1 per row.

    Source: C. Duchon, "Lanczos filtering in one and two dimensions", J. Appl. Meteor. 1979.
    """
    away = (places[:, None] - (np.arange(limit)[None, :] + 0.5)) / max(step, 1.0)
    weights = np.where(np.abs(away) < _LOBES, np.sinc(away) * np.sinc(away / _LOBES), 0.0)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)


def _object_ids(depth: Picture) -> npt.NDArray[np.uint32]:
    """Return an ID per quarter of a meter, spread over all 32 bits; 0 where nothing is known."""
    slices = np.nan_to_num(depth * 4.0, nan=0.0).astype(np.uint32)
    return np.asarray(slices * np.uint32(2654435761), dtype=np.uint32)
