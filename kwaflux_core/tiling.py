"""Tile plans: the pixels of each tile, and the pixels read to compute them.

Alignment is counted from the frame's origin, never from a region's or a tile's: a network that
halves its input sees the same pixels in the same phase for any split of the frame, so that a region
equals the crop of the whole.
"""

from __future__ import annotations

from dataclasses import dataclass

from kwaflux_core.errors import ImageError, SettingsError
from kwaflux_core.geometry import Box

__all__ = ["TILE_PX", "Tile", "mirrored_indices", "plan_tiles"]

TILE_PX = 768
"""About how large a tile is a side, unless a setting says otherwise. With a halo of 68 pixels an HD
frame costs 1.5 times its area; with tiles of 512 it was 1.8, with 1024 it would be 1.4."""


@dataclass(frozen=True, slots=True)
class Tile:
    """The pixels of one run of the network.

    Args:
        core: The output pixels.
        read: The input pixels. They may be outside the frame, where the reader mirrors
            (``mirrored_indices``).
    """

    core: Box
    read: Box


def plan_tiles(
    region: Box, *, frame: Box, tile_px: int, halo_px: int, align_px: int
) -> tuple[Tile, ...]:
    """Return tiles whose cores cover a region exactly, without overlap, row by row.

    The region is cut into ``ceil(size / tile_px)`` pieces a side, as even as the alignment
    allows. Inner edges lie on multiples of ``align_px``, counted from the frame's first pixel; so
    a core may be larger than ``tile_px``, by at most ``align_px``. The read box is the core with
    the halo on all sides, grown outwards until its edges lie on such multiples too.

    Args:
        region: The pixels to compute; inside the frame.
        frame: The data window.
        tile_px: Approximate size of a core, at least 1.
        halo_px: Context around a core, at least the network's radius.
        align_px: Alignment of the network's input.

    Raises:
        ImageError: The region reaches outside the frame.
        SettingsError: A size below 1, or a halo below 0.
    """
    if tile_px < 1 or align_px < 1 or halo_px < 0:
        raise SettingsError(
            f"tiles of {tile_px} px with a halo of {halo_px} px and an alignment of {align_px} px "
            "cannot be planned",
            hint="give sizes of at least 1 and a halo of at least 0",
        )
    if not frame.contains(region):
        raise ImageError(
            f"the region {region.as_tuple()} extends outside the frame {frame.as_tuple()}",
            hint="request a region inside the data window",
        )
    columns = _spans(region.x0, region.x1, origin=frame.x0, tile_px=tile_px, align_px=align_px)
    rows = _spans(region.y0, region.y1, origin=frame.y0, tile_px=tile_px, align_px=align_px)
    reads_x = [_read_span(s, origin=frame.x0, halo_px=halo_px, align_px=align_px) for s in columns]
    reads_y = [_read_span(s, origin=frame.y0, halo_px=halo_px, align_px=align_px) for s in rows]
    return tuple(
        Tile(core=Box(x[0], y[0], x[1], y[1]), read=Box(rx[0], ry[0], rx[1], ry[1]))
        for y, ry in zip(rows, reads_y, strict=True)
        for x, rx in zip(columns, reads_x, strict=True)
    )


def mirrored_indices(start: int, stop: int, size: int) -> list[int]:
    """Return the indices of the samples at ``start``, ``start + 1``, ... below ``stop``.

    Outside 0..size-1 the samples are mirrored at the first and at the last one, which are not
    repeated (numpy's ``reflect``), with the period ``2 * (size - 1)``. A single sample is repeated.

    Args:
        start: The first index; may be negative.
        stop: The end of the range; may exceed ``size``.
        size: Number of samples, at least 1.

    Raises:
        ImageError: There is no sample.
    """
    if size < 1:
        raise ImageError(f"{size} samples cannot be mirrored", hint="give at least 1")
    last = size - 1
    if last == 0:
        return [0] * max(0, stop - start)
    return [last - abs(last - index % (2 * last)) for index in range(start, stop)]


def _spans(
    start: int, stop: int, *, origin: int, tile_px: int, align_px: int
) -> list[tuple[int, int]]:
    """Cut ``start..stop`` near-evenly; edges on the same multiple count once."""
    size = stop - start
    pieces = -(-size // tile_px)
    edges = [start]
    for piece in range(1, pieces):
        ideal = start - origin + size * piece // pieces
        edge = origin + (ideal + align_px // 2) // align_px * align_px
        if edges[-1] < edge < stop:
            edges.append(edge)
    return list(zip(edges, [*edges[1:], stop], strict=True))


def _read_span(
    span: tuple[int, int], *, origin: int, halo_px: int, align_px: int
) -> tuple[int, int]:
    first = (span[0] - halo_px - origin) // align_px * align_px
    behind = -((origin - span[1] - halo_px) // align_px) * align_px
    return (origin + first, origin + behind)
