"""CPU seconds a megapixel of denoising, with neighbors and without, and of finding motion."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from kwaflux_models.rendering.frame_renderer import FrameRenderer
from kwaflux_models.rendering.local_renderer import LocalRenderer, plate_of
from kwaflux_models.rendering.motion_field import MotionCache
from kwaflux_server.bench.fixtures import noisy_planes
from kwaflux_server.bench.rows import Row, timed

__all__ = ["denoise_cost", "motion_cost"]

_FRAMES = 5
_PAN_PX = 3
_LIMIT_S = 6.0
"""CPU seconds a megapixel, of denoise with five frames."""

Array = npt.NDArray[np.float32]


def denoise_cost(local: LocalRenderer, width: int, height: int, *, is_temporal: bool) -> list[Row]:
    """Return the CPU seconds a megapixel of denoise, its noise told, on a pan.

    With five frames, the motion from the frame to each neighbor is found within the time.
    """
    flow = "denoise(noise=0.04)" if is_temporal else "denoise(noise=0.04, temporal=false)"
    clip = _pan(width, height, count=_FRAMES if is_temporal else 1)
    renderer = FrameRenderer(local.warm.lend, device=local.device, config=local.config)
    plates = {number: plate_of(planes) for number, planes in enumerate(clip, start=1)}
    bound, middle = local.bind(flow), 1 + len(clip) // 2
    local.render(flow, clip[0][:, :64, :64])
    taken = timed(lambda: renderer.render(bound, plates, frame=middle))
    megapixels = width * height / 1e6
    row = Row(
        f"denoise, {'five frames' if is_temporal else 'one frame'}",
        taken.cpu_s / megapixels,
        "CPU s/MP",
        _LIMIT_S if is_temporal else None,
        f"{taken} for one frame of {width} x {height}",
    )
    return [row]


def motion_cost(local: LocalRenderer, width: int, height: int) -> list[Row]:
    """Return the CPU seconds a megapixel of the motion from a frame to its neighbor."""
    frame, neighbor = (plate_of(planes) for planes in _pan(width, height, count=2))
    MotionCache(local.config).between(frame, neighbor)
    taken = timed(lambda: MotionCache(local.config).between(frame, neighbor))
    detail = f"{taken} for one pair of {width} x {height}"
    value = taken.cpu_s / (width * height / 1e6)
    return [Row("motion of a pair of frames", value, "CPU s/MP", None, detail)]


def _pan(width: int, height: int, *, count: int) -> Sequence[Array]:
    """Return (3, height, width) frames of one picture that moves to the left, each with noise."""
    wide = noisy_planes(height, width + _PAN_PX * (count - 1), count=3)
    rng = np.random.default_rng(5)
    return [
        wide[:, :, _PAN_PX * index : _PAN_PX * index + width]
        + rng.normal(0.0, 0.02, (3, height, width)).astype(np.float32)
        for index in range(count)
    ]
