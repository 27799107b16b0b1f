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
    """What to do with the clips.

    Args:
        flow: The effects.
        mode: How a result is placed.
        is_graded: Whether to enhance what the timeline shows instead of the clip's own frames.
        handles: Extra frames on both sides, as far as the media has them.
        colorspace: The OCIO name of the frames' colorspace; empty: as the host defines it.
        folder: The folder that holds the folders of results; empty: beside the media.

    Raises:
        FlowError: The flow is not valid.
        HostError: A graded composite would be graded twice.
    """

    flow: str
    mode: str = "take"
    is_graded: bool = False
    handles: int = 0
    colorspace: str = ""
    folder: str = ""

    @classmethod
    def of(cls, flow: str, values: Mapping[str, object], *, asked: EffectEntry) -> ClipRequest:
        """Return the request of a dialog's or command line's values, each checked."""
        return cls(flow=flow, **asked.checked(values))  # type: ignore[arg-type]

    def __post_init__(self) -> None:
        Flow.parse(self.flow)
        if self.is_graded and self.mode != "track":
            raise HostError(
                "a graded composite that is imported into the clip would be graded twice",
                hint="choose a new track for it, or the clip's own frames",
            )


def read_dialog_controls(package: str) -> EffectEntry:
    """Return an adapter's controls beside the effects', from its ``dialog_controls.json``.

    Raises:
        HostError: The file is not valid.
    """
    path = importlib.resources.files(package).joinpath("dialog_controls.json")
    (choice,) = Panel.from_json(path.read_text(encoding="utf-8")).choices
    return choice
