"""PNG, TIFF, DPX and JPEG out through OpenImageIO: what fits, and a word about what does not."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
import OpenEXR
import OpenImageIO

from kwaflux_core.errors import ImageUnsupported, ImageWriteFailed, RequestError
from kwaflux_core.images.atomic_write import atomic_path
from kwaflux_core.images.exr.attributes import from_exr_timecode
from kwaflux_core.images.image import SCENE_LINEAR, Image, Layer, Part
from kwaflux_core.images.raster.color_tags import CICP_OF_INTEROP_ID, INTEROP_ID_OF_NAME, SRGB

__all__ = ["write_raster"]

_Codes: TypeAlias = npt.NDArray[np.generic]
_Plane: TypeAlias = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Format:
    """Hold what a format stores: ``code_bits`` 0 is float32; ``stored`` is OpenImageIO's type."""

    stored: str
    code_bits: int
    has_alpha: bool
    is_straight: bool
    options: tuple[tuple[str, str | int], ...] = ()


_JPEG_TAGS_BYTES: Final = 1 << 16
_JPEG: Final = _Format(
    "uint8", 8, False, False, (("compression", "jpeg:95"), ("jpeg:subsampling", "4:4:4"))
)
_TIFF: Final = _Format("float", 0, True, False, (("compression", "zip"),))
_FORMATS: Final = {
    ".dpx": _Format("uint16", 10, True, False, (("oiio:BitsPerSample", 10),)),
    ".jpeg": _JPEG,
    ".jpg": _JPEG,
    ".png": _Format("uint16", 16, True, True),
    ".tif": _TIFF,
    ".tiff": _TIFF,
}


def write_raster(
    path: str | os.PathLike[str], image: Image, *, compression: str = "", half: bool = False
) -> tuple[str, ...]:
    """Write the base layer as PNG (16 bits), TIFF (float32), DPX (10 bits) or JPEG (8, quality 95).

    The numbers are written in the encoding they are in. TIFF holds every float; the others hold
    0..1, and what lies outside is counted in the answer. The display window is written: pixels
    outside it are left out, and where there are none it is black.

    Returns:
        What the file does not hold, one sentence each; empty when all is there.

    Raises:
        ImageUnsupported: No red, green and blue in the base layer, or a suffix of no format here.
        ImageWriteFailed: Disk full, no permission, no such folder; the target is what it was.
        RequestError: ``compression`` or ``half``, which only an EXR has.
    """
    label = os.fspath(path)
    suffix = Path(label).suffix.lower()
    if compression or half:
        raise RequestError(
            f"{label}: only an EXR can be asked for {'half' if half else 'a compression'}",
            hint="leave it out, or write to a name that ends in .exr",
        )
    if suffix not in _FORMATS:
        raise ImageUnsupported(
            f"{label} is not written here", hint=f"known are {', '.join(sorted(_FORMATS))}"
        )
    target = _FORMATS[suffix]
    layer = image.find_layer("")
    part = image.parts[layer.part]
    warnings = _left_out(image, layer, target)
    pixels = _interleaved(image, layer, target, warnings)
    codes = pixels if target.code_bits == 0 else _codes(pixels, target, warnings)
    spec = _spec(codes, part, image, target, suffix, warnings)
    with atomic_path(path) as temporary:
        if target is _JPEG:
            temporary.write_bytes(_jpeg_bytes(spec, codes, label=label))
        else:
            _write(str(temporary), spec, codes, label=label)
        _check(str(temporary), codes, is_exact=target is not _JPEG, label=label)
    return tuple(warnings)


def _left_out(image: Image, layer: Layer, target: _Format) -> list[str]:
    part = image.parts[layer.part]
    kept = {*layer.color, *((layer.alpha,) if layer.alpha and target.has_alpha else ())}
    others = [n for i, p in enumerate(image.parts) for n in p.channels
              if i != layer.part or n not in kept]  # fmt: skip
    warnings = []
    if others:
        names = ", ".join(sorted(others)[:6]) + (", ..." if len(others) > 6 else "")
        warnings.append(f"{len(others)} channels are not in this format: {names}")
    if part.data_window != part.display_window:
        warnings.append("only the display window is written, black where there are no pixels")
    if image.colorspace == SCENE_LINEAR and target.code_bits:
        warnings.append("scene-linear values are written as they are; viewers will show them dark")
    return warnings


def _interleaved(image: Image, layer: Layer, target: _Format, warnings: list[str]) -> _Plane:
    part = image.parts[layer.part]
    planes = image.color_planes(layer)[: 4 if target.has_alpha else 3]
    display, data = part.display_window, part.data_window
    pixels = np.zeros((display.height, display.width, len(planes)), np.float32)
    shared = display.intersection(data)
    if shared is not None:
        inside = shared.shifted(-display.x0, -display.y0)
        source = shared.shifted(-data.x0, -data.y0)
        for index, plane in enumerate(planes):
            pixels[inside.y0 : inside.y1, inside.x0 : inside.x1, index] = plane[
                source.y0 : source.y1, source.x0 : source.x1
            ]
    if len(planes) == 4 and target.is_straight and image.is_premultiplied:
        alpha = pixels[..., 3:]
        np.divide(pixels[..., :3], alpha, out=pixels[..., :3], where=alpha != 0)
        warnings.append("color was divided by alpha, which this format keeps straight")
    return pixels


def _codes(
    pixels: _Plane, target: _Format, warnings: list[str]
) -> npt.NDArray[np.uint8] | npt.NDArray[np.uint16]:
    below = int(np.count_nonzero(pixels < 0))
    above = int(np.count_nonzero(pixels > 1))
    undefined = int(np.count_nonzero(np.isnan(pixels)))
    if below or above or undefined:
        warnings.append(
            f"{below} values below 0 and {above} above 1 were cut to 0..1, {undefined} NaN to 0; "
            "an EXR or TIFF keeps them"
        )
    top = 2**target.code_bits - 1
    scaled = np.nan_to_num(pixels, nan=0.0, posinf=1.0, neginf=0.0).clip(0.0, 1.0)
    scaled *= np.float32(top)
    np.rint(scaled, out=scaled)
    if target.code_bits == 8:
        return scaled.astype(np.uint8)
    codes = scaled.astype(np.uint16)
    spare_bits = 16 - target.code_bits
    if not spare_bits:
        return codes
    # As OpenImageIO reads 10 bits: over 16, with the top ones repeated below.
    codes <<= np.uint16(spare_bits)
    codes |= codes >> np.uint16(target.code_bits)
    return codes


def _spec(
    codes: npt.NDArray[np.generic],
    part: Part,
    image: Image,
    target: _Format,
    suffix: str,
    warnings: list[str],
) -> OpenImageIO.ImageSpec:
    height, width, channel_count = codes.shape
    spec = OpenImageIO.ImageSpec(width, height, channel_count, target.stored)
    spec.channelnames = ("R", "G", "B", "A")[:channel_count]
    spec.alpha_channel = 3 if channel_count == 4 else -1
    if channel_count == 4 and (target.is_straight or not image.is_premultiplied):
        spec.attribute("oiio:UnassociatedAlpha", 1)
    for name, value in target.options:
        spec.attribute(name, value)
    if part.pixel_aspect != 1.0:
        spec.attribute("PixelAspectRatio", float(part.pixel_aspect))
    for name, attribute in part.attributes.items():
        # OpenImageIO keeps those the format has a place for; its own names are orders to it.
        is_plain = isinstance(attribute, (str, float)) or type(attribute) is int
        if is_plain and not name.startswith("oiio:"):
            spec.attribute(name, attribute)
    _tag_color(spec, image.colorspace, suffix, warnings)
    if suffix == ".dpx":
        _tag_dpx(spec, part)
    return spec


def _tag_color(
    spec: OpenImageIO.ImageSpec, colorspace: str, suffix: str, warnings: list[str]
) -> None:
    if suffix == ".dpx":
        return
    interop_id = INTEROP_ID_OF_NAME.get(colorspace, colorspace)
    # Without a word, OpenImageIO tags every PNG as sRGB.
    spec.attribute("oiio:ColorSpace", interop_id if interop_id == SRGB else "unknown")
    if suffix == ".png" and interop_id in CICP_OF_INTEROP_ID and interop_id != SRGB:
        codes = (*CICP_OF_INTEROP_ID[interop_id], 0, 1)
        spec.attribute("CICP", OpenImageIO.TypeDesc("int[4]"), codes)
    elif interop_id == SRGB:
        spec.attribute("Exif:ColorSpace", 1)
    else:
        warnings.append(f"the file does not say that it is {colorspace!r}; its reader must be told")


def _tag_dpx(spec: OpenImageIO.ImageSpec, part: Part) -> None:
    time_code, key_code = part.attributes.get("timeCode"), part.attributes.get("keyCode")
    rate = part.attributes.get("framesPerSecond")
    if isinstance(time_code, OpenEXR.TimeCode):
        bits = from_exr_timecode(time_code).to_bits()
        spec.attribute("smpte:TimeCode", OpenImageIO.TypeDesc("timecode"), bits)
    if isinstance(key_code, OpenEXR.KeyCode):
        codes = (
            key_code.filmMfcCode, key_code.filmType, key_code.prefix, key_code.count,
            key_code.perfOffset, key_code.perfsPerFrame, key_code.perfsPerCount,
        )  # fmt: skip
        spec.attribute("smpte:KeyCode", OpenImageIO.TypeDesc("keycode"), codes)
    if isinstance(rate, Fraction):
        spec.attribute("dpx:FrameRate", float(rate))


def _jpeg_bytes(spec: OpenImageIO.ImageSpec, codes: _Codes, *, label: str) -> bytes:
    """Return a JPEG that was made in memory, where the disk cannot be full.

    libjpeg ends the whole process when a write fails (``error_exit`` of its default handler).
    A pipe would not do: the library holds Python's lock while it writes the end of the file.
    """
    _refuse_small_files(codes, label)
    if hasattr(os, "memfd_create"):
        with open(os.memfd_create("kwaflux-jpeg"), "rb") as stream:
            _write(f"/proc/self/fd/{stream.fileno()}", spec, codes, label=label, kind="jpeg")
            return stream.read()
    with tempfile.TemporaryDirectory(prefix="kwaflux-") as folder:
        path = Path(folder, "a.jpg")
        _write(str(path), spec, codes, label=label)
        return path.read_bytes()


def _refuse_small_files(codes: _Codes, label: str) -> None:
    """Refuse where a limit on the size of files, which memory files have too, may be met."""
    try:
        import resource
    except ImportError:
        return  # Windows has no such limit.
    limit_bytes, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    if limit_bytes != resource.RLIM_INFINITY and limit_bytes < 2 * codes.nbytes + _JPEG_TAGS_BYTES:
        raise _failed(label, f"this process may write files of {limit_bytes} bytes at most")


def _write(
    path: str, spec: OpenImageIO.ImageSpec, codes: _Codes, *, label: str, kind: str = ""
) -> None:
    output = OpenImageIO.ImageOutput.create(kind or path)
    if output is None:
        raise _failed(label, OpenImageIO.geterror())
    is_good = output.open(path, spec) and output.write_image(codes)
    error = output.geterror()
    is_closed = output.close()
    if not is_good or not is_closed:
        if not kind:
            with open(path, "ab") as stream:  # Says whether it is the disk; the library does not.
                stream.write(bytes(1 << 16))
        raise _failed(label, error or output.geterror())


def _check(path: str, codes: _Codes, *, is_exact: bool, label: str) -> None:
    """Read a written file again: OpenImageIO does not report every write that fails."""
    wish = OpenImageIO.ImageSpec()
    wish.attribute("oiio:UnassociatedAlpha", 1)
    source = OpenImageIO.ImageInput.open(path, wish)
    if source is None:
        raise _failed(label, OpenImageIO.geterror())
    pixels = source.read_image(OpenImageIO.UNKNOWN)
    error = source.geterror()
    source.close()
    if pixels is None or error or pixels.shape != codes.shape:
        raise _failed(label, error or "it does not read back")
    if is_exact and pixels.tobytes() != codes.tobytes():
        raise _failed(label, error or "it does not read back as it was written")


def _failed(label: str, why: str) -> ImageWriteFailed:
    return ImageWriteFailed(
        f"{label} cannot be written: {why}", hint="check the disk's free space", path=label
    )
