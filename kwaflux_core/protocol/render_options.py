"""What a render is asked for besides its source, target, flow and frame.

One record for every way in: the protocol's messages, the client, jobs, hosts and the command line
carry it whole. A new option is a field here, with its help.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

__all__ = ["RenderOptions"]


@dataclass(frozen=True, slots=True)
class RenderOptions:
    """Hold the options of a render; each field's help says what it does.

    Args:
        colorspace: What the source's numbers mean, an OCIO name; empty: what the file says.
        layer: Which layer's color is rendered; all other channels pass through.
        alpha: Whether the color is multiplied with alpha.
        half: Whether an EXR's color is written as 16-bit float.
        compression: Of an EXR; empty: the source's if it is lossless, else ZIP.
        existing: What to do with a target that is there.
    """

    colorspace: str = field(
        default="",
        metadata={"help": "OCIO name of the source's colorspace; none: what the file says."},
    )
    layer: str = field(default="", metadata={"help": "Layer or view to enhance; none: R, G, B."})
    alpha: Literal["premultiplied", "straight"] = field(
        default="premultiplied", metadata={"help": "Whether the color is multiplied with alpha."}
    )
    half: bool = field(default=False, metadata={"help": "Write 16-bit float color."})
    compression: str = field(
        default="",
        metadata={"help": "none, ZIP, ZIPS, PIZ ...; none given: the source's if lossless."},
    )
    existing: Literal["replace", "skip", "verify"] = field(
        default="replace",
        metadata={"help": "What is there already: replace, skip, or verify and keep if good."},
    )
