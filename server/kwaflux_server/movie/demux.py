"""A movie's file opened: its video stream, its packets' times, what its header says."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType, ModuleType
from typing import TYPE_CHECKING, Final

from kwaflux_core.errors import (
    FrameMissing,
    FrameTooLarge,
    ImageError,
    ImageUnreadable,
    ImageUnsupported,
    RequestError,
)
from kwaflux_server.movie.frame_index import PacketTime, PictureIndex

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

__all__ = ["OpenFile", "indexed", "load_av", "opened", "unreadable"]

_LOG = logging.getLogger("kwaflux.server.movie")

_DEMUXERS: Final = MappingProxyType(
    {".avi": "avi", ".m4v": "mov", ".mkv": "matroska", ".mov": "mov", ".mp4": "mov", ".mxf": "mxf"}
)
_UNTIMED: Final = ("avi", "mxf")
"""Containers that count their pictures and hold no times."""
_OPTIONS: Final = MappingProxyType({"protocol_whitelist": "file"})
_BYTES_PER_PIXEL: Final = 12
"""Three planes of float32."""
_AGAIN: Final = "copy or export the movie again"


@dataclass(frozen=True, slots=True)
class OpenFile:
    """Hold an open movie.

    Args:
        path: Where it is.
        container: PyAV's; closed by whoever holds this.
        stream: The video stream that is read: the first that is no cover picture.
    """

    path: str
    container: InputContainer
    stream: VideoStream


def load_av() -> ModuleType:
    """Return PyAV, which is an extra.

    Raises:
        RequestError: It is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise RequestError(
            "PyAV is not installed where the frames are rendered, so no movie can be read",
            hint='install it with: pip install "kwaflux[movie]", or give an image sequence',
        ) from error
    return av


def unreadable(path: str, error: BaseException) -> ImageError:
    """Return the typed error of what FFmpeg raised."""
    if isinstance(error, FileNotFoundError):
        return FrameMissing(f"there is no file {path}", path=path)
    reason = getattr(error, "strerror", None) or str(error)
    if isinstance(error, PermissionError):
        return ImageUnreadable(f"{path} cannot be opened: {reason}", path=path)
    return ImageUnreadable(
        f"{path} cannot be read as a movie: {reason}",
        hint="it may be cut off or not finished; " + _AGAIN,
        path=path,
    )


def opened(path: str, *, frame_bytes_max: int) -> OpenFile:
    """Open a movie.

    Raises:
        FrameMissing: There is no such file.
        FrameTooLarge: Its pictures are larger than the server accepts.
        ImageUnreadable: It cannot be opened, is damaged, or was not finished.
        ImageUnsupported: It holds no moving picture.
        RequestError: PyAV is not installed.
    """
    av = load_av()
    options = {**_OPTIONS, "max_pixels": str(frame_bytes_max // _BYTES_PER_PIXEL)}
    demuxer = _DEMUXERS[os.path.splitext(path)[1].lower()]
    try:
        container = av.open(path, format=demuxer, options=options, metadata_errors="replace")
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise unreadable(path, error) from error
    try:
        return _checked(path, container, frame_bytes_max=frame_bytes_max)
    except BaseException:
        container.close()
        raise


def _checked(path: str, container: InputContainer, *, frame_bytes_max: int) -> OpenFile:
    from av.stream import Disposition

    streams = [
        stream
        for stream in container.streams.video
        if not stream.disposition & (Disposition.attached_pic | Disposition.timed_thumbnails)
    ]
    if not streams:
        raise ImageUnsupported(f"{path} holds no moving picture", hint="give a movie with video")
    stream = streams[0]
    context = stream.codec_context
    if context is None:
        raise ImageUnsupported(
            f"{path} is coded in a way that is not read", hint="convert it to ProRes or H.264"
        )
    needed = context.width * context.height * _BYTES_PER_PIXEL
    if needed > frame_bytes_max:
        raise FrameTooLarge(
            f"{path} is {context.width}x{context.height}: a frame holds {needed} bytes of pixels, "
            f"the server accepts {frame_bytes_max}",
            hint="raise frame_bytes_max",
        )
    if not needed:
        raise ImageUnreadable(f"{path} does not say how large its pictures are", hint=_AGAIN)
    # Damage must be an error: FFmpeg would otherwise paint over it with what stood there before.
    context.options = {
        "err_detect": "explode",
        "max_pixels": str(frame_bytes_max // _BYTES_PER_PIXEL),
    }
    context.thread_type = "SLICE"  # frame threads would tell of an error with another frame
    return OpenFile(path, container, stream)


def indexed(file: OpenFile) -> PictureIndex:
    """Return which picture has which number; the position in the file is lost.

    Movies in which every picture stands alone, with a table of them, are not read through.

    Raises:
        ImageUnreadable: Not one picture can be decoded.
        ImageUnsupported: Pictures without times.
    """
    return PictureIndex.build(
        _packet_times(file),
        path=file.path,
        promised_packets=file.stream.frames,
        promised_length=_promised_length(file.stream),
        is_timed=file.container.format.name not in _UNTIMED,
    )


def _packet_times(file: OpenFile) -> list[PacketTime]:
    av = load_av()
    found: list[PacketTime] = []
    try:
        for packet in file.container.demux(file.stream):
            if packet.size and not packet.is_corrupt:
                is_key, is_hidden = packet.is_keyframe, packet.is_discard
                found.append(PacketTime(packet.pts, packet.dts, is_key=is_key, is_hidden=is_hidden))
                table = _table(file, first_shown=packet.pts) if len(found) == 1 else None
                if table is not None:
                    return table
    except av.error.FFmpegError as error:
        # What the header promises beyond this point is missing, and told so frame by frame.
        _LOG.warning("%s is read up to packet %d: %s", file.path, len(found), error)
    return found


def _table(file: OpenFile, *, first_shown: int | None) -> list[PacketTime] | None:
    """Return the packets of a QuickTime table in which every picture stands alone, or None."""
    stream, size_bytes = file.stream, os.path.getsize(file.path)
    table = stream.index_entries
    if not stream.frames or len(table) != stream.frames:
        return None
    if table[0].timestamp != first_shown or not all(entry.is_keyframe for entry in table):
        return None  # its times are those of decoding, which are others
    return [
        PacketTime(entry.timestamp, entry.timestamp, is_key=True, is_hidden=entry.is_discard)
        for entry in table
        if entry.pos + entry.size <= size_bytes
    ]


def _promised_length(stream: VideoStream) -> Fraction:
    """Return how long the header says the stream is, in the stream's unit; 0 if it does not."""
    if stream.duration is not None:
        return Fraction(stream.duration)
    said = stream.metadata.get("DURATION", "")  # Matroska: 00:01:02.345000000
    hours, minutes, seconds = [*said.split(":"), "", "", ""][:3]
    try:
        whole_s = int(hours) * 3600 + int(minutes) * 60 + Fraction(seconds)
    except ValueError:
        return Fraction(0)
    return whole_s / stream.time_base if stream.time_base else Fraction(0)
