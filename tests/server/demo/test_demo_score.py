from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import OpenEXR
import PIL.Image
import pytest

from kwaflux_core.color.display_curves import display_decode
from kwaflux_core.errors import FrameMissing, ImageError
from kwaflux_core.geometry import Box
from kwaflux_core.images.image import Channel, Image, Part
from kwaflux_core.images.io import write_image
from kwaflux_core.protocol.messages import RangeReceipt
from kwaflux_models.evaluation.metrics.display_values import shown
from kwaflux_server.demo.before_after import Panel, draw_before_after
from kwaflux_server.demo.folders import FIRST_FRAME, Folders
from kwaflux_server.demo.score import (
    COLOR,
    altered,
    differing_channels,
    merged_receipt,
    quality,
)
from kwaflux_server.demo.verify_outputs import read_back


def code_picture(value: float, side: int = 32) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Return a scene-linear picture whose sRGB code is the value everywhere."""
    return display_decode(np.full((side, side, 3), value, np.float32), "srgb")


def time_code(frame: int) -> object:
    return OpenEXR.TimeCode(1, 0, 0, frame, *[False] * 6, *[0] * 8)


def picture(shade: float = 0.5, **attributes: object) -> Image:
    rng = np.random.default_rng(3)
    size = Box.from_size(16, 12)
    depth = rng.random((12, 16)).astype(np.float32)
    depth[0, 0] = np.nan
    channels: dict[str, Channel] = {
        **{name: np.full((12, 16), shade, np.float32) for name in COLOR},
        "depth.Z": depth,
        "object.id": rng.integers(2**32, size=(12, 16), dtype=np.uint32),
    }
    header = {"timeCode": time_code(7), "framesPerSecond": Fraction(24), **attributes}
    return Image((Part(channels, size, size.expanded(2), header),))


def with_channel(image: Image, name: str, pixels: Channel) -> Image:
    part = image.part
    return replace(image, parts=(replace(part, channels={**part.channels, name: pixels}),))


def test_psnr_is_of_the_display_codes_and_the_mean_over_frames_is_of_decibels() -> None:
    clean = [code_picture(0.5), code_picture(0.5)]
    off = [code_picture(0.6), code_picture(0.51)]
    found = quality(off, clean)
    assert found.psnr_db == pytest.approx((20.0 + 40.0) / 2, abs=0.01)
    assert found.ssim < 1.0


def test_a_perfect_clip_has_a_finite_psnr_and_an_ssim_of_one() -> None:
    clean = [code_picture(0.3)]
    found = quality(clean, clean)
    assert found.psnr_db == 120.0
    assert found.ssim == pytest.approx(1.0)


def test_what_a_viewer_cannot_see_is_not_scored() -> None:
    bright, brighter = (np.full((16, 16, 3), v, np.float32) for v in (1.0, 7.0))
    assert shown(brighter).max() == 1.0
    assert quality([brighter], [bright]).psnr_db == 120.0


@pytest.mark.parametrize("count", [0, 2])
def test_clips_of_unequal_length_or_none_are_not_compared(count: int) -> None:
    with pytest.raises(ImageError, match="cannot be compared"):
        quality([code_picture(0.5)] * count, [code_picture(0.5)])


def test_new_color_and_our_own_header_are_no_alteration() -> None:
    before, after = picture(0.5), picture(0.7, **{"kwaflux/flow": "denoise"})
    assert altered(before, after) == []


def test_one_flipped_bit_in_an_id_or_in_a_nan_is_an_alteration() -> None:
    before = picture()
    ids = before.part.channels["object.id"].copy()
    ids[3, 4] ^= 1
    assert altered(before, with_channel(before, "object.id", ids)) == ["channel object.id"]
    depth = before.part.channels["depth.Z"].copy()
    depth.view(np.uint32)[0, 0] ^= 1
    assert np.isnan(depth[0, 0])
    assert altered(before, with_channel(before, "depth.Z", depth)) == ["channel depth.Z"]


def test_another_type_with_the_same_bits_is_an_alteration() -> None:
    before = picture()
    as_float = before.part.channels["object.id"].view(np.float32)
    assert differing_channels(before, with_channel(before, "object.id", as_float), COLOR) == []
    assert altered(before, with_channel(before, "object.id", as_float)) == ["channel object.id"]


def test_a_lost_or_changed_attribute_is_an_alteration() -> None:
    before = picture(reelName="A001", center=np.zeros(2, np.float32))
    moved = picture(reelName="A001", center=np.zeros(2, np.float32), timeCode=time_code(8))
    assert altered(before, moved) == ["attribute timeCode"]
    assert altered(before, picture(center=np.zeros(2, np.float32))) == ["attribute reelName"]
    turned = picture(reelName="A001", center=np.array([0.0, -0.0], np.float32))
    assert altered(before, turned) == ["attribute center"]


def test_a_moved_window_is_an_alteration() -> None:
    before = picture()
    part = replace(before.part, display_window=Box.from_size(16, 12))
    assert altered(before, replace(before, parts=(part,))) == ["display_window"]


def test_receipts_of_frames_merge_into_the_widest_range_and_the_sum_of_oddities() -> None:
    one = RangeReceipt(0.0, 1.0, -0.1, 1.2, 0.25, 3, 0)
    two = RangeReceipt(-0.5, 0.5, 0.0, 2.0, 0.75, 1, 2)
    assert merged_receipt([one, two]) == RangeReceipt(-0.5, 1.0, -0.1, 2.0, 0.5, 4, 2)
    with pytest.raises(ImageError, match="no frame"):
        merged_receipt([])


def test_the_picture_shows_each_panels_pixels_unscaled(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    codes = [rng.integers(256, size=(40, 50, 3), dtype=np.uint8) for _ in range(3)]
    panels = [
        Panel(f"panel {i}", display_decode(code.astype(np.float32) / np.float32(255), "srgb"))
        for i, code in enumerate(codes)
    ]
    path = tmp_path / "picture.png"
    crop = Box.from_size(30, 20, x0=5, y0=7)
    draw_before_after(panels, path, crop=crop)
    with PIL.Image.open(path) as opened:
        sheet = np.asarray(opened)
    for index, code in enumerate(codes):
        left = index * (30 + 4)
        assert np.array_equal(sheet[:20, left : left + 30], code[7:27, 5:35])
    label = sheet[20:]
    assert label.shape[0] > 10
    assert label.max() > 200
    assert [entry.name for entry in tmp_path.iterdir()] == ["picture.png"]


def test_a_crop_beyond_a_panel_is_refused(tmp_path: Path) -> None:
    panel = Panel("small", np.zeros((8, 8, 3), np.float32))
    with pytest.raises(ImageError, match="beyond a panel"):
        draw_before_after([panel], tmp_path / "x.png", crop=Box.from_size(9, 4))


def filled(tmp_path: Path, frames: int) -> Folders:
    folders = Folders.claimed(tmp_path / "demo", temporary="again")
    for frame in range(FIRST_FRAME, FIRST_FRAME + frames):
        write_image(folders.plate.file(frame), picture(0.4))
        write_image(folders.enhanced.file(frame), picture(0.5))
        write_image(folders.repeated.file(frame), picture(0.5))
    return folders


def test_results_are_read_back_from_the_disk_and_found_good(tmp_path: Path) -> None:
    steps: list[int] = []
    clean = np.full((2, 12, 16, 3), 0.5, np.float32)
    found = read_back(filled(tmp_path, 2), clean, on_frame=lambda: steps.append(1))
    assert len(steps) == 2
    assert found.is_untouched.is_good
    assert found.is_repeated.is_good
    assert quality(found.enhanced, found.clean).psnr_db == 120.0
    assert quality(found.plate, found.clean).psnr_db < 40.0


def test_a_changed_timecode_and_an_unequal_second_run_are_told_with_their_frame(
    tmp_path: Path,
) -> None:
    folders = filled(tmp_path, 2)
    write_image(folders.enhanced.file(1002), picture(0.5, timeCode=time_code(9)))
    write_image(folders.repeated.file(1001), picture(np.nextafter(np.float32(0.5), np.float32(1))))
    found = read_back(folders, np.zeros((2, 12, 16, 3), np.float32), on_frame=lambda: None)
    assert not found.is_untouched.is_good
    assert found.is_untouched.text.endswith("but not attribute timeCode of 1002")
    assert found.is_repeated.text.endswith("but not R of 1001, G of 1001, B of 1001")


def test_a_frame_without_a_result_is_left_out_and_none_at_all_is_an_error(tmp_path: Path) -> None:
    folders = filled(tmp_path, 2)
    clean = np.zeros((2, 12, 16, 3), np.float32)
    folders.enhanced.file(1001).unlink()
    assert len(read_back(folders, clean, on_frame=lambda: None).enhanced) == 1
    folders.enhanced.file(1002).unlink()
    with pytest.raises(FrameMissing):
        read_back(folders, clean, on_frame=lambda: None)
