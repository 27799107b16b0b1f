"""Train the additions of a LoRA on pairs, and judge them by what was held out.

A show's look has a direction (chroma bleeds to the right, lines jitter along a row), so crops are
neither turned nor mirrored.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from skimage.metrics import structural_similarity
from torch import Tensor, nn
from torch.nn.utils import parametrize

from kwaflux_core.errors import ModelError
from kwaflux_core.flows.card import Card
from kwaflux_models.rendering import working_curves
from kwaflux_models.rendering.display_curves_tensor import encode_display
from kwaflux_models.rendering.effect_api import (
    SAMPLE_PX,
    Effect,
    Measured,
    MeasuringEffect,
    Samples,
    TileInput,
    Value,
)
from kwaflux_models.training.lora.layers import Adapter
from kwaflux_models.training.lora.pairs import Area, Clip

__all__ = ["Fit", "FitOptions", "Score", "Step"]

_CROP_PX = 128
_MARGIN_PX = 16
"""Rim of a crop that the loss leaves out: there the network sees less than in a frame."""
_JUDGED_PX = 192
_JUDGED_CROPS = 8
_SAMPLES = 9
_SSIM_DB = 20.0
"""How many decibels of PSNR a whole point of SSIM counts for when two states are compared."""


@dataclass(frozen=True, slots=True)
class Score:
    """Hold the mean PSNR (dB) and SSIM over crops, of display-encoded values held to 0..1."""

    psnr_db: float
    ssim: float

    def beats(self, other: Score) -> bool:
        """Tell whether this is better, all in all."""
        return self._sum() > other._sum()

    def _sum(self) -> float:
        return self.psnr_db + _SSIM_DB * self.ssim


@dataclass(frozen=True, slots=True)
class FitOptions:
    """Say how to train: for how long, from which seed, how fast, how much at a time.

    It ends after ``budget_s`` seconds or ``steps_max`` steps (0: as many as there is time for),
    whichever is first, and before that when ``patience`` judgements in a row were no better than
    the best. With a number of steps, a seed gives the same LoRA on the same machine.
    """

    budget_s: float
    steps_max: int = 0
    seed: int = 0
    learning_rate: float = 1e-3
    batch: int = 4
    judgements: int = 16
    patience: int = 6

    def share(self, steps: int, seconds: float) -> float:
        """Return how much of the training is done, 0..1."""
        of_steps = steps / self.steps_max if self.steps_max else 0.0
        return min(1.0, max(of_steps, seconds / self.budget_s))


@dataclass(frozen=True, slots=True)
class Step:
    """Tell how far training is: steps, seconds, mean loss since the last one, score."""

    steps: int
    seconds: float
    loss: float
    score: Score


class Fit:
    """Train one LoRA on an effect's network, with every param at its default.

    Args:
        effect: The effect's code.
        card: Its card.
        network: Its network, on the device; additions are put on it in place.
        clip: The pairs.
        areas: Where to train, and what is held out.
        device: Where to compute.
    """

    def __init__(
        self,
        effect: Effect,
        *,
        card: Card,
        network: nn.Module,
        clip: Clip,
        areas: tuple[list[Area], list[Area]],
        device: torch.device,
    ) -> None:
        self._effect, self._card, self._network = effect, card, network
        self._clip, self._device = clip, device
        self._train, self._held = areas
        self._values: dict[str, Value] = {param.name: param.default for param in card.params}
        self._measured: dict[int, Measured | None] = {}

    def judge(self, network: nn.Module | None = None) -> Score:
        """Return how well a network does on what was held out; None: the one that is trained."""
        with torch.no_grad():
            scores = [
                self._score(network or self._network, crop)
                for area in self._held
                for crop in self._judged_crops(area)
            ]
        return _mean(scores)

    def judge_input(self) -> Score:
        """Return how far what was held out is from clean as it came."""
        scores = []
        for area in self._held:
            for crop in self._judged_crops(area):
                base, clean = self._targets(crop)
                scores.append(_score(self._shown(base), self._shown(clean)))
        return _mean(scores)

    def run(
        self,
        adapter: Adapter,
        options: FitOptions,
        *,
        clock: Callable[[], float],
        say: Callable[[Step], None],
    ) -> dict[str, Tensor]:
        """Train and return the best state's factors and deltas.

        Args:
            adapter: The additions to the network.
            options: How.
            clock: Monotonic seconds.
            say: Told after every judgement.

        Raises:
            ModelError: The effect leaves these frames alone.
        """
        torch.manual_seed(options.seed)
        rng = np.random.default_rng(options.seed)
        optimizer = torch.optim.Adam(
            adapter.parameters(), lr=options.learning_rate, betas=(0.9, 0.99)
        )
        begin = clock()
        best, kept, worse = self.judge(), adapter.tensors(), 0
        steps, judged, losses, share = 0, 0, [0.0], 0.0
        while worse < options.patience and share < 1.0:
            for group in optimizer.param_groups:
                group["lr"] = options.learning_rate * (0.05 + 0.95 * math.cos(share * math.pi / 2))
            losses.append(self._step(adapter, optimizer, rng, options.batch))
            steps += 1
            share = options.share(steps, clock() - begin)
            if int(share * options.judgements) == judged:
                continue
            judged = int(share * options.judgements)
            score = self.judge()
            say(Step(steps, clock() - begin, float(np.mean(losses[1:])), score))
            worse += 1
            if score.beats(best):
                best, kept, worse = score, adapter.tensors(), 0
            losses = [0.0]
        return kept

    def _step(
        self,
        adapter: Adapter,
        optimizer: torch.optim.Optimizer,
        rng: np.random.Generator,
        batch: int,
    ) -> float:
        """Take one step; return its loss, a Charbonnier distance in the working curve."""
        optimizer.zero_grad(set_to_none=True)
        total = 0.0
        with parametrize.cached():
            for _ in range(batch):
                crop = self._random_crop(rng)
                restored, clean = self._restored(self._network, crop), self._targets(crop)[1]
                inner = _inner(restored - clean, self._margins(crop))
                loss = torch.sqrt(inner.square() + 1e-6).mean() / batch
                # The graph of the cached sums is shared by the crops of a batch.
                loss.backward(retain_graph=True)  # type: ignore[no-untyped-call]
                total += float(loss.detach())
        nn.utils.clip_grad_norm_(adapter.parameters(), 1.0)
        optimizer.step()
        return total

    def _restored(self, network: nn.Module, crop: Area) -> Tensor:
        residual = self._effect.residual(network, self._pictures(crop), self._values)
        base = self._targets(crop)[0]
        return base if residual is None else base + residual

    def _pictures(self, crop: Area) -> TileInput:
        frames = self._clip.window(crop.frame)

        def tiles() -> tuple[Tensor, ...]:
            cut = (_cut(self._clip.pairs[frame].degraded, crop, 1) for frame in frames)
            return tuple(
                tile.to(self._device).contiguous(memory_format=torch.channels_last) for tile in cut
            )

        return TileInput(
            tiles,
            center=self._clip.before,
            frames=frames,
            origin=(crop.x0, crop.y0),
            measured=self._measure(crop.frame),
        )

    def _measure(self, frame: int) -> Measured | None:
        """Return what the effect measures of a frame; once, with the network as it then is."""
        if not isinstance(self._effect, MeasuringEffect):
            return None
        if frame not in self._measured:
            picture = self._clip.pairs[frame].degraded
            samples = torch.cat(_sample_places(picture)).to(self._device)
            with torch.no_grad():
                found = self._effect.measure(self._network, Samples(samples, samples), self._values)
            if found.refusal:
                raise ModelError(
                    f"{self._card.id} leaves frame {frame} alone: {found.refusal}",
                    hint="give frames that the effect is for",
                )
            self._measured[frame] = found
        return self._measured[frame]

    def _targets(self, crop: Area) -> tuple[Tensor, Tensor]:
        pair, scale = self._clip.pairs[crop.frame], self._clip.scale
        base, clean = _cut(pair.enlarged, crop, scale), _cut(pair.clean, crop, scale)
        return base.to(self._device), clean.to(self._device)

    def _random_crop(self, rng: np.random.Generator) -> Area:
        area = self._train[int(rng.integers(len(self._train)))]
        align = self._card.align_px
        width = _side(area.x1 - area.x0, _CROP_PX, align)
        height = _side(area.y1 - area.y0, _CROP_PX, align)
        x0 = area.x0 + align * int(rng.integers((area.x1 - area.x0 - width) // align + 1))
        y0 = area.y0 + align * int(rng.integers((area.y1 - area.y0 - height) // align + 1))
        return Area(area.frame, x0, y0, x0 + width, y0 + height)

    def _judged_crops(self, area: Area) -> list[Area]:
        """Return a few crops, spread evenly over an area."""
        align = self._card.align_px
        width = _side(area.x1 - area.x0, _JUDGED_PX, align)
        height = _side(area.y1 - area.y0, _JUDGED_PX, align)
        columns, rows = (area.x1 - area.x0) // width, (area.y1 - area.y0) // height
        places = [
            (area.x0 + width * column, area.y0 + height * row)
            for row in range(rows)
            for column in range(columns)
        ]
        count = max(1, _JUDGED_CROPS // len(self._held))
        picks = np.linspace(0, len(places) - 1, min(count, len(places))).astype(int)
        return [
            Area(area.frame, x, y, x + width, y + height) for x, y in (places[i] for i in picks)
        ]

    def _margins(self, crop: Area) -> tuple[int, int]:
        """Return the rows and columns of a crop's rim, at the scale of the result."""
        sides = (crop.y1 - crop.y0, crop.x1 - crop.x0)
        rows, columns = (min(_MARGIN_PX, side // 8) * self._clip.scale for side in sides)
        return rows, columns

    def _score(self, network: nn.Module, crop: Area) -> Score:
        restored, clean = self._restored(network, crop), self._targets(crop)[1]
        inner = [self._shown(_inner(each, self._margins(crop))) for each in (restored, clean)]
        return _score(*inner)

    def _shown(self, curved: Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        """Return (H, W, 3) display-encoded, held to 0..1: what a score is counted in."""
        linear = (
            curved if self._card.working.curve == "none" else working_curves.decode(curved.float())
        )
        code = encode_display(linear, "srgb").clamp(0.0, 1.0)[0].permute(1, 2, 0)
        shown: np.ndarray[tuple[int, ...], np.dtype[np.float32]] = code.cpu().numpy()
        return shown


def _score(
    found: np.ndarray[tuple[int, ...], np.dtype[np.float32]],
    clean: np.ndarray[tuple[int, ...], np.dtype[np.float32]],
) -> Score:
    error = float(np.mean(np.square(found - clean)))
    ssim = structural_similarity(  # type: ignore[no-untyped-call]
        found, clean, channel_axis=2, data_range=1.0, gaussian_weights=True
    )
    return Score(min(60.0, -10.0 * math.log10(max(error, 1e-9))), float(ssim))


def _mean(scores: list[Score]) -> Score:
    psnr_db = float(np.mean([score.psnr_db for score in scores]))
    return Score(psnr_db, float(np.mean([score.ssim for score in scores])))


def _cut(picture: Tensor, crop: Area, scale: int) -> Tensor:
    rows = slice(crop.y0 * scale, crop.y1 * scale)
    return picture[..., rows, crop.x0 * scale : crop.x1 * scale]


def _inner(picture: Tensor, margins: tuple[int, int]) -> Tensor:
    rows, columns = margins
    height, width = picture.shape[2:]
    return picture[..., rows : height - rows, columns : width - columns]


def _side(available: int, wanted: int, align: int) -> int:
    """Return the side of a crop: what is wanted, or what there is, aligned."""
    side = min(available, max(wanted, align)) // align * align
    if side == 0:
        raise ModelError(
            f"a held-out or training area of {available} pixels is too small",
            hint=f"give larger frames: the effect works on multiples of {align} pixels",
        )
    return side


def _sample_places(picture: Tensor) -> list[Tensor]:
    """Return (1, 3, SAMPLE_PX, SAMPLE_PX) places of a frame, repeated where it is smaller."""
    height, width = picture.shape[2:]
    count = math.isqrt(_SAMPLES)
    places = []
    for row in range(count):
        for column in range(count):
            y = max(0, height - SAMPLE_PX) * row // (count - 1)
            x = max(0, width - SAMPLE_PX) * column // (count - 1)
            ys = torch.arange(y, y + SAMPLE_PX) % height
            xs = torch.arange(x, x + SAMPLE_PX) % width
            places.append(picture[..., ys, :][..., xs])
    return places
