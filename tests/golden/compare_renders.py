"""Show that two installations of Kwaflux render the same bits.

Owns the plates, the cases and the comparison. Must not import Kwaflux: its modules may have other
names in the two installations, so they are reached through ``python -m kwaflux_server`` and the
names that ``kwaflux_core`` exports, each in a process of its own.

    python tests/golden/compare_renders.py --before OTHER/.venv/bin/python --after .venv/bin/python

The plates are made once, of seeded random numbers. Every case is rendered by both installations on
the CPU with one thread, so that sums are taken in one order. Then these are compared:

- every channel of every part, bit for bit (a NaN must keep its payload);
- every header attribute, byte for byte, except those in ``UNCOMPARED``;
- exit status, and what ``enhance --json`` says of each frame, without timings and paths;
- for the cases that must leave the plate alone: the result against the plate.

A case that is expected to change pixels and changes none is a fault too: it would test nothing.
Exit status: 0 all cases are the same, 1 some differ, 2 the comparison could not be made.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, TextIO, TypeAlias

import av
import numpy as np
import numpy.typing as npt
import OpenEXR
import OpenImageIO

__all__ = ["CASES", "Case", "main"]

Floats: TypeAlias = npt.NDArray[np.float32]
Pixels: TypeAlias = npt.NDArray[Any]
Header: TypeAlias = "dict[str, tuple[str, bytes]]"
Record: TypeAlias = "dict[str, Any]"

UNCOMPARED = frozenset(
    f"kwaflux/{name}"
    for name in ("device", "effects", "hash", "loras", "pixels", "source", "version", "weights")
)
"""Attributes that hold hashes and versions; they may differ where the pixels do not."""

_UNCOMPARED_RASTER = frozenset({"DateTime", "Software", "ImageHistory"})
_EVENT_NOISE = ("job", "done", "total", "timings", "path")
_TIMEOUT_S = 300.0
_CLIP_FRAMES = range(1001, 1008)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Say what is rendered, and what must come of it.

    Attributes:
        name: Of the case, and of its folder.
        source: A file or pattern among the plates.
        flow: The effects.
        target: The file or pattern that is written.
        options: Of ``enhance``.
        environ: Settings, as variables.
        by: Who renders: ``enhance --embedded``, ``enhance`` through a server, or a client's script
            (which then stands for the flow).
        runs: How often, into the same target.
        status: The exit status of the last run.
        effect: What happens to the pixels: ``changed``, ``kept``, or ``any`` where the result
            cannot be compared with the plate.
    """

    name: str
    source: str
    flow: str
    target: str = "out.exr"
    options: tuple[str, ...] = ()
    environ: Mapping[str, str] = field(default_factory=dict)
    by: Literal["embedded", "server", "client"] = "embedded"
    runs: int = 1
    status: int = 0
    effect: Literal["changed", "kept", "any"] = "changed"


_CLIENT_SCRIPT = """
import sys
from pathlib import Path

from kwaflux_core import Box, Client, Flow, read_image, write_image

plates, out = Path(sys.argv[1]), Path(sys.argv[2])
clip = {n: read_image(str(plates / f"clip.{n}.exr")) for n in range(1001, 1008)}
layers = read_image(str(plates / "layers.exr"))


def keep(name, result):
    write_image(str(out / name), result.image)
    said = getattr(result, "report", result)
    print(name, said.receipt, sorted(said.measured.items()), said.warnings, said.attention)


with Client.connect() as client:
    flow = Flow.parse("denoise(noise=0.05)")
    keep("alone.exr", client.render(clip[1004], flow, frame=1004))
    keep("neighbors.exr", client.render(clip[1004], flow, frame=1004, neighbors=clip))
    keep("region.exr", client.render(clip[1004], flow, frame=1004, region=Box(24, 16, 120, 80)))
    grain = Flow.parse("denoise(noise=0.05) | regrain(amount=1.5)")
    keep("grain.exr", client.render(clip[1002], grain, frame=1002))
    keep("larger.exr", client.render(layers, Flow.parse("upscale"), frame=1))
    keep("layer.exr", client.render(layers, Flow.parse("expand"), frame=1, layer="diffuse"))
"""

_TILES = {"KWAFLUX_TILE_PX": "64"}
_JUDGED_NOISE = "denoise"
CASES: tuple[Case, ...] = (
    # Nothing may change.
    Case(name="identity", source="hdr.exr", flow="identity", effect="kept"),
    Case(name="identity_layers", source="layers.exr", flow="identity", effect="kept"),
    Case(name="identity_parts", source="parts.exr", flow="identity", effect="kept"),
    *(
        Case(name=f"{effect}_0", source="hdr.exr", flow=f"{effect}({param}=0)", effect="kept")
        for effect, param in {
            "denoise": "strength",
            "decompress": "strength",
            "deblur": "strength",
            "deband": "strength",
            "expand": "strength",
            "regrain": "amount",
        }.items()
    ),
    Case(name="upscale_0", source="hdr.exr", flow="upscale(strength=0)", effect="any"),
    # A plate from -0.5 to 70000 with NaN and Inf.
    Case(name="hdr_denoise", source="hdr.exr", flow="denoise(noise=0.05)"),
    Case(name="hdr_decompress", source="hdr.exr", flow="decompress(level=0.7)"),
    Case(name="hdr_deblur", source="hdr.exr", flow="deblur(softness=1.5)"),
    Case(name="hdr_deband", source="hdr.exr", flow="deband"),
    Case(name="hdr_expand", source="hdr.exr", flow="expand(clip=0.8, knee=0.7)"),
    Case(name="hdr_upscale", source="hdr.exr", flow="upscale", effect="any"),
    Case(name="half", source="soft.exr", flow="deblur(softness=1.5)", options=("--half",)),
    # Effects at params of their own.
    Case(
        name="denoise_params",
        source="clip.1003.exr",
        flow="denoise(strength=0.7, noise=0.04, luma=0.5, chroma=0.8, temporal=false)",
    ),
    Case(name="deblur_judged", source="soft.exr", flow="deblur(softness=0, detail=0.6)"),
    Case(
        name="decompress_judged",
        source="scene.jpg",
        flow="decompress",
        options=("--colorspace", "sRGB - Display"),
        effect="any",
    ),
    Case(name="deband_ycbcr", source="bands.exr", flow="deband(bits=7, sampling=ycbcr, radius=31)"),
    Case(
        name="expand_params",
        source="bands.exr",
        flow="expand(peak=8, recover=0.5, hue=0.7, saturation=0.8)",
    ),
    Case(name="upscale_2", source="tiny.exr", flow="upscale(scale=2, denoise=0)", effect="any"),
    Case(name="upscale_4", source="tiny.exr", flow="upscale(scale=4, detail=0.8)", effect="any"),
    Case(
        name="regrain_flat_areas",
        source="clip.1003.exr",
        flow="regrain(measure=flat_areas, size=1.5, color=0.5, seed=7)",
    ),
    # Clips.
    Case(name="clip_denoise", source="clip.####.exr", flow=_JUDGED_NOISE, target="out.####.exr"),
    Case(
        name="clip_denoise_range",
        source="clip.####.exr",
        flow=_JUDGED_NOISE,
        target="out.####.exr",
        options=("--frames", "1003-1005"),
    ),
    Case(
        name="clip_denoise_middle",
        source="clip.####.exr",
        flow=_JUDGED_NOISE,
        target="out.####.exr",
        options=("--frames", "1004"),
    ),
    Case(
        name="clip_decompress_denoise",
        source="clip.####.exr",
        flow="decompress(level=0.6) | denoise(noise=0.05)",
        target="out.####.exr",
    ),
    Case(
        name="clip_denoise_regrain",
        source="clip.####.exr",
        flow="denoise(noise=0.05) | regrain",
        target="out.####.exr",
        options=("--frames", "1002-1006x2"),
    ),
    Case(
        name="clip_gap",
        source="clip.####.exr",
        flow="denoise(noise=0.05)",
        target="out.####.exr",
        options=("--frames", "1006-1009"),
        status=1,
    ),
    Case(name="plate_recovery", source="tiny.exr", flow="plate_recovery", effect="any"),
    # Weights of the user's own.
    Case(name="lora", source="clip.1004.exr", flow='denoise(noise=0.05, lora="golden:0.8")'),
    Case(
        name="lora_stack",
        source="clip.1004.exr",
        flow='denoise(noise=0.05, lora="golden:0.5+second:0.3")',
    ),
    # Tiles.
    Case(name="tiles_decompress", source="large.exr", flow="decompress(level=0.6)", environ=_TILES),
    Case(name="tiles_deblur", source="large.exr", flow="deblur(softness=1.2)", environ=_TILES),
    Case(
        name="tiles_denoise",
        source="large.exr",
        flow="denoise(noise=0.05)",
        environ={"KWAFLUX_TILE_PX": "160"},
    ),
    Case(
        name="tiles_upscale",
        source="clip.1004.exr",
        flow="upscale",
        environ={"KWAFLUX_TILE_PX": "48"},
        effect="any",
    ),
    Case(
        name="tiles_flow",
        source="large.exr",
        flow="decompress(level=0.5) | deband | expand(clip=0.8) | regrain",
        environ=_TILES,
    ),
    # Layers, parts, windows, alpha.
    Case(name="layers_denoise", source="layers.exr", flow="denoise(noise=0.05)"),
    Case(
        name="layers_straight",
        source="layers.exr",
        flow="decompress(level=0.6)",
        options=("--alpha", "straight"),
    ),
    Case(
        name="layers_diffuse",
        source="layers.exr",
        flow="deblur(softness=1.5)",
        options=("--layer", "diffuse"),
    ),
    Case(name="layers_upscale", source="layers.exr", flow="upscale", effect="any"),
    Case(
        name="parts_denoise",
        source="parts.exr",
        flow="denoise(noise=0.05)",
        options=("--compression", "piz"),
    ),
    Case(name="parts_upscale", source="parts.exr", flow="upscale", effect="any"),
    # Colorspaces and other files.
    Case(
        name="colorspace_acescct",
        source="clip.1004.exr",
        flow="denoise(noise=0.05)",
        options=("--colorspace", "ACEScct"),
    ),
    Case(
        name="colorspace_acescg_half",
        source="layers.exr",
        flow="decompress(level=0.6)",
        options=("--colorspace", "ACEScg", "--half"),
    ),
    Case(name="png_to_exr", source="scene.png", flow="deband", effect="any"),
    Case(
        name="tiff_to_exr",
        source="scene.tif",
        flow="deblur",
        options=("--colorspace", "Camera Rec.709"),
        effect="any",
    ),
    Case(
        name="dpx_to_dpx",
        source="scene.dpx",
        flow="decompress(level=0.6)",
        target="out.dpx",
        options=("--colorspace", "ACEScct"),
    ),
    Case(name="png_to_png", source="scene.png", flow="denoise(noise=0.05)", target="out.png"),
    Case(
        name="tiff_to_tiff",
        source="scene.tif",
        flow="denoise(noise=0.05)",
        target="out.tif",
        options=("--colorspace", "sRGB - Display"),
    ),
    # Movies.
    Case(
        name="movie_denoise",
        source="movie.mp4",
        flow="decompress | denoise",
        target="out.####.exr",
        options=("--frames", "2-5"),
        effect="any",
    ),
    Case(
        name="movie_prores",
        source="movie.mov",
        flow="identity",
        target="out.####.exr",
        effect="any",
    ),
    Case(
        name="movie_untagged",
        source="untagged.mp4",
        flow="identity",
        target="out.####.exr",
        options=("--colorspace", "Rec.1886 Rec.709 - Display", "--half"),
        effect="any",
    ),
    # Roads other than --embedded.
    Case(
        name="server_clip",
        source="clip.####.exr",
        flow="denoise(noise=0.05) | regrain",
        target="out.####.exr",
        options=("--frames", "1003-1005"),
        by="server",
    ),
    Case(name="client", source="clip.####.exr", flow=_CLIENT_SCRIPT, by="client", effect="any"),
    Case(
        name="existing_verify",
        source="clip.1004.exr",
        flow="denoise(noise=0.05)",
        options=("--existing", "verify"),
        runs=2,
    ),
    # Refusals.
    Case(
        name="refused_half",
        source="hdr.exr",
        flow="denoise(noise=0.05)",
        options=("--half",),
        status=2,
        effect="any",
    ),
    Case(
        name="refused_softness",
        source="very_soft.exr",
        flow="deblur(softness=0)",
        status=1,
        effect="any",
    ),
    Case(
        name="refused_untagged",
        source="untagged.mp4",
        flow="identity",
        target="out.####.exr",
        status=2,
        effect="any",
    ),
    Case(name="refused_flow", source="tiny.exr", flow="denoise(strenth=1)", status=2, effect="any"),
    Case(
        name="refused_lora",
        source="tiny.exr",
        flow='denoise(lora="goldn")',
        status=2,
        effect="any",
    ),
)


# --- plates ---------------------------------------------------------------------------------


def make_plates(folder: Path) -> None:
    """Write every plate; the same bytes each time."""
    folder.mkdir(parents=True)
    alpha = (1.0 - 0.5 * _ramp(256, 160)).astype(np.float32)
    _write_exr(folder / "hdr.exr", _hdr(256, 160), alpha=alpha)
    _write_exr(folder / "tiny.exr", _noisy(_scene(96, 64), 0.02, seed=11))
    _write_exr(folder / "large.exr", _noisy(_scene(320, 200), 0.04, seed=12))
    _write_exr(folder / "bands.exr", _bands(192, 128))
    _write_exr(folder / "soft.exr", _blurred(_scene(192, 128), 1.5))
    _write_exr(folder / "very_soft.exr", _blurred(_scene(192, 128), 12.0))
    for frame in _CLIP_FRAMES:
        picture = _noisy(_scene(192, 112, shift=2.5 * (frame - 1001)), 0.05, seed=frame)
        _write_exr(folder / f"clip.{frame}.exr", picture, half=True, header=_clip_header(frame))
    _write_layers(folder / "layers.exr")
    _write_parts(folder / "parts.exr")
    coded = _encoded(_noisy(_scene(192, 128), 0.02, seed=13))
    _write_raster(folder / "scene.png", np.rint(coded * 255).astype(np.uint8))
    _write_raster(folder / "scene.jpg", np.rint(coded * 255).astype(np.uint8), quality=15)
    _write_raster(folder / "scene.tif", np.rint(coded * 65535).astype(np.uint16))
    _write_raster(folder / "scene.dpx", np.rint(coded * 65535).astype(np.uint16))
    _write_movie(folder / "movie.mp4", "libx264", "yuv420p", count=8, tag=1)
    _write_movie(folder / "movie.mov", "prores_ks", "yuv422p10le", count=2, tag=1)
    _write_movie(folder / "untagged.mp4", "libx264", "yuv420p", count=2, tag=2)


def _ramp(width: int, height: int) -> Floats:
    row = np.linspace(0.0, 1.0, width, dtype=np.float32)
    return np.ascontiguousarray(np.broadcast_to(row, (height, width)))


def _scene(width: int, height: int, *, shift: float = 0.0) -> Floats:
    """Return a scene-linear picture (H, W, 3): waves, checks, fine stripes and bright discs."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    x = x + shift
    waves = 0.25 + 0.12 * np.sin(x / 9.0) * np.cos(y / 13.0) + 0.1 * np.sin((x + 2 * y) / 31.0)
    checks = 0.12 * (np.floor(x / 12) + np.floor(y / 12)) % 2 * (y > height / 2)
    stripes = 0.05 * np.sin(x * 1.7 + y * 0.3) * (x % 96 < 40)
    red = waves + checks + stripes
    picture = np.stack([red, 0.8 * waves + 0.5 * checks + stripes, 0.4 + 0.5 * waves], axis=2)
    for column, row, radius, light in ((60, 30, 12, 1.0), (130, 70, 18, 2.5), (40, 90, 7, 0.0)):
        picture[np.hypot(x - column, y - row) < radius] = light
    return picture.astype(np.float32)


def _noisy(picture: Floats, deviation: float, *, seed: int) -> Floats:
    noise = np.random.default_rng(seed).standard_normal(picture.shape, dtype=np.float32)
    noisy = picture + deviation * noise * np.sqrt(np.abs(picture) + 0.05)
    return noisy.astype(np.float32)


def _blurred(picture: Floats, deviation: float) -> Floats:
    reach = int(4 * deviation)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / deviation) ** 2)
    kernel /= kernel.sum()
    blurred = picture.astype(np.float64)
    for axis in (0, 1):
        pads = [(reach, reach) if axis == side else (0, 0) for side in range(3)]
        padded = np.pad(blurred, pads, mode="edge")
        length = blurred.shape[axis]
        blurred = sum(
            (
                weight * np.take(padded, range(offset, offset + length), axis)
                for offset, weight in enumerate(kernel)
            ),
            np.zeros_like(blurred),
        )
    return blurred.astype(np.float32)


def _encoded(linear: Floats) -> Floats:
    """Return sRGB values in 0..1."""
    clipped = np.clip(linear.astype(np.float64), 0.0, 1.0)
    low, high = 12.92 * clipped, 1.055 * clipped ** (1 / 2.4) - 0.055
    return np.where(clipped <= 0.0031308, low, high).astype(np.float32)


def _decoded(encoded: npt.NDArray[np.float64]) -> Floats:
    low, high = encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4
    return np.where(encoded <= 0.04045, low, high).astype(np.float32)


def _bands(width: int, height: int) -> Floats:
    """Return smooth gradients that were rounded to 8 bits, with a clipped white area."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    sky = np.stack([0.2 + 0.1 * x / width, 0.3 + 0.1 * y / height, 0.4 + 0.12 * x / width], axis=2)
    picture = _decoded(np.rint(sky * 255) / 255)
    picture[np.hypot(x - 0.7 * width, y - 0.4 * height) < 20] = 1.0
    return picture


def _hdr(width: int, height: int) -> Floats:
    """Return bands of: a ramp from -0.5 to 70000, noisy texture, and rounded gradients."""
    third = height // 3
    picture = _noisy(_scene(width, height), 0.04, seed=21)
    negative = np.linspace(-0.5, 0.0, width // 4, endpoint=False)
    ramp = np.concatenate([negative, np.geomspace(1e-4, 70000.0, width - width // 4)])
    picture[:third] = (ramp[None, :, None] * np.array([1.0, 0.9, 0.7])).astype(np.float32)
    picture[0, -1] = 70000.0
    picture[2 * third :] = _bands(width, height)[2 * third :]
    bits = picture.view(np.uint32)
    bits[third + 5, 20] = 0x7FC0ABCD  # NaN with a payload
    bits[10, 40, 0] = 0xFFC00001
    bits[height - 9, 50:54, 1] = 0x7F800000  # Inf
    bits[third + 20, 100] = 0xFF800000
    bits[third + 30, 60:63, 2] = 0x00000001  # the smallest number
    return picture


def _clip_header(frame: int) -> dict[str, object]:
    return {
        "owner": "golden",
        "timeCode": OpenEXR.TimeCode(10, 0, 0, frame - 1001, *[0] * 14),
        "framesPerSecond": Fraction(24),
        "shot/take": 3,
        "shot/note": "grün",
    }


def _planes(picture: Floats, prefix: str = "") -> dict[str, Floats]:
    channels = zip("RGB", np.moveaxis(picture, 2, 0), strict=True)
    return {prefix + name: np.ascontiguousarray(plane) for name, plane in channels}


def _window(x0: int, y0: int, width: int, height: int) -> tuple[Pixels, Pixels]:
    low, high = (x0, y0), (x0 + width - 1, y0 + height - 1)
    return np.array(low, np.int32), np.array(high, np.int32)


def _write_exr(
    path: Path,
    picture: Floats,
    *,
    alpha: Floats | None = None,
    half: bool = False,
    header: Mapping[str, object] | None = None,
) -> None:
    channels = _planes(picture)
    if alpha is not None:
        channels["A"] = alpha
    stored = {name: plane.astype("f2" if half else "f4") for name, plane in channels.items()}
    said = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    OpenEXR.File({**said, **(header or {})}, stored).write(str(path))


def _premultiplied(width: int, height: int, *, seed: int) -> tuple[Floats, Floats]:
    alpha = np.clip(_ramp(width, height) * 1.5 - 0.25, 0.0, 1.0).astype(np.float32)
    picture = _noisy(_scene(width, height), 0.05, seed=seed) * alpha[..., None]
    return picture.astype(np.float32), alpha


def _write_layers(path: Path) -> None:
    """Write premultiplied RGBA with layers of every type; the data window leaves the display's."""
    width, height = 176, 120
    picture, alpha = _premultiplied(width, height, seed=31)
    numbers = np.arange(width * height, dtype=np.uint32).reshape(height, width)
    color = {"A": alpha, **_planes(picture)}
    channels: dict[str, Pixels] = {
        **{name: plane.astype(np.float16) for name, plane in color.items()},
        **_planes(_noisy(_scene(width, height, shift=7.0), 0.03, seed=32), "diffuse."),
        "depth.Z": (1.0 / (1e-4 + _ramp(width, height))).astype(np.float32),
        "id.number": numbers * np.uint32(2654435761),
        "matte.mask": np.sin(numbers / 50.0).astype(np.float16),
    }
    header = {
        "compression": OpenEXR.ZIPS_COMPRESSION,
        "type": OpenEXR.scanlineimage,
        "dataWindow": _window(-16, 8, width, height),
        "displayWindow": _window(0, 0, 192, 108),
        "pixelAspectRatio": 2.0,
        "owner": "golden",
        "lens/focal": np.array([35.0, 1.4], np.float32),
        "worldToCamera": (np.arange(16, dtype=np.float32) / 7).reshape(4, 4),
    }
    OpenEXR.File(header, channels).write(str(path))


def _write_parts(path: Path) -> None:
    """Write two parts with windows of their own."""
    width, height = 160, 96
    picture, alpha = _premultiplied(width, height, seed=41)
    said = {"type": OpenEXR.scanlineimage, "displayWindow": _window(0, 0, width, height)}
    color = OpenEXR.Part(
        {**said, "compression": OpenEXR.ZIP_COMPRESSION, "owner": "golden"},
        {"A": alpha, **_planes(picture)},
        "color",
    )
    depth = OpenEXR.Part(
        {**said, "compression": OpenEXR.NO_COMPRESSION, "dataWindow": _window(10, 4, 100, 50)},
        {"Z": np.geomspace(0.1, 1e6, 5000).astype(np.float32).reshape(50, 100)},
        "depth",
    )
    OpenEXR.File([color, depth]).write(str(path))


def _write_raster(path: Path, codes: Pixels, *, quality: int = 0) -> None:
    height, width, _ = codes.shape
    spec = OpenImageIO.ImageSpec(width, height, 3, str(codes.dtype))
    spec.attribute("DateTime", "2024:01:01 00:00:00")  # else the time of writing
    if quality:
        spec.attribute("Compression", f"jpeg:{quality}")
    if path.suffix == ".dpx":
        spec.attribute("oiio:BitsPerSample", 10)
    writer = OpenImageIO.ImageOutput.create(str(path))
    if writer is None:
        raise SystemExit(f"{path.name} cannot be written: {OpenImageIO.geterror()}")
    if not (writer.open(str(path), spec) and writer.write_image(codes) and writer.close()):
        raise SystemExit(f"{path.name} cannot be written: {writer.geterror()}")
    if path.suffix == ".dpx":  # its header holds its own path, at most 100 bytes from byte 36 on
        data = bytearray(path.read_bytes())
        data[36:136] = bytes(100)
        path.write_bytes(data)


def _write_movie(path: Path, encoder: str, layout: str, *, count: int, tag: int) -> None:
    """Write a movie whose primaries, transfer and matrix are ``tag`` (1 BT.709, 2 unspecified)."""
    quiet = {"x264-params": "log-level=none", "crf": "32"} if encoder == "libx264" else {}
    with av.open(str(path), "w") as container:
        stream = container.add_stream(encoder, rate=Fraction(24), options=quiet)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 192, 112, layout
        stream.thread_count = 1
        context = stream.codec_context
        context.color_primaries, context.color_trc, context.colorspace = tag, tag, tag
        context.color_range = 1
        for number in range(count):
            picture = _noisy(_scene(192, 112, shift=2.0 * number), 0.04, seed=100 + number)
            codes = np.rint(_encoded(picture) * 255).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(codes, format="rgb24").reformat(
                format=layout, dst_colorspace="ITU709"
            )
            frame.pts, frame.time_base = number, Fraction(1, 24)
            frame.color_primaries, frame.color_trc, frame.colorspace = tag, tag, tag
            frame.color_range = 1
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


# --- LoRAs ----------------------------------------------------------------------------------


def _lora_bytes(*, effect: str, base_sha256: str, seed: int) -> bytes:
    """Return a LoRA of rank 4 for the first layers of a network, as a safetensors file."""
    random = np.random.default_rng(seed)
    tensors: dict[str, npt.NDArray[np.float16]] = {
        "body.0.bias.delta": (0.01 * random.standard_normal(96)).astype(np.float16)
    }
    for layer, columns in (("body.0.weight", 78 * 9), ("body.2.weight", 96 * 9)):
        for part, shape in (("down", (4, columns)), ("up", (96, 4))):
            tensors[f"{layer}.{part}"] = (0.03 * random.standard_normal(shape)).astype(np.float16)
    payload, entries = b"", {}
    for name in sorted(tensors):
        data = tensors[name].astype("<f2").tobytes()
        entries[name] = {
            "dtype": "F16",
            "shape": list(tensors[name].shape),
            "data_offsets": [len(payload), len(payload) + len(data)],
        }
        payload += data
    notes = {
        "format": "kwaflux-lora/1",
        "effect": effect,
        "base_sha256": base_sha256,
        "payload_sha256": hashlib.sha256(payload).hexdigest(),
        "rank": "4",
    }
    header = json.dumps({"__metadata__": notes, **entries}, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header)) + header + payload


# --- rendering ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Side:
    """Hold one of the two installations.

    Attributes:
        name: ``before`` or ``after``.
        python: Its executable.
        folder: Where its results lie.
        plates: Where the plates lie.
        runtime: A short path for servers' sockets.
    """

    name: str
    python: str
    folder: Path
    plates: Path
    runtime: Path

    def environ(self, case: Case | None = None) -> dict[str, str]:
        """Return the environment of its processes, without what the caller's own says."""
        dropped = ("KWAFLUX_", "PYTHON", "OCIO", "OMP_", "MKL_")
        environ = {k: v for k, v in os.environ.items() if not k.startswith(dropped)}
        runtime = self.runtime / (case.name if case else "none")
        runtime.mkdir(mode=0o700, exist_ok=True)
        environ |= {
            "OMP_NUM_THREADS": "1",
            "MKL_NUM_THREADS": "1",
            "KWAFLUX_DEVICES": "cpu",
            "KWAFLUX_MODELS_DIR": str(self.folder / "models"),
            "KWAFLUX_RUNTIME_DIR": str(runtime),
            "KWAFLUX_SETTINGS_FILE": str(self.folder / "settings.toml"),
        }
        return environ | dict(case.environ if case else {})

    def call(self, *arguments: str, case: Case | None = None) -> subprocess.CompletedProcess[str]:
        """Run its Python. Not in this folder, where Python would find modules of its own."""
        return subprocess.run(
            [self.python, *arguments],
            cwd=self.folder,
            env=self.environ(case),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )

    def prepare(self) -> None:
        """Make its folder, find out where it is installed, and give it LoRAs.

        A LoRA names the weights that it was trained on; they are those that a result names.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "settings.toml").write_text("")
        found = self.call("-c", "import kwaflux_core; print(kwaflux_core.__file__)")
        if found.returncode:
            raise SystemExit(f"{self.name}: {self.python} has no Kwaflux:\n{found.stderr}")
        _say(f"{self.name}: {found.stdout.strip()}")
        probe = self.folder / "probe.exr"
        source, flow = str(self.plates / "tiny.exr"), "denoise(strength=0)"
        done = self.call(*_enhance(source, str(probe), flow), "--embedded")
        if done.returncode:
            raise SystemExit(f"{self.name}: cannot render:\n{done.stdout}{done.stderr}")
        weights = exr_headers(probe)[0]["kwaflux/weights"][1].decode()
        hashes = re.findall(r"sha256:([0-9a-f]{64})", weights)
        base = hashlib.sha256("".join(hashes).encode()).hexdigest()
        loras = self.folder / "models" / "loras" / "denoise"
        loras.mkdir(parents=True, exist_ok=True)
        for name, seed in (("golden", 51), ("second", 52)):
            lora = _lora_bytes(effect="denoise", base_sha256=base, seed=seed)
            (loras / f"{name}.safetensors").write_bytes(lora)

    def render(self, case: Case) -> Record:
        """Render a case; what came of it is kept beside its files."""
        folder = self.folder / case.name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        began_s = time.monotonic()
        if case.by == "embedded":
            runs = [self._enhance(case, "--embedded") for _ in range(case.runs)]
        else:
            started = self.call("-m", "kwaflux_server", "start", case=case)
            try:
                runs = [self._client(case) if case.by == "client" else self._enhance(case)]
            finally:
                self.call("-m", "kwaflux_server", "stop", case=case)
            if started.returncode:
                runs = [{"status": started.returncode, "text": started.stderr}]
        record = {"made_by": self._key(case), "runs": runs, "seconds": time.monotonic() - began_s}
        (folder / "record.json").write_text(json.dumps(record, indent=1))
        return record

    def kept(self, case: Case) -> Record | None:
        """Return what an earlier call made of the case, if it was the same case."""
        try:
            record: Record = json.loads((self.folder / case.name / "record.json").read_text())
        except (OSError, ValueError):
            return None
        return record if record.get("made_by") == self._key(case) else None

    def _key(self, case: Case) -> str:
        return f"{self.python}: {case!r}"

    def _enhance(self, case: Case, *options: str) -> Record:
        target = str(self.folder / case.name / case.target)
        arguments = _enhance(str(self.plates / case.source), target, case.flow)
        done = self.call(*arguments, *case.options, *options, "--json", case=case)
        # Frames may come in any order; each is told of once at its end.
        events = sorted(self._events(done.stdout), key=lambda event: int(event.get("frame", 0)))
        return {"status": done.returncode, "events": events, "text": self._neutral(done.stderr)}

    def _client(self, case: Case) -> Record:
        folder = str(self.folder / case.name)
        done = self.call("-c", case.flow, str(self.plates), folder, case=case)
        return {"status": done.returncode, "text": self._neutral(done.stdout + done.stderr)}

    def _events(self, text: str) -> Iterator[Record]:
        for line in self._neutral(text).splitlines():
            event: Record = json.loads(line)
            if event.get("state") == "started":
                continue
            if event.get("event") == "frame":
                event = {k: v for k, v in event.items() if k not in _EVENT_NOISE}
            yield event

    def _neutral(self, text: str) -> str:
        return text.replace(str(self.folder), "<results>").replace(str(self.runtime), "<runtime>")


def _enhance(source: str, target: str, flow: str) -> list[str]:
    return ["-m", "kwaflux_server", "enhance", source, target, "--flow", flow]


# --- reading --------------------------------------------------------------------------------


def exr_headers(path: Path) -> list[Header]:
    """Return each part's attributes as they stand in the file: type and bytes under the name.

    Source: "OpenEXR File Layout", openexr.com.
    """
    data = path.read_bytes()
    is_multipart = struct.unpack_from("<I", data, 4)[0] & 0x1000
    at, headers = 8, []
    while True:
        header: Header = {}
        while data[at]:
            end = data.index(0, at)
            type_end = data.index(0, end + 1)
            size = struct.unpack_from("<i", data, type_end + 1)[0]
            start = type_end + 5
            name, kind = data[at:end].decode(), data[end + 1 : type_end].decode()
            header[name] = (kind, data[start : start + size])
            at = start + size
        at += 1
        headers.append(header)
        if not is_multipart or not data[at]:
            return headers


def _opened(path: Path) -> OpenImageIO.ImageInput:
    reader = OpenImageIO.ImageInput.open(str(path))
    if reader is None:
        raise SystemExit(f"{path} cannot be read: {OpenImageIO.geterror()}")
    return reader


def read_planes(path: Path) -> dict[str, Pixels]:
    """Return the planes of a picture of any kind, under part and channel."""
    if path.suffix == ".exr":
        with OpenEXR.File(str(path), separate_channels=True) as file:
            return {
                f"{index}:{name}": np.array(channel.pixels)
                for index, part in enumerate(file.parts)
                for name, channel in part.channels.items()
            }
    reader = _opened(path)
    spec = reader.spec()
    pixels = np.asarray(reader.read_image(spec.format))
    reader.close()
    return {f"0:{name}": pixels[..., index] for index, name in enumerate(spec.channelnames)}


def read_attributes(path: Path) -> dict[str, object]:
    """Return all that is compared of a picture's header."""
    if path.suffix == ".exr":
        return {
            f"{index}:{name}": value
            for index, header in enumerate(exr_headers(path))
            for name, value in header.items()
            if name not in UNCOMPARED
        }
    reader = _opened(path)
    spec = reader.spec()
    found: dict[str, object] = {a.name: a.value for a in spec.extra_attribs}
    reader.close()
    found["format"] = str(spec.format)
    return {name: value for name, value in found.items() if name not in _UNCOMPARED_RASTER}


# --- comparing ------------------------------------------------------------------------------


def _bits(plane: Pixels) -> Pixels:
    return np.ascontiguousarray(plane).view(f"u{plane.dtype.itemsize}")


def compared_planes(before: Mapping[str, Pixels], after: Mapping[str, Pixels]) -> list[str]:
    """Return what differs between the planes of two pictures, a sentence each."""
    if before.keys() != after.keys():
        return [f"channels {sorted(before.keys() ^ after.keys())} stand in one only"]
    wrong: dict[str, float] = {}
    masks: dict[tuple[int, ...], npt.NDArray[np.bool_]] = {}
    for name, plane in before.items():
        other = after[name]
        if plane.dtype != other.dtype or plane.shape != other.shape:
            kinds = [f"{p.dtype} of {p.shape}" for p in (plane, other)]
            return [f"channel {name} is {kinds[0]} and {kinds[1]}"]
        mask = _bits(plane) != _bits(other)
        if not mask.any():
            continue
        with np.errstate(invalid="ignore"):
            apart = np.abs(plane[mask].astype(np.float64) - other[mask].astype(np.float64))
        finite = apart[np.isfinite(apart)]
        wrong[name] = float(finite.max()) if finite.size else float("nan")
        masks[mask.shape] = masks.get(mask.shape, np.zeros_like(mask)) | mask
    if not wrong:
        return []
    count = sum(int(mask.sum()) for mask in masks.values())
    worst = max(wrong, key=lambda name: np.nan_to_num(wrong[name], nan=-1.0))
    return [f"{count} pixels in {', '.join(wrong)}; max abs {wrong[worst]:.6g} in {worst}"]


def compared_attributes(before: Mapping[str, object], after: Mapping[str, object]) -> list[str]:
    """Return what differs between two headers, a sentence each."""
    return [
        f"attribute {name}: {_short(before.get(name))} and {_short(after.get(name))}"
        for name in sorted(before.keys() | after.keys())
        if repr(before.get(name)) != repr(after.get(name))
    ]


def _short(value: object) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 300 else f"{text[:297]}..."


def _said_apart(before: Record, after: Record) -> list[str]:
    """Return what differs in what two runs said, a sentence each."""
    found = []
    for run, (one, other) in enumerate(zip(before["runs"], after["runs"], strict=True), start=1):
        if one["status"] != other["status"]:
            text = str(other.get("events", ""))[-300:] + other["text"][-500:]
            found.append(f"run {run}: status {one['status']} and {other['status']}: {text}")
            continue
        pairs = list(zip(one.get("events", []), other.get("events", []), strict=False))
        unequal = [pair for pair in pairs if pair[0] != pair[1]]
        if unequal:
            first, second = unequal[0]
            keys = [k for k in {**first, **second} if first.get(k) != second.get(k)]
            said = [{k: event.get(k) for k in keys} for event in (first, second)]
            found.append(f"run {run}: said {_short(said[0])} and {_short(said[1])}")
        elif len(one.get("events", [])) != len(other.get("events", [])):
            found.append(f"run {run}: said more or less than before")
        if one["text"] != other["text"]:
            found.append(f"run {run}: wrote {_short(one['text'])} and {_short(other['text'])}")
    return found


def _written(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != "record.json")


def _widened(planes: Mapping[str, Pixels]) -> dict[str, Pixels]:
    """Return planes without half floats: color that came as half is written as float32."""
    half = np.dtype(np.float16)
    return {n: p.astype(np.float32) if p.dtype == half else p for n, p in planes.items()}


def _against_plate(case: Case, after: Side, names: Sequence[str]) -> list[str]:
    """Return what is wrong with a result beside its plate: touched, or not at all."""
    found = []
    for name in names:
        number = re.search(r"\d{4}", name) if "#" in case.source else None
        plate = after.plates / case.source.replace("####", number.group() if number else "")
        planes = (read_planes(plate), read_planes(after.folder / case.name / name))
        apart = compared_planes(*map(_widened, planes))
        if case.effect == "kept" and apart:
            found.append(f"{name} is not its plate: {apart[0]}")
        if case.effect == "changed" and not apart:
            found.append(f"{name} is its plate unchanged, so the case tests nothing")
    return found


def compare(case: Case, before: Side, after: Side, records: tuple[Record, Record]) -> list[str]:
    """Return all that is wrong with a case, a sentence each."""
    wrong = _said_apart(*records)
    status = records[1]["runs"][-1]["status"]
    if status != case.status:
        last = records[1]["runs"][-1]
        said = f"{last.get('events', '')}{last['text']}"
        wrong.append(f"exit status {status}, {case.status} was due: {said[-1000:]}")
    one, other = before.folder / case.name, after.folder / case.name
    names = _written(one)
    if names != _written(other):
        return [*wrong, f"wrote {names} and {_written(other)}"]
    if case.status == 0 and not names:
        wrong.append("nothing was written")
    for name in names:
        apart = compared_planes(read_planes(one / name), read_planes(other / name))
        headers = (read_attributes(one / name), read_attributes(other / name))
        wrong += [f"{name}: {text}" for text in apart + compared_attributes(*headers)]
    if case.effect != "any":
        wrong += _against_plate(case, after, names)
    return wrong


# --- the command ----------------------------------------------------------------------------


def _rendered(
    side: Side, cases: Sequence[Case], *, jobs: int, reuse: bool = False
) -> dict[str, Record]:
    """Render the cases, several at a time; return what came of each."""
    began_s = time.monotonic()
    records: dict[str, Record] = {}
    if reuse:
        kept = {case.name: side.kept(case) for case in cases}
        records = {name: record for name, record in kept.items() if record is not None}
    due = [case for case in cases if case.name not in records]
    if due:
        side.prepare()
        render: Callable[[Case], Record] = side.render
        with ThreadPoolExecutor(jobs) as pool:
            rendered = pool.map(render, due)
            records |= {case.name: record for case, record in zip(due, rendered, strict=True)}
    took_s = time.monotonic() - began_s
    _say(f"{side.name}: {len(due)} of {len(cases)} cases rendered in {took_s:.0f} s")
    return records


def _say(text: str, *, file: TextIO | None = None) -> None:
    print(text, file=file, flush=True)


def _chosen(pattern: str) -> list[Case]:
    chosen = [case for case in CASES if re.fullmatch(pattern, case.name)] if pattern else [*CASES]
    if not chosen:
        raise SystemExit(f"no case is called {pattern!r}: {', '.join(c.name for c in CASES)}")
    return chosen


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--before", required=True, help="Python that has the one installation")
    parser.add_argument("--after", required=True, help="Python that has the other")
    parser.add_argument("--out", help="folder for plates and results; none: a temporary one")
    parser.add_argument("--only", default="", metavar="NAME", help="cases (a regular expression)")
    parser.add_argument(
        "--reuse-before", action="store_true", help="keep the plates and results of before in --out"
    )
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1), help="at a time")
    return parser.parse_args(arguments)


def _python(path: str) -> str:
    """Return an executable's absolute path; a link is kept, as it tells Python its environment."""
    found = shutil.which(path)
    if found is None:
        raise SystemExit(f"there is no executable {path}")
    return os.path.abspath(found)


def _compared_all(asked: argparse.Namespace, out: Path, runtime: Path) -> int:
    cases, plates = _chosen(asked.only), out / "plates"
    is_whole = out / "plates.sha256"
    if not (asked.reuse_before and is_whole.exists()):
        is_whole.unlink(missing_ok=True)
        for made in (plates, out / "before"):
            shutil.rmtree(made, ignore_errors=True)
        make_plates(plates)
        total = hashlib.sha256(b"".join(p.read_bytes() for p in sorted(plates.iterdir())))
        is_whole.write_text(total.hexdigest())
    _say(f"plates: {is_whole.read_text()[:16]}")
    sides = []
    for name in ("before", "after"):
        (runtime / name).mkdir(mode=0o700)
        python = _python(getattr(asked, name))
        sides.append(Side(name, python, out / name, plates, runtime / name))
    before, after = sides
    firsts = _rendered(before, cases, jobs=asked.jobs, reuse=asked.reuse_before)
    seconds = _rendered(after, cases, jobs=asked.jobs)
    bad = 0
    for case in cases:
        wrong = compare(case, before, after, (firsts[case.name], seconds[case.name]))
        bad += bool(wrong)
        _say(f"{case.name:26} {'differs: ' + '; '.join(wrong) if wrong else 'same'}")
    _say(f"{len(cases) - bad} of {len(cases)} cases are the same")
    return 1 if bad else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare two installations; return the exit status."""
    asked = _parsed(arguments)
    if asked.reuse_before and not asked.out:
        raise SystemExit("--reuse-before needs --out")
    with tempfile.TemporaryDirectory(prefix="kwf-") as folder:
        runtime = Path(folder)
        out = Path(asked.out).absolute() if asked.out else runtime / "out"
        out.mkdir(parents=True, exist_ok=True)
        return _compared_all(asked, out, runtime)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except SystemExit as error:
        if isinstance(error.code, str):
            _say(error.code, file=sys.stderr)
            sys.exit(2)
        raise
