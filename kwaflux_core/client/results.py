"""Results of a render, and the picture made from a plate and the returned color."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, cast

from kwaflux_core.errors import ImageError, ProtocolError
from kwaflux_core.geometry import Box
from kwaflux_core.protocol.messages import FrameReport, PathPixels, Rendered

if TYPE_CHECKING:
    from kwaflux_core.client.pixel_transfers import ColorPlanes, Plane
    from kwaflux_core.images.image import Image, Layer

__all__ = ["FileResult", "RenderResult", "file_result", "merge_color"]

_PREFIX = "kwaflux/"


@dataclass(frozen=True, slots=True)
class RenderResult:
    """A rendered frame.

    Args:
        image: The plate with new color; header attributes under ``kwaflux/`` give its provenance.
            Color is float32, and may be in shared memory that is freed with its last view.
        report: The report of the render.
    """

    image: Image
    report: FrameReport


@dataclass(frozen=True, slots=True)
class FileResult:
    """The result of rendering a frame from file to file.

    Args:
        path: The file that was written, or kept.
        state: ``skipped`` if an existing file was kept.
        report: The report of the render, for a kept file the one in its header.
    """

    path: str
    state: Literal["done", "skipped"]
    report: FrameReport


def file_result(rendered: Rendered) -> FileResult:
    """Return the result of a rendered file.

    Raises:
        ProtocolError: The answer contains no file.
    """
    if not isinstance(rendered.pixels, PathPixels):
        raise ProtocolError(f"the result was sent by {rendered.pixels.by!r}, expected a file")
    return FileResult(rendered.pixels.path, rendered.state, rendered.report)


def _scale(requested: Box, returned: Box) -> int:
    """Return output size / input size.

    Raises:
        ProtocolError: The result's window is not an integer multiple of the requested one.
    """
    scale = returned.width // requested.width
    if scale < 1 or returned != requested.scaled(scale):
        raise ProtocolError(
            f"the server returned the window {returned.as_tuple()} for {requested.as_tuple()}"
        )
    return scale


def merge_color(
    plate: Image,
    layer: Layer,
    color: ColorPlanes,
    *,
    region: Box | None,
    out: Image | None,
    rendered: Rendered,
) -> RenderResult:
    """Return the plate with new color.

    Args:
        plate: The picture that was sent.
        layer: The channels that were sent.
        color: The returned color: the region or the whole data window, times the flow's scale.
        region: The requested part; the result then has only that part's color.
        out: A picture whose color planes receive a copy of the result.
        rendered: The server's answer.

    Raises:
        ProtocolError: The result's window is not the requested one.
        ImageError: ``out`` is not of the result's size, or not float32.
    """
    whole = plate.parts[layer.part].data_window
    scale = _scale(region or whole, color.window)
    planes = color.planes if out is None else _copied(color, out, layer)
    record = {_PREFIX + name: text for name, text in rendered.report.provenance.items()}
    if region is not None and region != whole:
        plate, layer = _cropped(plate, layer, region)
    if scale == 1:
        image = plate.with_color(layer, planes, attributes=record)
    else:
        from kwaflux_core.images.lanczos import scaled_image

        image = scaled_image(plate, layer, planes, scale=scale)
        first = image.parts[0]
        first = replace(first, attributes={**first.attributes, **record})
        image = replace(image, parts=(first, *image.parts[1:]))
    notes = tuple(note for note in image.notes if note not in plate.notes)
    report = rendered.report
    return RenderResult(image, replace(report, warnings=report.warnings + notes))


def _cropped(plate: Image, layer: Layer, region: Box) -> tuple[Image, Layer]:
    """Return a picture of only the region's color (and alpha), as views of the plate's planes."""
    from kwaflux_core.images.image import Layer

    part = plate.parts[layer.part]
    inside = region.shifted(-part.data_window.x0, -part.data_window.y0)
    rows, columns = slice(inside.y0, inside.y1), slice(inside.x0, inside.x1)
    names = [*layer.color, *([layer.alpha] if layer.alpha else [])]
    channels = {name: part.channels[name][rows, columns] for name in names}
    cropped = replace(part, channels=channels, data_window=region)
    return replace(plate, parts=(cropped,)), Layer(0, layer.color, layer.alpha)


def _copied(color: ColorPlanes, out: Image, layer: Layer) -> tuple[Plane, Plane, Plane]:
    import numpy as np

    try:
        channels = out.parts[layer.part].channels
        red, green, blue = (channels[name] for name in layer.color)
    except (IndexError, KeyError) as error:
        raise ImageError(
            "the picture for the result lacks the color channels of the plate",
            hint=f"it needs {', '.join(layer.color)}",
        ) from error
    planes = cast("tuple[Plane, Plane, Plane]", (red, green, blue))
    for plane, source in zip(planes, color.planes, strict=True):
        if plane.shape != source.shape or plane.dtype != np.float32 or not plane.flags.writeable:
            raise ImageError(
                f"the picture for the result has {plane.dtype} of {plane.shape}, "
                f"the result is float32 of {source.shape}",
                hint="give writable float32 planes of the result's size",
            )
        np.copyto(plane, source)
    return planes
