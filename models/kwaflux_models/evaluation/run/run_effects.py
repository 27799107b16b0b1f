"""Run our effects on the test set, through the renderer that users get."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from kwaflux_core.color.config import ColorConfig
from kwaflux_core.flows.card import Card
from kwaflux_core.flows.flow import BoundFlow, Flow, Step, Value
from kwaflux_core.frames.shot_profile import Shot
from kwaflux_core.geometry import Box
from kwaflux_core.images.coding import Coding
from kwaflux_models.catalog.registry import Registry
from kwaflux_models.effects.decompress.network import level_of_step
from kwaflux_models.evaluation.metrics.display_values import shown
from kwaflux_models.evaluation.metrics.flicker import flicker, ghost
from kwaflux_models.evaluation.metrics.picture_scores import Scores, score
from kwaflux_models.evaluation.run.cases import Case, Group
from kwaflux_models.evaluation.run.testset import Item
from kwaflux_models.rendering import working_curves
from kwaflux_models.rendering.device import Device
from kwaflux_models.rendering.effect_api import Effect
from kwaflux_models.rendering.frame_renderer import FrameRenderer
from kwaflux_models.rendering.lora_stacks import LoraStack
from kwaflux_models.rendering.model_cache import WarmModels
from kwaflux_models.rendering.plate import Plate
from kwaflux_models.rendering.shot_cuts import shot_around, thumbnail
from kwaflux_models.rendering.shot_decisions import NO_DECISIONS, Decisions
from kwaflux_models.rendering.step_renderer import LoadedEffect

__all__ = [
    "PLANS",
    "ClipRow",
    "EffectRunner",
    "Plan",
    "Restored",
    "Row",
    "clip_row",
    "flow_of",
    "still_row",
    "told_params",
]

Array: TypeAlias = NDArray[np.float32]

_REC709 = "Linear Rec.709 (sRGB)"
"""What the test set's pixels are; the role scene_linear has wider primaries."""

_JUDGED_FRAMES = (2, 3, 4)
"""Frames of a clip of seven whose window of five lies inside it."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Say what an effect is judged by.

    Args:
        groups: The groups of cases.
        has_clips: Whether whole clips are restored too.
        shown: Cases of which before/after pictures are made.
    """

    groups: tuple[Group, ...]
    has_clips: bool = False
    shown: tuple[str, ...] = ()


PLANS: Mapping[str, Plan] = {
    "denoise": Plan(
        ("noise", "noise_codec", "analog", "light", "clean"),
        has_clips=True,
        shown=("sensor 0.06", "sensor 0.045, H.264 CRF 27"),
    ),
    "decompress": Plan(("codec", "light", "clean"), shown=("JPEG q25", "H.264 CRF 35")),
    "upscale": Plan(
        ("upscale",), shown=("2x, clean", "2x, sensor 0.03, H.264 CRF 26", "4x, clean")
    ),
    "deblur": Plan(("deblur", "light", "clean"), shown=("defocus 2 px", "defocus 4 px")),
    "deband": Plan(("light", "clean")),
    "regrain": Plan(()),
    "expand": Plan(()),
}
"""Effects that are scored; those without groups have measures of their own alone."""


@dataclass(frozen=True, slots=True)
class Row:
    """Hold what an effect did to one picture.

    Args:
        picture: The picture's name.
        before: The damaged picture's scores; of its Lanczos enlargement where the effect scales.
        after: The restored one's.
        seconds_per_mp: CPU seconds for a megapixel of the result, all threads together.
        is_refused: Whether the effect left the frame alone because of what it measured.
    """

    picture: str
    before: Scores
    after: Scores
    seconds_per_mp: float
    is_refused: bool


@dataclass(frozen=True, slots=True)
class ClipRow:
    """Hold what an effect did to one clip; numbers are means over the judged frames.

    Args:
        picture: The picture's name.
        before: PSNR of the damaged clip, dB.
        still: PSNR where each frame stands alone.
        temporal: PSNR where it reads its neighbors.
        texture_still: Texture ratio of the still form.
        texture_temporal: That of the temporal form.
        flicker_before: What flickers in the source.
        flicker_still: In the still form.
        flicker_temporal: In the temporal form.
        ghost_still: Greatest share of the other shot in a frame beside the cut; 0 without a cut.
        ghost_temporal: Likewise.
    """

    picture: str
    before: float
    still: float
    temporal: float
    texture_still: float
    texture_temporal: float
    flicker_before: float
    flicker_still: float
    flicker_temporal: float
    ghost_still: float
    ghost_temporal: float


@dataclass(frozen=True, slots=True)
class Restored:
    """Hold a rendered frame.

    Args:
        picture: (H, W, 3) scene-linear.
        seconds: CPU seconds that it took.
        is_refused: Whether an effect left the frame alone because of what it measured.
    """

    picture: Array
    seconds: float
    is_refused: bool


class EffectRunner:
    """Render clips in this process, in float32.

    Args:
        registry: The installed effects.
        device: Where networks run.
        config: The OCIO config.
    """

    def __init__(self, registry: Registry, *, device: Device, config: ColorConfig) -> None:
        self.registry = registry
        self.device = device
        self._config = config
        self._warm = WarmModels(
            registry,
            device=device,
            budget_bytes=0,
            precision="float32",
            on_change=lambda resident: None,
        )
        self._replaced: dict[str, LoadedEffect] = {}

    @classmethod
    def on_cpu(cls) -> EffectRunner:
        """Return a runner on the CPU for what is installed."""
        return cls(Registry.discover(), device=Device("cpu"), config=ColorConfig.default())

    @contextmanager
    def lend(self, card: Card, loras: LoraStack | None = None) -> Iterator[LoadedEffect]:
        """Lend an effect, or what replaces it; it stays loaded."""
        if card.id in self._replaced:
            yield self._replaced[card.id]
            return
        with self._warm.lend(card, loras) as loaded:
            yield loaded

    @contextmanager
    def replaced(self, name: str, effect: Effect) -> Iterator[None]:
        """Lend another effect in the place of an installed one, inside the context."""
        self._replaced[name] = LoadedEffect(effect, effect.build(()), "float32")
        try:
            yield
        finally:
            del self._replaced[name]

    def bind(self, flow: Flow) -> BoundFlow:
        """Return the flow with its cards."""
        return flow.bind(self.registry.cards)

    def render(
        self, flow: Flow, clip: Array, frames: Sequence[int], *, coding: Coding | None = None
    ) -> list[Restored]:
        """Render frames of a clip as a job does: each shot is judged once.

        Args:
            flow: What to do.
            clip: (T, H, W, 3) scene-linear Rec.709.
            frames: Which to render, from 0.
            coding: What the clip's file would say of its lossy coding.
        """
        bound = self.bind(flow)
        renderer = FrameRenderer(self.lend, device=self.device, config=self._config)
        plates = {
            number: replace(_plate(frame), coding=coding) for number, frame in enumerate(clip)
        }
        restored, decided = [], NO_DECISIONS
        shot: tuple[int, ...] = ()
        for frame in frames:
            begin = time.process_time()
            if frame not in shot:
                shot = shot_around(frame, range(len(clip)), lambda at: thumbnail(plates[at]))
                decided = self._decided(renderer, bound, shot, plates)
            within = {at: plates[at] for at in shot}
            done = renderer.render(bound, within, frame=frame, decided=decided)
            seconds = time.process_time() - begin
            picture = np.stack(done.color, axis=-1).astype(np.float32)
            restored.append(Restored(picture, seconds, bool(done.skip_reasons)))
        return restored

    def _decided(
        self,
        renderer: FrameRenderer,
        flow: BoundFlow,
        shot: Sequence[int],
        plates: Mapping[int, Plate],
    ) -> Decisions:
        """Return the estimates of a shot; a single frame is measured as it is rendered."""
        if len(shot) < 2:
            return NO_DECISIONS
        estimates = renderer.estimates(flow)
        within = {at: plates[at] for at in shot}
        judged = estimates.shot(Shot(shot[0], shot[-1]), shot, lambda frame: within)
        return estimates.decisions(judged.effects)


def _plate(frame: Array) -> Plate:
    red, green, blue = (np.ascontiguousarray(frame[..., c], dtype=np.float32) for c in range(3))
    return Plate((red, green, blue), None, Box(0, 0, frame.shape[1], frame.shape[0]), _REC709)


def flow_of(card: Card, case: Case, told: Mapping[str, float] | None = None) -> Flow:
    """Return an effect alone at its defaults, at the case's scale, with some params told."""
    given: dict[str, Value] = dict(told or {})
    if case.scale > 1 and _has(card, "scale"):
        # A scale may be a number or a choice's word: the default says which.
        given["scale"] = type(card.param("scale").default)(case.scale)
    return Flow((Step(card.id, given),))


def _has(card: Card, param: str) -> bool:
    return any(each.name == param for each in card.params)


def told_params(card: Card, case: Case, item: Item) -> dict[str, float]:
    """Return the params that say an item's damage, at their true values; empty without damage."""
    told: dict[str, float] = {}
    if case.group in ("noise", "noise_codec") and _has(card, "noise"):
        told["noise"] = _true_noise(card, item)
    if case.group == "codec" and _has(card, "level"):
        told["level"] = max(level_of_step(how.step) for how in case.encodes)
    if case.group == "deblur" and _has(card, "softness"):
        told["softness"] = case.defocus_px / 2.0
    return {name: float(card.param(name).check(value)) for name, value in told.items()}


def _true_noise(card: Card, item: Item) -> float:
    """Return the standard deviation of an item's error in the card's working curve."""
    middle = item.degraded.shape[0] // 2
    degraded, clean = (
        working_curves.encode(torch.from_numpy(clip[middle]), curve=card.working.curve)
        for clip in (item.degraded, item.clean)
    )
    return min(0.5, max(1e-4, float((degraded - clean).std())))


def still_row(
    runner: EffectRunner, flow: Flow, item: Item, *, before: Scores, coding: Coding | None
) -> tuple[Row, Array]:
    """Restore the one frame of an item; return its row and the shown picture."""
    restored = runner.render(flow, item.degraded, (0,), coding=coding)[0]
    picture, clean = shown(restored.picture), shown(item.clean[0])
    megapixels = clean.shape[0] * clean.shape[1] / 1e6
    row = Row(
        item.picture,
        before,
        score(picture, clean),
        restored.seconds / megapixels,
        restored.is_refused,
    )
    return row, picture


def clip_row(runner: EffectRunner, flow: Flow, item: Item, *, has_cut: bool) -> ClipRow:
    """Restore the judged frames of an item alone and with their neighbors."""
    frames = list(_JUDGED_FRAMES)
    clean = shown(item.clean)
    damaged = shown(item.degraded)[frames]
    temporal = np.stack([shown(r.picture) for r in runner.render(flow, item.degraded, frames)])
    still = np.stack(
        [
            shown(runner.render(flow, item.degraded[frame : frame + 1], (0,))[0].picture)
            for frame in frames
        ]
    )
    wanted = clean[frames]
    scored = [
        [score(picture, right) for picture, right in zip(clip, wanted, strict=True)]
        for clip in (damaged, still, temporal)
    ]
    before, alone, together = (float(np.mean([s.psnr for s in form])) for form in scored)
    textures = [float(np.mean([s.texture for s in form])) for form in scored]
    cut = len(clean) // 2 + 1
    ghosts = [
        max(
            abs(ghost(clip[frames.index(f)], clean[f], clean[other]))
            for f, other in ((cut - 1, cut), (cut, cut - 1))
        )
        if has_cut
        else 0.0
        for clip in (still, temporal)
    ]
    return ClipRow(
        item.picture,
        before,
        alone,
        together,
        textures[1],
        textures[2],
        *(flicker(clip, wanted) for clip in (damaged, still, temporal)),
        *ghosts,
    )
