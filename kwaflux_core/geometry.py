"""Boxes of pixels, and the only converters from and to OpenEXR's windows."""

from __future__ import annotations

from dataclasses import dataclass

from kwaflux_core.errors import ImageError

__all__ = ["Box", "box_from_exr_inclusive", "box_to_exr_inclusive"]


@dataclass(frozen=True, slots=True, order=True)
class Box:
    """A rectangle of pixels: ``x0 <= x < x1`` and ``y0 <= y < y1``, y down.

    Coordinates may be negative, as in a data window with overscan. An empty box is refused.

    Raises:
        ImageError: The box is empty.
    """

    x0: int
    y0: int
    x1: int
    y1: int

    def __post_init__(self) -> None:
        if self.x1 <= self.x0 or self.y1 <= self.y0:
            raise ImageError(f"the box {self.x0},{self.y0} to {self.x1},{self.y1} is empty")

    @classmethod
    def from_size(cls, width: int, height: int, *, x0: int = 0, y0: int = 0) -> Box:
        """Return the box of a size in pixels whose first pixel is ``(x0, y0)``."""
        return cls(x0, y0, x0 + width, y0 + height)

    @property
    def width(self) -> int:
        """Width in pixels."""
        return self.x1 - self.x0

    @property
    def height(self) -> int:
        """Height in pixels."""
        return self.y1 - self.y0

    @property
    def area_px(self) -> int:
        """Number of pixels."""
        return self.width * self.height

    def contains(self, other: Box) -> bool:
        """Return whether every pixel of ``other`` is in this box."""
        return (
            self.x0 <= other.x0
            and self.y0 <= other.y0
            and other.x1 <= self.x1
            and other.y1 <= self.y1
        )

    def intersection(self, other: Box) -> Box | None:
        """Return the intersection of both boxes, or None if it is empty."""
        x0, y0 = max(self.x0, other.x0), max(self.y0, other.y0)
        x1, y1 = min(self.x1, other.x1), min(self.y1, other.y1)
        return Box(x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None

    def expanded(self, margin_px: int) -> Box:
        """Return the box with ``margin_px`` more pixels on each side."""
        return Box(
            self.x0 - margin_px, self.y0 - margin_px, self.x1 + margin_px, self.y1 + margin_px
        )

    def shifted(self, dx: int, dy: int) -> Box:
        """Return the box moved by whole pixels."""
        return Box(self.x0 + dx, self.y0 + dy, self.x1 + dx, self.y1 + dy)

    def scaled(self, scale: int) -> Box:
        """Return the box with every edge multiplied by ``scale``."""
        return Box(self.x0 * scale, self.y0 * scale, self.x1 * scale, self.y1 * scale)

    def as_tuple(self) -> tuple[int, int, int, int]:
        """Return ``(x0, y0, x1, y1)``, half-open."""
        return (self.x0, self.y0, self.x1, self.y1)


def box_from_exr_inclusive(x_min: int, y_min: int, x_max: int, y_max: int) -> Box:
    """Return the box of an OpenEXR window, whose maxima are inclusive."""
    return Box(x_min, y_min, x_max + 1, y_max + 1)


def box_to_exr_inclusive(box: Box) -> tuple[int, int, int, int]:
    """Return ``(x_min, y_min, x_max, y_max)`` of an OpenEXR window: maxima inclusive."""
    return (box.x0, box.y0, box.x1 - 1, box.y1 - 1)
