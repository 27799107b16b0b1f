"""The weights of red, green and blue in luma."""

from __future__ import annotations

from typing import Final

__all__ = ["REC709_LUMA"]

REC709_LUMA: Final = (0.2126, 0.7152, 0.0722)
"""For Rec.709 and sRGB primaries, D65. Source: ITU-R BT.709-6, section 3.2."""
