"""Frame numbers as timecode."""

from __future__ import annotations

__all__ = ["timecode"]


def timecode(frame: int, *, fps: float, is_drop: bool = False) -> str:
    """Return the timecode of a frame number, counted from 00:00:00:00.

    Args:
        frame: 0 or more.
        fps: Frames a second; 23.976 counts as 24, 29.97 as 30.
        is_drop: Whether numbers are dropped so that the code keeps to the clock: at 30 two in
            every minute but each tenth, at 60 four. Written with a semicolon.

    Source: SMPTE ST 12-1, drop-frame compensated time code.
    """
    rate = round(fps)
    if is_drop:
        dropped = rate // 15
        tens, rest = divmod(frame, 600 * rate - 9 * dropped)
        minutes = max(0, (rest - dropped) // (60 * rate - dropped))
        frame += dropped * (9 * tens + minutes)
    seconds, frames = divmod(frame, rate)
    mark = ";" if is_drop else ":"
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{mark}{frames:02d}"
