"""Score a clip against the clean one, and compare everything but color.

PSNR and SSIM are taken on sRGB-encoded values clipped to 0..1, as a viewer sees them, over the
whole data window, and are means over frames.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from skimage.metrics import structural_similarity

from kwaflux_core.errors import ImageError
from kwaflux_core.images.image import Channel, Image
from kwaflux_core.protocol.messages import RangeReceipt
from kwaflux_models.evaluation.metrics.display_values import shown
from kwaflux_models.evaluation.metrics.psnr_ssim import psnr_db

__all__ = [
    "COLOR",
    "Quality",
    "altered",
    "color_of",
    "differing_channels",
    "merged_receipt",
    "quality",
]

Picture: TypeAlias = npt.NDArray[np.float32]

COLOR = ("R", "G", "B")
_PSNR_CAP_DB = 120.0
_OURS = "kwaflux/"


@dataclass(frozen=True, slots=True)
class Quality:
    """The quality of a clip against the clean one.

    Args:
        psnr_db: Decibels, mean over frames; capped at 120.
        ssim: 0..1, mean over frames; Gaussian window of standard deviation 1.5.
    """

    psnr_db: float
    ssim: float


def quality(frames: Sequence[Picture], clean: Sequence[Picture]) -> Quality:
    """Return the quality of a clip.

    Source: Z. Wang et al., "Image quality assessment: from error visibility to structural
    similarity", IEEE TIP 2004 (SSIM).

    Raises:
        ImageError: The clips are empty or not of equal size.
    """
    if not frames or [f.shape for f in frames] != [c.shape for c in clean]:
        raise ImageError("empty clips, or clips of unequal size, cannot be compared")
    decibels, similarities = [], []
    for frame, wanted in zip(frames, clean, strict=True):
        ours, theirs = shown(frame), shown(wanted)
        decibels.append(psnr_db(ours, theirs, cap_db=_PSNR_CAP_DB))
        similarity = structural_similarity(  # type: ignore[no-untyped-call]
            ours,
            theirs,
            channel_axis=2,
            data_range=1.0,
            gaussian_weights=True,
            use_sample_covariance=False,
        )
        similarities.append(float(similarity))
    return Quality(float(np.mean(decibels)), float(np.mean(similarities)))


def color_of(image: Image) -> Picture:
    """Return (H, W, 3): the base layer's color of a picture, copied."""
    planes = image.color_planes(image.find_layer())[:3]
    return np.stack([np.asarray(plane, dtype=np.float32) for plane in planes], axis=-1)


def differing_channels(first: Image, second: Image, names: Iterable[str]) -> list[str]:
    """Return the named channels of the first part that differ in type or in any bit.

    NaN are compared by their bits; a channel that one picture lacks differs.
    """
    ours, theirs = first.part.channels, second.part.channels
    return [name for name in names if not _same_bits(ours.get(name), theirs.get(name))]


def _same_bits(first: Channel | None, second: Channel | None) -> bool:
    if first is None or second is None or first.dtype != second.dtype:
        return False
    if first.shape != second.shape:
        return False
    return first.tobytes() == second.tobytes()


def altered(before: Image, after: Image) -> list[str]:
    """Return the channels, windows and header attributes, other than color, that differ.

    Header attributes under ``kwaflux/`` are ignored.
    """
    extra = sorted({*before.part.channels, *after.part.channels} - set(COLOR))
    names = [f"channel {name}" for name in differing_channels(before, after, extra)]
    places = ("data_window", "display_window", "pixel_aspect")
    names += [name for name in places if getattr(before.part, name) != getattr(after.part, name)]
    ours, theirs = before.part.attributes, after.part.attributes
    for name in sorted({*ours, *theirs}):
        if name.startswith(_OURS):
            continue
        is_there = name in ours and name in theirs
        if not is_there or _comparable(ours[name]) != _comparable(theirs[name]):
            names.append(f"attribute {name}")
    return names


def _comparable(value: object) -> object:
    """Return a header attribute in a form whose ``==`` gives one bool."""
    if isinstance(value, np.ndarray):
        return (value.dtype.str, value.shape, value.tobytes())
    return (type(value), value)


def merged_receipt(receipts: Sequence[RangeReceipt]) -> RangeReceipt:
    """Return one receipt for several frames of equal size.

    Raises:
        ImageError: There is none.
    """
    if not receipts:
        raise ImageError("no frame has a range receipt")
    return RangeReceipt(
        min_in=min(r.min_in for r in receipts),
        max_in=max(r.max_in for r in receipts),
        min_out=min(r.min_out for r in receipts),
        max_out=max(r.max_out for r in receipts),
        beyond_trained=sum(r.beyond_trained for r in receipts) / len(receipts),
        nan_count=sum(r.nan_count for r in receipts),
        inf_count=sum(r.inf_count for r in receipts),
    )
