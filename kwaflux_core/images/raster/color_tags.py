"""Color tags of PNG, TIFF, DPX and JPEG files; nothing is assumed without a tag.

OpenImageIO's ``oiio:ColorSpace`` is not used: it says sRGB of every PNG and JPEG, tagged or not.
Source: PNG Specification (Third Edition), 4.3 and 11.3.2, for which tag wins; ITU-T H.273 for the
numbers of cICP; SMPTE ST 268-1 for DPX; ASWF Color Interop Forum for the ids.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from types import MappingProxyType
from typing import BinaryIO, Final

__all__ = ["CICP_OF_INTEROP_ID", "INTEROP_ID_OF_NAME", "SRGB", "interop_id_of_tags"]

SRGB: Final = "srgb_rec709_display"

CICP_OF_INTEROP_ID: Final = MappingProxyType(
    {
        "g24_rec709_display": (1, 1),
        "srgb_rec709_display": (1, 13),
        "lin_rec709_scene": (1, 8),
        "lin_rec2020_scene": (9, 8),
        "pq_rec2020_display": (9, 16),
        "hlg_rec2020_display": (9, 18),
        "lin_p3d65_scene": (12, 8),
        "srgb_p3d65_display": (12, 13),
        "pq_p3d65_display": (12, 16),
    }
)
"""H.273 color primaries and transfer characteristics of what PNG's cICP can name."""

INTEROP_ID_OF_NAME: Final = MappingProxyType(
    {
        "Display P3 - Display": "srgb_p3d65_display",
        "Linear P3-D65": "lin_p3d65_scene",
        "Linear Rec.2020": "lin_rec2020_scene",
        "Linear Rec.709 (sRGB)": "lin_rec709_scene",
        "Rec.1886 Rec.709 - Display": "g24_rec709_display",
        "Rec.2100-HLG - Display": "hlg_rec2020_display",
        "Rec.2100-PQ - Display": "pq_rec2020_display",
        "ST2084-P3-D65 - Display": "pq_p3d65_display",
        "sRGB - Display": "srgb_rec709_display",
        "sRGB Encoded Rec.709 (sRGB)": "srgb_rec709_display",
    }
)
"""The ids of the names that the ACES configs built into OpenColorIO use."""

_INTEROP_ID_OF_CICP: Final = {code: name for name, code in CICP_OF_INTEROP_ID.items()}
_REC709_CHRM: Final = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
_INTEROP_ID_OF_GAMMA: Final = {45455: "g22_rec709_display", 100000: "lin_rec709_scene"}
_INTEROP_ID_OF_ICC: Final = {
    "adobe rgb (1998)": "g22_adobergb_scene",
    "display p3": "srgb_p3d65_display",
    "srgb": SRGB,
    "srgb built-in": SRGB,
    "srgb iec61966-2.1": SRGB,
}
"""By the description within the profile, in lower case: the ones that all software writes."""
_PNG_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_LONGEST_TAG_BYTES: Final = 1 << 16


def interop_id_of_tags(stream: BinaryIO, attributes: Mapping[str, object], *, suffix: str) -> str:
    """Return the interop id that a file's own tags name; empty when they name none.

    Args:
        stream: The file.
        attributes: What OpenImageIO reports of it.
        suffix: ``.png``, ``.dpx`` and so on.
    """
    if suffix == ".png":
        return _of_png(_png_tags(stream), attributes)
    if suffix == ".dpx":
        return _of_dpx(attributes)
    if "ICCProfile" in attributes:
        return _of_icc(attributes)
    return SRGB if attributes.get("Exif:ColorSpace") == 1 else ""


def _of_icc(attributes: Mapping[str, object]) -> str:
    description = str(attributes.get("ICCProfile:profile_description", "")).strip().lower()
    return _INTEROP_ID_OF_ICC.get(description, "")


def _of_png(tags: Mapping[bytes, bytes], attributes: Mapping[str, object]) -> str:
    if b"cICP" in tags:
        primaries, transfer, matrix, is_full_range = struct.unpack("4B", tags[b"cICP"][:4])
        named = _INTEROP_ID_OF_CICP.get((primaries, transfer), "")
        return named if matrix == 0 and is_full_range == 1 else ""
    if b"iCCP" in tags:
        return _of_icc(attributes)
    if b"sRGB" in tags:
        return SRGB
    if tags.get(b"cHRM") == struct.pack(">8I", *_REC709_CHRM) and b"gAMA" in tags:
        return _INTEROP_ID_OF_GAMMA.get(int.from_bytes(tags[b"gAMA"], "big"), "")
    return ""


def _png_tags(stream: BinaryIO) -> dict[bytes, bytes]:
    """Return the chunks before the pixels that are about color."""
    tags: dict[bytes, bytes] = {}
    stream.seek(0)
    if stream.read(8) != _PNG_SIGNATURE:
        return tags
    while len(leader := stream.read(8)) == 8:
        length, kind = struct.unpack(">I4s", leader)
        if kind in (b"IDAT", b"IEND"):
            break
        if kind in (b"cICP", b"gAMA", b"cHRM", b"sRGB") and 0 < length <= _LONGEST_TAG_BYTES:
            tags[kind] = stream.read(length)
            stream.seek(4, 1)
        else:
            tags[kind] = b""
            stream.seek(length + 4, 1)
    return tags


def _of_dpx(attributes: Mapping[str, object]) -> str:
    if attributes.get("dpx:Colorimetric") != "ITU-R 709-4":
        return ""
    transfers = {"ITU-R 709-4": "ocio:itu709_rec709_scene", "Linear": "lin_rec709_scene"}
    return transfers.get(str(attributes.get("dpx:Transfer")), "")
