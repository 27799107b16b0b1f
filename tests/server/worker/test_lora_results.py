"""LoRAs in the worker: a result names them, and one that is missing fails the frame."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path

import pytest

from kwaflux_core.color.config import ColorConfig
from kwaflux_core.flows.flow import Flow
from kwaflux_core.images.io import read_image, write_image
from kwaflux_core.protocol.messages import (
    Failed,
    Judged,
    PathPixels,
    PathTarget,
    Render,
    Rendered,
    Source,
    Started,
)
from kwaflux_models.rendering.device import Device
from kwaflux_models.rendering.frame_renderer import FrameRenderer
from kwaflux_models.rendering.lora_stacks import lora_record, resolve_loras
from kwaflux_models.rendering.model_cache import WarmModels
from kwaflux_models.rendering.plane_pool import PlanePool
from kwaflux_server.path_guard import PathGuard
from kwaflux_server.worker.engine import Engine
from kwaflux_server.worker.frame_io import Frames
from kwaflux_server.worker.provenance import Provenance
from kwaflux_server.worker.rings import AttachedRings
from kwaflux_testing.loras import Shelf, bend_shelf, pair_of
from kwaflux_testing.pictures import plate
from kwaflux_testing.servers import wait_until

SPREAD = pair_of("spread.weight", 8, 27)
OTHER = pair_of("spread.weight", 8, 27, seed=8)


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    found = bend_shelf(tmp_path)
    found.put("show", SPREAD)
    found.put("night", OTHER)
    return found


def warm_of(shelf: Shelf) -> WarmModels:
    return WarmModels(
        shelf.registry,
        device=Device("cpu"),
        budget_bytes=1 << 20,
        precision="float32",
        on_change=lambda resident: None,
    )


def record_of(shelf: Shelf, flow: str) -> tuple[str, tuple[str, ...]]:
    bound = Flow.parse(flow).bind(shelf.registry.cards)
    loras = lora_record(resolve_loras(bound, shelf.own))
    request = Render(
        flow=flow,
        frame=1,
        sources=(Source(1, PathPixels("a.exr")),),
        target=PathTarget("b.exr"),
    )
    made = Provenance(request, bound, Device("cpu"), "config", "1.0", loras)
    return made.result_hash("abc"), loras


def test_a_result_names_its_loras_and_their_bytes(shelf: Shelf) -> None:
    plain, none = record_of(shelf, "bend")
    assert none == ()
    first, lines = record_of(shelf, 'bend(lora="show:0.8+night:0.3")')
    assert [line.split(" ")[0] for line in lines] == ["bend/night:0.3", "bend/show:0.8"]
    assert all(len(line.split("sha256:")[1]) == 64 for line in lines)
    shelf.put("show", OTHER)
    second, _ = record_of(shelf, 'bend(lora="show:0.8+night:0.3")')
    assert len({plain, first, second}) == 3


def test_a_step_that_touches_nothing_needs_no_lora(shelf: Shelf) -> None:
    assert record_of(shelf, 'bend(strength=0, lora="gone")')[1] == ()


def delivered(shelf: Shelf, folder: Path, flow: str) -> Rendered | Judged | Failed:
    """Render a file to a file through an engine; return its answer."""
    answers: list[Rendered | Judged | Failed] = []
    pool, config = PlanePool(), ColorConfig.default()
    warm = warm_of(shelf)
    engine = Engine(
        FrameRenderer(warm.lend, device=Device("cpu"), config=config, tile_px=32),
        frames=Frames(
            AttachedRings(""),
            pool=pool,
            config=config,
            frame_bytes_max=1 << 30,
            guard=PathGuard(("/",)),
        ),
        pool=pool,
        cards=shelf.registry.cards,
        answer=lambda task, message, parts: (
            None if isinstance(message, Started) else answers.append(message)
        ),
        version="1",
        own=shelf.own,
    )
    thread = threading.Thread(target=engine.run)
    thread.start()
    try:
        engine.submit(
            1,
            Render(
                flow,
                1,
                (Source(1, PathPixels(str(folder / "in.exr"))),),
                PathTarget(str(folder / "out.exr")),
            ),
        )
        wait_until(lambda: bool(answers), what="the frame", timeout_s=60)
    finally:
        engine.stop()
        thread.join(60)
        engine.close()
    return answers[0]


def test_a_delivered_file_names_the_loras_it_was_made_with(shelf: Shelf, tmp_path: Path) -> None:
    write_image(tmp_path / "in.exr", plate(32, 24))
    answer = delivered(shelf, tmp_path, 'bend(lora="show:0.8")')
    assert isinstance(answer, Rendered)
    digest = hashlib.sha256(shelf.own.lora_path("bend", "show").read_bytes()).hexdigest()
    attributes = read_image(tmp_path / "out.exr").part.attributes
    assert attributes["kwaflux/loras"] == f"bend/show:0.8 sha256:{digest}"


def test_a_lora_that_is_not_there_fails_the_frame_and_nothing_is_written(
    shelf: Shelf, tmp_path: Path
) -> None:
    write_image(tmp_path / "in.exr", plate(32, 24))
    answer = delivered(shelf, tmp_path, 'bend(lora="gone")')
    assert isinstance(answer, Failed)
    assert answer.code == "param"
    assert not (tmp_path / "out.exr").exists()
