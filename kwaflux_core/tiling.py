"""Plans of tiles: which pixels are computed together, and which are read for it.

Alignment is always counted from the frame's own origin, never from a region's or a tile's: a
network that halves its picture sees the same pixels in the same phase whichever way the frame is
cut, so that a region equals the same crop of the whole.
"""

from __future__ import annotations

from dataclasses import dataclass

from kwaflux_core.errors import ImageError, SettingsError
from kwaflux_core.geometry import Box

__all__ = ["Tile", "mirrored_indices", "plan_tiles"]


@dataclass(frozen=True, slots=True)
class Tile:
    """Hold what one run of the network computes.

    Args:
        core: The pixels that are kept.
        read: The pixels that are given to the network. They may lie outside the frame, where the
            reader mirrors (``mirrored_indices``).
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
        region: The pixels that are wanted; inside the frame.
        frame: All pixels there are (the data window).
        tile_px: About how large a core is, at least 1.
        halo_px: Context around a core, at least the network's radius.
        align_px: What the network's input must be a multiple of.

    Raises:
        ImageError: The region reaches outside the frame.
        SettingsError: A size below 1, or a halo below 0.
    """
    if tile_px < 1 or align_px < 1 or halo_px < 0:
        raise SettingsError(
            f"tiles of {tile_px} px with a halo of {halo_px} px and an alignment of {align_px} px "
            "cannot be planned",
            hint="sizes are 1 or more, a halo is 0 or more",
        )
    if not frame.contains(region):
        raise ImageError(
            f"the region {region.as_tuple()} reaches outside the frame {frame.as_tuple()}",
            hint="ask for pixels of the data window",
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
    """Return which of ``size`` samples stand at ``start``, ``start + 1``, ... below ``stop``.

    Outside 0..size-1 the samples are mirrored at the first and at the last one, which are not
    repeated (numpy calls it ``reflect``), over and over: the period is ``2 * (size - 1)``. A
    single sample stands everywhere.

    Args:
        start: The first index; may be negative.
        stop: One behind the last; may exceed ``size``.
        size: How many samples there are, at least 1.

    Raises:
        ImageError: There is no sample.
    """
    if size < 1:
        raise ImageError(f"{size} samples cannot be mirrored", hint="give 1 or more")
    last = size - 1
    if last == 0:
        return [0] * max(0, stop - start)
    return [last - abs(last - index % (2 * last)) for index in range(start, stop)]


def _spans(
    start: int, stop: int, *, origin: int, tile_px: int, align_px: int
) -> list[tuple[int, int]]:
    """Cut ``start..stop`` near-evenly; edges that fall together on one multiple count once."""
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
