"""Provenance: the header attributes of a rendered frame, and how a later run verifies them.

``kwaflux/hash`` covers the source file's bytes, those of the neighbors that the flow reads, the
flow with every param, the versions of its effects, their weights, and how the image was read and
written; device, precision and tiles are recorded too but are not part of it. ``kwaflux/pixels``
covers the written pixels, so that an altered or truncated file is not accepted.
``kwaflux/measured`` contains what the effects measured on the frame, as JSON; ``kwaflux/attention``
the reason why an effect did not change it; ``kwaflux/decisions`` what was found and done, in words;
``kwaflux/profile`` the estimates of the frame's shot, as JSON, which are part of the hash.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from kwaflux_core.errors import FrameMissing, ImageError, ImageUnreadable, UnknownColorspace
from kwaflux_core.flows.flow import BoundFlow
from kwaflux_core.frames.frame_range import format_frames
from kwaflux_core.frames.shot_profile import Shot
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
    "valid_record",
]

PREFIX = "kwaflux/"
_LONGEST_TEXT = 64


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
    """The inputs of a task's result: the request, its bound flow, the device and the OCIO config.

    ``config`` is the name of the OCIO config; ``loras`` has a line for each LoRA of the flow;
    ``shot`` is what the shot profile says of the frame's shot.
    """

    request: Render
    flow: BoundFlow
    device: Device
    config: str
    version: str
    loras: tuple[str, ...] = ()
    shot: Shot | None = None

    def neighbors_digest(self, digest: Callable[[int], str] | None = None) -> str:
        """Return the hash of the neighbors that the flow reads and of their frame offsets.

        Empty if it reads none.

        Args:
            digest: Returns the hash of a frame's source; None hashes the files' bytes.

        Raises:
            FrameMissing: A neighbor is missing.
            ImageUnreadable: A neighbor cannot be opened.
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
        """Return the hash of the inputs; equal inputs give equal hashes."""
        request, target = self.request, self.request.target
        made_of: dict[str, object] = {
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
        if self.shot is not None:
            made_of["profile"] = self.shot.effects
        return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()

    def record(
        self, frame: RenderedFrame, source_digest: str, *, neighbors_digest: str = ""
    ) -> dict[str, str]:
        """Return the attributes of a frame, without the prefix."""
        record = dict(_of_flow(self.flow))
        if self.loras:
            record["loras"] = ", ".join(self.loras)
        record["version"] = self.version
        record["device"] = self.device.label
        record["precision"] = ", ".join(frame.precisions) or "float32"
        record["tile_px"] = str(frame.tile_px)
        record["fallbacks"] = ", ".join(frame.fallbacks)
        # Always written: a plate may carry the attributes of an earlier run.
        record["measured"] = json.dumps(dict(frame.measured), sort_keys=True)
        record["decisions"] = "; ".join(frame.decisions)
        record["profile"] = "" if self.shot is None else _short(self.shot)
        record["attention"] = "; ".join(frame.skip_reasons)
        record["ocio_config"] = self.config
        if source_digest:
            record["source"] = f"sha256:{source_digest}"
            record["hash"] = self.result_hash(source_digest, neighbors_digest=neighbors_digest)
        return record


def _short(shot: Shot) -> str:
    """Return the estimates of a shot as JSON, with tables replaced by their hashes."""
    effects = {
        name: {
            key: hashlib.sha256(value.encode()).hexdigest()[:16]
            if isinstance(value, str) and len(value) > _LONGEST_TEXT
            else value
            for key, value in record.items()
        }
        for name, record in shot.effects.items()
    }
    frames = f"{shot.first}-{shot.last}"
    judged = format_frames(shot.judged)
    return json.dumps({"frames": frames, "judged": judged, "effects": effects}, sort_keys=True)


def _of_flow(flow: BoundFlow) -> dict[str, str]:
    weights = [weights for step in flow.steps for weights in step.card.weights]
    return {
        "flow": flow.to_text(),
        "effects": ", ".join(f"{step.card.id} {step.card.version}" for step in flow.steps),
        "weights": ", ".join(f"{w.file} sha256:{w.sha256}" for w in weights),
        "weights_licence": ", ".join(sorted({w.licence for w in weights})),
    }


def header_attributes(record: Mapping[str, str], receipt: RangeReceipt) -> dict[str, object]:
    """Return the attributes and the range receipt as header attributes."""
    counted = {name: getattr(receipt, name) for name in RangeReceipt.__slots__}
    values = {**record, "receipt": json.dumps(counted, sort_keys=True)}
    return {PREFIX + name: text for name, text in values.items()}


def pixel_digest(image: Image, *, half: bool = False) -> str:
    """Return the SHA-256 of every channel of every part as stored in a file, by name."""
    digest = hashlib.sha256()
    for part in image.parts:
        for name in sorted(part.channels):
            digest.update(name.encode())
            digest.update(stored_pixels(name, part.channels[name], half=half).data)
    return digest.hexdigest()


def valid_record(path: str, expected_hash: str) -> dict[str, str] | None:
    """Return a file's attributes, if it is complete and was rendered from the same inputs.

    Its pixels must match ``kwaflux/pixels``; a file with lossy compression has no such attribute
    and is checked by its hash and completeness. None if a check fails.
    """
    try:
        image = read_image(path)
    except (ImageError, UnknownColorspace):
        return None
    record = {
        name.removeprefix(PREFIX): value
        for name, value in image.parts[0].attributes.items()
        if name.startswith(PREFIX) and isinstance(value, str)
    }
    if record.get("hash") != expected_hash:
        return None
    is_same = "pixels" not in record or record["pixels"] == pixel_digest(image)
    return record if is_same else None
