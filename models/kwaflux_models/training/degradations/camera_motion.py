"""Draw clips that move the way footage does, from still pictures.

Works in linear light on pictures it is given; must not know noise, codecs, files or networks.

An 8-bit picture is stored at twice the size it is shown at and is resampled with an antialiased
cubic filter for each frame, so a frame is as sharp at any part of a pixel.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from kwaflux_core.color.display_curves import LOG_PEAK, display_decode
from kwaflux_core.errors import ImageError
from kwaflux_models.training.degradations.sensor_noise import Array
from kwaflux_models.training.pictures.crops import expose, place_window
from kwaflux_models.training.pictures.sources import Picture

__all__ = ["Path", "draw_moving_clip", "draw_path", "film"]

_SRGB = display_decode((np.arange(256) / 255.0).astype(np.float32), "srgb")
_STORED_PX = {"display": 2.0, "pristine": 1.0, "linear": 1.5}
"""Stored pixels under one pixel of a clip, where the picture is large enough."""

_TURNED = 0.12
_ZOOMED = 0.12
_LAYERED = 0.22
_CUT = 0.05
_FLICKER = 0.08
_FLASH = 0.02
_MOST_SUBFRAMES = 4
_MOST_SLOWED = 24


@dataclass(frozen=True, slots=True)
class Path:
    """How a window travels over a picture; times in frames, lengths in pixels of the clip.

    Attributes:
        velocity: (rows, columns) a frame.
        bend: (rows, columns) a frame squared.
        sway: Amplitude of an oscillation in (rows, columns).
        sway_rate: Radians a frame.
        sway_phase: Radians.
        zoom: Natural logarithm of the magnification, a frame.
        turn: Radians a frame.
        shutter: Share of a frame's time that the shutter is open, 0..1.
    """

    velocity: tuple[float, float] = (0.0, 0.0)
    bend: tuple[float, float] = (0.0, 0.0)
    sway: tuple[float, float] = (0.0, 0.0)
    sway_rate: float = 0.0
    sway_phase: float = 0.0
    zoom: float = 0.0
    turn: float = 0.0
    shutter: float = 0.0

    @property
    def is_pan(self) -> bool:
        """True where the window neither grows nor turns."""
        return self.zoom == 0.0 and self.turn == 0.0

    def offset(self, time: float) -> NDArray[np.float64]:
        """Return the (rows, columns) traveled since time 0."""
        swing = np.sin(self.sway_rate * time + self.sway_phase) - np.sin(self.sway_phase)
        return np.asarray(
            np.array(self.velocity) * time
            + 0.5 * np.array(self.bend) * time * time
            + np.array(self.sway) * swing
        )

    def slowed(self, share: float) -> Path:
        """Return the path with its travel made shorter, to fit a picture."""
        return Path(
            velocity=(self.velocity[0] * share, self.velocity[1] * share),
            bend=(self.bend[0] * share, self.bend[1] * share),
            sway=(self.sway[0] * share, self.sway[1] * share),
            sway_rate=self.sway_rate,
            sway_phase=self.sway_phase,
            zoom=self.zoom * share,
            turn=self.turn * share,
            shutter=self.shutter,
        )


@dataclass(frozen=True, slots=True)
class _Layer:
    """A picture ready to be sampled.

    Attributes:
        planes: Linear light, one image a channel; a fourth is the coverage, and then the colors
            are multiplied by it.
        center: (row, column) in stored pixels that the window's middle has at time 0.
        scale: Stored pixels under one pixel of the clip.
    """

    planes: tuple[Image.Image, ...]
    center: tuple[float, float]
    scale: float


def _signed(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw a log-uniform size with either sign."""
    size = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    return size if rng.random() < 0.5 else -size


def draw_path(rng: np.random.Generator, *, static: float = 0.2) -> Path:
    """Draw a path: a share stands still, the rest moves 0.1..16 pixels a frame.

    Args:
        rng: The random generator.
        static: Share of paths without any motion.
    """
    if rng.random() < static:
        return Path()
    speed = abs(_signed(rng, 0.1, 16.0))
    angle = float(rng.uniform(0.0, 2.0 * np.pi))
    velocity = (speed * float(np.sin(angle)), speed * float(np.cos(angle)))
    bend = rng.normal(0.0, 0.06 * speed, size=2) if rng.random() < 0.3 else np.zeros(2)
    has_sway = rng.random() < 0.25
    sway = rng.uniform(0.1, 1.5) * rng.random(2) * has_sway
    return Path(
        velocity=velocity,
        bend=(float(bend[0]), float(bend[1])),
        sway=(float(sway[0]), float(sway[1])),
        sway_rate=float(rng.uniform(0.5, 2.5)) * has_sway,
        sway_phase=float(rng.uniform(0.0, 6.0)) * has_sway,
        zoom=_signed(rng, 0.001, 0.03) if rng.random() < _ZOOMED else 0.0,
        turn=_signed(rng, 0.001, 0.03) if rng.random() < _TURNED else 0.0,
        shutter=float(rng.uniform(0.1, 0.8)) if rng.random() < 0.5 else 0.0,
    )


def _reach_px(path: Path, frames: int, side: int) -> NDArray[np.float64]:
    """Return how far windows reach from the center: ((up, down), (left, right)), clip pixels."""
    times = np.linspace(0.0, frames, 4 * frames + 1)
    offsets = np.stack([path.offset(float(time)) for time in times])
    zoom = float(np.exp(abs(path.zoom) * frames))
    lean = min(abs(path.turn) * frames, 0.25 * np.pi)
    half = 0.5 * side * zoom * (np.cos(lean) + np.sin(lean)) + 2.0
    return np.stack([half - offsets.min(axis=0), half + offsets.max(axis=0)], axis=1)


def _fit(picture: Picture, path: Path, frames: int, side: int) -> tuple[Path, float]:
    """Return the path as it fits a picture, and the stored pixels under one of the clip."""
    size = np.array(picture.pixels.shape[:2], dtype=np.float64)
    scale = min(_STORED_PX[picture.kind], float(size.min()) / (side + 8))
    if scale < 1.0:
        given = f"{picture.name} has {int(size[1])} x {int(size[0])} pixels"
        raise ImageError(f"{given}: too few for a clip of {side}", hint="ask for smaller clips")
    for _ in range(_MOST_SLOWED):
        if bool(((_reach_px(path, frames, side) * scale).sum(axis=1) <= size).all()):
            return path, scale
        path = path.slowed(0.7)
    return Path(), scale


def _streaked(linear: Array, path: Path, scale: float) -> Array:
    """Average a picture along a steady pan over the time the shutter is open.

    One average of the stored picture serves every frame; its steps are half a pixel of the clip.
    """
    length = np.array(path.velocity) * path.shutter * scale
    count = 2 * int(np.ceil(np.abs(length).max())) + 1
    steps = np.rint(np.linspace(-0.5, 0.5, count)[:, None] * length).astype(int)
    margin = np.abs(steps).max(axis=0)
    if not margin.any():
        return linear
    height, width = linear.shape[:2]
    around = ((margin[0], margin[0]), (margin[1], margin[1]), (0, 0))
    wide = np.pad(linear, around, mode="edge").astype(np.float32)
    total = np.zeros(linear.shape, dtype=np.float32)
    for (down, across), times in Counter(map(tuple, steps.tolist())).items():
        top, left = margin[0] + down, margin[1] + across
        total += np.float32(times / count) * wide[top : top + height, left : left + width]
    return total


def _layer(
    picture: Picture,
    path: Path,
    frames: int,
    side: int,
    rng: np.random.Generator | None,
) -> tuple[_Layer, Path]:
    """Cut what a path passes over out of a picture and put it in linear light.

    Without a random generator the window starts as near the picture's middle as the path allows.
    """
    path, scale = _fit(picture, path, frames, side)
    size = np.array(picture.pixels.shape[:2], dtype=np.float64)
    wanted = 0.5 * size
    if rng is not None:
        corner = np.array(place_window(picture, side // 2, rng), dtype=np.float64)
        wanted = corner + 0.5 * scale * side
    reach = _reach_px(path, frames, side) * scale
    center = np.clip(wanted, reach[:, 0], size - reach[:, 1])
    low = np.maximum(np.floor(center - reach[:, 0]), 0).astype(int)
    high = np.ceil(center + reach[:, 1]).astype(int) + 1
    stored = np.asarray(picture.pixels[low[0] : high[0], low[1] : high[1]])
    linear = np.maximum(stored, 0.0) if picture.kind == "linear" else _SRGB[stored]
    if path.is_pan and path.shutter > 0.0:
        linear = _streaked(linear, path, scale)
    planes = tuple(
        Image.fromarray(np.ascontiguousarray(linear[..., c], dtype=np.float32)) for c in range(3)
    )
    middle = center - low
    return _Layer(planes, (float(middle[0]), float(middle[1])), scale), path


def _sample(layer: _Layer, path: Path, time: float, side: int) -> Array:
    """Return the (side, side, C) window that a layer shows at a time."""
    row, column = np.array(layer.center) + path.offset(time) * layer.scale
    step = layer.scale * float(np.exp(path.zoom * time))
    half = 0.5 * side * step
    if path.turn == 0.0:
        wide, tall = layer.planes[0].size
        box = (
            max(column - half, 0.0),
            max(row - half, 0.0),
            min(column + half, wide),
            min(row + half, tall),
        )
        shown = [p.resize((side, side), Image.Resampling.BICUBIC, box=box) for p in layer.planes]
    else:
        along, across = 0.5 * step * np.cos(path.turn * time), 0.5 * step * np.sin(path.turn * time)
        turned = (
            along,
            across,
            column - side * (along + across),
            -across,
            along,
            row - side * (along - across),
        )
        shown = [
            plane.transform(
                (2 * side, 2 * side),
                Image.Transform.AFFINE,
                turned,
                resample=Image.Resampling.BILINEAR,
            ).resize((side, side), Image.Resampling.BOX)
            for plane in layer.planes
        ]
    return np.stack([np.asarray(plane) for plane in shown], axis=-1)


def _exposed(layer: _Layer, path: Path, number: int, side: int) -> Array:
    """Return one frame; a zoom or a turn is averaged over the time the shutter is open."""
    if path.is_pan:
        return _sample(layer, path, float(number), side)
    travel = path.offset(number + path.shutter) - path.offset(number)
    spread = abs(path.zoom) + abs(path.turn)
    length_px = float(np.hypot(*travel)) + 0.5 * side * spread * path.shutter
    count = int(np.clip(np.ceil(length_px), 1, _MOST_SUBFRAMES))
    times = number + path.shutter * (np.arange(count) + 0.5) / count
    total = np.mean([_sample(layer, path, float(time), side) for time in times], axis=0)
    return np.asarray(total, dtype=np.float32)


def _cover(layer: _Layer, rng: np.random.Generator) -> _Layer:
    """Give a layer a coverage of soft-edged shapes and multiply its colors by it."""
    wide, tall = layer.planes[0].size
    cell = float(rng.uniform(40.0, 160.0)) * layer.scale
    grid = rng.standard_normal((int(tall / cell) + 4, int(wide / cell) + 4)).astype(np.float32)
    smooth = Image.fromarray(grid).resize((wide, tall), Image.Resampling.BICUBIC)
    edge_px = float(rng.uniform(1.0, 8.0)) * layer.scale
    ramp = (np.asarray(smooth) - float(rng.uniform(-0.3, 0.6))) * np.float32(cell / edge_px)
    cover = np.clip(0.5 + ramp, 0.0, 1.0).astype(np.float32)
    colors = [Image.fromarray(np.asarray(plane) * cover) for plane in layer.planes]
    return _Layer((*colors, Image.fromarray(cover)), layer.center, layer.scale)


def film(
    picture: Picture,
    path: Path,
    *,
    frames: int,
    side: int,
    rng: np.random.Generator | None = None,
) -> Array:
    """Return the clip a path makes over a picture, as it was lit.

    Args:
        picture: The picture.
        path: The path; it is slowed where the picture is too small for it.
        frames: Number of frames.
        side: Height and width in pixels.
        rng: Draws where the path starts; without one it starts as near the picture's middle as
            the path allows.

    Returns:
        (frames, side, side, 3), linear light; the filter's overshoot may reach below 0.

    Raises:
        ImageError: the picture has fewer pixels than the clip.
    """
    layer, fitted = _layer(picture, path, frames, side, rng)
    return np.stack([_exposed(layer, fitted, number, side) for number in range(frames)])


def _over(front: Array, back: Array) -> Array:
    """Lay (T, H, W, 4) over (T, H, W, 3); the filter's overshoot of coverage leaves no rim."""
    cover = np.clip(front[..., 3:], 0.0, 1.0)
    color = front[..., :3] / np.maximum(front[..., 3:], 1e-3)
    return np.asarray(cover * color + (1.0 - cover) * back, dtype=np.float32)


def _shot(pictures: list[Picture], rng: np.random.Generator, frames: int, side: int) -> Array:
    """Draw the frames of one shot, (T, side, side, 3), linear light before exposure."""
    picture = pictures[int(rng.integers(len(pictures)))]
    shot = film(picture, draw_path(rng), frames=frames, side=side, rng=rng)
    if rng.random() < _LAYERED:
        alike = [other for other in pictures if other.kind == picture.kind]
        other = alike[int(rng.integers(len(alike)))]
        front, over = _layer(other, draw_path(rng, static=0.1), frames, side, rng)
        front = _cover(front, rng)
        covered = np.stack([_exposed(front, over, number, side) for number in range(frames)])
        shot = _over(covered, shot)
    return expose(np.maximum(shot, 0.0), rng, is_linear=picture.kind == "linear")


def _lamp(rng: np.random.Generator, frames: int) -> Array:
    """Draw each frame's gain, (T, 1, 1, 1): mostly 1, sometimes a flicker or a flash."""
    gain = np.ones(frames)
    if rng.random() < _FLICKER:
        gain *= np.exp2(rng.normal(0.0, float(rng.uniform(0.01, 0.12)), size=frames))
    if rng.random() < _FLASH:
        gain[int(rng.integers(frames))] *= float(rng.uniform(1.5, 5.0))
    return gain.astype(np.float32)[:, None, None, None]


def draw_moving_clip(
    pictures: list[Picture], rng: np.random.Generator, *, frames: int, side: int
) -> Array:
    """Draw a clip that moves: a pan, a zoom, a turn, two layers, or not at all.

    One in five paths stands still; the others go 0.1..16 pixels a frame in any direction. One clip
    in twenty has a cut inside.

    Args:
        pictures: Where to draw from; each is as likely as any other.
        rng: The random generator; the same state gives the same clip.
        frames: Number of frames, at least 1.
        side: Height and width in pixels, even.

    Returns:
        (frames, side, side, 3) scene-linear Rec.709, float32, 0..8.

    Raises:
        ImageError: a picture has fewer pixels than the clip.
    """
    cut = int(rng.integers(1, frames)) if frames > 1 and rng.random() < _CUT else frames
    shots = [_shot(pictures, rng, cut, side)]
    if cut < frames:
        shots.append(_shot(pictures, rng, frames - cut, side))
    clip = np.minimum(np.concatenate(shots) * _lamp(rng, frames), LOG_PEAK)
    for axis in (1, 2):
        if rng.random() < 0.5:
            clip = np.flip(clip, axis=axis)
    turned = np.swapaxes(clip, 1, 2) if rng.random() < 0.5 else clip
    return np.ascontiguousarray(turned, dtype=np.float32)
