"""Demuxing of a movie: its video stream, the times of its packets, its header."""

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
from kwaflux_server.movie.coded_quantizer import EXPORT
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
"""Containers that count pictures and store no times."""
_OPTIONS: Final = MappingProxyType({"protocol_whitelist": "file"})
_BYTES_PER_PIXEL: Final = 12
"""Three planes of float32."""
_AGAIN: Final = "copy or export the movie again"


@dataclass(frozen=True, slots=True)
class OpenFile:
    """An open movie.

    Args:
        path: The file.
        container: PyAV's container; the owner of this object closes it.
        stream: The video stream that is read: the first that is not a cover picture.
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
            "PyAV, which reads movies, is not installed in the server's environment",
            hint='install it with: pip install "kwaflux[movie]", or give an image sequence',
        ) from error
    return av


def unreadable(path: str, error: BaseException) -> ImageError:
    """Return our error for an error of FFmpeg."""
    if isinstance(error, FileNotFoundError):
        return FrameMissing(f"there is no file {path}", path=path)
    reason = getattr(error, "strerror", None) or str(error)
    if isinstance(error, PermissionError):
        return ImageUnreadable(f"{path} cannot be opened: {reason}", path=path)
    return ImageUnreadable(
        f"{path} cannot be read as a movie: {reason}",
        hint="it may be truncated or incomplete; " + _AGAIN,
        path=path,
    )


def opened(path: str, *, frame_bytes_max: int) -> OpenFile:
    """Open a movie.

    Raises:
        FrameMissing: There is no such file.
        FrameTooLarge: Its frames are larger than the server accepts.
        ImageUnreadable: It cannot be opened, is damaged or incomplete.
        ImageUnsupported: It contains no video.
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
        raise ImageUnsupported(f"{path} contains no video", hint="give a movie with video")
    stream = streams[0]
    context = stream.codec_context
    if context is None:
        raise ImageUnsupported(
            f"{path} uses a codec that is not supported", hint="convert it to ProRes or H.264"
        )
    needed = context.width * context.height * _BYTES_PER_PIXEL
    if needed > frame_bytes_max:
        raise FrameTooLarge(
            f"{path} is {context.width}x{context.height}: a frame holds {needed} bytes of pixels, "
            f"the server accepts {frame_bytes_max}",
            hint="raise frame_bytes_max",
        )
    if not needed:
        raise ImageUnreadable(f"{path} does not tell the size of its frames", hint=_AGAIN)
    # Damage must be an error: by default FFmpeg conceals it with earlier pixels.
    context.options = {
        **EXPORT,
        "err_detect": "explode",
        "max_pixels": str(frame_bytes_max // _BYTES_PER_PIXEL),
    }
    context.thread_type = "SLICE"  # frame threads would report an error with another frame
    return OpenFile(path, container, stream)


def indexed(file: OpenFile) -> PictureIndex:
    """Return the frame index; this moves the position in the file.

    A movie of intra pictures with a table of its packets is not read through.

    Raises:
        ImageUnreadable: No picture can be decoded.
        ImageUnsupported: The pictures have no times.
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
    packets: list[PacketTime] = []
    try:
        for packet in file.container.demux(file.stream):
            if packet.size and not packet.is_corrupt:
                is_key, is_hidden = packet.is_keyframe, packet.is_discard
                packets.append(
                    PacketTime(packet.pts, packet.dts, is_key=is_key, is_hidden=is_hidden)
                )
                table = _table(file, first_shown=packet.pts) if len(packets) == 1 else None
                if table is not None:
                    return table
    except av.error.FFmpegError as error:
        # Frames that the header announces beyond this point are reported as missing one by one.
        _LOG.warning("%s could be read only up to packet %d: %s", file.path, len(packets), error)
    return packets


def _table(file: OpenFile, *, first_shown: int | None) -> list[PacketTime] | None:
    """Return the packets of a QuickTime table of intra pictures only, or None."""
    stream, size_bytes = file.stream, os.path.getsize(file.path)
    table = stream.index_entries
    if not stream.frames or len(table) != stream.frames:
        return None
    if table[0].timestamp != first_shown or not all(entry.is_keyframe for entry in table):
        return None  # its times are decoding times, which differ from presentation times
    return [
        PacketTime(entry.timestamp, entry.timestamp, is_key=True, is_hidden=entry.is_discard)
        for entry in table
        if entry.pos + entry.size <= size_bytes
    ]


def _promised_length(stream: VideoStream) -> Fraction:
    """Return the stream's duration by its header, in the stream's time base; 0 if unknown."""
    if stream.duration is not None:
        return Fraction(stream.duration)
    duration = stream.metadata.get("DURATION", "")  # Matroska: 00:01:02.345000000
    hours, minutes, seconds = [*duration.split(":"), "", "", ""][:3]
    try:
        whole_s = int(hours) * 3600 + int(minutes) * 60 + Fraction(seconds)
    except ValueError:
        return Fraction(0)
    return whole_s / stream.time_base if stream.time_base else Fraction(0)
