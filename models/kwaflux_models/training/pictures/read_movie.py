"""Read a few frames of a movie, as its player would show them.

Knows PyAV; must not know degradations or networks. Nothing here is meant for plates: those go
through the server.
"""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from kwaflux_core.errors import FrameMissing, ImageUnreadable, ImageUnsupported

__all__ = ["read_clip"]


def read_clip(path: Path, *, first: int = 0, frames: int = 5) -> NDArray[np.float32]:
    """Read consecutive frames of a movie.

    Args:
        path: The file.
        first: Number of the first frame wanted, from 0.
        frames: How many.

    Returns:
        (frames, H, W, 3), display-encoded R'G'B', 0..1.

    Raises:
        FrameMissing: there is no such file, or it ends before the last frame wanted.
        ImageUnreadable: the file is damaged or no movie.
        ImageUnsupported: its size changes on the way.
    """
    if not path.is_file():
        raise FrameMissing(f"no clip at {path}", hint="give a movie's path")
    found: list[NDArray[np.float32]] = []
    try:
        with av.open(str(path)) as movie:
            if not movie.streams.video:
                hint = "it is no movie, or it was cut off: copy it again"
                raise ImageUnreadable(f"cannot read {path}: no pictures in it", hint=hint)
            for number, frame in enumerate(movie.decode(video=0)):
                if number >= first + frames:
                    break
                if number >= first:
                    found.append(frame.to_ndarray(format="rgb24").astype(np.float32) / 255.0)
    except (av.FFmpegError, OSError) as error:
        hint = "it may be truncated: copy it again"
        raise ImageUnreadable(f"cannot read {path}: {error}", hint=hint) from error
    if len(found) < frames:
        wanted = f"frames {first} to {first + frames - 1}"
        raise FrameMissing(f"{path} ends before {wanted}", hint="ask for earlier or fewer frames")
    if any(frame.shape != found[0].shape for frame in found):
        raise ImageUnsupported(f"{path} changes its size between frames")
    return np.stack(found)
