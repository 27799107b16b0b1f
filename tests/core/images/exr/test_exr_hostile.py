"""EXR files that are cut off, damaged or of a kind that is refused: never a wrong picture."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import OpenEXR
import pytest

from kwaflux_core.errors import (
    FrameMissing,
    ImageError,
    ImageUnreadable,
    ImageUnsupported,
    ImageWriteFailed,
    KwafluxError,
)
from kwaflux_core.geometry import Box
from kwaflux_core.images.exr import write
from kwaflux_core.images.exr.captured_stdout import printed_text
from kwaflux_core.images.exr.read import exr_to_bytes, read_exr, read_exr_header, write_exr
from kwaflux_core.images.image import Image, Part
from kwaflux_testing.disks import small_disk
from kwaflux_testing.pictures import RawAttribute, deep_exr, noise, plate, raw_exr, subsampled_exr


def two_parts() -> Image:
    window = Box.from_size(9, 20)
    parts = [Part({"R": ramp(20, 9)}, window, window, name=name) for name in ("left", "right")]
    return Image(tuple(parts))


def ramp(height: int, width: int) -> npt.NDArray[np.float32]:
    """Return pixels that compress: what does not is stored as it is, without a checksum."""
    return np.arange(height * width, dtype=np.float32).reshape(height, width) // 4


SAMPLES = {
    "none": lambda: exr_to_bytes(Image.from_channels({"R": noise(20, 9)})),
    "zip": lambda: exr_to_bytes(Image.from_channels({"R": ramp(40, 9)}), compression="zip"),
    "piz": lambda: exr_to_bytes(Image.from_channels({"R": ramp(40, 9)}), compression="piz"),
    "tiled": lambda: raw_exr({"R": noise(20, 17)}, tiles=(8, 8)),
    "mip map": lambda: raw_exr({"R": noise(20, 17)}, tiles=(8, 8), levels="mip"),
    "two parts": lambda: exr_to_bytes(two_parts()),
}


def chunk_offsets(
    data: bytes, count: int, *, part_count: int = 1
) -> tuple[int, npt.NDArray[np.uint64]]:
    """Return where the table stands, and the chunks' offsets: the first one ends the table."""
    for position in range(8, len(data) - 8 * count):
        table = np.frombuffer(data, "<u8", count, position)
        if int(table.min()) == position + 8 * count and int(table.max()) < len(data):
            return position, table
    raise AssertionError("no chunk table")


@pytest.mark.parametrize("kind", SAMPLES)
def test_a_file_cut_off_anywhere_is_an_error(kind: str) -> None:
    data = SAMPLES[kind]()
    read_exr(data)
    for length in range(len(data)):
        with pytest.raises(ImageUnreadable):
            read_exr(data[:length])


@pytest.mark.parametrize("length", [0, 3, 8, 200, -1, -40])
def test_a_truncated_file_is_an_error_that_names_it_not_an_empty_picture(
    length: int, tmp_path: Path
) -> None:
    path = tmp_path / "cut.1001.exr"
    path.write_bytes(SAMPLES["zip"]()[:length])
    with pytest.raises(ImageUnreadable, match=r"cut\.1001\.exr"):
        read_exr(path)


def test_the_library_alone_returns_a_truncated_file_without_parts(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The trap the reader is there for."""
    file = OpenEXR.File(io.BytesIO(SAMPLES["zip"]()[:-5]), separate_channels=True)
    assert file.parts == []
    assert "Warning" in capsys.readouterr().out


@pytest.mark.parametrize(("kind", "count"), [("none", 20), ("zip", 3), ("tiled", 9)])
def test_a_block_that_was_never_written_is_an_error(kind: str, count: int) -> None:
    data = SAMPLES[kind]()
    position, _ = chunk_offsets(data, count)
    for index in range(count):
        damaged = bytearray(data)
        struct.pack_into("<Q", damaged, position + 8 * index, 0)
        with pytest.raises(ImageUnreadable, match="never written"):
            read_exr(bytes(damaged))


@pytest.mark.parametrize(("kind", "count"), [("none", 20), ("zip", 3), ("tiled", 9)])
def test_a_hole_of_zeros_over_a_block_is_an_error(kind: str, count: int) -> None:
    data = SAMPLES[kind]()
    _, offsets = chunk_offsets(data, count)
    for offset in offsets:
        damaged = bytearray(data)
        damaged[int(offset) : int(offset) + 24] = bytes(24)
        with pytest.raises(ImageUnreadable):
            read_exr(bytes(damaged))


@pytest.mark.parametrize(("kind", "count"), [("none", 20), ("zip", 3), ("tiled", 9)])
def test_a_block_that_stands_in_anothers_place_is_an_error(kind: str, count: int) -> None:
    data = SAMPLES[kind]()
    position, offsets = chunk_offsets(data, count)
    damaged = bytearray(data)
    struct.pack_into("<2Q", damaged, position, int(offsets[1]), int(offsets[0]))
    with pytest.raises(ImageUnreadable):
        read_exr(bytes(damaged))
    struct.pack_into("<2Q", damaged, position, int(offsets[0]), int(offsets[0]))
    with pytest.raises(ImageUnreadable):
        read_exr(bytes(damaged))


def test_a_damaged_second_part_does_not_leave_the_first_one_standing_alone() -> None:
    data = exr_to_bytes(two_parts(), compression="zip")
    for start in range(len(data) - 40, len(data) - 4):
        damaged = data[:start] + bytes(4) + data[start + 4 :]
        if damaged != data:
            with pytest.raises(ImageUnreadable):
                read_exr(damaged)


@pytest.mark.parametrize("kind", SAMPLES)
def test_any_flipped_bit_gives_a_picture_or_a_typed_error(kind: str) -> None:
    data = SAMPLES[kind]()
    rng = np.random.default_rng(7)
    for position in rng.permutation(len(data))[:300]:
        damaged = bytearray(data)
        damaged[position] ^= 1 << int(rng.integers(8))
        try:
            image = read_exr(bytes(damaged))
        except KwafluxError:
            continue
        assert image.parts


def test_a_warning_of_the_library_is_not_printed_but_becomes_the_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    data = bytearray(SAMPLES["zip"]())
    data[-60:-20] = bytes(40)
    with pytest.raises(ImageUnreadable) as caught:
        read_exr(bytes(data))
    assert capsys.readouterr().out == ""
    assert "Warning" not in caught.value.message


def test_other_threads_print_while_one_listens(capsys: pytest.CaptureFixture[str]) -> None:
    with printed_text() as outer:
        print("mine")  # noqa: T201
        thread = threading.Thread(target=lambda: print("theirs"))  # noqa: T201
        thread.start()
        thread.join(timeout=10)
    print("after")  # noqa: T201
    assert "".join(outer) == "mine\n"
    assert capsys.readouterr().out == "theirs\nafter\n"


@pytest.mark.parametrize(
    "data", [b"", b"\0", b"not an EXR at all", b"\x76\x2f\x31\x01", b"v/1\1\2\0\0\0"]
)
def test_bytes_that_are_no_exr_are_unreadable(data: bytes) -> None:
    for read in (read_exr, read_exr_header):
        with pytest.raises(ImageUnreadable):
            read(data)


@pytest.mark.parametrize("version", [1, 3, 0x2002, 0xFF02])
def test_an_exr_of_an_unknown_version_is_refused(version: int) -> None:
    data = bytearray(SAMPLES["none"]())
    struct.pack_into("<I", data, 4, version)
    with pytest.raises(ImageUnsupported, match="version"):
        read_exr(bytes(data))


def test_a_missing_file_is_a_missing_frame(tmp_path: Path) -> None:
    for read in (read_exr, read_exr_header):
        with pytest.raises(FrameMissing, match=r"plate\.1001\.exr"):
            read(tmp_path / "plate.1001.exr")


def test_a_folder_is_no_picture(tmp_path: Path) -> None:
    with pytest.raises(ImageError):
        read_exr(tmp_path)


def test_a_deep_file_is_refused_with_a_word_on_what_to_do() -> None:
    with pytest.raises(ImageUnsupported, match=r"deep.*flatten"):
        read_exr(deep_exr())
    assert read_exr_header(deep_exr())[0].storage == "deepscanline"


def test_a_subsampled_file_is_refused_with_the_name_of_the_channel() -> None:
    with pytest.raises(ImageUnsupported, match=r"subsampled channel 'BY'"):
        read_exr(subsampled_exr())
    names = [channel.name for channel in read_exr_header(subsampled_exr())[0].channels]
    assert names == ["BY", "RY", "Y"]


def test_the_subsampled_sample_is_one_that_the_library_reads() -> None:
    channels = OpenEXR.File(io.BytesIO(subsampled_exr()), separate_channels=True).channels()
    assert channels["BY"].pixels.shape == (4, 4)


def test_a_channel_name_that_is_no_unicode_is_an_error() -> None:
    data = SAMPLES["none"]().replace(b"R\0\2", b"\xe9\0\2", 1)
    with pytest.raises(ImageUnreadable):
        read_exr(data)


def test_a_window_too_large_to_hold_is_an_error_and_takes_no_memory() -> None:
    code = """if 1:
        import resource, sys
        from kwaflux_testing.pictures import RawAttribute, noise, raw_exr
        from kwaflux_core.errors import ImageUnreadable
        from kwaflux_core.images.exr.read import read_exr
        import struct
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for window in ((0, 0, 2**31 - 2, 3), (0, 0, 3, 2**31 - 2), (-2**30, -2**30, 2**30, 2**30)):
            box = RawAttribute("dataWindow", "box2i", struct.pack("<4i", *window))
            try:
                read_exr(raw_exr({"R": noise(4, 4)}, attributes=[box]))
            except ImageUnreadable:
                continue
            sys.exit("read")
        sys.exit(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before > 200_000)
    """
    paths = os.pathsep.join(path for path in sys.path if path)
    environment = {**os.environ, "PYTHONPATH": paths}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.parametrize(
    "attribute",
    [
        RawAttribute("dataWindow", "box2i", struct.pack("<4i", 5, 5, 4, 4)),
        RawAttribute("dataWindow", "box2i", b"\0"),
        RawAttribute("compression", "compression", b"\x63"),
        RawAttribute("channels", "chlist", b"R\0\0\0"),
        RawAttribute("channels", "chlist", b"R\0" + struct.pack("<iB3xii", 9, 0, 1, 1) + b"\0"),
        RawAttribute("framesPerSecond", "rational", b"\0"),
        RawAttribute("keyCode", "keycode", b"\0\0"),
    ],
    ids=lambda attribute: f"{attribute.name}-{len(attribute.value)}",
)
def test_a_header_that_makes_no_sense_is_an_error(attribute: RawAttribute) -> None:
    with pytest.raises((ImageUnreadable, ImageUnsupported)):
        read_exr(raw_exr({"R": noise(4, 4)}, attributes=[attribute]))


@pytest.mark.parametrize("compression", ["none", "zip", "piz"])
def test_a_disk_that_fills_leaves_the_old_file_and_no_other(
    compression: str, tmp_path: Path
) -> None:
    refused = []
    with small_disk(tmp_path / "disk", size_kib=256) as disk:
        path = disk / "clean.1001.exr"
        write_exr(path, plate())
        before = path.read_bytes()
        for height in range(150, 330, 9):  # Some fit beside the old file and most do not.
            image = Image.from_channels({"R": noise(height, 256)})
            try:
                write_exr(path, image, compression=compression)
            except ImageWriteFailed as error:
                refused.append(str(error))
                assert path.read_bytes() == before
            else:
                assert read_exr(path).part.data_window.height == height
                path.write_bytes(before)
            assert [entry.name for entry in disk.iterdir()] == [path.name]
    assert 0 < len(refused) < 20
    assert all("No space left" in text and "free disk space" in text for text in refused)


@pytest.mark.parametrize("lost_bytes", [1, 100, 900])
def test_a_write_that_the_library_calls_done_and_is_not_is_an_error(
    lost_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = exr_to_bytes(plate())

    class CutsOff:
        def write(self, path: str) -> None:
            Path(path).write_bytes(data[:-lost_bytes])

    monkeypatch.setattr(write, "_file_of", lambda *_, **__: (CutsOff(), []))
    path = tmp_path / "a.exr"
    path.write_bytes(b"old")
    with pytest.raises(ImageWriteFailed, match="not written whole"):
        write_exr(path, plate())
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.exr"]


def test_a_file_that_may_not_grow_is_an_error(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    path = tmp_path / "a.exr"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(ImageWriteFailed, match="too large"):
            write_exr(path, Image.from_channels({"R": noise(200, 200)}))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def test_parts_of_one_name_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    part = replace(plate().part, name="beauty")
    with pytest.raises(ImageWriteFailed, match="unique name"):
        write_exr(tmp_path / "a.exr", Image((part, part)))
    assert list(tmp_path.iterdir()) == []
