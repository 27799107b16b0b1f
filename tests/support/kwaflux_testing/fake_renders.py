"""What the fake server renders, with numpy.

The flow ``double`` doubles the color, ``upscale(scale=N)`` repeats pixels, ``identity`` names the
source's own slab; neighbors are added to the frame.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from kwaflux_core.flows.card import Card
from kwaflux_core.protocol.codec import WirePart
from kwaflux_core.protocol.messages import (
    ExrPixels,
    ExrTarget,
    FrameReport,
    InlinePixels,
    Message,
    PathPixels,
    PathTarget,
    PixelRef,
    Planes,
    RangeReceipt,
    Render,
    Rendered,
    ShmPixels,
    ShmTarget,
    Timings,
    Window,
)
from kwaflux_core.transport.shared_memory import Ring

__all__ = ["Answer", "card", "cards", "rendered"]

Answer: TypeAlias = "tuple[Message, tuple[WirePart, ...]]"
Planar: TypeAlias = npt.NDArray[np.float32]

_RECEIPT = RangeReceipt(0.0, 1.0, 0.0, 2.0, 0.0, 0, 0)


def card(name: str, **changes: object) -> Card:
    """Return a whole card of an effect without a network; ``changes`` replace keys of its JSON."""
    base: dict[str, object] = {
        "id": name,
        "label": name.title(),
        "grouping": "Kwaflux/Test",
        "version": "1.0",
        "help": "An effect for tests.",
        "for_what": "tests",
        "not_for": "plates",
        "params": [],
        "clips": [{"name": "Source"}],
        "identity_when": {},
        "scale": 1,
        "halo_px": 0,
        "align_px": 1,
        "working": {
            "colorspace": "scene_linear",
            "curve": "none",
            "range": [0.0, 1.0],
            "fade": 1.0,
        },
        "precisions": {"float32": 0.0},
        "tolerance": 0.0,
        "licence": "Apache-2.0",
        "limits": ["It is a test."],
    }
    return Card.from_json(json.dumps({**base, **changes}))


def cards() -> tuple[Card, ...]:
    """Return the cards of all that is rendered here."""
    scale = {
        "name": "scale",
        "type": "int",
        "label": "Scale",
        "hint": "How much.",
        "default": 2,
        "range": [1, 4],
    }
    plain = [card(name) for name in ("double", "hold", "identity")]
    return (*plain, card("upscale", scale={"param": "scale"}, params=[scale]))


def rendered(request: Render, parts: tuple[WirePart, ...], *, ring_dir: Path | None) -> Answer:
    """Return what a worker answers."""
    main = next(source for source in request.sources if source.frame == request.frame)
    target = request.target
    if isinstance(target, PathTarget):
        assert isinstance(main.pixels, PathPixels)
        Path(target.path).write_bytes(Path(main.pixels.path).read_bytes())
        return _answer(request, PathPixels(target.path)), ()
    if isinstance(target, ExrTarget):
        assert isinstance(main.pixels, ExrPixels)
        if request.flow == "identity" and len(request.sources) == 1:
            return _answer(request, ExrPixels(0)), (parts[main.pixels.part],)
        return _answer(request, ExrPixels(0)), (_exr(*_processed(request, parts, ring_dir)),)
    if request.flow == "identity" and isinstance(main.pixels, ShmPixels):
        return _answer(request, main.pixels), ()
    color, window = _processed(request, parts, ring_dir)
    planes = Planes(window, ("R", "G", "B"))
    if isinstance(target, ShmTarget):
        assert ring_dir is not None
        assert color.nbytes <= target.capacity_bytes
        ring = Ring.attach(ring_dir, target.ring)
        ring.view(target.offset_bytes, color.nbytes)[:] = color.tobytes()
        ring.close()
        return _answer(request, ShmPixels(target.ring, target.offset_bytes, planes)), ()
    return _answer(request, InlinePixels(0, planes)), (color.tobytes(),)


def _processed(
    request: Render, parts: tuple[WirePart, ...], ring_dir: Path | None
) -> tuple[Planar, Window]:
    main = next(source for source in request.sources if source.frame == request.frame)
    stack, window = _fetched(main.pixels, parts, ring_dir)
    x0, y0, x1, y1 = request.region or window
    rows = slice(y0 - window[1], y1 - window[1])
    columns = slice(x0 - window[0], x1 - window[0])
    color = stack[:3, rows, columns].copy()
    for source in request.sources:
        if source.frame != request.frame:
            color += _fetched(source.pixels, parts, ring_dir)[0][:3, rows, columns]
    found = re.search(r"scale=(\d)", request.flow)
    scale = int(found[1]) if found else (2 if request.flow.startswith("upscale") else 1)
    if request.flow == "double":
        color *= 2
    color = color.repeat(scale, axis=1).repeat(scale, axis=2)
    return color, (x0 * scale, y0 * scale, x1 * scale, y1 * scale)


def _fetched(
    pixels: PixelRef, parts: tuple[WirePart, ...], ring_dir: Path | None
) -> tuple[Planar, Window]:
    if isinstance(pixels, ExrPixels):
        return _exr_planes(bytes(parts[pixels.part]))
    assert isinstance(pixels, (ShmPixels, InlinePixels))
    x0, y0, x1, y1 = pixels.planes.window
    shape = (len(pixels.planes.channels), y1 - y0, x1 - x0)
    length = shape[0] * shape[1] * shape[2] * 4
    if isinstance(pixels, InlinePixels):
        data = bytes(parts[pixels.part])
        assert len(data) == length
    else:
        assert ring_dir is not None
        ring = Ring.attach(ring_dir, pixels.ring)
        data = bytes(ring.view(pixels.offset_bytes, length))
        ring.close()
    return np.frombuffer(data, "<f4").reshape(shape), pixels.planes.window


def _answer(request: Render, pixels: PixelRef) -> Rendered:
    return Rendered(
        request.frame,
        pixels,
        FrameReport(
            _RECEIPT,
            Timings(0.0, 0.001, 0.0),
            warnings=("as a test",),
            provenance={
                "flow": request.flow,
                "colorspace": request.options.colorspace,
                "alpha": request.options.alpha,
            },
        ),
    )


def _exr_planes(data: bytes) -> tuple[Planar, Window]:
    from kwaflux_core.images.exr.read import read_exr

    image = read_exr(data)
    layer = image.find_layer()
    stack = np.stack([plane.astype(np.float32) for plane in image.color_planes(layer)])
    return stack, image.parts[layer.part].data_window.as_tuple()


def _exr(color: Planar, window: Window) -> bytes:
    from kwaflux_core.geometry import Box
    from kwaflux_core.images.exr.read import exr_to_bytes
    from kwaflux_core.images.image import Image, Part

    box = Box(*window)
    return exr_to_bytes(Image((Part(dict(zip("RGB", color, strict=True)), box, box),)))
