"""One open movie: any frame by its number, the same bits however it was reached.

Frame N is found by its time. From where the decoder stands it goes on, or begins at the nearest
picture from which decoding can begin; pictures that such a beginning cannot restore (they lean on
ones before it) are thrown away. A picture that FFmpeg could only guess is an error.
"""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from kwaflux_core.errors import ImageUnreadable, ImageUnsupported
from kwaflux_server.movie.demux import indexed, load_av, opened, unreadable
from kwaflux_server.movie.frame_index import KeyPicture, PictureIndex
from kwaflux_server.movie.header import MovieHeader
from kwaflux_server.movie.siting import UNSPECIFIED, chroma_location

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

__all__ = ["Movie"]

_WORTH_SEEKING_PICTURES: Final = 8
"""A seek costs about what some pictures cost to decode."""
_INTRA: Final = (0, 1)
"""FFmpeg's numbers of a picture that leans on no other, and of one whose decoder says nothing."""


class _DamagedError(Exception):
    """A packet could not be decoded; the decoder must begin anew."""


class Movie:
    """Read the frames of one movie.

    Args:
        path: Its file.
        frame_bytes_max: The largest frame that is accepted, as float32 pixels.
        cache_bytes: How much of decoded frames is kept; at least two frames are.

    Raises:
        FrameMissing: There is no such file.
        FrameTooLarge: Its frames are too large.
        ImageUnreadable: It cannot be opened, is damaged, or was not finished.
        ImageUnsupported: It holds no moving picture, or pictures without times.
        RequestError: PyAV is not installed.

    Thread: any; one decodes at a time.
    """

    def __init__(self, path: str, *, frame_bytes_max: int, cache_bytes: int) -> None:
        self._path = path
        self._frame_bytes_max = frame_bytes_max
        self._cache_bytes = cache_bytes
        self._lock = threading.Lock()
        self._file = opened(path, frame_bytes_max=frame_bytes_max)
        self._header = MovieHeader.of(self._file.container, self._file.stream)
        self._cache: OrderedDict[int, VideoFrame] = OrderedDict()
        self._packets: Iterator[Packet[VideoStream]] | None = None
        self._whole_from = self._reached = 0
        self._chroma_location = ""
        try:
            self._index = indexed(self._file)
        except BaseException:
            self._file.container.close()
            raise

    @property
    def index(self) -> PictureIndex:
        """The numbers of its pictures."""
        return self._index

    @property
    def header(self) -> MovieHeader:
        """What its file says of it."""
        return self._header

    @property
    def chroma_location(self) -> str:
        """Where chroma lies, as FFmpeg spells it; known once a frame was decoded."""
        return self._chroma_location or UNSPECIFIED

    def close(self) -> None:
        """Close the file, once a frame that is being decoded is done."""
        with self._lock:
            self._cache.clear()
            self._packets = None
            self._file.container.close()

    def frame(self, number: int) -> VideoFrame:
        """Return a decoded frame; its memory is its own.

        Raises:
            FrameMissing: The movie has no such frame.
            ImageUnreadable: The movie was cut off before it, or is damaged there.
            ImageUnsupported: The frame is made of two fields, or has another size.
        """
        time = self._index.time_of(number)
        with self._lock:
            frame = self._cache.get(time)
            if frame is None:
                frame = self._found(time, number)
            if not self._chroma_location:
                self._chroma_location = chroma_location(frame)
        return self._checked(frame, number)

    def _found(self, time: int, number: int) -> VideoFrame:
        """Return the picture of a time, by going on or by seeking; further back if need be."""
        ways: list[KeyPicture | None] = [*self._index.keys_before(time), None]
        if self._is_ahead(time):
            frame = self._advanced(time)
            if frame is not None:
                return frame
        for key in ways:
            if self._seek(key):
                frame = self._advanced(time)
                if frame is not None:
                    return frame
        raise ImageUnreadable(
            f"frame {number} of {self._path} cannot be decoded: the movie is damaged there or cut "
            "off",
            hint="copy or export the movie again; the other frames are done",
            frame=number,
            path=self._path,
        )

    def _is_ahead(self, time: int) -> bool:
        """Tell whether a picture comes sooner by going on than by seeking."""
        if self._packets is None or time <= self._reached:
            return False
        nearest = self._index.keys_before(time)[0].shown
        if nearest <= self._reached:
            return True
        return self._index.pictures_between(self._reached, nearest) <= _WORTH_SEEKING_PICTURES

    def _seek(self, key: KeyPicture | None) -> bool:
        """Stand before a key picture, or before the file's first packet; tell whether we do."""
        av = load_av()
        self._packets = None
        try:
            if key is None:
                self._file.container.close()
                self._file = opened(self._path, frame_bytes_max=self._frame_bytes_max)
            else:
                self._file.container.seek(key.seek_to, stream=self._file.stream)
            packets = self._file.container.demux(self._file.stream)
            first = next(packets, None)
        except av.error.FFmpegError as error:
            if key is None:
                raise unreadable(self._path, error) from error
            return False
        if first is None or first.pts is None or not first.size:
            return False
        if key is not None and (first.pts > key.shown or not first.is_keyframe):
            return False
        # From the file's first packet everything is restored that can be.
        self._whole_from = self._reached = self._index.keys[0].shown if key is None else first.pts
        self._reached -= 1
        self._packets = _chained(first, packets)
        return True

    def _advanced(self, time: int) -> VideoFrame | None:
        """Decode until a time is reached; None when it was passed by, or damage came first."""
        wanted: VideoFrame | None = None
        damaged: int | None = None
        while self._packets is not None and self._reached < time:
            packet = next(self._packets, None)
            try:
                frames = self._decoded(packet)
            except _DamagedError:
                # What was decoded before the damage waits in the decoder to be shown in its turn.
                damaged, frames = packet.pts if packet is not None else None, self._drained()
                self._packets = None
            if packet is None or not packet.size:
                self._packets = None
            for frame in frames:
                if frame.pts is not None and frame.pts != damaged and self._keep(frame):
                    wanted = frame if frame.pts == time else wanted
        return wanted

    def _decoded(self, packet: Packet[VideoStream] | None) -> list[VideoFrame]:
        """Return what a packet gives; None drains the decoder.

        Raises:
            _DamagedError: The packet is one that must be decodable from here, and is not.
        """
        av = load_av()
        is_asked_for = packet is None or packet.pts is None or packet.pts >= self._whole_from
        try:
            if packet is not None and packet.size and packet.is_corrupt:
                raise _DamagedError
            return list(self._file.stream.decode(packet))
        except av.error.EOFError:
            return []
        except av.error.FFmpegError as error:
            if is_asked_for:
                raise _DamagedError from error
            return []  # it leans on pictures before the one we began at

    def _drained(self) -> list[VideoFrame]:
        with contextlib.suppress(_DamagedError):
            return self._decoded(None)
        return []

    def _keep(self, frame: VideoFrame) -> bool:
        """Note how far decoding came, and keep a frame if it is whole; tell whether it is."""
        if frame.pts is None or frame.pts < self._whole_from or frame.is_corrupt:
            return False
        if frame.pts == self._whole_from and not (frame.key_frame or frame.pict_type in _INTRA):
            self._packets = None  # it was only marked as one from which decoding can begin
            return False
        self._reached = max(self._reached, frame.pts)
        self._cache[frame.pts] = frame
        self._cache.move_to_end(frame.pts)
        while len(self._cache) > 2 and self._cached_bytes() > self._cache_bytes:
            self._cache.popitem(last=False)
        return True

    def _cached_bytes(self) -> int:
        return sum(plane.buffer_size for frame in self._cache.values() for plane in frame.planes)

    def _checked(self, frame: VideoFrame, number: int) -> VideoFrame:
        if frame.interlaced_frame:
            raise ImageUnsupported(
                f"frame {number} of {self._path} is interlaced: it holds two moments",
                hint="deinterlace it first, or convert it to frames if it is only marked so",
                frame=number,
                path=self._path,
            )
        if (frame.width, frame.height) != self.header.size_px:
            width, height = self.header.size_px
            raise ImageUnsupported(
                f"frame {number} of {self._path} is {frame.width}x{frame.height}, the movie "
                f"{width}x{height}",
                hint="cut the movie where its size changes",
                frame=number,
                path=self._path,
            )
        return frame


def _chained(
    first: Packet[VideoStream], packets: Iterator[Packet[VideoStream]]
) -> Iterator[Packet[VideoStream]]:
    yield first
    yield from packets
