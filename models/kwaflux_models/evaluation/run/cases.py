"""The published test set: which damage, on which group, for which kind of effect."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Literal, TypeAlias

from kwaflux_models.training.degradations.codec_roundtrip import Encode

__all__ = ["CASES", "Case", "Group", "Motion", "cases_of", "find_case"]

Group: TypeAlias = Literal[
    "noise", "noise_codec", "codec", "analog", "light", "clean", "upscale", "deblur", "clip"
]
Motion: TypeAlias = Literal["static", "pan", "cut"]

_VERSION = 1
"""Raised when `kwaflux_models.evaluation.run.testset` makes other pixels of the same case."""


@dataclass(frozen=True, slots=True)
class Case:
    """One way to damage a clean clip; what is not set does not happen.

    The order is fixed: blur, reduction, noise, composite video, codecs.

    Args:
        name: The case's name in the tables.
        group: Which table it belongs to, and which effects are judged by it.
        sigma: Noise on mid gray, in display units (0..1), of a Bayer sensor.
        is_white: The noise is white on display-encoded values instead of a sensor's.
        encodes: Codecs, one after another; all but JPEG encode a moving clip.
        scale: How many times smaller the damaged picture is.
        blur_px: Sigma of a Gaussian before the reduction, in pixels of the reduced picture.
        defocus_px: Radius of a defocus disk.
        is_analog: Through a composite signal before the codecs.
        motion: What the clip does.
    """

    name: str
    group: Group
    sigma: float = 0.0
    is_white: bool = False
    encodes: tuple[Encode, ...] = ()
    scale: int = 1
    blur_px: float = 0.0
    defocus_px: float = 0.0
    is_analog: bool = False
    motion: Motion = "pan"

    @property
    def is_clip(self) -> bool:
        """Whether all frames are restored, not only the middle one."""
        return self.group == "clip"

    @property
    def digest(self) -> str:
        """What the case is, 16 hexadecimal digits: results of another are not comparable."""
        text = json.dumps([_VERSION, asdict(self)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def seed(self) -> int:
        """The seed of the case's noise."""
        return int(hashlib.sha256(self.name.encode()).hexdigest()[:8], 16)


def _h264(crf: int) -> tuple[Encode, ...]:
    return (Encode("h264", crf, preset="medium"),)


def _jpeg(quality: int) -> tuple[Encode, ...]:
    return (Encode("jpeg", quality),)


_NOISE = (
    Case("sensor 0.03", "noise", sigma=0.03),
    Case("sensor 0.06", "noise", sigma=0.06),
    Case("white 25/255", "noise", sigma=25 / 255, is_white=True),
    Case("sensor 0.03, H.264 CRF 24", "noise_codec", sigma=0.03, encodes=_h264(24)),
    Case("sensor 0.045, H.264 CRF 27", "noise_codec", sigma=0.045, encodes=_h264(27)),
)
_CODEC = (
    Case("JPEG q25", "codec", encodes=_jpeg(25)),
    Case("MPEG-2 q12", "codec", encodes=(Encode("mpeg2", 12),)),
    Case("MPEG-4 q10", "codec", encodes=(Encode("mpeg4", 10),)),
    Case("H.264 CRF 28", "codec", encodes=_h264(28)),
    Case("H.264 CRF 35", "codec", encodes=_h264(35)),
    Case("H.265 CRF 28", "codec", encodes=(Encode("h265", 28, preset="medium"),)),
    Case(
        "MPEG-2 q8, then H.264 CRF 26",
        "codec",
        encodes=(Encode("mpeg2", 8), Encode("h264", 26, preset="medium")),
    ),
)
_ANALOG = (
    Case("composite NTSC", "analog", is_analog=True),
    Case("composite NTSC, DV", "analog", is_analog=True, encodes=(Encode("dv", 0, is_bt601=True),)),
)
_LIGHT = (
    Case("clean", "clean"),
    Case("H.264 CRF 18", "light", encodes=_h264(18)),
    Case("H.264 CRF 20", "light", encodes=_h264(20)),
    Case("JPEG q90", "light", encodes=_jpeg(90)),
    Case("ProRes 422", "light", encodes=(Encode("prores", 2),)),
    Case("DV PAL", "light", encodes=(Encode("dv", 1, is_bt601=True),)),
)
_NOISY_UPSCALE = Encode("h264", 26, preset="medium")
_UPSCALE = tuple(
    case
    for scale in (2, 4)
    for case in (
        Case(f"{scale}x, clean", "upscale", scale=scale, blur_px=0.45),
        Case(f"{scale}x, blur 0.7", "upscale", scale=scale, blur_px=0.7),
        Case(
            f"{scale}x, sensor 0.03, H.264 CRF 26",
            "upscale",
            scale=scale,
            blur_px=0.5,
            sigma=0.03,
            encodes=(_NOISY_UPSCALE,),
        ),
    )
)
_DEBLUR = tuple(
    Case(f"defocus {radius:g} px", "deblur", defocus_px=radius, sigma=0.004)
    for radius in (1.0, 2.0, 3.0, 4.0)
)
_CLIP = (
    Case("static, sensor 0.03, H.264 CRF 24", "clip", 0.03, encodes=_h264(24), motion="static"),
    Case("pan, sensor 0.03, H.264 CRF 24", "clip", 0.03, encodes=_h264(24)),
    Case("pan, sensor 0.045, H.264 CRF 27", "clip", 0.045, encodes=_h264(27)),
    Case("pan, sensor 0.06", "clip", 0.06),
    Case("cut, sensor 0.045, H.264 CRF 27", "clip", 0.045, encodes=_h264(27), motion="cut"),
)

CASES: tuple[Case, ...] = (*_NOISE, *_CODEC, *_ANALOG, *_LIGHT, *_UPSCALE, *_DEBLUR, *_CLIP)
"""Every case, in the order of the tables."""


def cases_of(*groups: Group) -> tuple[Case, ...]:
    """Return the cases of some groups, in the order of the tables."""
    return tuple(case for case in CASES if case.group in groups)


def find_case(name: str) -> Case:
    """Return the case of a name.

    Raises:
        KeyError: there is none.
    """
    for case in CASES:
        if case.name == name:
            return case
    raise KeyError(name)
