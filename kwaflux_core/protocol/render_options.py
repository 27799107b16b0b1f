"""The options of a render, besides its source, target, flow and frame.

The protocol's messages, the client, jobs, hosts and the command line all pass this one record. A
new option is a field here, with its help.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

__all__ = ["RenderOptions"]


@dataclass(frozen=True, slots=True)
class RenderOptions:
    """The options of a render; each field has its help.

    Args:
        colorspace: OCIO name of the source's colorspace; empty for the file's tags.
        layer: The layer to render; all other channels pass through.
        alpha: Whether the color is multiplied with alpha.
        half: Whether an EXR's color is written as 16-bit float.
        compression: Compression of an EXR; empty for the source's if it is lossless, else ZIP.
        existing: The treatment of an existing target.
    """

    colorspace: str = field(
        default="",
        metadata={"help": "OCIO name of the source's colorspace. Default: the file's tags."},
    )
    layer: str = field(default="", metadata={"help": "Layer or view to enhance. Default: R, G, B."})
    alpha: Literal["premultiplied", "straight"] = field(
        default="premultiplied", metadata={"help": "Whether the color is multiplied with alpha."}
    )
    half: bool = field(default=False, metadata={"help": "Write 16-bit float color."})
    compression: str = field(
        default="",
        metadata={"help": "none, ZIP, ZIPS, PIZ ... Default: the source's if lossless, else ZIP."},
    )
    existing: Literal["replace", "skip", "verify"] = field(
        default="replace",
        metadata={"help": "Existing targets: replace, skip, or verify and keep if valid."},
    )
