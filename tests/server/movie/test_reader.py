"""Real movies by real encoders: every frame exact, however it is reached; damage is said."""

from __future__ import annotations

import random
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from kwaflux_core.color.config import ColorConfig
from kwaflux_core.errors import (
    FrameMissing,
    FrameTooLarge,
    ImageUnreadable,
    ImageUnsupported,
    KwafluxError,
    RequestError,
    UnknownColorspace,
)
from kwaflux_core.images.image import Image
from kwaflux_server.movie.frame_image import DECODED, picture_of
from kwaflux_server.movie.frame_index import KeyPicture
from kwaflux_server.movie.reader import Movie
from kwaflux_testing.movies import Shot, code_planes, drawn_number, read_planes, write_movie

GOP = {"params": "keyint=8:bframes=3:b-adapt=0"}
H264 = Shot(options={"crf": "12", **GOP})
SHOTS = {
    "h264 with B-frames, lossless": replace(H264, options={"qp": "0", **GOP}),
    "h264 with an open GOP": replace(
        H264, options={"crf": "12", "params": "keyint=8:bframes=3:open-gop=1"}, suffix=".mkv"
    ),
    "h264 that begins late": replace(H264, first=37, suffix=".mov"),
    "h264 in 10 bits": Shot(layout="yuv420p10le", options={"qp": "0", **GOP}),
    "h265 in 10 bits": Shot(
        "libx265", "yuv420p10le", ".mkv", {"params": "lossless=1:keyint=8:bframes=3"}
    ),
    "prores": Shot("prores_ks", "yuv422p10le", ".mov", width=61, height=45),
    "prores with 4:4:4": Shot("prores_ks", "yuv444p10le", ".mov", {"profile": "4"}),
    "mpeg2": Shot("mpeg2video", "yuv420p", ".mxf", {"g": "8", "bf": "2", "b": "6000000"}),
    "mpeg2 in mov": Shot("mpeg2video", "yuv420p", ".mov", {"g": "8", "bf": "2", "b": "6000000"}),
    "ffv1 of odd size": Shot("ffv1", "yuv420p", ".mkv", width=61, height=45),
    "mjpeg": Shot("mjpeg", "yuvj420p", ".avi", tags=(1, 1, 5, 2)),
}
LOSSLESS = [name for name in SHOTS if "qp" in SHOTS[name].options or "lossless" in str(
    SHOTS[name].options) or SHOTS[name].encoder == "ffv1"]  # fmt: skip
CONFIG = ColorConfig.default()
REC709 = "Rec.1886 Rec.709 - Display"


def opened(path: Path, *, cache_bytes: int = 1 << 26, frame_bytes_max: int = 1 << 26) -> Movie:
    return Movie(str(path), frame_bytes_max=frame_bytes_max, cache_bytes=cache_bytes)


def shown(movie: Movie, number: int, shot: Shot) -> list[bytes]:
    """Return the code values of a frame, without what pads its rows."""
    return [plane.tobytes() for plane in read_planes(movie.frame(number), shot.bits)]


def failing(movie: Movie, shot: Shot, good: dict[int, list[bytes]]) -> list[int]:
    """Return the frames that cannot be read; those that can must be what they were."""
    failed: dict[int, KwafluxError] = {}
    for number, expected in good.items():
        try:
            assert shown(movie, number, shot) == expected
        except ImageUnreadable as error:
            failed[number] = error
    for number, problem in failed.items():
        assert problem.fields["frame"] == number
        assert f"frame {number} " in problem.message
    return list(failed)


def picture(path: Path, number: int = 1, *, colorspace: str = "") -> Image:
    movie = opened(path)
    try:
        return picture_of(movie, number, path=str(path), colorspace=colorspace, config=CONFIG)
    finally:
        movie.close()


@pytest.mark.parametrize("name", SHOTS)
def test_every_frame_shows_its_number_alone_in_order_and_after_any_seek(
    name: str, tmp_path: Path
) -> None:
    shot = SHOTS[name]
    path = write_movie(tmp_path, shot)
    movie = opened(path)
    assert movie.index.frame_count == shot.count
    in_order = {n: shown(movie, n, shot) for n in range(1, shot.count + 1)}
    for number in in_order:
        luma = read_planes(movie.frame(number), shot.bits)[0]
        assert drawn_number(luma, shot.bits) == number
    movie.close()
    order = list(in_order)
    random.Random(name).shuffle(order)
    without_cache = opened(path, cache_bytes=0)
    for number in order:
        assert shown(without_cache, number, shot) == in_order[number], number
    without_cache.close()
    for number in (1, 7, 17, shot.count):
        alone = opened(path)
        assert shown(alone, number, shot) == in_order[number], number
        alone.close()


@pytest.mark.parametrize("name", LOSSLESS)
def test_what_a_lossless_encoder_was_given_is_what_is_read(name: str, tmp_path: Path) -> None:
    shot = SHOTS[name]
    path = write_movie(tmp_path, shot)
    luma, blue, red = (plane.astype(np.float64) for plane in code_planes(shot, 5))
    unit = 2 ** (shot.bits - 8)
    found = picture(path, 5)
    assert found.colorspace == REC709
    channels = found.part.channels
    # Luma is a sum of the three, whatever chroma was enlarged by.
    again = 0.2126 * channels["R"] + 0.7152 * channels["G"] + 0.0722 * channels["B"]
    np.testing.assert_allclose(again, (luma - 16 * unit) / (219 * unit), atol=2e-6)
    # With chroma to the left, every second column has a sample of its own, between two rows.
    blueness = (channels["B"] - again) / (2 * (1 - 0.0722))
    expected = (blue - 128 * unit) / (224 * unit)
    rows, columns = expected.shape
    np.testing.assert_allclose(blueness[0::2, 0::2][:rows, :columns], expected, atol=2e-6)
    redness = (channels["R"] - again) / (2 * (1 - 0.2126))
    middle = (red - 128 * unit) / (224 * unit)
    between = 0.25 * middle[:-1] + 0.75 * middle[1:]  # a straight ramp, a quarter row away
    np.testing.assert_allclose(redness[2:-2:2, 0][: rows - 2], between[: len(
        redness[2:-2:2, 0]), 0][: rows - 2], atol=0.6 / (224 * unit))  # fmt: skip


def test_a_lossy_movie_is_close_to_what_was_encoded(tmp_path: Path) -> None:
    shot = SHOTS["prores"]
    movie = opened(write_movie(tmp_path, shot))
    for found, given in zip(read_planes(movie.frame(9), 10), code_planes(shot, 9), strict=True):
        assert np.abs(found.astype(int) - given).max() <= 12
    movie.close()


def test_decoding_goes_on_where_it_stands_and_seeks_only_where_that_is_shorter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shot = replace(H264, count=60)
    movie = opened(write_movie(tmp_path, shot))
    seeks: list[object] = []
    seek = Movie._seek

    def counted(self: Movie, key: KeyPicture | None) -> bool:
        seeks.append(key)
        return seek(self, key)

    monkeypatch.setattr(Movie, "_seek", counted)
    for number in range(1, 30):
        movie.frame(number)
    assert len(seeks) == 1
    movie.frame(3)
    assert len(seeks) == 1, "it is kept"
    movie.frame(57)
    assert len(seeks) == 2
    movie.close()


def test_the_cache_is_bounded(tmp_path: Path) -> None:
    shot = replace(H264, count=40)
    movie = opened(write_movie(tmp_path, shot), cache_bytes=40_000)
    for number in range(1, 41):
        movie.frame(number)
    assert 2 <= len(movie._cache) < 12
    movie.close()


# --- damage ---------------------------------------------------------------------------------

CUT = {
    "mp4": replace(H264, muxing={"movflags": "+faststart"}),
    "mkv": replace(H264, suffix=".mkv"),
    "prores": replace(SHOTS["prores"], muxing={"movflags": "+faststart"}),
}


@pytest.mark.parametrize("name", CUT)
@pytest.mark.parametrize("share", [0.55, 0.7, 0.93])
def test_a_cut_movie_names_the_frames_it_lacks_and_gives_the_others(
    name: str, share: float, tmp_path: Path
) -> None:
    shot = CUT[name]
    path = write_movie(tmp_path, shot)
    whole = opened(path)
    good = {n: shown(whole, n, shot) for n in range(1, shot.count + 1)}
    whole.close()
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    cut = opened(path)
    assert cut.index.frame_count == shot.count
    lost = failing(cut, shot, good)
    assert lost == list(range(lost[0], shot.count + 1))
    assert lost[0] > 1
    cut.close()


@pytest.mark.parametrize("name", ["mp4", "prores"])
def test_damage_within_a_movie_costs_the_frames_that_lean_on_it(name: str, tmp_path: Path) -> None:
    shot = CUT[name]
    path = write_movie(tmp_path, shot)
    whole = opened(path)
    good = {n: shown(whole, n, shot) for n in range(1, shot.count + 1)}
    whole.close()
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 300] = bytes(300)
    path.write_bytes(data)
    damaged = opened(path)
    assert 0 < len(failing(damaged, shot, good)) <= 16
    damaged.close()


def test_what_is_no_movie_or_was_not_finished_is_said(tmp_path: Path) -> None:
    path = write_movie(tmp_path, H264)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 3 // 4])  # the table stands at the end
    with pytest.raises(ImageUnreadable, match="cannot be read as a movie"):
        opened(path)
    path.write_bytes(b"")
    with pytest.raises(ImageUnreadable):
        opened(path)
    with pytest.raises(FrameMissing, match="no file"):
        opened(tmp_path / "none.mp4")


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi", ".mxf", ".mov", ".m4v"])
def test_a_playlist_under_a_movies_name_opens_no_other_file(suffix: str, tmp_path: Path) -> None:
    other = write_movie(tmp_path, replace(H264, suffix=".mkv"), name="secret")
    for text in (f"ffconcat version 1.0\nfile '{other}'\n", f"#EXTM3U\n#EXTINF:1,\n{other}\n"):
        path = tmp_path / f"list{suffix}"
        path.write_text(text)
        with pytest.raises(ImageUnreadable):
            opened(path)


def test_a_frame_that_is_too_large_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    path = write_movie(tmp_path, H264)
    needed = 64 * 48 * 12
    opened(path, frame_bytes_max=needed).close()
    with pytest.raises(FrameTooLarge, match=f"64x48: a frame holds {needed} bytes"):
        opened(path, frame_bytes_max=needed - 1)


def test_a_missing_pyav_is_said_with_the_way_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(RequestError, match="PyAV") as caught:
        opened(tmp_path / "clip.mov")
    assert 'pip install "kwaflux[movie]"' in caught.value.hint


# --- kinds of movies ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shot",
    [
        replace(H264, options={"params": "interlaced=1"}),
        Shot("mpeg2video", "yuv420p", ".mxf", {"flags": "+ilme+ildct", "b": "6000000"}),
    ],
)
def test_an_interlaced_frame_is_refused_with_a_way_out(shot: Shot, tmp_path: Path) -> None:
    movie = opened(write_movie(tmp_path, shot))
    with pytest.raises(ImageUnsupported, match=r"frame 2 .* interlaced") as caught:
        movie.frame(2)
    assert "deinterlace" in caught.value.hint
    movie.close()


def test_pictures_of_uneven_length_are_numbered_and_told(tmp_path: Path) -> None:
    times = (0, 1, 2, 5, 6, 7, 12, 13, 14, 15)
    shot = replace(H264, suffix=".mkv", count=10, times=times)
    found = picture(write_movie(tmp_path, shot), 4)
    assert any("variable frame rate" in note for note in found.notes)
    movie = opened(tmp_path / "clip.mkv")
    numbers = [drawn_number(read_planes(movie.frame(n), 8)[0], 8) for n in range(1, 11)]
    assert numbers == list(range(1, 11))
    movie.close()


def test_header_of_a_frame_has_rate_timecode_shape_and_how_it_was_decoded(tmp_path: Path) -> None:
    shot = replace(
        SHOTS["prores"], rate=Fraction(24000, 1001), metadata={"timecode": "01:02:03:04"}
    )
    found = picture(write_movie(tmp_path, shot), 22)
    attributes = found.part.attributes
    assert attributes["framesPerSecond"] == Fraction(24000, 1001)
    code = attributes["timeCode"]
    assert (code.hours, code.minutes, code.seconds, code.frame) == (1, 2, 4, 1)  # type: ignore[attr-defined]
    said = str(attributes[DECODED])
    for words in ("yuv422p10le", "video levels", "matrix BT.709", "chroma left", "Catmull-Rom"):
        assert words in said
    assert (found.part.data_window.width, found.part.data_window.height) == (61, 45)


def test_the_shape_of_a_pixel_is_kept(tmp_path: Path) -> None:
    shot = replace(H264, options={"params": "sar=4/3"})
    assert picture(write_movie(tmp_path, shot)).part.pixel_aspect == pytest.approx(4 / 3)


@pytest.mark.parametrize(("number", "name"), [(0, "left"), (1, "center"), (2, "top left")])
def test_the_siting_that_the_stream_names_is_taken(number: int, name: str, tmp_path: Path) -> None:
    shot = replace(H264, count=2, options={"params": f"chromaloc={number}"})
    found = picture(write_movie(tmp_path, shot))
    assert f"chroma {name}," in str(found.part.attributes[DECODED])
    assert not any("chroma" in note for note in found.notes)


def test_a_movie_that_does_not_name_its_colors_is_not_guessed_at(tmp_path: Path) -> None:
    shot = replace(H264, count=2, tags=(2, 2, 2, 0))
    path = write_movie(tmp_path, shot)
    with pytest.raises(UnknownColorspace, match="transfer unspecified") as caught:
        picture(path)
    assert "--colorspace" in caught.value.hint
    found = picture(path, colorspace="ACEScct")
    assert found.colorspace == "ACEScct"
    assert any("matrix" in note and "BT.601" in note for note in found.notes)
    assert any("video levels" in note for note in found.notes)
    with pytest.raises(UnknownColorspace):
        picture(path, colorspace="no such space")


@pytest.mark.parametrize(
    ("tags", "name"),
    [
        ((1, 13, 1, 1), "sRGB - Display"),
        ((9, 16, 9, 1), "Rec.2100-PQ - Display"),
        ((9, 18, 9, 1), "Rec.2100-HLG - Display"),
    ],
)
def test_tags_become_the_name_of_a_colorspace(
    tags: tuple[int, int, int, int], name: str, tmp_path: Path
) -> None:
    shot = Shot(layout="yuv420p10le", count=2, tags=tags)
    assert picture(write_movie(tmp_path, shot)).colorspace == name


def test_a_frame_beyond_the_end_is_missing(tmp_path: Path) -> None:
    movie = opened(write_movie(tmp_path, H264))
    with pytest.raises(FrameMissing, match="no frame 25"):
        movie.frame(25)
    assert issubclass(FrameMissing, KwafluxError)
    movie.close()
