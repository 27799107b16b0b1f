"""Between a request and the plates of a frame: what is fetched, what is delivered, what is kept."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from kwaflux_core import Image, read_image, write_image
from kwaflux_core.color.config import ColorConfig
from kwaflux_core.errors import (
    FrameMissing,
    FrameTooLarge,
    ImageUnreadable,
    KwafluxError,
    ProtocolError,
    RequestError,
)
from kwaflux_core.flows.flow import BoundFlow, Flow
from kwaflux_core.geometry import Box
from kwaflux_core.images.exr.read import exr_to_bytes, read_exr
from kwaflux_core.protocol.messages import (
    ExrPixels,
    ExrTarget,
    InlinePixels,
    InlineTarget,
    PathPixels,
    PathTarget,
    PixelRef,
    Planes,
    RangeReceipt,
    Render,
    Rendered,
    ShmPixels,
    ShmTarget,
    Source,
    Target,
)
from kwaflux_core.transport.shared_memory import Ring
from kwaflux_models.rendering.device import Device
from kwaflux_models.rendering.frame_renderer import RenderedFrame
from kwaflux_models.rendering.plane_pool import PlanePool
from kwaflux_server.path_guard import PathGuard
from kwaflux_server.worker.frame_io import Delivery, Fetched, Frames
from kwaflux_server.worker.provenance import Provenance
from kwaflux_server.worker.rings import AttachedRings
from kwaflux_testing.effects import card
from kwaflux_testing.pictures import noise, plate, same_bits
from kwaflux_testing.requests import changed

CARDS = {"soft": card("soft")}
CONFIG = ColorConfig.default()
RECEIPT = RangeReceipt(0.0, 1.0, 0.0, 1.0, 0.0, 0, 0)
HEIGHT, WIDTH = 6, 8
RGB = ("R", "G", "B")
PLANES = Planes((0, 0, WIDTH, HEIGHT), RGB)
STACK = np.stack([noise(HEIGHT, WIDTH, seed=n) for n in range(3)])


class _Desk:
    """Frames over a ring directory of its own."""

    def __init__(self, folder: Path, *, frame_bytes_max: int = 1 << 20) -> None:
        self.folder = folder
        self.pool = PlanePool()
        self.frames = Frames(
            AttachedRings(str(folder)),
            pool=self.pool,
            config=CONFIG,
            frame_bytes_max=frame_bytes_max,
            guard=PathGuard(("/",)),
        )

    def provenance(self, request: Render) -> Provenance:
        return Provenance(request, self.flow(request), Device("cpu"), CONFIG.name, "1")

    def flow(self, request: Render) -> BoundFlow:
        return Flow.parse(request.flow).bind(CARDS)

    def fetch(self, request: Render, *parts: bytes) -> Fetched:
        return self.frames.fetch(request, self.flow(request), parts, self.provenance(request))

    def deliver(self, request: Render, fetched: Fetched, frame: RenderedFrame) -> Delivery:
        return self.frames.deliver(request, fetched, frame, self.provenance(request), compute_s=0.5)


@pytest.fixture
def desk(tmp_path: Path) -> _Desk:
    return _Desk(tmp_path)


def _render(pixels: PixelRef, target: Target | None = None, **how: object) -> Render:
    base = Render("soft", 1, (Source(1, pixels),), target or InlineTarget())
    return changed(base, **{"colorspace": "scene_linear", **how})


def _frame(stack: npt.NDArray[np.float32], *, is_touched: bool = True) -> RenderedFrame:
    height, width = stack.shape[1:]
    return RenderedFrame(
        (stack[0], stack[1], stack[2]),
        Box(0, 0, width, height),
        RECEIPT,
        128,
        ("float32",),
        (),
        is_touched=is_touched,
    )


# --- fetching -------------------------------------------------------------------------------


def test_raw_planes_are_not_copied_and_half_is_widened_exactly(desk: _Desk) -> None:
    data = STACK.tobytes()
    plate = desk.fetch(_render(InlinePixels(0, PLANES)), data).plates[1]
    assert [same_bits(a, b) for a, b in zip(plate.color, STACK, strict=True)] == [True] * 3
    assert np.shares_memory(plate.color[0], np.frombuffer(data, np.float32))
    assert plate.alpha is None
    half = STACK.astype(np.float16)
    found = desk.fetch(_render(InlinePixels(0, replace(PLANES, dtype="f2"))), half.tobytes())
    for plane, expected in zip(found.plates[1].color, half, strict=True):
        assert plane.dtype == np.float32
        assert np.array_equal(plane, expected.astype(np.float32))


def test_alpha_and_what_it_means_come_with_the_planes(desk: _Desk) -> None:
    planes = Planes((-3, 2, WIDTH - 3, HEIGHT + 2), (*RGB, "A"))
    data = np.concatenate([STACK, STACK[:1] * 0.5]).tobytes()
    request = _render(InlinePixels(0, planes), alpha="straight", colorspace="ACEScct")
    plate = desk.fetch(request, data).plates[1]
    assert plate.alpha is not None
    assert np.array_equal(plate.alpha, STACK[0] * np.float32(0.5))
    assert plate.window == Box(-3, 2, WIDTH - 3, HEIGHT + 2)
    assert plate.colorspace == "ACEScct"
    assert not plate.is_premultiplied


def test_a_slab_is_read_where_it_lies(desk: _Desk) -> None:
    ring = Ring.create(desk.folder, "s1.0", 1 << 16)
    ring.view(4096, STACK.nbytes)[:] = STACK.tobytes()
    plate = desk.fetch(_render(ShmPixels("s1.0", 4096, PLANES))).plates[1]
    ring.view(4096, 4)[:] = np.float32(42).tobytes()
    assert plate.color[0][0, 0] == 42


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (_render(InlinePixels(0, PLANES), frame=2), RequestError),
        (_render(InlinePixels(0, PLANES), colorspace=""), RequestError),
        (_render(InlinePixels(1, PLANES)), ProtocolError),
        (_render(InlinePixels(-1, PLANES)), ProtocolError),
        (_render(InlinePixels(0, Planes((0, 0, 7, 6), RGB))), ProtocolError),
        (_render(InlinePixels(0, Planes((0, 0, 2**32, 2**32), RGB))), ProtocolError),
        (_render(InlinePixels(0, replace(PLANES, channels=("R", "G", "A")))), RequestError),
        (_render(ShmPixels("s1.0", 0, PLANES)), ProtocolError),
        (_render(ExrPixels(0)), ImageUnreadable),
        (_render(PathPixels("/nowhere.exr")), FrameMissing),
    ],
)
def test_pixels_that_are_not_there_or_do_not_fit_are_typed_errors(
    desk: _Desk, request_: Render, error: type[KwafluxError]
) -> None:
    with pytest.raises(error):
        desk.fetch(request_, STACK.tobytes())


def test_a_frame_over_the_limit_is_refused_by_every_transport(tmp_path: Path) -> None:
    strict = _Desk(tmp_path, frame_bytes_max=STACK.nbytes - 1)
    image = Image.from_channels(dict(zip(RGB, STACK, strict=True)))
    path = tmp_path / "a.exr"
    write_image(path, image)
    Ring.create(tmp_path, "s1.0", 1 << 16)
    for pixels, part in (
        (InlinePixels(0, PLANES), STACK.tobytes()),
        (ShmPixels("s1.0", 0, PLANES), b""),
        (ExrPixels(0), exr_to_bytes(image)),
        (PathPixels(str(path)), b""),
    ):
        with pytest.raises(FrameTooLarge, match=str(STACK.nbytes)) as caught:
            strict.fetch(_render(pixels), part)
        assert caught.value.fields["frame"] == 1


def test_what_stands_is_kept_unread_when_that_is_asked(desk: _Desk) -> None:
    source, target = desk.folder / "a.exr", desk.folder / "b.exr"
    write_image(source, plate())
    asked = _render(PathPixels(str(source)), PathTarget(str(target)), existing="skip")
    assert desk.fetch(asked).skipped is None
    target.write_bytes(b"whatever stands here")
    for request in (asked, replace(asked, sources=(Source(1, PathPixels("/nowhere.exr")),))):
        skipped = desk.fetch(request).skipped
        assert skipped is not None
        assert (skipped.state, skipped.pixels) == ("skipped", PathPixels(str(target)))
    verify = changed(asked, existing="verify")
    assert desk.fetch(verify).skipped is None


# --- delivering -----------------------------------------------------------------------------


def _answered(delivery: Delivery) -> Rendered:
    assert delivery.message.report.timings.compute_s == 0.5
    return delivery.message


def test_planes_are_answered_in_a_part(desk: _Desk) -> None:
    request = _render(InlinePixels(0, PLANES))
    fetched = desk.fetch(request, STACK.tobytes())
    delivery = desk.deliver(request, fetched, _frame(STACK + 1))
    assert _answered(delivery).pixels == InlinePixels(0, PLANES)
    assert bytes(delivery.parts[0]) == (STACK + 1).tobytes()


def test_a_result_is_rendered_right_into_its_slab(desk: _Desk) -> None:
    ring = Ring.create(desk.folder, "s1.0", 1 << 16)
    request = _render(InlinePixels(0, PLANES), ShmTarget("s1.0", 8192, STACK.nbytes))
    fetched = desk.fetch(request, STACK.tobytes())
    planes = desk.frames.final_planes(request, HEIGHT, WIDTH)
    for plane, value in zip(planes, (1, 2, 3), strict=True):
        plane[:] = value
    frame = replace(_frame(STACK), color=planes)
    assert _answered(desk.deliver(request, fetched, frame)).pixels == ShmPixels(
        "s1.0", 8192, PLANES
    )
    found = np.frombuffer(bytes(ring.view(8192, STACK.nbytes)), np.float32).reshape(STACK.shape)
    assert [float(found[n].max()) for n in range(3)] == [1, 2, 3]
    tight = replace(request, target=ShmTarget("s1.0", 8192, STACK.nbytes - 1))
    with pytest.raises(RequestError, match=str(STACK.nbytes)):
        desk.frames.final_planes(tight, HEIGHT, WIDTH)


def test_an_untouched_slab_is_answered_by_its_source_and_an_untouched_part_is_copied(
    desk: _Desk,
) -> None:
    ring = Ring.create(desk.folder, "s1.0", 1 << 16)
    ring.view(0, STACK.nbytes)[:] = STACK.tobytes()
    target = ShmTarget("s1.0", 8192, STACK.nbytes)
    there = _render(ShmPixels("s1.0", 0, PLANES), target)
    fetched = desk.fetch(there)
    untouched = replace(_frame(STACK, is_touched=False), color=fetched.plates[1].color)
    assert _answered(desk.deliver(there, fetched, untouched)).pixels == ShmPixels("s1.0", 0, PLANES)
    sent = _render(InlinePixels(0, PLANES), target)
    fetched = desk.fetch(sent, STACK.tobytes())
    pixels = _answered(desk.deliver(sent, fetched, _frame(STACK, is_touched=False))).pixels
    assert pixels == ShmPixels("s1.0", 8192, PLANES)
    assert bytes(ring.view(8192, STACK.nbytes)) == STACK.tobytes()


def test_a_result_that_lies_elsewhere_is_put_into_its_slab(desk: _Desk) -> None:
    ring = Ring.create(desk.folder, "s1.0", 1 << 16)
    ring.view(0, STACK.nbytes)[:] = STACK.tobytes()
    target = ShmTarget("s1.0", 8192, STACK.nbytes)
    request = _render(ShmPixels("s1.0", 0, PLANES), target)
    fetched = desk.fetch(request)
    # As after a flow whose last effect touched nothing, and the one before did.
    answer = _answered(desk.deliver(request, fetched, _frame(STACK + 1)))
    assert answer.pixels == ShmPixels("s1.0", 8192, PLANES)
    assert bytes(ring.view(8192, STACK.nbytes)) == (STACK + 1).tobytes()


def test_what_was_measured_and_refused_is_answered_and_stands_in_the_file(desk: _Desk) -> None:
    source, target = desk.folder / "a.exr", desk.folder / "b.exr"
    write_image(source, plate(HEIGHT, WIDTH))
    request = _render(PathPixels(str(source)), PathTarget(str(target)), existing="verify")
    measured = {"soft.sigma": 0.25}
    frame = replace(_frame(STACK), measured=measured, skip_reasons=("soft did nothing: too soft",))
    answer = _answered(desk.deliver(request, desk.fetch(request), frame))
    assert answer.report.measured == measured
    assert answer.report.attention == ("soft did nothing: too soft",)
    said = read_image(target).part.attributes
    assert json.loads(str(said["kwaflux/measured"])) == measured
    skipped = desk.fetch(request).skipped
    assert skipped is not None
    assert skipped.report.attention == answer.report.attention
    anew = changed(request, existing="replace")
    assert _answered(desk.deliver(anew, desk.fetch(anew), _frame(STACK))).report.attention == ()
    kept = desk.fetch(request).skipped
    assert kept is not None
    assert kept.report.attention == ()


def test_a_file_gets_the_new_color_and_keeps_the_rest(desk: _Desk) -> None:
    source, target = desk.folder / "a.exr", desk.folder / "b.exr"
    write_image(source, plate(HEIGHT, WIDTH))
    request = _render(PathPixels(str(source)), PathTarget(str(target)))
    fetched = desk.fetch(request)
    answer = _answered(desk.deliver(request, fetched, _frame(STACK)))
    found, before = read_image(target), read_image(source)
    for name, plane in zip(RGB, STACK, strict=True):
        assert same_bits(found.part.channels[name], plane)
    for name in ("A", "depth.Z"):
        assert same_bits(found.part.channels[name], before.part.channels[name])
    assert found.part.attributes["kwaflux/hash"] == answer.report.provenance["hash"]


def test_the_bytes_of_an_exr_come_back_as_the_bytes_of_an_exr(desk: _Desk) -> None:
    request = _render(ExrPixels(0), ExrTarget(), half=True)
    fetched = desk.fetch(request, exr_to_bytes(plate(HEIGHT, WIDTH)))
    delivery = desk.deliver(request, fetched, _frame(STACK))
    found = read_exr(bytes(delivery.parts[0])).part.channels
    assert same_bits(found["R"], STACK[0].astype(np.float16))
    assert found["depth.Z"].dtype == np.float32


def test_raw_planes_hold_no_picture_to_write(desk: _Desk) -> None:
    for target in (PathTarget(str(desk.folder / "b.exr")), ExrTarget()):
        request = _render(InlinePixels(0, PLANES), target)
        fetched = desk.fetch(request, STACK.tobytes())
        with pytest.raises(RequestError, match="raw planes"):
            desk.deliver(request, fetched, _frame(STACK))
    assert not (desk.folder / "b.exr").exists()


def test_planes_go_back_to_the_pool_and_a_plates_own_never(desk: _Desk) -> None:
    request = _render(InlinePixels(0, PLANES))
    planes = desk.frames.final_planes(request, HEIGHT, WIDTH)
    desk.frames.give_back(request, replace(_frame(STACK), color=planes))
    again = desk.frames.final_planes(request, HEIGHT, WIDTH)
    assert np.shares_memory(again[0], planes[0])
    desk.frames.give_back(request, _frame(STACK, is_touched=False))
    other = desk.frames.final_planes(request, HEIGHT, WIDTH)
    assert not np.shares_memory(other[0], STACK)


def test_only_what_lies_in_memory_is_fetched_at_once(desk: _Desk) -> None:
    assert desk.frames.is_immediate(_render(InlinePixels(0, PLANES)))
    assert desk.frames.is_immediate(_render(ShmPixels("s1.0", 0, PLANES)))
    assert not desk.frames.is_immediate(_render(PathPixels("/a.exr")))
    assert not desk.frames.is_immediate(_render(ExrPixels(0)))
