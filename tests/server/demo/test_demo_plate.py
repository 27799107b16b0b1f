from __future__ import annotations

import multiprocessing
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import OpenEXR
import pytest

from kwaflux_core.color.display_curves import display_encode
from kwaflux_core.errors import ImageWriteFailed, RequestError, WorkerError
from kwaflux_core.geometry import Box
from kwaflux_core.images.exr.read import read_exr
from kwaflux_core.images.io import read_image
from kwaflux_server.demo.camera_shot import (
    DATA_WINDOW,
    DISPLAY_WINDOW,
    Framing,
    Photograph,
    Shot,
    camera_path,
    film,
)
from kwaflux_server.demo.degraded_plate import DEGRADATION, FPS, Degradation, shoot, write_frames
from kwaflux_server.demo.folders import FIRST_FRAME, Folders, Sequence
from kwaflux_server.demo.h264_roundtrip import record

SMALL = Box.from_size(64, 48)


def drawn(size: int = 160) -> Photograph:
    rows, columns = np.mgrid[0:size, 0:size].astype(np.float32)
    waves = 0.4 + 0.3 * np.sin(columns / 6.0) * np.cos(rows / 9.0)
    linear = np.stack([waves, 0.7 * waves, waves**2], axis=-1).astype(np.float32)
    depth = (2.0 + 6.0 * columns / size).astype(np.float32)
    depth[:10] = np.nan
    return Photograph(linear, depth)


def small_shot(frames: int = 3) -> Shot:
    path = [Framing(80.0 + 0.37 * i, 80.0, 1.0) for i in range(frames)]
    return film(drawn(), path, window=SMALL)


def test_the_photograph_comes_with_its_depth_in_meters() -> None:
    photograph = Photograph.load()
    assert photograph.linear.shape == (500, 741, 3)
    assert photograph.depth.shape == (500, 741)
    known = photograph.depth[np.isfinite(photograph.depth)]
    assert known.size > 0.9 * photograph.depth.size
    assert 1.5 < known.min() < known.max() < 10.0


def test_the_camera_never_leaves_the_photograph() -> None:
    photograph = Photograph.load()
    blank = Photograph(np.ones((500, 741, 3), np.float32), photograph.depth)
    path = camera_path(24)
    shot = film(blank, [path[0], path[11], path[-1]])
    assert shot.color.shape[1:3] == (DATA_WINDOW.height, DATA_WINDOW.width)
    assert DISPLAY_WINDOW.width >= 640
    # Filter weights sum to 1 everywhere, up to the very edge.
    np.testing.assert_allclose(shot.color, shot.color[0, 0, 0, 0], rtol=1e-5)


def test_the_camera_moves_by_parts_of_a_pixel_and_never_enlarges() -> None:
    path = camera_path(24)
    steps = np.diff([framing.x for framing in path])
    assert np.all(steps < 0)
    assert np.abs(steps).max() < 2.0
    assert len({round(framing.x % 1.0, 3) for framing in path}) > 12
    assert min(framing.step for framing in path) >= 1.0


def test_a_framing_beyond_the_photograph_is_refused() -> None:
    with pytest.raises(RequestError, match="reaches from"):
        film(drawn(), [Framing(30.0, 80.0, 1.0)], window=SMALL)


def test_a_whole_pixel_move_copies_pixels_and_a_half_pixel_move_lies_between() -> None:
    photograph = drawn()
    here, there, between = (
        film(photograph, [Framing(x, 80.0, 1.0)], window=SMALL).color[0] for x in (80, 81, 80.5)
    )
    np.testing.assert_allclose(here[:, 1:], there[:, :-1], atol=1e-6)
    wanted = 0.5 * (here + there)
    assert np.abs(between - wanted).max() < 0.01
    assert np.abs(between - here).max() > 0.01


def test_depth_and_ids_are_never_mixed_between_pixels() -> None:
    photograph = drawn()
    shot = film(photograph, [Framing(80.3, 80.6, 1.13)], window=SMALL)
    known = np.isfinite(shot.depth)
    assert set(np.unique(shot.depth[known])) <= set(np.unique(photograph.depth))
    ids = set(np.unique(shot.object_id))
    assert len(ids) > 2
    assert any(number > 2**24 and float(np.float32(number)) != number for number in map(int, ids))


def test_a_movie_is_read_back_from_its_file_with_every_frame(tmp_path: Path) -> None:
    clip = display_encode(small_shot(4).color, "bt709")
    path = tmp_path / "plate.mp4"
    fine = record(clip, path, crf=12, fps=FPS)
    assert np.abs(fine.frames - clip).mean() < 0.02
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.average_rate) == ("h264", Fraction(FPS))
        assert sum(1 for _ in container.decode(video=0)) == 4
    coarse = record(clip, tmp_path / "coarse.mp4", crf=40, fps=FPS)
    assert coarse.kbit_s < fine.kbit_s
    assert np.abs(coarse.frames - clip).mean() > np.abs(fine.frames - clip).mean()


def test_an_odd_side_is_refused_before_the_encoder_sees_it(tmp_path: Path) -> None:
    with pytest.raises(RequestError):
        record(np.zeros((2, 33, 64, 3), np.float32), tmp_path / "x.mp4", crf=20, fps=FPS)


def test_an_encoder_that_ends_its_process_is_an_error_and_not_our_end(tmp_path: Path) -> None:
    clip = np.zeros((2, 32, 64, 3), np.float32)
    with pytest.raises(WorkerError):
        record(clip, tmp_path / "no_such_folder" / "x.mp4", crf=20, fps=FPS)
    assert not multiprocessing.active_children()


def test_the_same_seed_makes_the_same_plate_and_more_noise_a_worse_one(tmp_path: Path) -> None:
    shot = small_shot(2)
    how = Degradation(sigma=0.03, shot_share=0.9, crf=20, seed=5)
    first = shoot(shot, tmp_path / "a.mp4", how=how)
    again = shoot(shot, tmp_path / "b.mp4", how=how)
    worse = shoot(
        shot, tmp_path / "c.mp4", how=Degradation(sigma=0.1, shot_share=0.9, crf=20, seed=5)
    )
    assert first.degraded.tobytes() == again.degraded.tobytes()
    assert first.kbit_s > 0
    error, more = (np.square(p.degraded - p.clean).mean() for p in (first, worse))
    assert 0 < error < more


def test_the_plate_is_spoilt_as_much_as_people_meet_and_training_covers() -> None:
    assert 0.03 <= DEGRADATION.sigma <= 0.06
    assert 23 <= DEGRADATION.crf <= 28
    assert DEGRADATION.sensor().mosaic >= 0


def test_a_plate_file_holds_timecode_windows_and_the_extra_channels(tmp_path: Path) -> None:
    shot = small_shot(2)
    overscan = Box(-8, -4, 56, 44)
    sequence = Sequence(tmp_path, "plate")
    display = Box.from_size(48, 40)
    paths = list(
        write_frames(sequence, shot.color, shot=shot, window=overscan, display_window=display)
    )
    assert [path.name for path in paths] == ["plate.1001.exr", "plate.1002.exr"]
    image = read_exr(paths[1])
    part = image.part
    assert (part.data_window, part.display_window) == (overscan, display)
    assert part.channels["object.id"].dtype == np.uint32
    assert part.channels["object.id"].tobytes() == shot.object_id[1].tobytes()
    assert part.channels["depth.Z"].tobytes() == shot.depth[1].tobytes()
    code = part.attributes["timeCode"]
    assert isinstance(code, OpenEXR.TimeCode)
    assert (code.hours, code.minutes, code.seconds, code.frame) == (1, 0, 41, 18)
    assert part.attributes["framesPerSecond"] == Fraction(24)
    assert read_image(paths[1]).colorspace == "Linear Rec.709 (sRGB)"


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    precious = tmp_path / "plate" / "plate.1001.exr"
    precious.parent.mkdir()
    precious.write_bytes(b"years of work")
    with pytest.raises(ImageWriteFailed):
        Folders.claimed(tmp_path, temporary="again")
    assert precious.read_bytes() == b"years of work"


def test_results_of_an_earlier_demonstration_do_not_stand_in_for_new_ones(tmp_path: Path) -> None:
    out = tmp_path / "demo"
    folders = Folders.claimed(out, temporary="again")
    folders.enhanced.file(FIRST_FRAME).write_bytes(b"old")
    (out / "notes.txt").write_text("mine")
    Folders.claimed(out, temporary="again")
    assert not folders.enhanced.file(FIRST_FRAME).exists()
    assert (out / "notes.txt").read_text() == "mine"


def test_a_folder_that_cannot_be_made_is_an_error_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ImageWriteFailed, match="cannot be written"):
        Folders.claimed(tmp_path / "file" / "demo", temporary="again")
