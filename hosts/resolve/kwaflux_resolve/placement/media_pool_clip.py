"""The clip of the media pool that takes and tracks show a result with."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from kwaflux_hosting.timeline_host.media import FrameSpan
from kwaflux_resolve.clips import Shot, imported
from kwaflux_resolve.host import Host
from kwaflux_resolve.resolve_api import MediaPoolItem, TimelineItem
from kwaflux_resolve.verified_settings import property_of

__all__ = ["import_clip", "is_aligned"]


@contextlib.contextmanager
def import_clip(
    host: Host, shot: Shot, results: FrameSpan
) -> Iterator[tuple[MediaPoolItem, list[int]]]:
    """Import results as a clip in the source's colors; an error in the block deletes it again.

    Yields:
        The clip, and the numbers that Resolve may use for the first frame that the shot shows:
        versions count from the first file's number or from 0.
    """
    clip = imported(host, results)
    try:
        shot.color.put_on(clip)
        yield clip, results.starts(int(property_of(clip, "Start") or 0))
    except BaseException:
        host.pool.DeleteClips([clip])
        raise


def is_aligned(item: TimelineItem, shot: Shot, starts: Sequence[int]) -> bool:
    """Return whether an item covers the frames of the shot and begins at the right frame."""
    is_in_place = shot.cut.is_shown_at(item.GetStart(), item.GetDuration())
    return is_in_place and item.GetLeftOffset() in starts
