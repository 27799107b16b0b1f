"""Cut the test set's clips out of the test pictures, damage them, keep them in the cache.

The same case gives the same pixels anywhere, up to what an encoder's build changes; the digest of
the pixels says whether two runs had the same.

A picture of the test split has no pixel in training (`kwaflux_models.training.pictures.sources`).
"""

from __future__ import annotations

import hashlib
import math
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import convolve, gaussian_filter

from kwaflux_core.color.display_curves import Curve, display_decode, display_encode
from kwaflux_core.errors import ImageError
from kwaflux_models.evaluation.run.cases import Case
from kwaflux_models.training.degradations.analog_video import NTSC, Composite
from kwaflux_models.training.degradations.codec_roundtrip import Encode, round_trip
from kwaflux_models.training.degradations.sensor_noise import Sensor, add_sensor_noise
from kwaflux_models.training.pictures.sources import Picture

__all__ = ["Item", "TestSet", "clean_clip", "damage", "defocus", "make_case", "pixels_digest"]

Array = NDArray[np.float32]

SIDE_PX = 256
CLIP_SIDE_PX = 192
STILL_FRAMES = 5
CLIP_FRAMES = 7
CLIP_PICTURES = 8
_GRID_PX = 16
_TRIES = 6
_PEAK = 8.0

# Steps per frame in half pixels (down, right): a pan that a camera makes, seldom on the grid.
_PANS = ((0, 1), (1, -1), (-1, 2), (2, 1), (0, -3), (1, 2), (-2, 0), (3, -1))

_COMPOSITE = Composite(NTSC, decoder="notch", trap=0.85, chroma_mhz=0.7, delay_px=1.0, noise=0.02)

_SRGB = display_decode((np.arange(256) / 255.0).astype(np.float32), "srgb")


@dataclass(frozen=True, slots=True)
class Item:
    """One damaged clip and what it should have been.

    Args:
        picture: The name of the picture it was cut from.
        degraded: (T, H, W, 3) scene-linear Rec.709, float32; one frame for a still.
        clean: (T, H * scale, W * scale, 3), likewise, clipped where the damage clipped.
    """

    picture: str
    degraded: Array
    clean: Array


def _cut(picture: Picture, top: int, left: int, side_px: int) -> Array:
    """Cut a scene-linear window; ``top`` and ``left`` in half pixels.

    8-bit pictures are halved in linear light, so half a pixel is one of theirs. A linear picture
    is cut at whole pixels.
    """
    if picture.kind == "linear":
        top, left = top // 2, left // 2
        window = picture.pixels[top : top + side_px, left : left + side_px]
        lit = np.maximum(np.asarray(window, dtype=np.float32), 0.0) * _exposure(picture)
        return np.minimum(lit, _PEAK).astype(np.float32)
    stored = np.asarray(picture.pixels[top : top + 2 * side_px, left : left + 2 * side_px])
    linear = _SRGB[stored].reshape(side_px, 2, side_px, 2, 3)
    return np.asarray(linear.mean(axis=(1, 3)), dtype=np.float32)


def _exposure(picture: Picture) -> np.float32:
    """Return the factor that puts the middle of an environment map on mid gray."""
    return np.float32(0.18 / max(float(np.median(picture.pixels)), 0.02))


def _liveliness(window: Array) -> float:
    """Return the mean squared step between neighbors of the cube root of the channels' mean."""
    tone = np.cbrt(np.minimum(window.mean(axis=-1), 4.0))
    return float(np.square(np.diff(tone, axis=0)).mean() + np.square(np.diff(tone, axis=1)).mean())


def clean_clip(
    picture: Picture, *, number: int, side_px: int, frames: int, is_moving: bool
) -> Array:
    """Cut a clip out of a lively place of a picture.

    Args:
        picture: Where to cut.
        number: The picture's place in the set; it decides the pan and the place.
        side_px: The side that is wanted; less, in steps of 16, where the picture is small.
        frames: How many.
        is_moving: Whether it pans by steps of half pixels, else all frames are one.

    Returns:
        (frames, side, side, 3) scene-linear, 0..8.
    """
    step = np.array(_PANS[number % len(_PANS)] if is_moving else (0, 0))
    if picture.kind == "linear":
        step = step * 2
    unit = 2 if picture.kind == "linear" else 1
    extent = np.array(picture.pixels.shape[:2]) * unit
    travel = np.abs(step) * (frames - 1)
    fits = int((extent - travel).min()) // 2 // _GRID_PX * _GRID_PX
    side = min(side_px, fits)
    free = extent - travel - 2 * side
    rng = np.random.default_rng([20261121, number])
    places = [
        (int(rng.integers(free[0] + 1)), int(rng.integers(free[1] + 1))) for _ in range(_TRIES)
    ]
    lively = [_liveliness(_cut(picture, top, left, side)) for top, left in places]
    first = np.array(places[int(np.argmax(lively))]) + np.where(step < 0, travel, 0)
    corners = [first + step * index for index in range(frames)]
    return np.stack([_cut(picture, int(top), int(left), side) for top, left in corners])


def defocus(picture: Array, radius_px: float) -> Array:
    """Blur an (H, W, 3) scene-linear picture with a disk; its rim is anti-aliased."""
    reach = math.ceil(radius_px)
    fine = 8
    count = (2 * reach + 1) * fine
    offset = (np.arange(count) + 0.5) / fine - reach - 0.5
    inside = (np.hypot(offset[:, None], offset[None, :]) <= radius_px).astype(np.float64)
    side = 2 * reach + 1
    kernel = inside.reshape(side, fine, side, fine).mean(axis=(1, 3))
    kernel /= kernel.sum()
    planes = [convolve(picture[..., c], kernel, mode="reflect") for c in range(3)]
    return np.stack(planes, axis=-1).astype(np.float32)


def _reduced(picture: Array, scale: int, blur_px: float) -> Array:
    """Blur by a Gaussian of so many reduced pixels and reduce by area."""
    sigma = blur_px * scale
    soft = gaussian_filter(picture, (sigma, sigma, 0.0), mode="reflect") if sigma else picture
    height, width = soft.shape[0] // scale, soft.shape[1] // scale
    blocks = soft.reshape(height, scale, width, scale, 3)
    return np.asarray(blocks.mean(axis=(1, 3)), dtype=np.float32)


def _noisy(clip: Array, case: Case, rng: np.random.Generator) -> Array:
    if case.sigma <= 0.0:
        return clip
    if case.is_white:
        noise = case.sigma * rng.standard_normal(clip.shape, dtype=np.float32)
        return display_decode(display_encode(clip, "srgb") + noise, "srgb")
    variance = (case.sigma / 1.2) ** 2
    sensor = Sensor(
        shot=0.9 * variance / 0.18,
        read=math.sqrt(0.1 * variance),
        gains=(1.8, 1.5),
        crosstalk=0.4,
    )
    return np.stack([add_sensor_noise(frame, sensor, rng) for frame in clip])


def _coded(clip: Array, encodes: Sequence[Encode]) -> Array:
    """Put a scene-linear clip through codecs in the curve each is used with."""
    for how in encodes:
        curve: Curve = "srgb" if how.codec == "jpeg" else "bt709"
        code = round_trip(np.clip(display_encode(clip, curve), 0.0, 1.0), how)
        clip = display_decode(code, curve)
    return clip


def damage(clean: Array, case: Case, rng: np.random.Generator) -> tuple[Array, Array]:
    """Damage a clean clip.

    Args:
        clean: (T, H, W, 3) scene-linear.
        case: What happens to it.
        rng: The noise.

    Returns:
        The damaged clip, and the clean one clipped to 0..1 where a codec or white noise clipped.
    """
    clip = clean
    if case.defocus_px:
        clip = np.stack([defocus(frame, case.defocus_px) for frame in clip])
    if case.scale > 1:
        clip = np.stack([_reduced(frame, case.scale, case.blur_px) for frame in clip])
    clip = _noisy(clip, case, rng)
    if case.is_analog:
        clip = display_decode(_COMPOSITE.apply(display_encode(clip, "bt709"), rng), "bt709")
    if not case.encodes:
        return clip, clean
    return _coded(clip, case.encodes), np.clip(clean, 0.0, 1.0)


def _clip_of(pictures: Sequence[Picture], number: int, case: Case) -> Array:
    picture = pictures[number]
    if not case.is_clip:
        return clean_clip(
            picture, number=number, side_px=SIDE_PX, frames=STILL_FRAMES, is_moving=True
        )
    clip = clean_clip(
        picture,
        number=number,
        side_px=CLIP_SIDE_PX,
        frames=CLIP_FRAMES,
        is_moving=case.motion != "static",
    )
    if case.motion != "cut":
        return clip
    after = (number + 1) % len(pictures)
    other = clean_clip(
        pictures[after], number=after, side_px=CLIP_SIDE_PX, frames=CLIP_FRAMES, is_moving=True
    )
    return np.concatenate([clip[: CLIP_FRAMES // 2 + 1], other[CLIP_FRAMES // 2 + 1 :]])


def make_case(pictures: Sequence[Picture], case: Case) -> list[Item]:
    """Make a case's items: one a picture for stills, of every second picture for clips."""
    step = len(pictures) // CLIP_PICTURES if case.is_clip and len(pictures) > CLIP_PICTURES else 1
    items = []
    for number in range(0, len(pictures), step):
        clean = _clip_of(pictures, number, case)
        degraded, wanted = damage(clean, case, np.random.default_rng([case.seed, number]))
        if not case.is_clip:
            middle = np.s_[STILL_FRAMES // 2 : STILL_FRAMES // 2 + 1]
            degraded, wanted = degraded[middle], wanted[middle]
        items.append(Item(pictures[number].name, _as_stored(degraded), _as_stored(wanted)))
    return items


def _as_stored(clip: Array) -> Array:
    """Round to half precision, which is what the cache holds."""
    return clip.astype(np.float16).astype(np.float32)


@dataclass(frozen=True, slots=True)
class TestSet:
    """Give a case's items, made once and kept in a folder.

    Args:
        folder: Where they are kept; made when missing.
        pictures: The test pictures, in the order of the split.
    """

    __test__ = False

    folder: Path
    pictures: tuple[Picture, ...]

    def items(self, case: Case) -> list[Item]:
        """Return a case's items.

        Raises:
            ImageError: a kept file cannot be read.
        """
        path = self.folder / f"{case.digest}-{self._names_digest}.npz"
        if not path.is_file():
            self._keep(path, make_case(self.pictures, case))
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
                names = [str(name) for name in kept["names"]]
                return [
                    Item(
                        name,
                        kept[f"degraded{i}"].astype(np.float32),
                        kept[f"clean{i}"].astype(np.float32),
                    )
                    for i, name in enumerate(names)
                ]
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise ImageError(
                f"the kept case {case.name!r} cannot be read: {error}",
                hint=f"remove {path}; it is made anew",
                path=str(path),
            ) from error

    @property
    def _names_digest(self) -> str:
        names = "\n".join(picture.name for picture in self.pictures)
        return hashlib.sha256(names.encode()).hexdigest()[:8]

    def _keep(self, path: Path, items: list[Item]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        arrays: dict[str, NDArray[np.generic]] = {
            "names": np.array([item.picture for item in items])
        }
        for index, item in enumerate(items):
            arrays[f"degraded{index}"] = item.degraded.astype(np.float16)
            arrays[f"clean{index}"] = item.clean.astype(np.float16)
        beside = path.with_suffix(".part.npz")
        np.savez(beside, **arrays)  # type: ignore[arg-type]
        beside.replace(path)


def pixels_digest(items: Sequence[Item]) -> str:
    """Return what the items' pixels are, 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for item in items:
        digest.update(item.degraded.astype(np.float16).tobytes())
        digest.update(item.clean.astype(np.float16).tobytes())
    return digest.hexdigest()[:16]
