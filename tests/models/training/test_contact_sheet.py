"""The contact sheet shows the samples of a task, and the codecs are drawn from the mixes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kwaflux_core.errors import ImageError, ImageWriteFailed

av = pytest.importorskip("av")

from kwaflux_models.training import contact_sheet  # noqa: E402
from kwaflux_models.training.degradations import codec_mixes  # noqa: E402
from kwaflux_models.training.degradations.codec_mixes import CodecMix, draw_codec  # noqa: E402
from kwaflux_models.training.degradations.codec_roundtrip import CODECS  # noqa: E402
from kwaflux_models.training.tasks import trainable_effects  # noqa: E402

MIXES = (
    codec_mixes.ANY_CODEC,
    codec_mixes.FOOTAGE,
    codec_mixes.LIGHT_FOOTAGE,
    codec_mixes.LIGHT_H264,
    codec_mixes.SMALL_PICTURES,
)


def write_movie(path: Path, side: int) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    with av.open(str(path), "w") as movie:
        stream = movie.add_stream("mpeg4", rate=24)
        stream.width = stream.height = side
        stream.pix_fmt = "yuv420p"
        movie.mux(stream.encode(av.VideoFrame.from_ndarray(noise, format="rgb24")))
        movie.mux(stream.encode(None))


def draw_sheet(out: Path, *arguments: str) -> None:
    given = ["--out", str(out), "--samples", "3", *arguments]
    assert contact_sheet.main(given, {}, say=lambda line: None) == 0


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        contact_sheet, "call_in_child", lambda limit_s, work, *args, **named: work(*args, **named)
    )


@pytest.mark.usefixtures("in_process")
def test_a_sheet_is_the_same_for_the_same_seed(tmp_path: Path) -> None:
    write_movie(tmp_path / "clip.mp4", side=240)
    written = []
    for number, seed in enumerate((1, 1, 2)):
        out = tmp_path / f"sheet{number}.png"
        draw_sheet(
            out, "--effect", "deblur", "--clip", str(tmp_path / "clip.mp4"), "--seed", str(seed)
        )
        with Image.open(out) as picture:
            written.append(np.asarray(picture))
    assert np.array_equal(written[0], written[1])
    assert not np.array_equal(written[0], written[2])
    with pytest.raises(ImageWriteFailed):
        draw_sheet(tmp_path / "no" / "sheet.png", "--effect", "deblur", "--cache", str(tmp_path))


def test_without_a_name_every_effect_is_on_the_sheet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[str] = []

    def note(limit_s: float, work: object, effect: str, *args: object, **named: object) -> object:
        drawn.append(effect)
        return np.zeros((4, 4 + len(drawn), 3), np.float32)

    monkeypatch.setattr(contact_sheet, "call_in_child", note)
    draw_sheet(tmp_path / "sheet.png", "--cache", str(tmp_path))
    assert drawn == trainable_effects()


@pytest.mark.usefixtures("in_process")
def test_a_movie_smaller_than_a_sample_is_refused(tmp_path: Path) -> None:
    write_movie(tmp_path / "small.mp4", side=64)
    with pytest.raises(ImageError, match="no picture is large enough"):
        draw_sheet(
            tmp_path / "sheet.png", "--effect", "deblur", "--clip", str(tmp_path / "small.mp4")
        )


@pytest.mark.parametrize("mix", MIXES)
def test_every_drawn_codec_is_one_that_there_is(mix: CodecMix) -> None:
    assert sum(entry.share for entry in mix.codecs.values()) == pytest.approx(1.0)
    rng = np.random.default_rng(2)
    drawn = [draw_codec(rng, mix) for _ in range(600)]
    assert {how.codec for how in drawn} == set(mix.codecs)
    for how in drawn:
        low, high = sorted((CODECS[how.codec].best, CODECS[how.codec].worst))
        entry = mix.codecs[how.codec]
        assert low <= entry.low <= how.quality <= entry.high <= high


def test_a_light_mix_is_finer_than_the_mix_of_footage() -> None:
    rng = np.random.default_rng(2)
    light, footage = (
        float(np.median([draw_codec(rng, mix).step for _ in range(300)]))
        for mix in (codec_mixes.LIGHT_FOOTAGE, codec_mixes.FOOTAGE)
    )
    assert light < 6.0 < footage
