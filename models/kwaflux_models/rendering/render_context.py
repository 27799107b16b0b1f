"""The context that all frames of a renderer share."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from kwaflux_core.color.config import ColorConfig
from kwaflux_core.flows.card import Card
from kwaflux_models.rendering.device import Device
from kwaflux_models.rendering.lora_stacks import LoraStack
from kwaflux_models.rendering.motion_field import MotionCache
from kwaflux_models.rendering.step_cache import StepCache
from kwaflux_models.rendering.step_renderer import LoadedEffect

__all__ = ["LendEffect", "RenderContext"]


class LendEffect(Protocol):
    """Lend a warm effect; it is not unloaded inside the context."""

    def __call__(
        self, card: Card, loras: LoraStack | None = None
    ) -> AbstractContextManager[LoadedEffect]:
        """Return the context of a card's effect, with LoRAs merged into its network."""
        ...


@dataclass(frozen=True, slots=True)
class RenderContext:
    """Hold what every frame of a renderer is rendered with.

    Args:
        lend: Lends warm effects.
        device: Where the networks run.
        config: The OCIO config that colorspaces are looked up in.
        tile_px: Side of a tile without its halo.
        cache: Results of leading steps that other frames may want.
        motion: The motion between frames, found once for each pair.
    """

    lend: LendEffect
    device: Device
    config: ColorConfig
    tile_px: int
    cache: StepCache
    motion: MotionCache
