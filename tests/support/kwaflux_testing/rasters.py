"""Builders of PNG, TIFF, DPX and JPEG files with exactly the tags a test names."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import OpenImageIO

__all__ = ["REC709_CHRM", "Tags", "reported", "write_png", "write_with_library"]

Tags: TypeAlias = "Sequence[tuple[bytes, bytes]]"
"""Chunks of a PNG: four letters, and the bytes."""

REC709_CHRM = struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
"""The bytes of a cHRM chunk that says Rec. 709."""

_PNG_COLOR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}


def write_png(path: Path, codes: npt.NDArray[np.generic], *, tags: Tags = ()) -> None:
    """Write (H, W, C) of uint8 or uint16 byte by byte, with only the given tags."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    height, width, count = codes.shape
    bits = codes.dtype.itemsize * 8
    big_endian = codes.astype(codes.dtype.newbyteorder(">"))
    rows = b"".join(b"\0" + row.tobytes() for row in big_endian)
    header = struct.pack(">IIBBBBB", width, height, bits, _PNG_COLOR_TYPES[count], 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + b"".join(chunk(kind, data) for kind, data in tags)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def write_with_library(
    path: Path, pixels: npt.NDArray[np.generic], *, stored: str = "", **attributes: object
) -> None:
    """Write (H, W, C) through OpenImageIO; ``a__b`` among the attributes stands for ``a:b``."""
    height, width, count = pixels.shape
    spec = OpenImageIO.ImageSpec(width, height, count, stored or pixels.dtype.name)
    for name, value in attributes.items():
        full = name.replace("__", ":")
        if isinstance(value, tuple):
            spec.attribute(full, OpenImageIO.TypeDesc(value[0]), value[1])
        else:
            spec.attribute(full, value)
    output = OpenImageIO.ImageOutput.create(str(path))
    assert output is not None
    assert output.open(str(path), spec), output.geterror()
    assert output.write_image(pixels)
    assert output.close()


def reported(path: Path) -> OpenImageIO.ImageSpec:
    """Return what OpenImageIO makes of a file."""
    source = OpenImageIO.ImageInput.open(str(path))
    assert source is not None
    return source.spec()
