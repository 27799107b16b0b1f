"""From file to file through a real server: only what was asked for changes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import OpenEXR
import pytest

from kwaflux_core import Image, read_image, write_image
from kwaflux_core.errors import ImageWriteFailed, RequestError
from kwaflux_core.geometry import Box
from kwaflux_core.images.image import Channel, Part
from kwaflux_core.protocol.render_options import RenderOptions
from kwaflux_testing.disks import small_disk
from kwaflux_testing.pictures import noise, plate, same_bits
from kwaflux_testing.rasters import write_png
from kwaflux_testing.servers import RunningServer

HEIGHT, WIDTH = 48, 64


def _rich_picture() -> Image:
    """Return two parts with everything that must not change: IDs, layers, half, windows, header."""
    ids = np.random.default_rng(5).integers(0, 2**32, (HEIGHT, WIDTH), np.uint32)
    base: dict[str, Channel] = {
        **{name: noise(HEIGHT, WIDTH, seed=index) for index, name in enumerate("RGBA")},
        "crypto.id": ids,
        "depth.Z": noise(HEIGHT, WIDTH, seed=9) * 1e6,
        **{
            f"diffuse.{name}": noise(HEIGHT, WIDTH, seed=20 + index).astype(np.float16)
            for index, name in enumerate("RGB")
        },
    }
    window, display = Box(-9, -4, WIDTH - 9, HEIGHT - 4), Box(0, 0, 50, 40)
    first = Part(
        base,
        window,
        display,
        {
            "timeCode": OpenEXR.TimeCode(1, 2, 3, 4, *([0] * 14)),
            "comments": "plate",
            "reelName": "A001",
            "worldToCamera": np.arange(16, dtype=np.float32).reshape(4, 4),
        },
        name="beauty",
        pixel_aspect=2.0,
    )
    second = Part(
        {"mask.A": noise(11, 7)},
        Box(3, 3, 10, 14),
        display,
        {"note": "x"},
        name="mask",
        pixel_aspect=2.0,
    )
    return Image((first, second))


def test_everything_but_the_color_survives_a_render(server: RunningServer, tmp_path: Path) -> None:
    source, target = tmp_path / "plate.exr", tmp_path / "clean.exr"
    write_image(source, _rich_picture())
    before = read_image(source)
    with server.client() as client:
        client.render_file(source, target, "soften", timeout_s=60)
    after = read_image(target)
    assert len(after.parts) == 2
    for old, new in zip(before.parts, after.parts, strict=True):
        assert (new.data_window, new.display_window) == (old.data_window, old.display_window)
        assert (new.name, new.pixel_aspect) == (old.name, old.pixel_aspect)
        assert set(new.channels) == set(old.channels)
        for name in set(old.channels) - {"R", "G", "B"}:
            assert same_bits(new.channels[name], old.channels[name]), name
        kept = {k: v for k, v in new.attributes.items() if not k.startswith("kwaflux/")}
        assert set(kept) == set(old.attributes)
        for name, value in old.attributes.items():
            assert str(kept[name]) == str(value), name
    for name in "RGB":
        assert not same_bits(after.part.channels[name], before.part.channels[name])


def test_another_layer_is_enhanced_and_the_base_is_left_alone(
    server: RunningServer, tmp_path: Path
) -> None:
    source, target = tmp_path / "plate.exr", tmp_path / "clean.exr"
    write_image(source, _rich_picture())
    with server.client() as client:
        client.render_file(
            source, target, "soften", options=RenderOptions(layer="diffuse"), timeout_s=60
        )
    before, after = read_image(source).part.channels, read_image(target).part.channels
    assert all(same_bits(after[name], before[name]) for name in "RGBA")
    assert not np.array_equal(after["diffuse.R"], before["diffuse.R"])


def test_a_render_says_in_the_header_how_it_was_made(server: RunningServer, tmp_path: Path) -> None:
    source, target = tmp_path / "plate.exr", tmp_path / "clean.exr"
    write_image(source, plate(HEIGHT, WIDTH))
    with server.client() as client:
        result = client.render_file(source, target, "denoise(strength=0.5)", timeout_s=60)
        (card,) = (card for card in client.effects() if card.id == "denoise")
    found = read_image(target).part.attributes
    ours = {name.removeprefix("kwaflux/"): found[name] for name in found if "kwaflux/" in name}
    for name, text in result.report.provenance.items():
        assert ours[name] == text
    assert "strength=0.5" in str(ours["flow"])
    assert card.weights[0].sha256 in str(ours["weights"])
    assert ours["weights_licence"] == card.weights[0].licence
    assert ours["precision"] == "float32"
    assert len(str(ours["hash"])) == len(str(ours["pixels"])) == 64
    assert json.loads(str(ours["receipt"])) == {
        name: getattr(result.report.receipt, name) for name in type(result.report.receipt).__slots__
    }


def test_the_receipt_says_what_is_true_of_the_pixels(server: RunningServer) -> None:
    channels = {name: 0.4 + 0.1 * noise(HEIGHT, WIDTH, seed=n) for n, name in enumerate("RGB")}
    channels["R"][0, 0], channels["G"][1, 1], channels["B"][2, 2] = 70000.0, np.nan, -np.inf
    channels["B"][5, 5] = -3.5
    hard = Image.from_channels(channels)
    with server.client() as client:
        result = client.render(hard, "soften", timeout_s=60)
    receipt, after = result.report.receipt, result.image.part.channels
    finite = [after[name][np.isfinite(after[name])] for name in "RGB"]
    assert (receipt.nan_count, receipt.inf_count) == (1, 1)
    assert (receipt.min_in, receipt.max_in) == (-3.5, 70000.0)
    assert receipt.min_out == min(float(values.min()) for values in finite)
    assert receipt.max_out == max(float(values.max()) for values in finite)
    # The card says -0.5 to 8, in Rec. 709: red of ACEScg at 70000 is beyond it in all three.
    assert receipt.beyond_trained == pytest.approx(4 / (3 * HEIGHT * WIDTH), rel=1e-3)
    assert after["R"][0, 0] == 70000.0, "what lies far beyond the trained range passes through"
    assert np.isnan(after["G"][1, 1])
    assert after["B"][2, 2] == -np.inf


def test_the_same_input_and_flow_give_the_same_hash_and_another_flow_another(
    server: RunningServer, tmp_path: Path
) -> None:
    source = tmp_path / "plate.exr"
    write_image(source, plate(HEIGHT, WIDTH))
    flows = ("soften", " soften( strength = 1.0 )", "soften(strength=0.5)")
    with server.client() as client:
        first, second, third = (
            client.render_file(source, tmp_path / f"{n}.exr", flow, timeout_s=60).report.provenance
            for n, flow in enumerate(flows)
        )
        half = client.render_file(
            source, tmp_path / "h.exr", flows[0], options=RenderOptions(half=True), timeout_s=60
        )
        write_image(source, plate(HEIGHT, WIDTH, seed=1))
        other = client.render_file(source, tmp_path / "o.exr", flows[0], timeout_s=60)
    assert first["hash"] == second["hash"]
    assert (
        len(
            {
                first["hash"],
                third["hash"],
                half.report.provenance["hash"],
                other.report.provenance["hash"],
            }
        )
        == 4
    )


def test_half_output_has_half_color_and_keeps_the_rest(
    server: RunningServer, tmp_path: Path
) -> None:
    source, target = tmp_path / "plate.exr", tmp_path / "clean.exr"
    write_image(source, plate(HEIGHT, WIDTH))
    with server.client() as client:
        client.render_file(source, target, "soften", options=RenderOptions(half=True), timeout_s=60)
        whole = client.render(read_image(source), "soften", timeout_s=60).image.part.channels
    channels = read_image(target).part.channels
    assert channels["depth.Z"].dtype == np.float32
    for name in "RGB":
        assert same_bits(channels[name], whole[name].astype(np.float16))


def test_a_tagged_png_becomes_a_scene_linear_exr(server: RunningServer, tmp_path: Path) -> None:
    codes = np.zeros((2, 256, 3), np.uint8)
    codes[0] = np.arange(256)[:, None]
    codes[1] = (255, 0, 0)
    source, target = tmp_path / "shot.png", tmp_path / "shot.exr"
    write_png(source, codes, tags=[(b"sRGB", b"\0")])
    with server.client() as client:
        client.render_file(source, target, "identity", timeout_s=60)
    after = read_image(target).part.channels
    share = np.arange(256) / 255.0
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    for name in "RGB":
        np.testing.assert_allclose(after[name][0], linear, atol=1e-4)
    # The red primary of Rec. 709 in ACEScg, adapted from D65 to D60 by Bradford.
    for name, value in (("R", 0.6131), ("G", 0.0702), ("B", 0.0206)):
        np.testing.assert_allclose(after[name][1], value, atol=1e-3)


# --- targets that cannot be written ---------------------------------------------------------


def test_a_target_that_is_the_source_is_refused_and_the_source_is_safe(
    server: RunningServer, tmp_path: Path
) -> None:
    source, link = tmp_path / "plate.exr", tmp_path / "link.exr"
    write_image(source, plate(HEIGHT, WIDTH))
    link.symlink_to(source)
    before = source.read_bytes()
    with server.client() as client:
        for target in (source, link):
            with pytest.raises(RequestError, match="source"):
                client.render_file(source, target, "soften", timeout_s=60)
            with pytest.raises(RequestError, match="source"):
                client.submit(source, target, flow="soften", timeout_s=60)
    assert source.read_bytes() == before


def test_a_disk_that_fills_up_leaves_nothing_under_the_good_name(
    server: RunningServer, tmp_path: Path
) -> None:
    source = tmp_path / "plate.exr"
    write_image(source, plate(512, 512), compression="none")
    with small_disk(tmp_path / "small", size_kib=1024) as disk, server.client() as client:
        with pytest.raises(ImageWriteFailed, match="No space left") as caught:
            client.render_file(source, disk / "clean.exr", "identity", timeout_s=60)
        assert "free disk space" in caught.value.hint
        assert list(disk.iterdir()) == []
        client.render_file(source, tmp_path / "clean.exr", "identity", timeout_s=60)
    assert (tmp_path / "clean.exr").exists()


def test_a_folder_that_is_not_there_is_a_failed_write_and_is_not_made(
    server: RunningServer, tmp_path: Path
) -> None:
    source = tmp_path / "plate.exr"
    write_image(source, plate(HEIGHT, WIDTH))
    with server.client() as client, pytest.raises(ImageWriteFailed, match="no folder"):
        client.render_file(source, tmp_path / "none" / "clean.exr", "identity", timeout_s=60)
    assert not (tmp_path / "none").exists()


def test_a_part_of_a_frame_is_no_file(server: RunningServer, tmp_path: Path) -> None:
    picture = replace(plate(HEIGHT, WIDTH))
    with server.client(transport="exr") as client:
        part = client.render(picture, "soften", region=Box(0, 0, 8, 8), timeout_s=60).image
    assert set(part.part.channels) == {"R", "G", "B", "A"}
    assert part.part.data_window == Box(0, 0, 8, 8)
