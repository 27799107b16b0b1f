"""EXR in and out: what stood in the file stands in the copy, bit for bit."""

from __future__ import annotations

import io
import itertools
import threading
from fractions import Fraction
from pathlib import Path

import numpy as np
import OpenEXR
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kwaflux_core.errors import ImageUnsupported, RequestError
from kwaflux_core.geometry import Box
from kwaflux_core.images.exr.read import (
    COMPRESSIONS,
    exr_to_bytes,
    read_exr,
    read_exr_header,
    set_exr_threads,
    write_exr,
)
from kwaflux_core.images.image import Channel, Image, Part
from kwaflux_testing.pictures import (
    EVERY_ATTRIBUTE,
    ODD_ATTRIBUTES,
    hard_floats,
    noise,
    plate,
    raw_attributes,
    raw_exr,
    same_bits,
)

LOSSLESS = ("none", "rle", "zips", "zip", "piz")
STRIDED = {
    "transposed": lambda a: np.ascontiguousarray(a.T).T,
    "every other": lambda a: np.repeat(a, 2, axis=1)[:, ::2],
    "upside down": lambda a: np.ascontiguousarray(a[::-1])[::-1],
    "interleaved": lambda a: np.stack([a, a + 1], axis=-1)[..., 0],
}


def assert_same_channels(first: Image, second: Image) -> None:
    assert len(first.parts) == len(second.parts)
    for one, other in zip(first.parts, second.parts, strict=True):
        assert set(one.channels) == set(other.channels)
        for name in one.channels:
            assert same_bits(one.channels[name], other.channels[name]), name


def fourteen_channels() -> dict[str, Channel]:
    shape = (13, 17)
    ids = np.resize(np.array([0, 1, 2**32 - 1, 2**24 + 1, 0x80000000], np.uint32), shape)
    return {
        "R": hard_floats(np.float32, shape=shape),
        "G": noise(*shape) * 1e6,
        "B": noise(*shape, seed=1) - 0.5,
        "A": noise(*shape, seed=2),
        "left.R": hard_floats(np.float16, shape=shape),
        "left.G": noise(*shape).astype(np.float16),
        "left.B": noise(*shape).astype(np.float16),
        "left": noise(*shape, seed=3),
        "depth.Z": noise(*shape) * 1e5,
        "a.b.c.R": noise(*shape, seed=4),
        "crypto00.red": ids.view(np.float32),
        "objectId": ids,
        "Ключ.значение": noise(*shape, seed=5),
        "a channel with a name of more than thirty-one letters": ids.copy(),
    }


def test_fourteen_channels_of_every_type_come_back_bit_for_bit() -> None:
    image = Image.from_channels(fourteen_channels())
    for compression in LOSSLESS:
        again = read_exr(exr_to_bytes(image, compression=compression))
        assert_same_channels(image, again)


def test_values_no_codec_may_touch_are_read_from_the_file_as_they_stand() -> None:
    channels = fourteen_channels()
    assert_same_channels(Image.from_channels(channels), read_exr(raw_exr(channels)))


@pytest.mark.parametrize("attributes", [EVERY_ATTRIBUTE, ODD_ATTRIBUTES], ids=["every", "odd"])
@pytest.mark.parametrize("is_on_disk", [False, True], ids=["bytes", "file"])
def test_every_attribute_of_every_type_keeps_its_bytes(
    attributes: tuple[object, ...], is_on_disk: bool, tmp_path: Path
) -> None:
    data = raw_exr({"R": noise(5, 7)}, attributes=attributes, line_order=1)  # type: ignore[arg-type]
    if is_on_disk:
        source, target = tmp_path / "in.exr", tmp_path / "out.exr"
        source.write_bytes(data)
        write_exr(target, read_exr(source))
        copy = target.read_bytes()
    else:
        copy = exr_to_bytes(read_exr(data), compression="")
    before, after = raw_attributes(data), raw_attributes(copy)
    assert {name: after.get(name) for name in before} == before
    assert set(after) - set(before) == {"type"}


def test_an_odd_attribute_is_held_as_raw_bytes_of_its_true_type() -> None:
    image = read_exr(raw_exr({"R": noise(2, 2)}, attributes=ODD_ATTRIBUTES))
    held = image.part.attributes["a/unreduced"]
    assert isinstance(held, OpenEXR.OpaqueAttribute)
    assert held.typeName == "rational"
    assert held.data == ODD_ATTRIBUTES[0].value


def test_the_header_of_an_odd_file_is_read_too() -> None:
    (part,) = read_exr_header(raw_exr({"R": noise(2, 2)}, attributes=ODD_ATTRIBUTES))
    assert part.attributes["studio/Capital"].typeName == "Rational"  # type: ignore[attr-defined]


@given(
    x=st.integers(-50, 50), y=st.integers(-50, 50),
    left=st.integers(-60, 60), top=st.integers(-60, 60),
    width=st.integers(1, 80), height=st.integers(1, 80),
)  # fmt: skip
@settings(max_examples=40, deadline=None)
def test_windows_of_any_relation_survive(
    x: int, y: int, left: int, top: int, width: int, height: int
) -> None:
    part = Part(
        {"R": noise(3, 5)},
        Box.from_size(5, 3, x0=x, y0=y),
        Box.from_size(width, height, x0=left, y0=top),
        pixel_aspect=2.0,
    )
    again = read_exr(exr_to_bytes(Image((part,)))).part
    assert (again.data_window, again.display_window) == (part.data_window, part.display_window)
    assert again.pixel_aspect == 2.0
    assert same_bits(again.channels["R"], part.channels["R"])


def test_parts_keep_their_names_views_windows_and_attributes() -> None:
    display = Box.from_size(30, 20)
    parts = tuple(
        Part(
            {"R": noise(7 + index, 9), "Z": hard_floats(np.float16, shape=(7 + index, 9))},
            Box.from_size(9, 7 + index, x0=-3 * index, y0=index),
            display,
            {"view": view, "compression": compression, "comments": f"part {index}"},
            name=f"beauty.{view}",
        )
        for index, (view, compression) in enumerate(
            [("left", OpenEXR.PIZ_COMPRESSION), ("right", OpenEXR.RLE_COMPRESSION)]
        )
    )
    image = Image(parts)
    again = read_exr(exr_to_bytes(image, compression=""))
    assert_same_channels(image, again)
    for one, other in zip(parts, again.parts, strict=True):
        assert (one.name, one.data_window) == (other.name, other.data_window)
        assert other.attributes.items() >= one.attributes.items()


@pytest.mark.parametrize("name", STRIDED)
def test_a_strided_array_is_written_as_the_pixels_it_shows(name: str) -> None:
    pixels = noise(6, 9)
    strided = STRIDED[name](pixels)
    assert not strided.flags.c_contiguous
    again = read_exr(exr_to_bytes(Image.from_channels({"R": strided})))
    assert same_bits(again.part.channels["R"], pixels)


def test_the_library_alone_would_write_other_pixels_for_a_strided_array() -> None:
    """The trap that the copy in the writer is there for; when this fails the copy can go."""
    pixels = noise(6, 9)
    stream = io.BytesIO()
    OpenEXR.File({}, {"R": np.ascontiguousarray(pixels.T).T}).write(stream)
    assert not same_bits(read_exr(stream.getvalue()).part.channels["R"], pixels)


@pytest.mark.parametrize("dtype", [np.float64, np.uint8, np.int32, np.dtype(">f4"), np.bool_])
def test_a_type_that_an_exr_does_not_have_is_refused(dtype: np.dtype[np.generic]) -> None:
    image = Image.from_channels({"R": np.ones((2, 3), dtype)})
    with pytest.raises(ImageUnsupported, match=r"'R'.*float32, float16 and uint32"):
        exr_to_bytes(image)


@pytest.mark.parametrize(
    "value",
    [2**31, -(2**31) - 1, 2**40, [1, 2], [], ["a", 1], [1.0, "a"], (1, 2, 3, 4), (2**31, 0),
     1e300, "\ud800", b"bytes", None, {"a": 1}, Fraction(2**40, 3), np.zeros(4), np.zeros((2, 2)),
     np.zeros(4, np.int32), np.int64(2**40), OpenEXR.Rational(1, 2), (1, 2.0)],
    ids=repr,
)  # fmt: skip
def test_an_attribute_that_would_be_changed_in_silence_is_refused(value: object) -> None:
    image = Image.from_channels({"R": noise(2, 2)}, attributes={"kwaflux/x": value})
    with pytest.raises(ImageUnsupported, match="kwaflux/x"):
        exr_to_bytes(image)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(3, 3), (np.int32(3), 3), (True, 1), (0.5, 0.5), (np.float32(0.5), 0.5), ("ü", "ü"), ("", ""),
     (Fraction(24000, 1001), Fraction(24000, 1001)), (["a", "b"], ["a", "b"]), ([0.5], [0.5]),
     (float("inf"), float("inf"))],
    ids=repr,
)  # fmt: skip
def test_a_plain_python_value_is_written_as_what_it_is(value: object, expected: object) -> None:
    image = Image.from_channels({"R": noise(2, 2)}, attributes={"kwaflux/x": value})
    again = read_exr(exr_to_bytes(image)).part.attributes["kwaflux/x"]
    assert again == expected
    assert type(again) is type(expected)


def test_a_transposed_matrix_is_written_as_the_numbers_it_shows() -> None:
    matrix = np.arange(9, dtype=np.float32).reshape(3, 3).T
    image = Image.from_channels({"R": noise(2, 2)}, attributes={"m": matrix})
    again = read_exr(exr_to_bytes(image)).part.attributes["m"]
    assert np.array_equal(again, matrix)  # type: ignore[arg-type]


def test_writing_changes_nothing_of_what_the_caller_holds() -> None:
    channels = {"R": noise(4, 4), "G": noise(4, 4)}
    attributes: dict[str, object] = {"comments": "mine"}
    image = Image.from_channels(channels, attributes=attributes)
    before = dict(channels)
    exr_to_bytes(image)
    assert all(channels[name] is before[name] for name in before)
    assert attributes == {"comments": "mine"}
    assert image.part.attributes == {"comments": "mine"}


@pytest.mark.parametrize("source", LOSSLESS)
def test_a_lossless_compression_of_the_source_is_kept(source: str) -> None:
    image = read_exr(exr_to_bytes(plate(), compression=source))
    assert (
        read_exr(exr_to_bytes(image, compression="")).part.attributes["compression"]
        == (COMPRESSIONS[source])
    )


@pytest.mark.parametrize("source", [name for name in COMPRESSIONS if name not in LOSSLESS])
def test_a_lossy_or_young_compression_is_not_passed_on_unasked(source: str) -> None:
    image = read_exr(exr_to_bytes(plate(), compression=source))
    assert image.part.attributes["compression"] == COMPRESSIONS[source]
    again = read_exr(exr_to_bytes(image, compression=""))
    assert again.part.attributes["compression"] == OpenEXR.ZIP_COMPRESSION
    assert_same_channels(image, again)
    asked = read_exr(exr_to_bytes(image, compression=source.upper()))
    assert asked.part.attributes["compression"] == COMPRESSIONS[source]


def test_an_unknown_compression_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(RequestError, match=r"'zipz'.*did you mean 'zip"):
        exr_to_bytes(plate(), compression="zipz")
    with pytest.raises(RequestError, match="none, rle"):
        exr_to_bytes(plate(), compression="lossless please")


@pytest.mark.parametrize(
    ("levels", "rounds_up", "size"),
    [*itertools.product(["one", "mip", "rip"], [False, True], [(37, 50), (1, 9), (64, 64)])],
)
def test_of_a_tiled_file_the_full_size_is_read_and_one_level_written(
    levels: str, rounds_up: bool, size: tuple[int, int]
) -> None:
    pixels = noise(*size)
    data = raw_exr({"R": pixels}, tiles=(16, 8), levels=levels, rounds_up=rounds_up)  # type: ignore[arg-type]
    image = read_exr(data)
    assert same_bits(image.part.channels["R"], pixels)
    assert bool(image.notes) == (levels != "one")
    copy = exr_to_bytes(image, compression="")
    again = read_exr(copy)
    assert again.notes == ()
    assert same_bits(again.part.channels["R"], pixels)
    width, height, mode = np.frombuffer(raw_attributes(copy)["tiles"].value, "<u4,<u4,u1")[0]
    assert (width, height, mode & 0xF) == (16, 8, 0)
    assert again.part.attributes["type"] == OpenEXR.tiledimage


def test_the_order_of_lines_survives() -> None:
    image = read_exr(raw_exr({"R": noise(5, 4)}, line_order=1))
    again = read_exr(exr_to_bytes(image)).part
    assert again.attributes["lineOrder"] == OpenEXR.DECREASING_Y
    assert same_bits(again.channels["R"], noise(5, 4))


def test_the_flag_that_tells_lossy_codecs_color_from_data_survives() -> None:
    channels = {"R": noise(3, 3), "mask": noise(3, 3)}
    image = read_exr(raw_exr(channels, plinear=frozenset({"mask"})))
    assert image.part.plinear == {"mask"}
    assert read_exr(exr_to_bytes(image)).part.plinear == {"mask"}


def test_half_rounds_the_color_of_every_layer_and_nothing_else() -> None:
    shape = (4, 5)
    ids = np.full(shape, 2**24 + 1, np.uint32)
    names = ("R", "G", "B", "A", "diffuse.R", "depth.Z", "motion.u", "mask")
    channels: dict[str, Channel] = {name: noise(*shape) / np.float32(3) for name in names}
    image = Image.from_channels({**channels, "id": ids})
    again = read_exr(exr_to_bytes(image, half=True)).part.channels
    for name in ("R", "G", "B", "A", "diffuse.R"):
        assert same_bits(again[name], channels[name].astype(np.float16))
    for name in ("depth.Z", "motion.u", "mask"):
        assert same_bits(again[name], channels[name])
    assert same_bits(again["id"], ids)


def test_half_keeps_inf_and_nan_and_refuses_what_it_cannot_hold() -> None:
    fine = np.array([[np.inf, -np.inf, np.nan, 65504.0, -65519.0]], np.float32)
    again = read_exr(exr_to_bytes(Image.from_channels({"R": fine}), half=True)).part.channels["R"]
    assert np.array_equal(again, fine.astype(np.float16), equal_nan=True)
    with pytest.raises(RequestError, match=r"'R' goes up to 1e\+06"):
        exr_to_bytes(Image.from_channels({"R": np.full_like(fine, 1e6)}), half=True)


@pytest.mark.parametrize("compression", ["dwaa", "dwab", "lj2k"])
@pytest.mark.parametrize("value", [np.inf, np.nan, 1e5, -1e5])
def test_a_lossy_codec_is_refused_where_it_would_clamp(compression: str, value: float) -> None:
    pixels = noise(20, 20)
    exr_to_bytes(Image.from_channels({"left.G": pixels}), compression=compression)
    pixels[3, 4] = value
    with pytest.raises(RequestError, match=r"'left\.G' has 1 values"):
        exr_to_bytes(Image.from_channels({"left.G": pixels}), compression=compression)
    exr_to_bytes(Image.from_channels({"Z": pixels}), compression=compression)


def test_a_header_tells_types_and_windows_without_the_pixels(tmp_path: Path) -> None:
    channels = fourteen_channels()
    path = tmp_path / "a.exr"
    path.write_bytes(raw_exr(channels, origin=(-4, 6), display=(0, 0, 1919, 1079)))
    (part,) = read_exr_header(path)
    types = {c.name: c.pixel_type for c in part.channels}
    assert types["R"] == "float"
    assert types["left.R"] == "half"
    assert types["objectId"] == "uint"
    assert part.data_window == Box.from_size(17, 13, x0=-4, y0=6)
    assert part.display_window == Box.from_size(1920, 1080)
    assert part.pixels_bytes == sum(pixels.nbytes for pixels in channels.values())
    assert part.storage == "scanlineimage"


def test_colorspace_tags_survive() -> None:
    tags: dict[str, object] = {
        "colorInteropID": "lin_ap1_scene",
        "chromaticities": (0.713, 0.293, 0.165, 0.83, 0.128, 0.044, 0.32168, 0.33767),
    }
    first = exr_to_bytes(Image.from_channels({"R": noise(2, 2)}, attributes=tags))
    second = exr_to_bytes(read_exr(first))
    assert raw_attributes(second)["colorInteropID"].value == b"lin_ap1_scene"
    assert raw_attributes(second)["chromaticities"] == raw_attributes(first)["chromaticities"]


def test_files_are_read_and_written_by_several_threads_at_once(tmp_path: Path) -> None:
    failures: list[str] = []

    def work(seed: int) -> None:
        for frame in range(5):
            image = plate(seed=seed + frame)
            path = tmp_path / f"{seed}.{frame}.exr"
            write_exr(path, image)
            again = read_exr(path)
            if not same_bits(again.part.channels["R"], image.part.channels["R"]):
                failures.append(path.name)

    set_exr_threads(2)
    try:
        threads = [threading.Thread(target=work, args=(100 * n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=60)
    finally:
        set_exr_threads(0)
    assert not failures
    assert len(list(tmp_path.iterdir())) == 20
