"""Training a LoRA: what is read, what is learned, and that nothing is installed but what helps."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor, nn

from kwaflux_core.color.config import ColorConfig
from kwaflux_core.errors import (
    FrameMissing,
    ImageError,
    ImageUnreadable,
    KwafluxError,
    ModelError,
    ParamError,
    RequestError,
    UnknownEffect,
)
from kwaflux_core.images.image import Image
from kwaflux_core.images.io import write_image
from kwaflux_models.catalog.lora_merge import merged, parse_lora
from kwaflux_models.catalog.user_models import LoraFile, base_hash
from kwaflux_models.rendering.device import Device
from kwaflux_models.rendering.effect_api import Measured, Samples, TileInput, Value
from kwaflux_models.training.lora import command
from kwaflux_models.training.lora.command import (
    LORA_FILE_BYTES,
    LoraOrder,
    LoraReport,
    train_lora,
)
from kwaflux_models.training.lora.fit import FitOptions, Score, Step
from kwaflux_models.training.lora.layers import Adapter, fitting_rank
from kwaflux_models.training.lora.pairs import read_pairs, split
from kwaflux_testing.effects import card
from kwaflux_testing.loras import BendNetwork, Shelf, bend_shelf

SIDE = 64


class Clock:
    """A clock that moves a second whenever it is read."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return bend_shelf(tmp_path)


def write(folder: Path, frame: int, planes: npt.NDArray[np.floating[Any]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    channels = dict(zip("RGB", planes.astype(np.float32), strict=True))
    write_image(folder / f"f.{frame:04d}.exr", Image.from_channels(channels))


def show(folder: Path, *, frames: int = 2, side: int = SIDE) -> tuple[str, str]:
    """Write pairs whose look is a lift of the reds; return the two patterns."""
    rng = np.random.default_rng(4)
    for frame in range(1, frames + 1):
        y, x = np.mgrid[0:side, 0:side].astype(np.float32) / side
        clean = 0.2 + 0.2 * np.stack([x, y, 0.5 * (x + y)]) + rng.normal(0, 0.01, (3, side, side))
        write(folder / "clean", frame, clean)
        write(folder / "deg", frame, clean * np.array([0.5, 1.0, 0.8])[:, None, None])
    return str(folder / "deg" / "f.####.exr"), str(folder / "clean" / "f.####.exr")


def order_of(pairs: tuple[str, str], **how: object) -> LoraOrder:
    options = FitOptions(1e6, steps_max=12, batch=1, learning_rate=1e-2, judgements=2)
    base = LoraOrder(effect="bend", degraded=pairs[0], clean=pairs[1], name="show", options=options)
    return replace(base, **how)  # type: ignore[arg-type]


def trained(shelf: Shelf, order: LoraOrder, told: list[Step] | None = None) -> LoraReport:
    return train_lora(
        order,
        registry=shelf.registry,
        own=shelf.own,
        device=Device("cpu"),
        clock=Clock(),
        say=(told if told is not None else []).append,
    )


def nothing_in(shelf: Shelf) -> bool:
    return not [path for path in shelf.own.folder.rglob("*") if path.is_file()]


# --- what comes out ---------------------------------------------------------------------------


def test_a_look_is_learned_and_installed(shelf: Shelf, tmp_path: Path) -> None:
    told: list[Step] = []
    options = FitOptions(1e6, steps_max=40, batch=2, learning_rate=1e-2, judgements=4)
    report = trained(shelf, order_of(show(tmp_path), options=options), told)
    assert report.adapted.psnr_db > report.base.psnr_db + 3.0
    assert report.size_bytes == report.path.stat().st_size <= LORA_FILE_BYTES
    assert [step.steps for step in told] == [0, 10, 20, 30, 40]
    assert told[0].score == report.base
    data, header = LoraFile("bend", "show", report.path).read()
    assert header.notes["base_sha256"] == base_hash(shelf.card)
    assert (header.notes["rank"], header.notes["pairs"]) == ("4", "2")
    assert json.loads(header.notes["recipe"])["seed"] == 0
    assert header.notes["created_by"].startswith("kwaflux ")
    base = shelf.base()
    picture = torch.rand(1, 3, 16, 16)
    bent = merged(base, [(parse_lora(data, name="show", card=shelf.card), 1.0)], name="show")
    with torch.inference_mode():
        assert not torch.equal(bent(picture), base(picture))


def test_the_same_seed_and_steps_give_the_same_file(shelf: Shelf, tmp_path: Path) -> None:
    order = order_of(show(tmp_path))
    first = trained(shelf, order).path.read_bytes()
    second = trained(shelf, replace(order, replaces=True)).path.read_bytes()
    other = replace(order, replaces=True, options=replace(order.options, seed=1))
    assert first == second != trained(shelf, other).path.read_bytes()


def test_the_time_that_is_given_ends_it(shelf: Shelf, tmp_path: Path) -> None:
    options = FitOptions(30.0, batch=1, learning_rate=1e-2, judgements=3)
    told: list[Step] = []
    trained(shelf, order_of(show(tmp_path), options=options), told)
    assert 30.0 <= told[-1].seconds < 40.0


def test_it_ends_early_when_nothing_gets_better(shelf: Shelf, tmp_path: Path) -> None:
    options = FitOptions(1e6, steps_max=40, batch=1, learning_rate=0.0, judgements=40, patience=3)
    told: list[Step] = []
    with pytest.raises(ModelError, match="no better than the base"):
        trained(shelf, order_of(show(tmp_path), options=options), told)
    assert told[-1].steps == 3
    assert nothing_in(shelf)


def test_the_base_is_not_changed_by_training(shelf: Shelf, tmp_path: Path) -> None:
    before = shelf.registry["bend"].weight_files()[0].read_bytes()
    trained(shelf, order_of(show(tmp_path)))
    assert shelf.registry["bend"].weight_files()[0].read_bytes() == before


# --- what is refused before anything is written -------------------------------------------------


def test_unequal_sizes_are_refused(shelf: Shelf, tmp_path: Path) -> None:
    pairs = show(tmp_path)
    write(tmp_path / "clean", 2, np.zeros((3, SIDE, SIDE + 2)))
    with pytest.raises(ImageError, match=rf"{SIDE} x {SIDE} pixels and .* {SIDE + 2} x {SIDE}"):
        trained(shelf, order_of(pairs))
    assert nothing_in(shelf)


def test_unequal_counts_are_refused(shelf: Shelf, tmp_path: Path) -> None:
    pairs = show(tmp_path)
    (tmp_path / "clean" / "f.0002.exr").unlink()
    with pytest.raises(ImageError, match=r"has 2 frames and .* 1"):
        trained(shelf, order_of(pairs))
    assert nothing_in(shelf)


def test_a_clip_that_is_not_there_is_refused(shelf: Shelf, tmp_path: Path) -> None:
    pairs = show(tmp_path)
    with pytest.raises(FrameMissing):
        trained(shelf, order_of((pairs[0], str(tmp_path / "none" / "f.####.exr"))))
    with pytest.raises(FrameMissing):
        trained(shelf, order_of((str(tmp_path / "deg" / "g.####.exr"), pairs[1])))
    assert nothing_in(shelf)


def test_a_frame_that_cannot_be_read_is_refused(shelf: Shelf, tmp_path: Path) -> None:
    pairs = show(tmp_path)
    path = tmp_path / "deg" / "f.0002.exr"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ImageUnreadable):
        trained(shelf, order_of(pairs))
    assert nothing_in(shelf)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"effect": "bnd"}, UnknownEffect),
        ({"name": "../show"}, RequestError),
        ({"name": ""}, RequestError),
        ({"rank": 0}, RequestError),
        ({"rank": 33}, RequestError),
    ],
)
def test_an_order_that_cannot_be_is_refused(
    shelf: Shelf, tmp_path: Path, changes: dict[str, object], error: type[KwafluxError]
) -> None:
    with pytest.raises(error):
        trained(shelf, order_of(show(tmp_path), **changes))


def test_a_name_that_is_taken_is_refused_before_training(shelf: Shelf, tmp_path: Path) -> None:
    shelf.put("show", {"join.bias.delta": torch.zeros(3)})
    told: list[Step] = []
    with pytest.raises(ModelError, match="already"):
        trained(shelf, order_of(show(tmp_path)), told)
    assert told == []


def test_an_effect_that_takes_no_lora_is_refused(shelf: Shelf, tmp_path: Path) -> None:
    installed = shelf.registry["bend"]
    shelf.registry._effects["bend"] = replace(installed, card=card("bend"))
    with pytest.raises(ParamError, match="takes no LoRAs"):
        trained(shelf, order_of(show(tmp_path)))


def test_frames_that_are_too_small_are_refused(shelf: Shelf, tmp_path: Path) -> None:
    installed = shelf.registry["bend"]
    shelf.registry._effects["bend"] = replace(installed, card=replace(shelf.card, align_px=64))
    with pytest.raises(ImageError, match="too narrow"):
        trained(shelf, order_of(show(tmp_path)))
    shelf.registry._effects["bend"] = replace(installed, card=replace(shelf.card, align_px=128))
    with pytest.raises(ModelError, match="too small"):
        trained(shelf, order_of(show(tmp_path, frames=4)))
    assert nothing_in(shelf)


# --- pairs ------------------------------------------------------------------------------------


def test_whole_frames_are_held_out_where_there_are_enough(shelf: Shelf, tmp_path: Path) -> None:
    config = ColorConfig.default()
    clip = read_pairs(*show(tmp_path, frames=6), card=shelf.card, config=config)
    train, held = split(clip, align_px=8, gap_px=8)
    assert [area.frame for area in train] == [1, 2, 3, 4, 5]
    assert [area.frame for area in held] == [6]


def test_of_few_frames_a_part_is_held_out_that_training_never_sees(
    shelf: Shelf, tmp_path: Path
) -> None:
    clip = read_pairs(*show(tmp_path), card=shelf.card, config=ColorConfig.default())
    train, held = split(clip, align_px=8, gap_px=16)
    assert [(area.x0, area.x1) for area in train] == [(0, 32)] * 2
    assert [(area.x0, area.x1) for area in held] == [(48, 64)] * 2


def test_pairs_of_an_enlarging_effect_differ_by_its_scale(tmp_path: Path) -> None:
    twice = card("twice", scale=2)
    degraded, clean = show(tmp_path / "small", side=24), show(tmp_path / "large", side=48)
    clip = read_pairs(degraded[0], clean[1], card=twice, config=ColorConfig.default())
    assert clip.pairs[1].enlarged.shape == clip.pairs[1].clean.shape == (1, 3, 48, 48)
    with pytest.raises(ImageError, match="2 times as large"):
        read_pairs(*degraded, card=twice, config=ColorConfig.default())


def test_a_window_is_mirrored_and_gaps_are_filled_with_the_frame(tmp_path: Path) -> None:
    pairs = show(tmp_path, frames=4)
    for folder in ("deg", "clean"):
        (tmp_path / folder / "f.0003.exr").unlink()
    found = card("x", frames_before=2, frames_after=2)
    clip = read_pairs(*pairs, card=found, config=ColorConfig.default())
    assert clip.window(1) == (1, 2, 1, 2, 1)
    assert clip.window(2) == (2, 1, 2, 2, 4)


# --- the network with additions -----------------------------------------------------------------


def test_additions_are_nothing_at_first_and_factors_where_they_are_smaller() -> None:
    torch.manual_seed(0)
    network, picture = BendNetwork(), torch.rand(1, 3, 9, 9)
    before = network(picture).detach()
    adapter = Adapter(network, rank=2)
    assert torch.equal(network(picture), before)
    shapes = {name: tuple(tensor.shape) for name, tensor in adapter.tensors().items()}
    assert shapes == {
        "spread.weight.up": (8, 2),
        "spread.weight.down": (2, 27),
        "spread.bias.delta": (8,),
        "each.weight.delta": (8, 1, 3, 3),
        "each.bias.delta": (8,),
        "join.weight.up": (3, 2),
        "join.weight.down": (2, 8),
        "join.bias.delta": (3,),
    }


def test_a_rank_is_lowered_until_the_file_is_small_enough() -> None:
    network = nn.Sequential(*(nn.Conv2d(64, 64, 3) for _ in range(10)))
    fits = fitting_rank(network, rank=16, bytes_max=60_000)
    assert 1 < fits < 16
    assert fitting_rank(network, rank=4, bytes_max=10_000_000) == 4
    assert fitting_rank(network, rank=4, bytes_max=10) == 1
    size = sum(2 * tensor.numel() for tensor in Adapter(network, rank=fits).tensors().values())
    assert size < 60_000


def test_a_network_without_convolutions_takes_no_lora() -> None:
    with pytest.raises(ModelError, match="no convolution"):
        Adapter(nn.Identity(), rank=2)


def test_both_numbers_count_when_two_states_are_compared() -> None:
    assert Score(30.0, 0.9).beats(Score(29.9, 0.9))
    assert not Score(30.1, 0.88).beats(Score(30.0, 0.9))


# --- effects of other kinds ---------------------------------------------------------------------


class _Temporal:
    """An effect of five frames that measures; it keeps what it was given."""

    def __init__(self, refusal: str = "") -> None:
        self.refusal = refusal
        self.frames: set[tuple[int, ...]] = set()
        self.measured = 0

    def build(self, weights: tuple[Path, ...]) -> nn.Module:
        torch.manual_seed(0)
        return nn.Conv2d(15, 3, 3, padding=1)

    def measure(self, network: nn.Module, samples: Samples, values: dict[str, Value]) -> Measured:
        assert samples.pictures.shape[1:] == (3, 128, 128)
        self.measured += 1
        return Measured({"level": 1.0}, refusal=self.refusal)

    def residual(
        self, network: nn.Module, pictures: TileInput, values: dict[str, Value]
    ) -> Tensor | None:
        assert pictures.measured is not None
        self.frames.add(pictures.frames)
        residual: Tensor = network(torch.cat(pictures.tiles, dim=1))
        return residual


def temporal(shelf: Shelf, effect: _Temporal) -> None:
    found = replace(shelf.card, frames_before=2, frames_after=2)
    installed = shelf.registry["bend"]
    shelf.registry._effects["bend"] = replace(installed, card=found, code=effect)  # type: ignore[call-arg]


def test_an_effect_that_reads_neighbors_and_measures_is_trained_too(
    shelf: Shelf, tmp_path: Path
) -> None:
    effect = _Temporal()
    temporal(shelf, effect)
    report = trained(shelf, order_of(show(tmp_path, frames=5)))
    assert report.adapted.psnr_db > report.base.psnr_db
    assert (5, 4, 3, 4, 5)[::-1] not in effect.frames
    assert (3, 4, 5, 4, 3) in effect.frames
    assert effect.measured <= 2 * 5


def test_frames_that_an_effect_refuses_are_refused(shelf: Shelf, tmp_path: Path) -> None:
    temporal(shelf, _Temporal("there is nothing to do"))
    with pytest.raises(ModelError, match="there is nothing to do"):
        trained(shelf, order_of(show(tmp_path, frames=5)))
    assert nothing_in(shelf)


# --- the command --------------------------------------------------------------------------------


def test_the_command_says_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KWAFLUX_MODELS_DIR", str(tmp_path / "models"))
    pairs = ["--pairs", str(tmp_path / "a.####.exr"), str(tmp_path / "b.####.exr")]
    assert command.main(["denoise", *pairs, "--json"]) == 2
    event = json.loads(capsys.readouterr().out)
    assert (event["event"], event["code"]) == ("error", "frame_missing")
    assert command.main(["denois", *pairs]) == 2
    assert "no effect 'denois'" in capsys.readouterr().err
