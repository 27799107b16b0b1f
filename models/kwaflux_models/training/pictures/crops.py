"""Draw clips from clean pictures: crops, exposure, motion."""

from __future__ import annotations

import numpy as np

from kwaflux_core.color.display_curves import LOG_PEAK, display_decode
from kwaflux_core.color.luma import REC709_LUMA
from kwaflux_core.errors import ImageError
from kwaflux_models.training.degradations.sensor_noise import Array
from kwaflux_models.training.pictures.sources import Picture

__all__ = [
    "draw_clip",
    "expose",
    "place_window",
    "saturate",
]

_RECOLORED = 0.3
_SATURATIONS = (0.4, 2.2)
_LUMA = np.array(REC709_LUMA, dtype=np.float32)
_SRGB = display_decode((np.arange(256) / 255.0).astype(np.float32), "srgb")


def _window(picture: Picture, top: int, left: int, side: int) -> Array:
    """Cut a (side, side, 3) scene-linear window; display pictures are halved in linear light.

    ``top`` and ``left`` count stored pixels, so an odd step moves a halved picture half a pixel.
    """
    if picture.kind == "linear":
        window = picture.pixels[top : top + side, left : left + side]
        return np.maximum(window, 0.0).astype(np.float32)
    if picture.kind == "pristine":
        sharp = picture.pixels[top : top + side, left : left + side]
        return np.asarray(_SRGB[np.asarray(sharp)], dtype=np.float32)
    stored = picture.pixels[top : top + 2 * side, left : left + 2 * side]
    linear = _SRGB[np.asarray(stored)]
    return np.asarray(linear.reshape(side, 2, side, 2, 3).mean(axis=(1, 3)), dtype=np.float32)


def _extent(picture: Picture, side: int) -> int:
    """Return how many stored pixels a window of ``side`` covers."""
    return 2 * side if picture.kind == "display" else side


def _gradient_energy(window: Array) -> float:
    """Return the mean squared step between neighbors of the cube root of luma."""
    luma = np.cbrt(np.minimum(window.mean(axis=-1), 4.0))
    return float(np.square(np.diff(luma, axis=0)).mean() + np.square(np.diff(luma, axis=1)).mean())


def place_window(picture: Picture, side: int, rng: np.random.Generator) -> tuple[int, int]:
    """Choose where to cut: four times in five the liveliest of several places.

    Returns:
        (top, left) in stored pixels; the window covers twice ``side`` of a display picture.
    """
    extent = _extent(picture, side)
    height, width = picture.pixels.shape[:2]
    tries = 4 if rng.random() < 0.8 else 1
    places = [
        (int(rng.integers(height - extent + 1)), int(rng.integers(width - extent + 1)))
        for _ in range(tries)
    ]
    if tries == 1:
        return places[0]
    centers = [
        _window(picture, top + extent // 4, left + extent // 4, side // 2) for top, left in places
    ]
    return places[int(np.argmax([_gradient_energy(center) for center in centers]))]


def _exposure(rng: np.random.Generator) -> float:
    """Draw an exposure: mostly about normal, sometimes dark, sometimes up to 3 stops over."""
    draw = rng.random()
    if draw < 0.62:
        return float(2.0 ** rng.uniform(-0.8, 0.35))
    if draw < 0.82:
        return float(2.0 ** rng.uniform(-3.5, -0.8))
    return float(2.0 ** rng.uniform(0.35, 3.0))


def saturate(window: Array, factor: float) -> Array:
    """Push colors away from their luma, or toward it.

    Args:
        window: (..., 3) linear light with the primaries of sRGB, at least 0.
        factor: 1 changes nothing, 0 gives gray, above 1 is more colorful.

    Returns:
        The shape of ``window``, at least 0.

    Source: ITU-R BT.709-6, section 3.2 (the weights of luma).
    """
    luma = (window @ _LUMA)[..., None]
    return np.maximum(luma + np.float32(factor) * (window - luma), 0.0).astype(np.float32)


def expose(window: Array, rng: np.random.Generator, *, is_linear: bool) -> Array:
    """Expose a clip; sometimes lift what is nearly white into a highlight, up to 8.

    Three clips in ten are made paler or more colorful first (`saturate`).

    Args:
        window: (T, H, W, 3) linear light, at least 0.
        rng: The random generator.
        is_linear: True for a scene-linear picture of unknown exposure, which is set to middle gray
            first; False for one that was made for a display, whose white is 1.

    Returns:
        (T, H, W, 3) scene-linear, 0..8.
    """
    exposed = window
    if rng.random() < _RECOLORED:
        exposed = saturate(window, float(np.exp(rng.uniform(*np.log(_SATURATIONS)))))
    if is_linear:
        exposed = exposed * np.float32(0.18 / max(float(np.median(exposed)), 0.02))
    elif rng.random() < 0.3:
        lift = np.square(np.clip((exposed - 0.6) / 0.4, 0.0, 1.0))
        exposed = exposed * (1.0 + np.float32(rng.uniform(0.5, 6.0)) * lift)
    balance = rng.uniform(0.88, 1.14, size=3) if rng.random() < 0.5 else np.ones(3)
    lit = exposed * (_exposure(rng) * balance).astype(np.float32)
    return np.minimum(lit, LOG_PEAK).astype(np.float32)


def draw_clip(
    pictures: list[Picture], rng: np.random.Generator, *, frames: int, side: int
) -> Array:
    """Draw a clip that moves over one picture at a steady speed.

    Args:
        pictures: Where to draw from; each that is large enough is as likely as any other.
        rng: The random generator.
        frames: Number of frames.
        side: Height and width, even.

    Returns:
        (frames, side, side, 3) scene-linear, 0..8.

    Raises:
        ImageError: no picture is large enough.
    """
    fitting = [one for one in pictures if min(one.pixels.shape[:2]) >= _extent(one, side)]
    if not fitting:
        raise ImageError(f"no picture is large enough for {side} pixels", hint="ask for less")
    picture = fitting[int(rng.integers(len(fitting)))]
    reach = _extent(picture, side)
    speed = float(rng.choice([0.0, 2.0, 8.0], p=[0.15, 0.55, 0.3]))
    step = rng.normal(0.0, max(speed, 1e-6), size=2)
    limit = np.array(picture.pixels.shape[:2]) - reach
    start = np.array(place_window(picture, side, rng))
    windows = []
    for number in range(frames):
        top, left = np.clip(np.rint(start + step * number), 0, limit).astype(int)
        windows.append(_window(picture, int(top), int(left), side))
    clip = expose(np.stack(windows), rng, is_linear=picture.kind == "linear")
    for axis in (1, 2):
        if rng.random() < 0.5:
            clip = np.flip(clip, axis=axis)
    return np.ascontiguousarray(np.swapaxes(clip, 1, 2) if rng.random() < 0.5 else clip)
