"""A test chart, and the comparison of two of its states.

The chart is 160 x 90, with a data window of odd bounds that differs from the display window. Its
patches: values from -0.5 to 5000, colors outside every gamut, alphas with premultiplied and with
emitted color, the frame's number in bits, NaN and Inf, and a ramp in which no two pixels are equal.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from kwaflux_core.frames.timecode import Timecode
from kwaflux_core.geometry import Box
from kwaflux_core.images.exr.small_exr import PlainPicture, encode_plain, read_plain

__all__ = ["ASPECTS", "DISPLAY", "Aspect", "Finding", "chart_bytes", "compared", "frame_in"]

Aspect: TypeAlias = Literal[
    "range", "gamut", "alpha", "frame", "special", "place", "windows", "channels", "header"
]
ASPECTS: Final[tuple[Aspect, ...]] = (
    "range",
    "gamut",
    "alpha",
    "frame",
    "special",
    "place",
    "windows",
    "channels",
    "header",
)

DISPLAY: Final = Box(0, 0, 160, 90)
_DATA: Final = Box(-7, -5, 150, 83)
_CELL_PX: Final = 10
_BITS: Final = 14
_PLACE: Final = Box(0, 50, 150, 80)
_COLOR: Final = ("R", "G", "B")
_MARK: Final = "kwaflux chart"

_RANGE: Final = (-0.5, -0.1, -0.001, 0.0, 1e-5, 0.18, 0.5, 1.0, 2.0, 16.0, 100.0, 1000.0, 5000.0)
_GAMUT: Final = (
    (1.0, 0.0, 0.0),
    (0.0, 1.0, 0.0),
    (0.0, 0.0, 1.0),
    (1.2, -0.15, -0.02),
    (-0.4, 1.1, -0.03),
    (-0.02, -0.1, 1.3),
    (0.8, 0.8, -0.2),
    (50.0, -3.0, 0.5),
)
_ALPHA: Final = (
    (0.0, 0.0, 0.0, 0.0),
    (0.125, 0.05, 0.025, 0.25),
    (0.25, 0.1, 0.05, 0.5),
    (0.375, 0.15, 0.075, 0.75),
    (0.5, 0.4, 0.3, 0.0),
    (0.5, 0.2, 0.1, 1.0),
)
_SPECIAL: Final = (math.nan, math.inf, -math.inf, 65504.0, 70000.0, 1e-40)


@dataclass(frozen=True, slots=True)
class Finding:
    """Say what a step did to one aspect of the chart.

    Args:
        aspect: What was looked at.
        is_kept: Whether it came through as it was.
        detail: What changed, one sentence; empty where nothing did.
    """

    aspect: Aspect
    is_kept: bool
    detail: str = ""


def chart_bytes(frame: int) -> bytes:
    """Return the chart of a frame as an uncompressed float EXR."""
    planes: dict[str, list[float]] = {name: [] for name in (*_COLOR, "A", "depth.Z")}
    for y in range(_DATA.y0, _DATA.y1):
        for x in range(_DATA.x0, _DATA.x1):
            *color, alpha = _pixel(x, y, frame)
            for name, value in zip((*_COLOR, "A"), (*color, alpha), strict=True):
                planes[name].append(value)
            planes["depth.Z"].append(1000.0 * y + x)
    mark = f"{_MARK} {frame}".encode()
    timecode = struct.pack("<II", *Timecode.of_count(frame, per_second=24).to_bits())
    return encode_plain(
        {name: tuple(values) for name, values in planes.items()},
        data_window=_DATA,
        display_window=DISPLAY,
        attributes={"comments": ("string", mark), "timeCode": ("timecode", timecode)},
    )


def compared(before: bytes, after: bytes, *, frame: int) -> tuple[Finding, ...]:
    """Return what a step did to the chart, aspect by aspect.

    Args:
        before: The file that went into the step.
        after: The file that came out.
        frame: The number that the file is supposed to hold.

    Raises:
        ImageError: One of them cannot be read, or is of a kind that no step should write.
    """
    old, new = (
        read_plain(data, label=name) for data, name in ((before, "before"), (after, "after"))
    )
    looks: Mapping[Aspect, Callable[[], str]] = {
        "range": lambda: _grays(old, new, row=0, count=len(_RANGE)),
        "gamut": lambda: _colors(old, new, row=1, count=len(_GAMUT)),
        "alpha": lambda: _alphas(old, new),
        "frame": lambda: _number(new, frame),
        "special": lambda: _specials(old, new),
        "place": lambda: _places(old, new),
        "windows": lambda: _windows(old, new),
        "channels": lambda: _channels(old, new),
        "header": lambda: _header(old, new),
    }
    found = ((aspect, looks[aspect]()) for aspect in ASPECTS)
    return tuple(Finding(aspect, not detail, detail) for aspect, detail in found)


def frame_in(picture: PlainPicture) -> int:
    """Return the frame number that the chart's bits spell, whatever was done to its colors."""
    bits = (_at(picture, "G", _center(column, 3)) for column in range(_BITS))
    return sum((bit > 0.5) << place for place, bit in enumerate(bits))


# --- patches ----------------------------------------------------------------------------------


def _pixel(x: int, y: int, frame: int) -> tuple[float, float, float, float]:
    column, row = x // _CELL_PX, y // _CELL_PX
    if row == 0 and 0 <= column < len(_RANGE):
        return (_RANGE[column],) * 3 + (1.0,)
    if row == 1 and 0 <= column < len(_GAMUT):
        return (*_GAMUT[column], 1.0)
    if row == 2 and 0 <= column < len(_ALPHA):
        return _ALPHA[column]
    if row == 3 and 0 <= column < _BITS:
        return (float(frame >> column & 1),) * 3 + (1.0,)
    if row == 4 and 0 <= column < len(_SPECIAL):
        return (_SPECIAL[column],) * 3 + (1.0,)
    return ((x + 8) / 256, (y + 8) / 128, (7 * x + 13 * y) % 97 / 97, 1.0)


def _center(column: int, row: int) -> tuple[int, int]:
    return column * _CELL_PX + _CELL_PX // 2, row * _CELL_PX + _CELL_PX // 2


def _at(picture: PlainPicture, channel: str, place: tuple[int, int]) -> float:
    """Return a value, NaN where the picture does not have it."""
    window = picture.data_window
    is_inside = window.x0 <= place[0] < window.x1 and window.y0 <= place[1] < window.y1
    if channel not in picture.planes or not is_inside:
        return math.nan
    return picture.value(channel, *place)


# --- what changed -----------------------------------------------------------------------------


def _row(picture: PlainPicture, row: int, count: int, names: tuple[str, ...]) -> list[float]:
    return [_at(picture, name, _center(at, row)) for at in range(count) for name in names]


def _grays(old: PlainPicture, new: PlainPicture, *, row: int, count: int) -> str:
    return _told(_row(old, row, count, _COLOR), _row(new, row, count, _COLOR))


def _colors(old: PlainPicture, new: PlainPicture, *, row: int, count: int) -> str:
    before, after = (_row(picture, row, count, _COLOR) for picture in (old, new))
    detail = _told(before, after)
    if "curve" not in detail:
        return detail
    return f"the colors were converted to other primaries or a curve ({detail})"


def _alphas(old: PlainPicture, new: PlainPicture) -> str:
    names = ("A",)
    before, after = (_row(picture, 2, len(_ALPHA), names) for picture in (old, new))
    if "A" in old.planes and "A" not in new.planes:
        return "the alpha channel is missing"
    if after and all(value == 1.0 for value in after) and before != after:
        return "alpha became 1 everywhere"
    detail = _told(before, after)
    if detail:
        return f"alpha: {detail}"
    old_color, new_color = (_row(picture, 2, len(_ALPHA), _COLOR) for picture in (old, new))
    detail = _told(old_color, new_color)
    if not detail:
        return ""
    weights = [alpha for alpha in before for _ in _COLOR]
    pairs = list(zip(old_color, new_color, weights, strict=True))
    if all(_near(new_value, value * alpha) for value, new_value, alpha in pairs):
        return "the color was multiplied with alpha once more"
    if all(_near(new_value * alpha, value) for value, new_value, alpha in pairs if alpha):
        return "the color was divided by alpha"
    return f"the color under alpha changed: {detail}"


def _number(new: PlainPicture, frame: int) -> str:
    found, wanted = frame_in(new), frame % (1 << _BITS)
    return "" if found == wanted else f"the file of frame {wanted} holds frame {found}"


def _specials(old: PlainPicture, new: PlainPicture) -> str:
    before, after = (_row(picture, 4, len(_SPECIAL), ("R",)) for picture in (old, new))
    changed = [
        f"{was:g} became {now:g}"
        for was, now in zip(before, after, strict=True)
        if not (was == now or (math.isnan(was) and math.isnan(now)))
    ]
    return ", ".join(changed)


def _places(old: PlainPicture, new: PlainPicture) -> str:
    if _shift_error(old, new, 0, 0) == 0.0:
        return ""
    tried = ((dx, dy) for dx in range(-9, 10) for dy in range(-9, 10))
    error, dx, dy = min((_shift_error(old, new, dx, dy, step=11), dx, dy) for dx, dy in tried)
    if error < 1e-3 and (dx, dy) != (0, 0):
        return f"the picture was moved by {dx}, {dy} px (x to the right, y down)"
    if _flip_error(old, new) < 1e-3:
        return "the picture was turned upside down"
    if _shift_error(old, new, 0, 0) < 0.05:
        return "pixels changed a little: a filter, a resize, or other numbers (see range)"
    return "pixels are at other positions: a resize, a crop, or other numbers (see range)"


def _shift_error(old: PlainPicture, new: PlainPicture, dx: int, dy: int, *, step: int = 1) -> float:
    """Return the mean difference of the ramps, as far as both pictures have them."""
    error, count = 0.0, 0
    for x, y in _ramp(step):
        before, after = _at(old, "G", (x, y)), _at(new, "G", (x + dx, y + dy))
        before_red, after_red = _at(old, "R", (x, y)), _at(new, "R", (x + dx, y + dy))
        difference = abs(before - after) + abs(before_red - after_red)
        if not math.isnan(difference):
            error, count = error + difference, count + 1
    return error / count if count else math.inf


def _flip_error(old: PlainPicture, new: PlainPicture) -> float:
    pairs = [
        (_at(old, "R", (x, y)), _at(old, "G", (x, y)), *_flipped(new, x, y)) for x, y in _ramp(11)
    ]
    found = [abs(r - fr) + abs(g - fg) for r, g, fr, fg in pairs]
    return max((error for error in found if not math.isnan(error)), default=math.inf)


def _flipped(picture: PlainPicture, x: int, y: int) -> tuple[float, float]:
    place = (x, DISPLAY.y1 - 1 - y)
    return _at(picture, "R", place), _at(picture, "G", place)


def _ramp(step: int) -> Iterator[tuple[int, int]]:
    for y in range(_PLACE.y0, _PLACE.y1, min(step, 7)):
        for x in range(_PLACE.x0, _PLACE.x1, step):
            yield x, y


def _windows(old: PlainPicture, new: PlainPicture) -> str:
    told = []
    for name, was, now in (
        ("data window", old.data_window, new.data_window),
        ("display window", old.display_window, new.display_window),
    ):
        if was != now:
            told.append(f"the {name} {was.as_tuple()} became {now.as_tuple()}")
    return ", ".join(told)


def _channels(old: PlainPicture, new: PlainPicture) -> str:
    was, now = old.pixel_types, new.pixel_types
    gone = [name for name in was if name not in now]
    half = [name for name in was if was[name] == "float" and now.get(name) == "half"]
    told = [f"{', '.join(gone)} missing"] if gone else []
    told += [f"{', '.join(half)} written in 16 bits"] if half else []
    return "; ".join(told)


def _header(old: PlainPicture, new: PlainPicture) -> str:
    """Compare texts wherever they stand: hosts put their own prefix before the names."""
    was = old.layout.attributes
    values = {attribute.value for attribute in new.layout.attributes.values()}
    marks = [name for name in ("comments", "timeCode") if name in was]
    lost = [name for name in marks if was[name].value not in values]
    return f"{', '.join(lost)} lost from the header" if lost else ""


def _told(before: list[float], after: list[float]) -> str:
    """Return what became of values, in the words of the likeliest cause; empty: nothing did."""
    if before == after:
        return ""
    pairs = list(zip(before, after, strict=True))
    if any(math.isnan(now) for _, now in pairs):
        return "values are missing"
    if all(now == _as_half(was) for was, now in pairs):
        return "rounded to 16-bit half floats"
    top = max(after)
    if all(now == max(was, 0.0) for was, now in pairs):
        return "negatives were clamped to 0"
    if all(_near(now, min(max(was, 0.0), top)) for was, now in pairs):
        return f"clamped to 0..{top:g}"
    if all(_near(now, min(was, top)) for was, now in pairs):
        return f"clamped to at most {top:g}"
    if all(_near(was, now) for was, now in pairs):
        return "changed in the last digits"
    ratios = {round(now / was, 4) for was, now in pairs if was}
    if len(ratios) == 1:
        return f"multiplied by {ratios.pop():g}"
    was, now = min((pair for pair in pairs if pair[0] != pair[1]), key=lambda p: abs(p[0] - 0.18))
    return f"a curve or conversion: {was:.4g} became {now:.4g}"


def _as_half(value: float) -> float:
    try:
        return float(struct.unpack("<e", struct.pack("<e", value))[0])
    except OverflowError:
        return math.copysign(math.inf, value)


def _near(first: float, second: float) -> bool:
    return abs(first - second) <= 1e-5 * max(1.0, abs(first), abs(second)) * 2
