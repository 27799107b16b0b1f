"""Enlargement of a picture's other channels when an effect scales its color.

Every pixel becomes a block of ``scale`` by ``scale`` pixels, so that all windows are multiplied
exactly and nothing shifts. Light (color, alpha, luminance) is filtered. All other channels (depth,
positions, normals, motion, identifiers, cryptomatte, and unknown ones) repeat the pixel's value
over its block: a filter would invent depths and identifiers that are not in the scene.

Motion vectors keep their values, and so remain in pixels of the *source*: a file does not tell
their unit, and Kwaflux does not guess it. ``Image.notes`` then has a note.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from kwaflux_core.errors import ImageError
from kwaflux_core.images.image import Channel, Image, Layer, Part
from kwaflux_core.tiling import mirrored_indices

__all__ = ["READ_RADIUS_PX", "is_filtered", "lanczos_upscale", "scaled_image"]

LANCZOS_LOBES = 3
"""Pixels read on each side of the nearest source pixel."""
READ_RADIUS_PX = 4
"""Radius of the filter in source pixels: three lobes, and the neighbor of a NaN."""

_Plane: TypeAlias = npt.NDArray[np.float32]
_LOBES = LANCZOS_LOBES
_TAPS = 2 * _LOBES + 1
_STRIP_ROWS = 32
"""Rows computed at a time, so that intermediate values stay in the CPU cache."""
OVERSHOOT = np.float32(0.25)
"""How far beyond the values around it a result may lie, in the lowest magnitude in reach."""
LARGEST_FILTERED = 2.0**124
"""Magnitude above which an overshoot could exceed float32; such values are masked like Inf."""
_LARGEST_HALF = 65504.0

_LIGHT = frozenset(
    {*("r", "g", "b", "a", "y", "ar", "ag", "ab"), *("red", "green", "blue", "alpha", "luminance")}
)
_MOTION = frozenset(
    {
        *("forward", "backward", "motion", "mv", "velocity", "vector", "vectors"),
        *("motionvector", "motionvectors", "disparity"),
    }
)
_MEASURES = _MOTION | {
    *("z", "zback", "depth", "deep", "p", "pos", "position", "point", "pref", "pworld"),
    *("n", "normal", "normals", "nworld", "uv", "st", "crypto", "cryptomatte"),
    *("worldposition", "worldnormal", "worldnormals"),
}
_IDENTIFIER = re.compile(
    r"(?:^|[._-])(?:obj|object|mat|material|inst|instance|asset|geometry|primitive|puzzle)?"
    r"(?:id|ID|Id)s?(?=$|[0-9A-Z._-])"
    r"|[a-z]I[Dd]s?(?=$|[0-9A-Z._-])"
)
_CRYPTOMATTE_NAME = re.compile(r"cryptomatte/[^/]+/name")


def scaled_image(
    image: Image, layer: Layer, color: tuple[Channel, Channel, Channel], *, scale: int
) -> Image:
    """Return the picture at a multiple of its size, with new color in one layer.

    Args:
        image: The picture.
        layer: The layer whose red, green and blue are replaced.
        color: Red, green, blue: (H * scale, W * scale) of the layer's part.
        scale: At least 1; at 1 every other channel is the same object.

    Returns:
        A picture whose windows, in every part, are multiplied by ``scale``, and whose other
        channels are enlarged in their own type. Headers and pixel aspect are unchanged; motion
        vectors add a note.

    Raises:
        ImageError: The scale is below 1, or the color has another size.
    """
    _check_scale(scale)
    if scale == 1:
        return image.with_color(layer, color)
    crypto = tuple(_cryptomatte_names(image.parts))
    parts = []
    for index, part in enumerate(image.parts):
        is_layers = index == layer.part
        new_color = dict(zip(layer.color, color, strict=True)) if is_layers else {}
        light = {
            name
            for name in part.channels
            if (is_layers and name == layer.alpha)
            or is_filtered(name, part, cryptomatte_names=crypto)
        }
        parts.append(_scaled_part(part, new_color, light, scale))
    notes = image.notes + _motion_notes(image, scale)
    return replace(image, parts=tuple(parts), notes=notes)


def is_filtered(name: str, part: Part, *, cryptomatte_names: tuple[str, ...] = ()) -> bool:
    """Return whether a channel is light, which may be filtered, and not a measure or an identifier.

    Args:
        name: The channel's full name.
        part: Its part: the channel's type and the layer's other channels count too.
        cryptomatte_names: The layers that the headers declare as cryptomattes.
    """
    *layers, last = name.split(".")
    if part.channels[name].dtype == np.uint32 or last.lower() not in _LIGHT:
        return False
    if any(re.match(rf"{re.escape(known)}[0-9]*\.", name) for known in cryptomatte_names):
        return False
    # The name of a layer or part, in lower case and without a number: Position01 is position.
    for word in (*layers, part.name):
        if _words(word) & _MEASURES or "cryptomatte" in word.lower():
            return False
    if any(_IDENTIFIER.search(word) for word in (*layers, part.name)):
        return False
    # A Y next to an X is not luminance.
    return not (last in ("y", "Y") and ".".join((*layers, chr(ord(last) - 1))) in part.channels)


def _words(name: str) -> set[str]:
    """Return a layer's name and its words, in lower case and without a number."""
    plain = re.sub(r"[0-9]+$", "", name).lower()
    return {plain, plain.replace("_", ""), *re.split(r"[_\s-]", plain)}


def lanczos_upscale(planes: npt.NDArray[np.float32], scale: int) -> npt.NDArray[np.float32]:
    """Return planes enlarged by a Lanczos filter of three lobes.

    The center of a pixel is the center of its block (half-pixel alignment). The weights are
    corrected so that constants and ramps are reproduced; the plain kernel ripples by 2 % of a
    ramp's step. Edges are mirrored like those of tiles, without repeating the edge pixel, and every
    result depends only on its neighborhood, so that a tile read with ``READ_RADIUS_PX`` more gives
    the same bits as the whole.

    NaN, Inf and magnitudes above 2**124 are replaced by the mean of their neighbors for the filter,
    and fill the whole block of their pixel in the result. Beside edges of light the filter would
    ring: a result is held to the range of its pixel and the eight around it, and to a quarter of
    the lowest magnitude within three pixels beyond it. So texture keeps its overshoot, while no
    negative comes of values above 0, and alpha stays in 0..1 beside 0.

    Source: K. Turkowski, "Filters for Common Resampling Tasks", Graphics Gems I, 1990.

    Args:
        planes: (C, H, W), float32.
        scale: At least 1.

    Returns:
        (C, H * scale, W * scale), float32; ``planes`` itself at scale 1.

    Raises:
        ImageError: The planes have another shape or type, or the scale is below 1.
    """
    _check_planes(planes, scale)
    if scale == 1:
        return planes
    count, height, width = planes.shape
    is_held = ~(np.abs(planes) <= LARGEST_FILTERED)
    has_held = bool(is_held.any())
    source = _with_neighbors_for(planes, is_held) if has_held else planes
    result = np.empty((count, height * scale, width * scale), np.float32)
    for plane, target in zip(source, result, strict=True):
        _enlarge(plane, target, scale)
        low, high = _range_around(plane)
        blocks = target.reshape(height, scale, width, scale)
        np.clip(blocks, low[:, None, :, None], high[:, None, :, None], out=blocks)
    if has_held:
        channel, y, x = np.nonzero(is_held)
        blocks = result.reshape(count, height, scale, width, scale)
        blocks[channel, y, :, x, :] = planes[channel, y, x][:, None, None]
    return result


def _range_around(plane: _Plane) -> tuple[_Plane, _Plane]:
    """Return the least and the greatest value that a pixel's block may have, (H, W) each."""
    low, high = _extremes(plane, plane)
    least, most = low, high
    for _ in range(_LOBES - 1):
        least, most = _extremes(least, most)
    is_signed = np.sign(least) * np.sign(most) > 0
    beyond = np.minimum(np.abs(least), np.abs(most)) * OVERSHOOT
    beyond = np.where(is_signed, beyond, np.float32(0))
    return low - beyond, high + beyond


def _extremes(low: _Plane, high: _Plane) -> tuple[_Plane, _Plane]:
    """Return the lowest and the highest of each pixel and the eight around it."""
    for axis in (0, 1):
        low, high = _spread(low, axis, np.minimum), _spread(high, axis, np.maximum)
    return low, high


def _spread(plane: _Plane, axis: int, extreme: np.ufunc) -> _Plane:
    """Return the extreme of each value and its two neighbors along an axis."""
    result: _Plane = plane.copy()
    ahead, behind = (np.s_[:, :-1], np.s_[:, 1:]) if axis else (np.s_[:-1], np.s_[1:])
    extreme(result[ahead], plane[behind], out=result[ahead])
    extreme(result[behind], plane[ahead], out=result[behind])
    return result


def _scaled_part(part: Part, new_color: Mapping[str, Channel], light: set[str], scale: int) -> Part:
    channels = dict(new_color)
    for name, pixels in part.channels.items():
        if name not in new_color:
            enlarged = _filtered if name in light else _repeated
            channels[name] = enlarged(pixels, scale)
    return replace(
        part,
        channels={name: channels[name] for name in part.channels},
        data_window=part.data_window.scaled(scale),
        display_window=part.display_window.scaled(scale),
    )


def _enlarge(plane: npt.NDArray[np.float32], target: npt.NDArray[np.float32], scale: int) -> None:
    """Fill ``target`` (H * scale, W * scale) from ``plane`` (H, W), strip by strip."""
    height, width = plane.shape
    weights = lanczos_weights(scale)
    columns = mirrored_indices(-_LOBES, width + _LOBES, width)
    for y0 in range(0, height, _STRIP_ROWS):
        y1 = min(y0 + _STRIP_ROWS, height)
        rows = mirrored_indices(y0 - _LOBES, y1 + _LOBES, height)
        strip = plane[rows][:, columns]
        wide = np.empty((len(rows), width * scale), np.float32)
        for phase, taps in enumerate(weights):
            wide[:, phase::scale] = _weighted_sum(
                taps, [strip[:, tap : tap + width] for tap in range(_TAPS)]
            )
        for phase, taps in enumerate(weights):
            target[y0 * scale + phase : y1 * scale : scale] = _weighted_sum(
                taps, [wide[tap : tap + y1 - y0] for tap in range(_TAPS)]
            )


def _weighted_sum(
    weights: tuple[np.float32, ...], arrays: list[npt.NDArray[np.float32]]
) -> npt.NDArray[np.float32]:
    total: npt.NDArray[np.float32] | None = None
    product = np.empty(arrays[0].shape, np.float32)
    for weight, array in zip(weights, arrays, strict=True):
        if weight == 0:
            continue
        if total is None:
            total = weight * array
        else:
            np.multiply(array, weight, out=product)
            total += product
    return product if total is None else total


@functools.lru_cache(maxsize=8)
def lanczos_weights(scale: int) -> tuple[tuple[np.float32, ...], ...]:
    """Return the seven weights of each phase, for the pixels from 3 before to 3 after.

    A straight line times the lobes' magnitude is added so that their sum is 1 and their center 0.
    """
    taps = np.arange(-_LOBES, _LOBES + 1)
    phases = []
    for phase in range(scale):
        x = taps - ((phase + 0.5) / scale - 0.5)
        lobes = np.sinc(x) * np.sinc(x / _LOBES) * (np.abs(x) < _LOBES)
        lobes[np.abs(lobes) < 1e-12] = 0.0  # a position exactly on a pixel returns that pixel
        size = np.abs(lobes)
        known = [[size.sum(), (size * x).sum()], [(size * x).sum(), (size * x * x).sum()]]
        line = np.linalg.lstsq(known, [1.0 - lobes.sum(), -(lobes * x).sum()])[0]
        corrected = lobes + size * (line[0] + line[1] * x)
        phases.append(tuple(np.float32(weight) for weight in corrected))
    return tuple(phases)


def _with_neighbors_for(
    planes: npt.NDArray[np.float32], is_held: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float32]:
    """Return a copy in which masked pixels are the mean of their unmasked eight neighbors."""
    _, height, width = planes.shape
    margin = ((0, 0), (1, 1), (1, 1))
    values = np.pad(np.where(is_held, 0.0, planes), margin)
    counts = np.pad(~is_held, margin)
    total = np.zeros(planes.shape, np.float64)
    count = np.zeros(planes.shape, np.int8)
    for dy in range(3):
        for dx in range(3):
            total += values[:, dy : dy + height, dx : dx + width]
            count += counts[:, dy : dy + height, dx : dx + width]
    return np.where(is_held, total / np.maximum(count, 1), planes).astype(np.float32)


def _filtered(pixels: Channel, scale: int) -> Channel:
    wide: npt.NDArray[np.float32]
    wide = lanczos_upscale(pixels.astype(np.float32, copy=False)[None], scale)[0]
    if pixels.dtype != np.float16:
        return wide
    # An overshoot beyond the largest half would become an Inf that the source does not have.
    is_beyond = np.isfinite(wide) & (np.abs(wide) > _LARGEST_HALF)
    wide[is_beyond] = np.copysign(np.float32(_LARGEST_HALF), wide[is_beyond])
    half: npt.NDArray[np.float16] = wide.astype(np.float16)
    return half


def _repeated(pixels: Channel, scale: int) -> Channel:
    height, width = pixels.shape
    result = np.empty((height, scale, width, scale), pixels.dtype)
    result[:] = pixels[:, None, :, None]
    repeated: Channel = result.reshape(height * scale, width * scale)
    return repeated


def _motion_notes(image: Image, scale: int) -> tuple[str, ...]:
    layers = {name.rpartition(".")[0] for part in image.parts for name in part.channels}
    motion = sorted(layer for layer in layers if any(_words(w) & _MOTION for w in layer.split(".")))
    if not motion:
        return ()
    return (
        f"the vectors of {', '.join(motion)} are in pixels of the source: multiply them by"
        f" {scale} for pixels of the result",
    )


def _cryptomatte_names(parts: Iterable[Part]) -> Iterable[str]:
    """Yield the layers declared in headers as ``cryptomatte/<key>/name`` (Cryptomatte 1.2)."""
    for part in parts:
        for key, value in part.attributes.items():
            if _CRYPTOMATTE_NAME.fullmatch(key) and isinstance(value, str) and value:
                yield value


def _check_planes(planes: npt.NDArray[np.float32], scale: int) -> None:
    _check_scale(scale)
    if planes.ndim != 3 or planes.size == 0 or planes.dtype != np.float32:
        raise ImageError(
            f"planes to enlarge are {planes.dtype} {planes.shape}",
            hint="give float32 planes as (channels, height, width)",
        )


def _check_scale(scale: int) -> None:
    if scale < 1:
        raise ImageError(f"a picture cannot be enlarged {scale} times", hint="give at least 1")
