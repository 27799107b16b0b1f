"""The primaries of scene-linear spaces, as in the headers of EXR files."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["PRIMARIES", "space_of_chromaticities"]

_TOLERANCE = 1e-3
_D65 = (0.3127, 0.3290)
_ACES_WHITE = (0.32168, 0.33767)
PRIMARIES: Mapping[str, tuple[float, ...]] = MappingProxyType(
    {
        "lin_ap0": (0.7347, 0.2653, 0.0, 1.0, 0.0001, -0.077, *_ACES_WHITE),
        "lin_ap1": (0.713, 0.293, 0.165, 0.830, 0.128, 0.044, *_ACES_WHITE),
        "lin_rec709_srgb": (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, *_D65),
        "lin_p3d65": (0.68, 0.32, 0.265, 0.69, 0.15, 0.06, *_D65),
        "lin_rec2020": (0.708, 0.292, 0.170, 0.797, 0.131, 0.046, *_D65),
        "lin_adobergb": (0.64, 0.33, 0.21, 0.71, 0.15, 0.06, *_D65),
        "cie_xyz_d65_scene": (1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1 / 3, 1 / 3),
        "lin_arri_wide_gamut_3": (0.684, 0.313, 0.221, 0.848, 0.0861, -0.102, *_D65),
        "lin_arri_wide_gamut_4": (0.7347, 0.2653, 0.1424, 0.8576, 0.0991, -0.0308, *_D65),
        "lin_bmd_widegamut_gen5": (
            *(0.7177215, 0.3171181, 0.2280410, 0.8615690, 0.1005841, -0.0820452),
            *(0.3127170, 0.3290312),
        ),
        "lin_davinci_widegamut": (0.8, 0.313, 0.1682, 0.9877, 0.079, -0.1155, *_D65),
        "lin_dgamut": (0.71, 0.31, 0.21, 0.88, 0.09, -0.08, *_D65),
        "lin_vgamut": (0.730, 0.280, 0.165, 0.840, 0.100, -0.030, *_D65),
        "lin_redwidegamutrgb": (
            *(0.780308, 0.304253, 0.121595, 1.493994, 0.095612, -0.084589),
            *_D65,
        ),
        "lin_sgamut3": (0.730, 0.280, 0.140, 0.855, 0.100, -0.050, *_D65),
        "lin_sgamut3cine": (0.766, 0.275, 0.225, 0.800, 0.089, -0.087, *_D65),
        "lin_venice_sgamut3": (
            *(0.740464264, 0.279364375, 0.089241145, 0.893809529, 0.110488237, -0.052579333),
            *_D65,
        ),
        "lin_venice_sgamut3cine": (
            *(0.775901872, 0.274502393, 0.188682903, 0.828684937, 0.101337383, -0.089187517),
            *_D65,
        ),
    }
)
"""Red, green, blue and white as (x, y), with all published digits."""


def space_of_chromaticities(chromaticities: object) -> str:
    """Return the alias, in OCIO's built-in configs, of the scene-linear space with these primaries.

    Args:
        chromaticities: Eight numbers, x and y of red, green, blue and white.

    Returns:
        The nearest space with all numbers within 1e-3; empty if there is none, or if these are not
        eight numbers.
    """
    numbers = _eight_numbers(chromaticities)
    if numbers is None:
        return ""
    distance, name = min((_distance(numbers, known), name) for name, known in PRIMARIES.items())
    return name if distance <= _TOLERANCE else ""


def _eight_numbers(value: object) -> tuple[float, ...] | None:
    try:
        numbers = tuple(float(number) for number in value)  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        return None
    return numbers if len(numbers) == 8 else None


def _distance(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    return max(abs(a - b) for a, b in zip(one, other, strict=True))
