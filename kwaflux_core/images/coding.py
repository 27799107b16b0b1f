"""What a file itself says of its lossy coding: how coarsely its picture was quantized.

The unit of a quantizer step is one 8-bit code value (1/255 of the display range) in a transform
scaled to preserve energy.

Source: ITU-T T.81 section B.2.4.1 (quantization tables of JPEG) and table K.1 with the Independent
JPEG Group's scaling by quality; ITU-T H.264 (04/2017) section 8.5.9 (Qstep = 0.625 * 2^(QP/6));
ISO/IEC 13818-2 section 7.4.2 (default intra matrix; weight * quantiser_scale / 16); ISO/IEC 14496-2
section 7.4.4.1.2 (step 2 QP).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["JPEG_LUMA", "MPEG_INTRA", "Coding", "detail_mean", "h264_step", "jpeg_coding"]

_Table = npt.NDArray[np.int_]

JPEG_LUMA: _Table = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ]
)
"""JPEG's own table for luma, at quality 50."""
MPEG_INTRA: _Table = np.array(
    [
        [8, 16, 19, 22, 26, 27, 29, 34],
        [16, 16, 22, 24, 27, 29, 34, 37],
        [19, 22, 26, 27, 29, 34, 34, 38],
        [22, 22, 26, 27, 29, 34, 37, 40],
        [22, 26, 27, 29, 32, 35, 40, 48],
        [26, 27, 29, 32, 35, 40, 48, 58],
        [26, 27, 29, 34, 38, 46, 56, 69],
        [27, 29, 35, 38, 46, 56, 69, 83],
    ]
)
"""MPEG-2's default weights."""

_ZIGZAG = sorted(
    range(64),
    key=lambda at: (
        at // 8 + at % 8,
        at // 8 if (at // 8 + at % 8) % 2 else at % 8,
    ),
)
"""Places of an 8 x 8 block, row by row, in the order in which JPEG stores them."""


@dataclass(frozen=True, slots=True)
class Coding:
    """Say how coarsely a picture was quantized.

    Args:
        step: The mean quantizer step of luma's detail, 8-bit code values, above 0.
        words: For the person: "JPEG quality 75", "H.264 QP 28".
        is_jpeg: Whether every picture is coded by itself, without a filter against blocks.
    """

    step: float
    words: str
    is_jpeg: bool = False


def detail_mean(table: _Table) -> float:
    """Return the mean of the coefficients of an (8, 8) table that carry detail: 1 <= u + v <= 5."""
    row, column = np.indices(table.shape)
    chosen = (row + column >= 1) & (row + column <= 5)
    return float(np.mean(table[chosen]))


def h264_step(qp: float) -> float:
    """Return H.264's quantizer step; H.265's is the same."""
    return float(0.625 * 2.0 ** (qp / 6.0))


def jpeg_coding(data: bytes) -> Coding | None:
    """Return what the quantization table of a JPEG's luma says; None where there is none.

    Args:
        data: The file's beginning, up to its pixels.
    """
    table = _first_table(data)
    if table is None:
        return None
    step = max(detail_mean(table), 1.0)
    share = step / detail_mean(JPEG_LUMA)
    quality = 100.0 - 50.0 * share if share <= 1.0 else 50.0 / share
    return Coding(step, f"JPEG quality {quality:.0f}", is_jpeg=True)


def _first_table(data: bytes) -> _Table | None:
    """Return table 0 of the DQT segments before the first scan."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        if marker == 0xDA or length < 2:
            return None
        segment = data[at + 4 : at + 2 + length]
        if marker == 0xDB and (table := _table_0(segment)) is not None:
            return table
        at += 2 + length
    return None


def _table_0(segment: bytes) -> _Table | None:
    at = 0
    while at < len(segment):
        is_wide, number = segment[at] >> 4, segment[at] & 15
        size = 128 if is_wide else 64
        values = np.frombuffer(segment[at + 1 : at + 1 + size], ">u2" if is_wide else "u1")
        if len(values) < 64:
            return None
        if number == 0:
            table = np.zeros(64, np.int_)
            table[_ZIGZAG] = values[:64]
            return table.reshape(8, 8)
        at += 1 + size
    return None
