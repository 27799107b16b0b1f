"""Turn display-encoded RGB into the planes a codec takes, and back.

Works on numpy arrays alone; must not know encoders.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Codec", "Plane", "luma_weights", "mirror_planes", "planes_from_rgb", "planes_to_rgb"]

Plane = NDArray[np.uint16]
Picture = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Codec:
    """One encoder and decoder pair, and the layout of the pictures it takes.

    Attributes:
        encoder: Name of the encoder in FFmpeg's libraries; "" for stills that Pillow encodes.
        decoder: Name of the decoder for its stream.
        layout: Pixel format: planar Y'CbCr, 4:2:0, 4:2:2, 4:1:1 or 4:4:4.
        bits: Bits of one sample, 8 or 10.
        is_full_range: True where code values span 0..255 instead of 16..235.
        best: The quality that harms least.
        worst: The quality that harms most; may be the smaller number of the two.
        least_px: Smallest (height, width) it takes; a clip below is set into mirrored content.
        fixed_px: The one (height, width) it takes, or (0, 0) where any will do.
    """

    encoder: str
    decoder: str
    layout: str
    bits: int = 8
    is_full_range: bool = False
    best: int = 0
    worst: int = 51
    least_px: tuple[int, int] = (2, 2)
    fixed_px: tuple[int, int] = (0, 0)

    @property
    def halves_rows(self) -> bool:
        """True for 4:2:0, whose chroma has half the rows as well as half the columns."""
        return "420" in self.layout

    @property
    def chroma_px(self) -> tuple[int, int]:
        """Rows and columns of pixels that share one chroma sample."""
        if "444" in self.layout:
            return 1, 1
        return 2 if self.halves_rows else 1, 4 if "411" in self.layout else 2


def luma_weights(is_bt601: bool) -> tuple[float, float]:
    """Return Kr and Kb. Source: ITU-R BT.601-7 section 2.5.1, BT.709-6 section 3.2."""
    return (0.299, 0.114) if is_bt601 else (0.2126, 0.0722)


def planes_from_rgb(rgb: Picture, codec: Codec, *, is_bt601: bool) -> list[Plane]:
    """Convert display-encoded RGB to quantised Y'CbCr planes.

    Args:
        rgb: (H, W, 3), display-encoded, 0..1 (values outside are clipped, as codecs do); H and W
            multiples of the codec's chroma block.
        codec: Layout, bits and range of the planes.
        is_bt601: The matrix: BT.601 when true, else BT.709.

    Returns:
        Y' (H, W), Cb and Cr (smaller by the chroma block), code values of ``codec.bits`` bits.

    Source: ITU-R BT.709-6 sections 3.3 to 3.5; chroma is the mean of the pixels it covers.
    """
    red_weight, blue_weight = luma_weights(is_bt601)
    shown = np.clip(rgb, 0.0, 1.0)
    luma = (
        red_weight * shown[..., 0]
        + (1.0 - red_weight - blue_weight) * shown[..., 1]
        + blue_weight * shown[..., 2]
    )
    blue = (shown[..., 2] - luma) / (2.0 * (1.0 - blue_weight))
    red = (shown[..., 0] - luma) / (2.0 * (1.0 - red_weight))
    offset, luma_span, chroma_span = _ranges(codec)
    middle = float(1 << (codec.bits - 1))
    planes = [luma * luma_span + offset]
    for chroma in (blue, red):
        small = chroma
        rows, columns = codec.chroma_px
        for _ in range(columns.bit_length() - 1):
            small = 0.5 * (small[:, 0::2] + small[:, 1::2])
        if rows == 2:
            small = 0.5 * (small[0::2] + small[1::2])
        planes.append(small * chroma_span + middle)
    top = float((1 << codec.bits) - 1)
    return [np.clip(np.rint(plane), 0.0, top).astype(np.uint16) for plane in planes]


def planes_to_rgb(
    planes: list[Plane], codec: Codec, *, is_bt601: bool, is_smooth_chroma: bool
) -> Picture:
    """Convert Y'CbCr planes back to display-encoded RGB, (H, W, 3), clipped to 0..1."""
    red_weight, blue_weight = luma_weights(is_bt601)
    offset, luma_span, chroma_span = _ranges(codec)
    middle = float(1 << (codec.bits - 1))
    luma = (planes[0].astype(np.float32) - offset) / luma_span
    enlarge = _bilinear if is_smooth_chroma else _repeated
    blue, red = (
        enlarge((plane.astype(np.float32) - middle) / chroma_span, codec.chroma_px)
        for plane in planes[1:]
    )
    red_out = luma + 2.0 * (1.0 - red_weight) * red
    blue_out = luma + 2.0 * (1.0 - blue_weight) * blue
    green_out = (luma - red_weight * red_out - blue_weight * blue_out) / (
        1.0 - red_weight - blue_weight
    )
    rgb = np.stack([red_out, green_out, blue_out], axis=-1)
    return np.asarray(np.clip(rgb, 0.0, 1.0), dtype=np.float32)


def mirror_planes(
    planes: list[Plane], codec: Codec, size_px: tuple[int, int]
) -> tuple[list[Plane], tuple[int, int]]:
    """Set planes into the middle of a larger picture of their own mirror images.

    Args:
        planes: Y', Cb and Cr of one picture.
        codec: Their layout.
        size_px: (height, width) of the larger picture; no side smaller than the planes'.

    Returns:
        The larger planes, and the (top, left) of the picture in them, on a grid of 8 pixels where
        there is room, so that blocks lie as they do at a picture's own corner.
    """
    height, width = planes[0].shape
    top, left = (size_px[0] - height) // 16 * 8, (size_px[1] - width) // 16 * 8
    rows, columns = codec.chroma_px
    large = []
    for plane, down, across in zip(planes, (1, rows, rows), (1, columns, columns), strict=True):
        before = (top // down, left // across)
        after = (
            size_px[0] // down - before[0] - plane.shape[0],
            size_px[1] // across - before[1] - plane.shape[1],
        )
        margins = ((before[0], after[0]), (before[1], after[1]))
        large.append(np.pad(plane, margins, mode="symmetric"))
    return large, (top, left)


def _ranges(codec: Codec) -> tuple[float, float, float]:
    """Return black's code value, the luma span and the chroma span of a codec."""
    if codec.is_full_range:
        top = float((1 << codec.bits) - 1)
        return 0.0, top, top
    unit = float(1 << (codec.bits - 8))
    return 16.0 * unit, 219.0 * unit, 224.0 * unit


def _repeated(plane: Picture, chroma_px: tuple[int, int]) -> Picture:
    """Enlarge a chroma plane by repeating its samples."""
    return np.repeat(np.repeat(plane, chroma_px[1], axis=1), chroma_px[0], axis=0)


def _bilinear(plane: Picture, chroma_px: tuple[int, int]) -> Picture:
    """Enlarge a chroma plane with weights 3/4 and 1/4, samples sited between pixels."""
    large = plane
    for _ in range(chroma_px[1].bit_length() - 1):
        large = _double_columns(large)
    return _double_columns(large.T).T if chroma_px[0] == 2 else large


def _double_columns(plane: Picture) -> Picture:
    """Return (H, 2 W) from (H, W)."""
    before = np.concatenate([plane[:, :1], plane[:, :-1]], axis=1)
    after = np.concatenate([plane[:, 1:], plane[:, -1:]], axis=1)
    wide = np.empty((plane.shape[0], plane.shape[1] * 2), dtype=np.float32)
    wide[:, 0::2] = 0.75 * plane + 0.25 * before
    wide[:, 1::2] = 0.75 * plane + 0.25 * after
    return wide
