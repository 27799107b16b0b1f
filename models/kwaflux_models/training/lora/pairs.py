"""The frames that a LoRA is trained on: a show's own, degraded and clean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from kwaflux_core.color.config import ColorConfig
from kwaflux_core.errors import FrameMissing, ImageError
from kwaflux_core.flows.card import Card
from kwaflux_core.frames.sequence import Sequence, temporal_window
from kwaflux_core.images.io import read_image
from kwaflux_core.images.lanczos import lanczos_upscale
from kwaflux_models.rendering import working_curves

__all__ = ["Area", "Clip", "Pair", "read_pairs", "split"]

_BYTES_MAX = 3 << 30
_WHOLE_FRAMES_FROM = 4
"""From so many frames on, whole frames are held out; of fewer, a quarter of each."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Hold one frame.

    Args:
        degraded: (1, 3, H, W), working curve of the card.
        enlarged: (1, 3, H * scale, W * scale), the same as its effect's residual is added to.
        clean: (1, 3, H * scale, W * scale), what it should become.
    """

    degraded: Tensor
    enlarged: Tensor
    clean: Tensor


@dataclass(frozen=True, slots=True)
class Clip:
    """Hold the frames under their numbers, and how many the effect reads around one."""

    pairs: Mapping[int, Pair]
    before: int
    after: int
    scale: int

    def window(self, frame: int) -> tuple[int, ...]:
        """Return the frames the effect reads, oldest first; mirrored at the clip's ends.

        A neighbor that was not given is stood in for by the frame itself.
        """
        radius = max(self.before, self.after)
        around = temporal_window(frame, radius=radius, first=min(self.pairs), last=max(self.pairs))[
            radius - self.before : radius + self.after + 1
        ]
        return tuple(number if number in self.pairs else frame for number in around)


@dataclass(frozen=True, slots=True)
class Area:
    """Name a part of a frame: columns and rows of the degraded picture, half open."""

    frame: int
    x0: int
    y0: int
    x1: int
    y1: int


def read_pairs(
    degraded: str, clean: str, *, card: Card, config: ColorConfig, colorspace: str = ""
) -> Clip:
    """Return the frames of two sequences, in the card's working curve.

    Args:
        degraded: The pattern of the frames as they came, or one file.
        clean: The pattern of what they should be: as many, in the same order, larger by the
            effect's scale.
        card: Of the effect.
        config: The OCIO config.
        colorspace: What the files' numbers mean; empty for what they say themselves.

    Raises:
        FrameMissing: No frames there.
        ImageError: Unequal counts or sizes, or more pixels than can be held; a file that cannot
            be read, as its own class.
        UnknownColorspace: A file that names none, or a name the config does not have.
    """
    scale = card.scale_of({})
    sources, targets = _paths(degraded), _paths(clean)
    if len(sources) != len(targets):
        raise ImageError(
            f"{degraded} has {len(sources)} frames and {clean} {len(targets)}",
            hint="give every frame its counterpart",
        )
    pairs: dict[int, Pair] = {}
    size_bytes = 0
    for (frame, source), (_, target) in zip(sources, targets, strict=True):
        before = _linear(source, card=card, config=config, colorspace=colorspace)
        after = _linear(target, card=card, config=config, colorspace=colorspace)
        _check_sizes(before, after, scale=scale, source=source, target=target)
        size_bytes += before.nbytes + (2 if scale > 1 else 1) * after.nbytes
        if size_bytes > _BYTES_MAX:
            raise ImageError(
                f"the pairs have more than {_BYTES_MAX >> 30} GiB of pixels",
                hint="give fewer frames, or crops of them: a few dozen are enough",
            )
        pairs[frame] = _pair(before, after, card=card, scale=scale)
    return Clip(pairs, card.frames_before, card.frames_after, scale)


def split(clip: Clip, *, align_px: int, gap_px: int) -> tuple[list[Area], list[Area]]:
    """Return where to train, and what is held out to judge by; the two do not overlap.

    From four frames on, the last fifth of the frames is held out; of fewer, the right quarter of
    each, and ``gap_px`` columns before it belong to neither.

    Raises:
        ImageError: Few frames, and too narrow.
    """
    frames = list(clip.pairs)
    whole = [_whole(clip, frame) for frame in frames]
    if len(frames) >= _WHOLE_FRAMES_FROM:
        count = max(1, len(frames) // 5)
        return whole[:-count], whole[-count:]
    train, held = [], []
    for area in whole:
        border = (area.x1 * 3 // 4) // align_px * align_px
        if border - gap_px < align_px:
            raise ImageError(
                f"frames of {area.x1} pixels are too narrow to hold a part of them out",
                hint=f"give {_WHOLE_FRAMES_FROM} pairs or more, or larger ones",
            )
        train.append(Area(area.frame, 0, 0, border - gap_px, area.y1))
        held.append(Area(area.frame, border, 0, area.x1, area.y1))
    return train, held


def _whole(clip: Clip, frame: int) -> Area:
    height, width = clip.pairs[frame].degraded.shape[2:]
    return Area(frame, 0, 0, width, height)


def _paths(pattern: str) -> list[tuple[int, str]]:
    sequence = Sequence.parse(pattern)
    frames = sequence.frames_on_disk()
    if sequence.default_range is not None:
        wanted = set(sequence.default_range)
        frames = tuple(frame for frame in frames if frame in wanted)
    if not frames:
        raise FrameMissing(f"{pattern} has no frames on disk", hint="check the pattern")
    return [(frame, sequence.path(frame)) for frame in frames]


def _linear(
    path: str, *, card: Card, config: ColorConfig, colorspace: str
) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Return (3, H, W) in the linear space of the card; what is not finite becomes 0."""
    image = read_image(path, colorspace=colorspace)
    planes = image.color_planes(image.find_layer())[:3]
    pixels = np.stack([np.asarray(plane, dtype=np.float32) for plane in planes])
    np.nan_to_num(pixels, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
    config.converter(image.colorspace, card.working.colorspace).apply(pixels)
    return pixels


def _check_sizes(
    before: np.ndarray[tuple[int, ...], np.dtype[np.float32]],
    after: np.ndarray[tuple[int, ...], np.dtype[np.float32]],
    *,
    scale: int,
    source: str,
    target: str,
) -> None:
    (_, height, width), (_, tall, wide) = before.shape, after.shape
    if (tall, wide) != (height * scale, width * scale):
        raise ImageError(
            f"{source} has {width} x {height} pixels and {target} {wide} x {tall}",
            hint="the two must show the same"
            + (f", the second {scale} times as large" if scale > 1 else ", pixel for pixel"),
        )


def _pair(
    before: np.ndarray[tuple[int, ...], np.dtype[np.float32]],
    after: np.ndarray[tuple[int, ...], np.dtype[np.float32]],
    *,
    card: Card,
    scale: int,
) -> Pair:
    degraded = _curved(before, card)
    enlarged = degraded if scale == 1 else _curved(lanczos_upscale(before, scale), card)
    return Pair(degraded, enlarged, _curved(after, card))


def _curved(linear: np.ndarray[tuple[int, ...], np.dtype[np.float32]], card: Card) -> Tensor:
    """Return (1, 3, H, W) in the card's curve, held to the faded end of the trained range."""
    low, high = (end * card.working.fade for end in card.working.range)
    tensor = torch.from_numpy(np.ascontiguousarray(linear))[None].clamp(low, high)
    return tensor if card.working.curve == "none" else working_curves.encode(tensor)
