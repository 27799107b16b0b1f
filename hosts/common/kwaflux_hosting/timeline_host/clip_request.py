"""The request for a selection of clips: flow, colorspace, handles, and where results go."""

from __future__ import annotations

import importlib.resources
from collections.abc import Mapping
from dataclasses import dataclass

from kwaflux_core.errors import HostError
from kwaflux_core.flows.flow import Flow
from kwaflux_hosting.panel.controls import EffectEntry
from kwaflux_hosting.panel.panel import Panel

__all__ = ["ClipRequest", "read_dialog_controls"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipRequest:
    """Hold what a person asks for.

    Args:
        flow: The effects.
        mode: The way back.
        is_graded: Whether it is the picture that the timeline shows, and not the clip's own frames.
        handles: Frames more on both sides, as far as there are any.
        colorspace: What the numbers mean, as OCIO names it; empty: what the host says.
        folder: Where the folders of results lie; empty: beside the media.

    Raises:
        FlowError: The flow is none.
        HostError: A graded picture would be graded twice.
    """

    flow: str
    mode: str = "take"
    is_graded: bool = False
    handles: int = 0
    colorspace: str = ""
    folder: str = ""

    @classmethod
    def of(cls, flow: str, values: Mapping[str, object], *, asked: EffectEntry) -> ClipRequest:
        """Return the wish of values that were asked for, each checked."""
        return cls(flow=flow, **asked.checked(values))  # type: ignore[arg-type]

    def __post_init__(self) -> None:
        Flow.parse(self.flow)
        if self.is_graded and self.mode != "track":
            raise HostError(
                "a graded picture that comes back into the clip would be graded twice",
                hint="choose a new track for it, or the clip's own frames",
            )


def read_dialog_controls(package: str) -> EffectEntry:
    """Return what an adapter asks beside the effects: the one choice of its ``asked.json``.

    Raises:
        HostError: The file holds none.
    """
    path = importlib.resources.files(package).joinpath("dialog_controls.json")
    (choice,) = Panel.from_json(path.read_text(encoding="utf-8")).choices
    return choice
