"""What a frame says of itself, and whether a later run may believe it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kwaflux_core import Image, read_image, write_image
from kwaflux_core.errors import FrameMissing, ImageUnreadable
from kwaflux_core.flows.card import Card
from kwaflux_core.flows.flow import Flow
from kwaflux_core.geometry import Box
from kwaflux_core.protocol.messages import (
    PathPixels,
    PathTarget,
    RangeReceipt,
    Render,
    Source,
)
from kwaflux_models.rendering.device import Device
from kwaflux_models.rendering.frame_renderer import RenderedFrame
from kwaflux_server.worker.provenance import (
    Provenance,
    file_digest,
    header_attributes,
    pixel_digest,
    valid_record,
)
from kwaflux_testing.effects import card
from kwaflux_testing.pictures import hard_floats, noise, plate
from kwaflux_testing.requests import changed

SHA = "ab" * 32
WEIGHTS = [{"file": "w.safetensors", "sha256": SHA, "licence": "Apache-2.0", "source": "here"}]
CARDS: dict[str, Card] = {
    "soft": card("soft", weights=WEIGHTS),
    "around": card("around", frames_before=1, frames_after=1),
}
RECEIPT = RangeReceipt(0.0, 1.5, 0.25, 2.5, 0.125, 3, 4)


def _provenance(
    flow: str = "soft", *, cards: dict[str, Card] = CARDS, config: str = "studio", **how: object
) -> Provenance:
    request = Render(flow, 7, (Source(7, PathPixels("/in.exr")),), PathTarget("/out.exr"))
    request = changed(request, **{"colorspace": "scene_linear", **how})
    bound = Flow.parse(flow).bind(cards)
    return Provenance(request, bound, Device("cpu"), config, "1.2.3")


def _frame() -> RenderedFrame:
    red, green, blue = (noise(4, 4, seed=n) for n in range(3))
    window = Box(0, 0, 4, 4)
    return RenderedFrame(
        (red, green, blue), window, RECEIPT, 128, ("bfloat16",), ("tile 128",), is_touched=True
    )


def test_the_same_things_give_the_same_hash_however_they_are_written() -> None:
    expected = _provenance().result_hash("d")
    assert _provenance("  soft( strength = 1 ) ").result_hash("d") == expected
    assert _provenance(target=PathTarget("/other.exr")).result_hash("d") == expected
    assert _provenance(urgency="batch", node="Kwaflux1", frame=7).result_hash("d") == expected
    assert len(expected) == 64


def test_whatever_may_change_a_pixel_changes_the_hash() -> None:
    newer = {**CARDS, "soft": replace(CARDS["soft"], version="1.1")}
    trained = {**CARDS, "soft": card("soft", weights=[{**WEIGHTS[0], "sha256": "cd" * 32}])}
    hashes = [
        _provenance().result_hash("d"),
        _provenance().result_hash("e"),
        _provenance("soft(strength=0.5)").result_hash("d"),
        _provenance("soft | soft").result_hash("d"),
        _provenance(cards=newer).result_hash("d"),
        _provenance(cards=trained).result_hash("d"),
        _provenance(colorspace="ACEScct").result_hash("d"),
        _provenance(alpha="straight").result_hash("d"),
        _provenance(layer="diffuse").result_hash("d"),
        _provenance(region=(0, 0, 2, 2)).result_hash("d"),
        _provenance(config="other").result_hash("d"),
        _provenance(half=True).result_hash("d"),
        _provenance().result_hash("d", neighbors_digest="n"),
    ]
    assert len(set(hashes)) == len(hashes)


def test_neighbors_count_with_their_bytes_and_their_place_where_the_flow_reads_them(
    tmp_path: Path,
) -> None:
    def at(contents: dict[int, bytes]) -> tuple[Source, ...]:
        sources = []
        for frame, data in contents.items():
            path = tmp_path / f"{frame}-{data.decode()}"
            path.write_bytes(data)
            sources.append(Source(frame, PathPixels(str(path))))
        return tuple(sources)

    def digest(flow: str, contents: dict[int, bytes], *, frame: int = 7) -> str:
        return _provenance(flow, sources=at(contents), frame=frame).neighbors_digest()

    both = {6: b"x", 7: b"y", 8: b"z"}
    assert digest("soft", both) == ""
    assert digest("around", {7: b"y"}) == ""
    expected = digest("around", both)
    assert digest("around", dict(reversed(both.items()))) == expected
    assert digest("around", {106: b"x", 107: b"y", 108: b"z"}, frame=107) == expected
    others = [{6: b"z", 7: b"y", 8: b"x"}, {6: b"x", 7: b"y"}, {6: b"x", 7: b"y", 8: b"!"}]
    assert len({expected, *(digest("around", other) for other in others)}) == 4


def test_a_record_tells_what_a_person_needs_to_make_the_frame_again() -> None:
    record = _provenance("soft(strength=0.5)").record(_frame(), "d")
    assert record["flow"] == "soft(strength=0.5)"
    assert record["effects"] == "soft 1.0"
    assert record["weights"] == f"w.safetensors sha256:{SHA}"
    assert record["weights_licence"] == "Apache-2.0"
    assert record["precision"] == "bfloat16"
    assert (record["tile_px"], record["fallbacks"]) == ("128", "tile 128")
    assert (record["source"], record["version"]) == ("sha256:d", "1.2.3")
    assert record["ocio_config"] == "studio"
    assert "CPU" in record["device"]
    assert "hash" not in _provenance().record(_frame(), "")


def test_a_record_says_what_was_measured_and_what_needs_attention_even_where_nothing_was() -> None:
    plain = _provenance().record(_frame(), "d")
    assert (json.loads(plain["measured"]), plain["attention"]) == ({}, "")
    measured = {"soft.sigma": 0.25, "soft.level": 0.5}
    frame = replace(_frame(), measured=measured, skip_reasons=("soft did nothing",))
    record = _provenance().record(frame, "d")
    assert json.loads(record["measured"]) == measured
    assert record["attention"] == "soft did nothing"
    assert record["hash"] == plain["hash"]


def test_the_hashes_of_neighbors_may_be_given_under_their_numbers() -> None:
    sources = tuple(Source(n, PathPixels(f"/nowhere/{n}.exr")) for n in (6, 7, 8))
    provenance = _provenance("around", sources=sources)
    first, second = (provenance.neighbors_digest(lambda n, c=c: f"{c}{n}") for c in "ab")  # type: ignore[misc]
    assert first != second
    assert first == provenance.neighbors_digest(lambda n: f"a{n}")


def test_a_flow_that_names_a_preset_leaves_the_hash_and_the_record_of_the_flow_spelled_out() -> (
    None
):
    flows = {"named": Flow.parse("soft(strength=0.5) | soft")}
    written = _provenance("soft(strength=0.5) | soft")
    named = replace(written, flow=Flow.parse("named").bind(CARDS, named=flows))
    assert named.result_hash("d") == written.result_hash("d")
    assert named.record(_frame(), "d")["flow"] == "soft(strength=0.5) | soft(strength=1.0)"


def test_header_attributes_are_prefixed_texts_with_the_receipt_in_json() -> None:
    attributes = header_attributes({"flow": "soft"}, RECEIPT)
    assert set(attributes) == {"kwaflux/flow", "kwaflux/receipt"}
    receipt = json.loads(str(attributes["kwaflux/receipt"]))
    assert receipt["max_out"] == 2.5
    assert (receipt["nan_count"], receipt["inf_count"]) == (3, 4)


# --- believing a file -----------------------------------------------------------------------


def _written(path: Path, image: Image, said: str = "h", *, half: bool = False) -> None:
    attributes = {
        "kwaflux/hash": said,
        "kwaflux/pixels": pixel_digest(image, half=half),
    }
    first = image.parts[0]
    first = replace(first, attributes={**first.attributes, **attributes})
    write_image(path, replace(image, parts=(first, *image.parts[1:])), half=half)


@pytest.mark.parametrize("half", [False, True])
def test_a_file_that_holds_what_it_names_stands_good(tmp_path: Path, *, half: bool) -> None:
    path = tmp_path / "a.exr"
    _written(path, plate(), half=half)
    said = valid_record(str(path), "h")
    assert said is not None
    assert said["hash"] == "h"
    assert set(said) == {"hash", "pixels"}
    assert valid_record(str(path), "other") is None


def test_nan_payloads_and_ids_are_part_of_what_is_believed(tmp_path: Path) -> None:
    path = tmp_path / "a.exr"
    ids = np.arange(64, dtype=np.uint32).reshape(8, 8) * 67_108_867
    hard = hard_floats(np.float32, shape=(8, 8))
    image = Image.from_channels({"R": hard, "G": hard, "B": hard, "id": ids})
    _written(path, image)
    assert valid_record(str(path), "h") is not None


@pytest.mark.parametrize("damage", ["cut", "altered", "unsigned", "missing", "garbage", "channel"])
def test_a_file_that_is_not_what_was_written_does_not_stand_good(
    tmp_path: Path, damage: str
) -> None:
    path = tmp_path / "a.exr"
    _written(path, plate())
    image = read_image(path)
    channels = {name: plane.copy() for name, plane in image.part.channels.items()}
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-200])
    elif damage == "altered":
        channels["depth.Z"][5, 5] = np.nextafter(channels["depth.Z"][5, 5], np.float32(9))
        write_image(path, replace(image, parts=(replace(image.part, channels=channels),)))
    elif damage == "channel":
        channels["A2"] = channels["A"]
        write_image(path, replace(image, parts=(replace(image.part, channels=channels),)))
    elif damage == "unsigned":
        write_image(path, plate())
    elif damage == "missing":
        path.unlink()
    else:
        path.write_bytes(b"no picture")
    assert valid_record(str(path), "h") is None


def test_the_digest_of_pixels_sees_names_values_and_types_and_no_order() -> None:
    image = plate()
    channels = image.part.channels
    same = Image.from_channels(dict(sorted(channels.items(), reverse=True)))
    assert pixel_digest(same) == pixel_digest(image)
    renamed = Image.from_channels({name.lower(): plane for name, plane in channels.items()})
    swapped = Image.from_channels({**channels, "R": channels["G"], "G": channels["R"]})
    strided = Image.from_channels({name: plane[:, ::-1] for name, plane in channels.items()})
    digests = {pixel_digest(each) for each in (image, renamed, swapped, strided)}
    assert len(digests) == 4


def test_a_file_digest_is_that_of_its_bytes_and_its_errors_are_typed(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    sha = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert file_digest(str(path)) == sha
    with pytest.raises(FrameMissing):
        file_digest(str(tmp_path / "b"))
    with pytest.raises(ImageUnreadable):
        file_digest(str(tmp_path))
