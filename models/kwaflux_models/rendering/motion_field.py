"""The motion between two frames of a clip, found once on whole frames at half resolution.

Every tile, region and temporal window that needs a pair's motion reads the same field, so that a
pixel does not depend on how its frame was cut up. A smooth field may be coarse: of the methods that
were measured, DIS at half resolution registered noisy pans and zooms best for its cost.

Sources: T. Kroeger, R. Timofte, D. Dai and L. Van Gool, "Fast Optical Flow using Dense Inverse
Search", ECCV 2016, as OpenCV has it.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias, cast

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from kwaflux_core.color.config import ColorConfig
from kwaflux_core.color.luma import REC709_LUMA
from kwaflux_core.flows.card import Working
from kwaflux_core.geometry import Box
from kwaflux_core.tiling import mirrored_indices
from kwaflux_models.rendering.image_contract import Domain
from kwaflux_models.rendering.plate import Plate

__all__ = ["FINE", "MotionCache", "MotionField", "estimate_motion", "motion_luma"]

FINE = 32
"""Steps of motion in a pixel. Whole steps make coordinates exact, wherever a tile begins."""

_WORKING = Working(
    colorspace="Linear Rec.709 (sRGB)", curve="extended_srgb", range=(-0.5, 8.0), fade=1.0
)
_CODES = 170.0
"""8-bit codes of luma in one unit of display code: 1.5, which is 2.6 in light, is the brightest."""
_SMOOTH_PX = 0.6
"""Gaussian against noise before the search, in pixels of half resolution."""
_LEAST_PX = 16
"""A side of half resolution below this is too small for a search; such a frame is at rest."""
_FIELDS = 64
_LUMAS = 16

# DIS splits a picture among OpenCV's threads, and its result depends on how many there are.
cv2.setNumThreads(1)


@dataclass(frozen=True, slots=True)
class MotionField:
    """Hold where each pixel of a frame is found in a neighbor.

    Args:
        steps: (2, ceil(H / 2), ceil(W / 2)) int16, to the right and down, in steps of 1/32 pixel of
            the whole frame; one for each 2 x 2 pixels.
    """

    steps: NDArray[np.int16]

    def within(self, box: Box, *, scale: int = 1) -> NDArray[np.int32]:
        """Return (2, h, w): the motion of pixels, in 1/32 pixel, to the right and down.

        Args:
            box: Pixels, from the frame's first; inside the frame.
            scale: How many times larger the frame is than the one the motion was found on.
        """
        rows, columns = (
            _blend(first, last, scale=scale, count=count)
            for (first, last), count in zip(
                ((box.y0, box.y1), (box.x0, box.x1)), self.steps.shape[1:], strict=True
            )
        )
        top, bottom, down = rows
        left, right, along = columns
        between = self.steps[:, top[0] : bottom[-1] + 1, left[0] : right[-1] + 1].astype(np.float32)
        high, low = between[:, top - top[0]], between[:, bottom - top[0]]
        between = high + (low - high) * down[:, None]
        near, far = between[:, :, left - left[0]], between[:, :, right - left[0]]
        steps: NDArray[np.int32] = np.rint((near + (far - near) * along) * scale).astype(np.int32)
        return steps


def _blend(
    first: int, last: int, *, scale: int, count: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """Return, for pixels on one side, the two places of the field around each, and the share."""
    place = (np.arange(first, last) + 0.5) / (2.0 * scale) - 0.5
    place = np.clip(place, 0.0, count - 1.0)
    low = np.floor(place).astype(np.intp)
    return low, np.minimum(low + 1, count - 1), (place - low).astype(np.float32)


def motion_luma(plate: Plate, window: Box, *, config: ColorConfig) -> NDArray[np.uint8]:
    """Return what motion is searched on: luma of display code at half resolution, (h, w).

    Args:
        plate: The frame.
        window: The pixels that are wanted; mirrored where the plate has none.
        config: The OCIO config that its colorspace is looked up in.
    """
    halves = np.stack([_half(plane, window, plate.window) for plane in plate.color])[None]
    domain = Domain(_WORKING, colorspace=plate.colorspace, config=config, is_premultiplied=False)
    code = domain.for_network(domain.prepare(torch.from_numpy(halves), None), dtype=torch.float32)
    luma = np.einsum("chw,c->hw", code[0].numpy(), np.array(REC709_LUMA, np.float32))
    smooth = cv2.GaussianBlur(luma, (0, 0), _SMOOTH_PX, borderType=cv2.BORDER_REFLECT_101)
    codes: NDArray[np.uint8] = np.clip(np.rint(smooth * _CODES), 0.0, 255.0).astype(np.uint8)
    return codes


def _half(plane: NDArray[np.float32], window: Box, own: Box) -> NDArray[np.float32]:
    """Return means of 2 x 2 pixels of a window, the last row and column repeated if odd."""
    if window != own:
        rows = mirrored_indices(window.y0 - own.y0, window.y1 - own.y0, own.height)
        columns = mirrored_indices(window.x0 - own.x0, window.x1 - own.x0, own.width)
        plane = plane[np.ix_(rows, columns)]
    height, width = plane.shape
    if height % 2 or width % 2:
        plane = np.pad(plane, ((0, height % 2), (0, width % 2)), mode="edge")
    total = plane[0::2, 0::2] + plane[0::2, 1::2]
    total += plane[1::2, 0::2]
    total += plane[1::2, 1::2]
    return cast("NDArray[np.float32]", total * np.float32(0.25))


def estimate_motion(frame: NDArray[np.uint8], neighbor: NDArray[np.uint8]) -> MotionField:
    """Return the motion from a frame to a neighbor, both as `motion_luma` returns them."""
    height, width = frame.shape
    if min(height, width) < _LEAST_PX:
        return MotionField(np.zeros((2, height, width), np.int16))
    # OpenCV's annotations lack the search.
    search = cv2.DISOpticalFlow_create(  # type: ignore[attr-defined]
        cv2.DISOPTICAL_FLOW_PRESET_MEDIUM
    )
    flow: NDArray[np.float32] = search.calc(frame, neighbor, None)
    limits = np.iinfo(np.int16)
    steps = np.clip(np.rint(flow * (2.0 * FINE)), limits.min, limits.max)
    return MotionField(np.ascontiguousarray(steps.transpose(2, 0, 1)).astype(np.int16))


_Owner: TypeAlias = "weakref.ref[NDArray[np.float32]]"


@dataclass(frozen=True, slots=True)
class _Entry:
    value: MotionField | NDArray[np.uint8]
    owners: tuple[_Owner, ...] = field(repr=False)


class MotionCache:
    """Find each pair's motion once; forget it when one of its plates is gone.

    Args:
        config: The OCIO config that plates' colorspaces are looked up in.

    Thread: any. Plates may be let go by another thread than the one that renders.
    """

    def __init__(self, config: ColorConfig) -> None:
        self._config = config
        self._entries: dict[tuple[int, ...], _Entry] = {}
        # An array may die, and its callback run, while this very thread is inside.
        self._lock = threading.RLock()

    def __len__(self) -> int:
        return len(self._entries)

    def between(self, frame: Plate, neighbor: Plate) -> MotionField:
        """Return the motion from a frame to a neighbor, over the frame's data window."""

        def search() -> MotionField:
            return estimate_motion(
                self._luma(frame, frame.window), self._luma(neighbor, frame.window)
            )

        found = self._cached((frame, neighbor), (), search, limit=_FIELDS)
        return cast(MotionField, found)

    def clear(self) -> None:
        """Drop every entry, when memory is short."""
        with self._lock:
            self._entries.clear()

    def _luma(self, plate: Plate, window: Box) -> NDArray[np.uint8]:
        corners = (window.x0, window.y0, window.x1, window.y1)
        found = self._cached(
            (plate,),
            corners,
            lambda: motion_luma(plate, window, config=self._config),
            limit=_LUMAS,
        )
        return cast("NDArray[np.uint8]", found)

    def _cached(
        self,
        plates: tuple[Plate, ...],
        place: tuple[int, ...],
        make: Callable[[], MotionField | NDArray[np.uint8]],
        *,
        limit: int,
    ) -> MotionField | NDArray[np.uint8]:
        key = (len(plates), *(id(plate.color[0]) for plate in plates), *place)
        with self._lock:
            entry = self._entries.pop(key, None)
            if entry is not None:
                self._entries[key] = entry  # the one used last stands last
                return entry.value
        value = make()
        forget = self._forgetter(key)
        owners = tuple(weakref.ref(plate.color[0], forget) for plate in plates)
        with self._lock:
            self._entries[key] = _Entry(value, owners)
            alike = [other for other in self._entries if other[0] == len(plates)]
            for other in alike[: max(0, len(alike) - limit)]:
                del self._entries[other]
        return value

    def _forgetter(self, key: tuple[int, ...]) -> Callable[[_Owner], None]:
        def forget(gone: _Owner) -> None:
            with self._lock:
                entry = self._entries.get(key)
                # The address of what is gone may be another plate's by now.
                if entry is not None and any(gone is owner for owner in entry.owners):
                    del self._entries[key]

        return forget
