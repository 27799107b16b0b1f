"""Files that several frames read: decoded once, and for no longer than somebody wants them."""

from __future__ import annotations

import gc
import os
import threading
from pathlib import Path

import numpy as np
import pytest

from kwaflux_core import Image, read_image, write_image
from kwaflux_core.color.config import ColorConfig
from kwaflux_core.errors import FrameMissing, ImageUnreadable
from kwaflux_core.flows.flow import Flow
from kwaflux_core.images.image import Layer
from kwaflux_core.protocol.messages import PathPixels, PathTarget, Render, Source
from kwaflux_core.protocol.render_options import RenderOptions
from kwaflux_models.rendering.device import Device
from kwaflux_models.rendering.plane_pool import PlanePool
from kwaflux_models.rendering.plate import Plate
from kwaflux_server.path_guard import PathGuard
from kwaflux_server.worker.frame_io import Fetched, Frames
from kwaflux_server.worker.provenance import Provenance
from kwaflux_server.worker.rings import AttachedRings
from kwaflux_server.worker.source_cache import Decoded, SourceFile, SourceFiles
from kwaflux_testing.effects import card
from kwaflux_testing.pictures import noise, plate, same_bits
from kwaflux_testing.requests import changed

CARDS = {"around": card("around", frames_before=2, frames_after=2)}
CONFIG = ColorConfig.default()
LAYER = Layer(0, ("R", "G", "B"), None)


def _decoded(*, extra: int = 0, seed: int = 0) -> Decoded:
    names = [*"RGB", *(f"more{n}.Z" for n in range(extra))]
    image = Image.from_channels({name: noise(4, 6, seed=seed) for name in names})
    return Decoded(Plate.from_image(image, LAYER), image, LAYER)


class _Clip:
    """A clip on disk, fetched as a job's frames are; counts what is decoded."""

    def __init__(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, *, only_color: bool = True
    ) -> None:
        self.folder, self.decoded = folder, list[str]()
        self.frames = self.new_frames()
        for number in range(1, 9):
            image = plate(6, 8, seed=number)
            if only_color:
                channels = {name: image.part.channels[name] for name in "RGB"}
                image = Image.from_channels(channels)
            write_image(folder / f"{number}.exr", image)

        def counted(path: str, *, colorspace: str = "") -> Image:
            self.decoded.append(Path(path).name)
            return read_image(path, colorspace=colorspace)

        monkeypatch.setattr("kwaflux_server.worker.source_reader.read_image", counted)

    def new_frames(self) -> Frames:
        return Frames(
            AttachedRings(""),
            pool=PlanePool(),
            config=CONFIG,
            frame_bytes_max=1 << 30,
            guard=PathGuard(("/",)),
        )

    def request(self, frame: int, **changes: object) -> Render:
        near = [at for at in range(frame - 2, frame + 3) if 1 <= at <= 8]
        sources = tuple(Source(at, PathPixels(str(self.folder / f"{at}.exr"))) for at in near)
        target = PathTarget(str(self.folder / "out.exr"))
        asked = Render(
            "around", frame, sources, target, options=RenderOptions(colorspace="scene_linear")
        )
        return changed(asked, **changes)

    def fetch(self, frame: int, **changes: object) -> Fetched:
        request = self.request(frame, **changes)
        flow = Flow.parse(request.flow).bind(CARDS)
        provenance = Provenance(request, flow, Device("cpu"), CONFIG.name, "1")
        return self.frames.fetch(request, flow, (), provenance)


@pytest.fixture
def clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> _Clip:
    return _Clip(tmp_path, monkeypatch)


def test_frames_under_way_read_every_file_once(clip: _Clip) -> None:
    held = clip.fetch(1)
    for frame in range(2, 9):
        held, former = clip.fetch(frame), held
        for at in former.plates.keys() & held.plates.keys():
            assert held.plates[at] is former.plates[at]
    assert sorted(clip.decoded) == [f"{n}.exr" for n in range(1, 9)]


def test_what_is_shared_is_what_would_have_been_read(clip: _Clip) -> None:
    alone = clip.fetch(4)
    del clip.decoded[:]
    clip.frames = clip.new_frames()
    first = clip.fetch(3)
    shared = clip.fetch(4)
    assert first.plates[4] is shared.plates[4]
    assert len(clip.decoded) == 6
    assert (shared.digest, shared.neighbors_digest) == (alone.digest, alone.neighbors_digest)
    assert shared.image is not None
    assert alone.image is not None
    assert shared.image.part.data_window == alone.image.part.data_window
    assert set(shared.image.part.attributes) == set(alone.image.part.attributes)
    for name, plane in alone.image.part.channels.items():
        assert same_bits(shared.image.part.channels[name], plane)


def test_nothing_is_held_once_no_frame_is_under_way(clip: _Clip) -> None:
    held: Fetched | None = clip.fetch(3)
    held = clip.fetch(4)
    assert len(clip.decoded) == 6
    del held
    gc.collect()
    clip.fetch(4)
    assert len(clip.decoded) == 11


def test_other_layers_are_decoded_for_the_frame_itself_and_not_held_for_its_neighbors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = _Clip(tmp_path, monkeypatch, only_color=False)
    first = clip.fetch(3)
    second = clip.fetch(4)
    assert clip.decoded.count("4.exr") == 2
    assert second.plates[4] is first.plates[4]
    assert second.image is not None
    assert "depth.Z" in second.image.part.channels


def test_what_is_read_in_another_way_is_read_anew(clip: _Clip) -> None:
    linear = clip.fetch(4)
    for changes in ({"colorspace": "ACEScct"}, {"alpha": "straight"}):
        other = clip.fetch(4, **changes)
        assert other.plates[4] is not linear.plates[4]


def test_a_file_that_changed_meanwhile_is_read_anew(clip: _Clip) -> None:
    before = clip.fetch(4)
    path = clip.folder / "5.exr"
    write_image(path, Image.from_channels({name: noise(6, 8, seed=77) for name in "RGB"}))
    after = clip.fetch(4)
    assert after.plates[5] is not before.plates[5]
    assert after.plates[4] is before.plates[4]
    assert after.neighbors_digest != before.neighbors_digest


# --- one file -------------------------------------------------------------------------------


def test_who_comes_while_another_decodes_waits_and_takes_the_same() -> None:
    file, inside, go = SourceFile(lambda: "d"), threading.Event(), threading.Event()
    found: list[Decoded] = []

    def slow() -> Decoded:
        inside.set()
        assert go.wait(20)
        return _decoded()

    def never() -> Decoded:
        raise AssertionError("it was decoded twice")

    first = threading.Thread(
        target=lambda: found.append(file.decoded("how", slow, needs_picture=True))
    )
    first.start()
    assert inside.wait(20)
    second = threading.Thread(
        target=lambda: found.append(file.decoded("how", never, needs_picture=False))
    )
    second.start()
    go.set()
    for thread in (first, second):
        thread.join(20)
    assert len(found) == 2
    assert found[0].plate is found[1].plate


def test_a_failure_is_told_to_whom_it_concerns_and_the_next_tries_again() -> None:
    file = SourceFile(lambda: "d")

    def broken() -> Decoded:
        raise ImageUnreadable("no")

    with pytest.raises(ImageUnreadable):
        file.decoded("how", broken, needs_picture=False)
    good = _decoded()
    assert file.decoded("how", lambda: good, needs_picture=False).plate is good.plate


def test_a_picture_is_kept_only_where_it_takes_no_more_room_than_its_plate() -> None:
    lean, fat = SourceFile(lambda: ""), SourceFile(lambda: "")
    assert lean.decoded("how", _decoded, needs_picture=False).image is not None
    assert lean.decoded("how", pytest.fail, needs_picture=True).image is not None
    first = fat.decoded("how", lambda: _decoded(extra=2), needs_picture=False)
    again = fat.decoded("how", lambda: _decoded(extra=2, seed=1), needs_picture=True)
    assert again.plate is first.plate
    assert again.image is not None
    assert "more0.Z" in again.image.part.channels


def test_a_digest_is_made_once_and_a_missing_file_is_a_typed_error(tmp_path: Path) -> None:
    made: list[int] = []

    def digest() -> str:
        made.append(1)
        return "abc"

    file = SourceFile(digest)
    assert [file.digest(), file.digest()] == ["abc", "abc"]
    assert made == [1]
    with pytest.raises(FrameMissing):
        SourceFiles().file(str(tmp_path / "none")).digest()


def test_two_frames_of_one_movie_are_two_files(tmp_path: Path) -> None:
    path = tmp_path / "take.mov"
    path.write_bytes(b"a movie")
    files = SourceFiles()
    first, second = (files.file(str(path), frame=n, digest=lambda: "") for n in (1, 2))
    assert first is not second
    assert files.file(str(path), frame=1) is first
    os.utime(path, ns=(1, 1))
    assert files.file(str(path), frame=1) is not first


def test_planes_that_are_shared_are_never_written(clip: _Clip) -> None:
    held = clip.fetch(4)
    before = {frame: np.stack(plate.color).copy() for frame, plate in held.plates.items()}
    clip.fetch(5)
    for frame, planes in before.items():
        assert same_bits(np.stack(held.plates[frame].color), planes)
