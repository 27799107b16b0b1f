"""The neighbors of a frame: the other frames that a temporal flow reads to render it."""

from __future__ import annotations

from collections.abc import Container

__all__ = ["neighbor_frames"]


def neighbor_frames(
    frame: int, *, frames_before: int, frames_after: int, all_frames: Container[int]
) -> tuple[int, ...]:
    """Return the other frames that must be read to render one, oldest first.

    The clip ends at its first hole, as it does at its first and last frame. Where the window runs
    over such an end it will be mirrored there, so the frames on the other side that the mirror
    shows are among those returned.

    Args:
        frame: The frame to render, an absolute number.
        frames_before: Earlier frames the flow reads, 0 or more.
        frames_after: Later frames the flow reads, 0 or more.
        all_frames: The frames that exist.
    """

    def reach(step: int, count: int) -> int:
        at = frame
        while abs(at - frame) < count and at + step in all_frames:
            at += step
        return at

    before, after = frame - reach(-1, frames_before), reach(+1, frames_after) - frame
    mirrored_after = frames_before - before - before
    mirrored_before = frames_after - after - after
    first = reach(-1, max(frames_before, mirrored_before))
    last = reach(+1, max(frames_after, mirrored_after))
    return tuple(other for other in range(first, last + 1) if other != frame)
