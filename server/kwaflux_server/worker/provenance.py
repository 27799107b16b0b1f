"""What a delivered frame says of itself, and how a later run knows that it is still good.

``kwaflux/hash`` is made of the source file's bytes, those of the neighbors that the flow reads, the
flow with every param spelled out, the versions of its effects, their weights, and how the picture
was read and written; device, precision and tiles are recorded beside it but are not part of it.
``kwaflux/pixels`` is made of the pixels that were written, so that a file that was altered or cut
short is not taken for good. ``kwaflux/measured`` holds what the effects found out about the frame,
as JSON; ``kwaflux/attention`` why one left it alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from kwaflux_core.errors import FrameMissing, ImageError, ImageUnreadable, UnknownColorspace
from kwaflux_core.flows.flow import BoundFlow
from kwaflux_core.images.exr.read import stored_pixels
from kwaflux_core.images.image import Image
from kwaflux_core.images.io import read_image
from kwaflux_core.protocol.messages import ExrTarget, PathPixels, PathTarget, RangeReceipt, Render
from kwaflux_models.rendering.device import Device
from kwaflux_models.rendering.frame_renderer import RenderedFrame

__all__ = [
    "PREFIX",
    "Provenance",
    "file_digest",
    "header_attributes",
    "pixel_digest",
    "standing_record",
]

PREFIX = "kwaflux/"


def file_digest(path: str) -> str:
    """Return the SHA-256 of a file's bytes.

    Raises:
        FrameMissing: There is no such file.
        ImageUnreadable: It cannot be opened.
    """
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise FrameMissing(f"{path} does not exist", hint="check the range") from error
    except OSError as error:
        raise ImageUnreadable(f"{path} cannot be read: {error.strerror}") from error


@dataclass(frozen=True, slots=True)
class Provenance:
    """Know what makes a task's result: the request, its bound flow, the device and the config.

    ``config`` is the name of the OCIO config; ``loras`` has a line for each that the flow names.
    """

    request: Render
    flow: BoundFlow
    device: Device
    config: str
    version: str
    loras: tuple[str, ...] = ()

    def neighbors_digest(self, digest: Callable[[int], str] | None = None) -> str:
        """Return the hash of the other files that the flow reads, and of where they stand in time.

        Empty where it reads none.

        Args:
            digest: Gives the hash of a frame's source; None hashes the files' bytes.

        Raises:
            FrameMissing: One is not there.
            ImageUnreadable: One cannot be opened.
        """
        if not (self.flow.frames_before or self.flow.frames_after):
            return ""
        made_of = sorted(
            (
                source.frame - self.request.frame,
                digest(source.frame) if digest else file_digest(source.pixels.path),
            )
            for source in self.request.sources
            if source.frame != self.request.frame and isinstance(source.pixels, PathPixels)
        )
        return hashlib.sha256(json.dumps(made_of).encode()).hexdigest() if made_of else ""

    def result_hash(self, source_digest: str, *, neighbors_digest: str = "") -> str:
        """Return the hash of what the result is made from; the same input gives the same hash."""
        request, target = self.request, self.request.target
        made_of = {
            "source": source_digest,
            "neighbors": neighbors_digest,
            "flow": self.flow.to_text(),
            "effects": _of_flow(self.flow)["effects"],
            "weights": [
                weights.sha256 for step in self.flow.steps for weights in step.card.weights
            ],
            "colorspace": request.options.colorspace,
            "alpha": request.options.alpha,
            "layer": request.options.layer,
            "region": request.region,
            "config": self.config,
            "half": isinstance(target, (PathTarget, ExrTarget)) and request.options.half,
        }
        if self.loras:
            made_of["loras"] = list(self.loras)
        return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()

    def record(
        self, frame: RenderedFrame, source_digest: str, *, neighbors_digest: str = ""
    ) -> dict[str, str]:
        """Return what is told of a frame, without the prefix."""
        record = dict(_of_flow(self.flow))
        if self.loras:
            record["loras"] = ", ".join(self.loras)
        record["version"] = self.version
        record["device"] = self.device.label
        record["precision"] = ", ".join(frame.precisions) or "float32"
        record["tile_px"] = str(frame.tile_px)
        record["fallbacks"] = ", ".join(frame.fallbacks)
        # Always there: a plate may bring what an earlier run said of itself.
        record["measured"] = json.dumps(dict(frame.measured), sort_keys=True)
        record["attention"] = "; ".join(frame.skip_reasons)
        record["ocio_config"] = self.config
        if source_digest:
            record["source"] = f"sha256:{source_digest}"
            record["hash"] = self.result_hash(source_digest, neighbors_digest=neighbors_digest)
        return record


def _of_flow(flow: BoundFlow) -> dict[str, str]:
    weights = [weights for step in flow.steps for weights in step.card.weights]
    return {
        "flow": flow.to_text(),
        "effects": ", ".join(f"{step.card.id} {step.card.version}" for step in flow.steps),
        "weights": ", ".join(f"{w.file} sha256:{w.sha256}" for w in weights),
        "weights_licence": ", ".join(sorted({w.licence for w in weights})),
    }


def header_attributes(record: Mapping[str, str], receipt: RangeReceipt) -> dict[str, object]:
    """Return a record and the range receipt as header attributes."""
    counted = {name: getattr(receipt, name) for name in RangeReceipt.__slots__}
    said = {**record, "receipt": json.dumps(counted, sort_keys=True)}
    return {PREFIX + name: text for name, text in said.items()}


def pixel_digest(image: Image, *, half: bool = False) -> str:
    """Return the SHA-256 of every channel of every part as a file stores it, by their names."""
    digest = hashlib.sha256()
    for part in image.parts:
        for name in sorted(part.channels):
            digest.update(name.encode())
            digest.update(stored_pixels(name, part.channels[name], half=half).data)
    return digest.hexdigest()


def standing_record(path: str, expected_hash: str) -> dict[str, str] | None:
    """Return what a file says of itself, if it is whole and was made of the same things.

    It must hold the pixels it names; a file whose compression loses bits names no pixels: its hash
    and its being whole must do. None where it cannot be believed.
    """
    try:
        image = read_image(path)
    except (ImageError, UnknownColorspace):
        return None
    said = {
        name.removeprefix(PREFIX): value
        for name, value in image.parts[0].attributes.items()
        if name.startswith(PREFIX) and isinstance(value, str)
    }
    if said.get("hash") != expected_hash:
        return None
    is_same = "pixels" not in said or said["pixels"] == pixel_digest(image)
    return said if is_same else None
