"""A worker's engine: order, cancelling, and an answer to every task, whatever happens."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from kwaflux_core import read_image, write_image
from kwaflux_core.color.config import ColorConfig
from kwaflux_core.flows.flow import Flow
from kwaflux_core.protocol.messages import (
    Failed,
    InlinePixels,
    InlineTarget,
    Message,
    PathPixels,
    PathTarget,
    Planes,
    Render,
    Rendered,
    Source,
    Started,
)
from kwaflux_core.protocol.render_options import RenderOptions
from kwaflux_models.rendering.device import Device
from kwaflux_models.rendering.effect_api import TileInput, Value
from kwaflux_models.rendering.frame_renderer import FrameRenderer
from kwaflux_models.rendering.plane_pool import PlanePool
from kwaflux_server.path_guard import PathGuard
from kwaflux_server.worker.engine import Engine
from kwaflux_server.worker.frame_io import Frames
from kwaflux_server.worker.rings import AttachedRings
from kwaflux_testing.effects import FakeEffect, Loader, blur, card
from kwaflux_testing.pictures import noise, plate
from kwaflux_testing.requests import changed
from kwaflux_testing.servers import wait_until

TILE_PX, WIDTH, HEIGHT = 16, 48, 16  # three tiles
PIXELS = np.stack([noise(HEIGHT, WIDTH, seed=n) for n in range(3)]).tobytes()
PLANES = Planes((0, 0, WIDTH, HEIGHT), ("R", "G", "B"))
Residual = Callable[[TileInput, Mapping[str, Value]], "Tensor | None"]


def _render(flow: str = "blur", **changes: object) -> Render:
    base = Render(
        flow,
        1,
        (Source(1, InlinePixels(0, PLANES)),),
        InlineTarget(),
        options=RenderOptions(colorspace="scene_linear"),
    )
    return changed(base, **changes)


class _Bench:
    """An engine that runs on a thread, and what it answered."""

    def __init__(self, effects: Mapping[str, Residual]) -> None:
        self.answers: list[tuple[int, Message, tuple[memoryview, ...]]] = []
        cards = {name: card(name, identity_when={}) for name in effects}
        fakes = {name: FakeEffect(residual) for name, residual in effects.items()}
        pool = PlanePool()
        config = ColorConfig.default()
        self.engine = Engine(
            FrameRenderer(Loader(fakes), device=Device("cpu"), config=config, tile_px=TILE_PX),
            frames=Frames(
                AttachedRings(""),
                pool=pool,
                config=config,
                frame_bytes_max=1 << 30,
                guard=PathGuard(("/",)),
            ),
            pool=pool,
            cards=cards,
            answer=lambda task, message, parts: self.answers.append((task, message, parts)),
            version="1",
        )

    def submit(self, task_id: int, request: Render) -> None:
        # ZeroMQ's parts can be written to.
        self.engine.submit(task_id, request, (memoryview(bytearray(PIXELS)),))

    def ends(self) -> list[tuple[int, str]]:
        """Return the tasks that ended, in order, each with how."""
        return [
            (task, message.code if isinstance(message, Failed) else message.kind)
            for task, message, _ in list(self.answers)
            if not isinstance(message, Started)
        ]

    def wait_for(self, count: int) -> list[tuple[int, str]]:
        wait_until(lambda: len(self.ends()) >= count, what=f"{count} tasks ended", timeout_s=20)
        return self.ends()


@contextmanager
def _bench(*, starts: bool = True, **effects: Residual) -> Iterator[_Bench]:
    bench = _Bench({"blur": blur, **effects})
    thread = threading.Thread(target=bench.engine.run)
    if starts:
        thread.start()
    try:
        yield bench
    finally:
        bench.engine.stop()
        if not starts:
            thread.start()
        thread.join(20)
        bench.engine.close()
        assert not thread.is_alive()


class _Gate:
    """An effect that waits inside its first tile until it is let go."""

    def __init__(self) -> None:
        self.is_inside, self.go = threading.Event(), threading.Event()
        self.tiles = 0

    def __call__(self, pictures: TileInput, values: Mapping[str, Value]) -> Tensor:
        self.tiles += 1
        self.is_inside.set()
        assert self.go.wait(20)
        return torch.zeros_like(pictures.picture)


def test_a_task_is_answered_once_with_its_pixels() -> None:
    with _bench() as bench:
        bench.submit(7, _render())
        assert bench.wait_for(1) == [(7, "rendered")]
        _, message, (part,) = bench.answers[-1]
        assert isinstance(message, Rendered)
        assert message.pixels == InlinePixels(0, PLANES)
        assert len(part) == len(PIXELS)
        assert bytes(part) != PIXELS


def test_a_sequences_frame_says_that_it_began_and_an_interactive_one_just_ends() -> None:
    with _bench() as bench:
        bench.submit(1, _render(urgency="sequence"))
        bench.wait_for(1)
        bench.submit(2, _render())
        bench.wait_for(2)
    assert [(task, message.kind) for task, message, _ in bench.answers] == [
        (1, "started"),
        (1, "rendered"),
        (2, "rendered"),
    ]


def test_the_most_urgent_goes_first_and_equals_in_the_order_they_came() -> None:
    gate = _Gate()
    with _bench(gate=gate) as bench:
        bench.submit(1, _render("gate", urgency="batch"))
        assert gate.is_inside.wait(20)
        for task, urgency in ((2, "batch"), (3, "sequence"), (4, "sequence"), (5, "interactive")):
            bench.submit(task, _render(urgency=urgency))
        gate.go.set()
        ends = bench.wait_for(5)
    # Everything above batch went between the tiles of the first.
    assert [task for task, _ in ends] == [5, 3, 4, 1, 2]


def test_a_cancelled_task_ends_within_the_tile_it_is_in() -> None:
    gate = _Gate()
    with _bench(gate=gate) as bench:
        bench.submit(1, _render("gate"))
        assert gate.is_inside.wait(20)
        bench.engine.cancel(1)
        gate.go.set()
        assert bench.wait_for(1) == [(1, "cancelled")]
        assert gate.tiles == 1


def test_a_cancelled_task_that_waits_is_answered_though_another_computes() -> None:
    gate = _Gate()
    with _bench(gate=gate) as bench:
        bench.submit(1, _render("gate"))
        assert gate.is_inside.wait(20)
        for task in (2, 3, 4):
            bench.submit(task, _render())
        bench.engine.cancel(3)
        bench.engine.cancel(3)
        bench.engine.cancel(99)
        assert bench.wait_for(1) == [(3, "cancelled")]
        gate.go.set()
        ends = bench.wait_for(4)
    assert ends == [(3, "cancelled"), (1, "rendered"), (2, "rendered"), (4, "rendered")]


def test_a_cancel_after_the_end_changes_nothing() -> None:
    with _bench() as bench:
        bench.submit(1, _render())
        bench.wait_for(1)
        bench.engine.cancel(1)
        bench.submit(2, _render())
        assert bench.wait_for(2) == [(1, "rendered"), (2, "rendered")]


def _raises(error: Exception) -> Residual:
    def residual(pictures: TileInput, values: Mapping[str, Value]) -> Tensor:
        raise error

    return residual


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (RuntimeError("its own feet"), "worker", "RuntimeError: its own feet"),
        (MemoryError("no room"), "out_of_memory", "does not fit"),
        (torch.OutOfMemoryError("no room"), "out_of_memory", "does not fit"),
    ],
)
def test_whatever_an_effect_raises_becomes_the_answer_and_the_next_task_is_fine(
    error: Exception, code: str, says: str
) -> None:
    with _bench(broken=_raises(error)) as bench:
        bench.submit(1, _render("broken"))
        bench.submit(2, _render())
        assert bench.wait_for(2) == [(1, code), (2, "rendered")]
        (failure,) = (message for _, message, _ in bench.answers if isinstance(message, Failed))
        assert says in failure.message


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (_render("sharpen"), "unknown_effect"),
        (_render("blur("), "flow"),
        (_render(colorspace="Rec.7009"), "unknown_colorspace"),
        (_render(frame=2), "request"),
        (_render(region=(900, 900, 901, 901)), "request"),
        (_render(sources=(Source(1, PathPixels("/nowhere/a.exr")),)), "frame_missing"),
    ],
)
def test_a_task_that_cannot_be_is_answered_too(request_: Render, code: str) -> None:
    with _bench() as bench:
        bench.submit(1, request_)
        assert bench.wait_for(1) == [(1, code)]


def test_files_are_read_and_written_beside_the_computing(tmp_path: Path) -> None:
    gate = _Gate()
    requests = []
    for number in range(3):
        source, target = tmp_path / f"in{number}.exr", tmp_path / f"out{number}.exr"
        write_image(source, plate(HEIGHT, WIDTH, seed=number))
        requests.append(
            _render(
                sources=(Source(1, PathPixels(str(source))),),
                target=PathTarget(str(target)),
                urgency="sequence",
                colorspace="",
            )
        )
    with _bench(gate=gate) as bench:
        bench.submit(9, _render("gate", urgency="sequence"))
        assert gate.is_inside.wait(20)
        for number, request in enumerate(requests):
            bench.submit(number, request)
        # All three are read while the first one computes; a broken one is answered meanwhile.
        bad = replace(requests[0], sources=(Source(1, PathPixels(str(tmp_path / "no.exr"))),))
        bench.submit(5, bad)
        assert bench.wait_for(1) == [(5, "frame_missing")]
        gate.go.set()
        ends = bench.wait_for(5)
    assert sorted(ends[1:]) == [(0, "rendered"), (1, "rendered"), (2, "rendered"), (9, "rendered")]
    assert read_image(tmp_path / "out2.exr").part.channels["R"].shape == (HEIGHT, WIDTH)


def test_stop_ends_the_loop_after_the_frame_that_computes() -> None:
    gate = _Gate()
    with _bench(gate=gate) as bench:
        bench.submit(1, _render("gate"))
        assert gate.is_inside.wait(20)
        bench.submit(2, _render())
        bench.engine.stop()
        gate.go.set()
        assert bench.wait_for(1) == [(1, "rendered")]
    assert bench.ends() == [(1, "rendered")]


def test_an_idle_engine_holds_no_pixels_of_the_task_before() -> None:
    with _bench() as bench:
        owner = np.frombuffer(PIXELS, np.float32).copy()
        gone = weakref.ref(owner)
        bench.engine.submit(1, _render(), (owner.data.cast("B"),))
        del owner
        bench.wait_for(1)
        bench.answers.clear()
        wait_until(lambda: gone() is None, what="the pixels are let go", timeout_s=20)


def test_a_flow_is_bound_as_the_cards_say() -> None:
    with _bench() as bench:
        bench.submit(1, _render("blur(strength=0.25) | blur"))
        bench.wait_for(1)
        _, message, _ = bench.answers[-1]
        assert isinstance(message, Rendered)
        bound = Flow.parse(message.report.provenance["flow"])
        assert bound.to_text() == "blur(strength=0.25) | blur(strength=1.0)"
