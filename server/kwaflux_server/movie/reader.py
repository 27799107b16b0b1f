"""The reader of one movie: any frame by its number, with the same bits whether it seeks or not.

Frame N is found by its time. The decoder continues from its position or seeks to the nearest key
picture; pictures after a seek that depend on earlier ones are discarded. A picture that FFmpeg
concealed is an error.
"""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from kwaflux_core.errors import ImageUnreadable, ImageUnsupported
from kwaflux_core.images.coding import Coding
from kwaflux_server.movie.coded_quantizer import coding_of, coding_of_packet, coding_of_stream
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
"""Number of pictures whose decoding takes about as long as a seek."""
_INTRA: Final = (0, 1)
"""FFmpeg's picture types of an intra picture, and of one whose decoder sets no type."""


class _DamagedError(Exception):
    """A packet could not be decoded; the decoder must be restarted."""


class Movie:
    """Read the frames of one movie.

    Args:
        path: Its file.
        frame_bytes_max: Largest accepted frame, as bytes of float32 pixels.
        cache_bytes: Size of the cache of decoded frames; it holds at least two.

    Raises:
        FrameMissing: There is no such file.
        FrameTooLarge: Its frames are too large.
        ImageUnreadable: It cannot be opened, is damaged or incomplete.
        ImageUnsupported: It contains no video, or pictures without times.
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
        context = self._file.stream.codec_context
        self._codec = context.name
        self._stream_coding = coding_of_stream(bytes(context.extradata or b""), codec=self._codec)
        self._packet_codings: dict[int, Coding] = {}
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
        """The movie's header."""
        return self._header

    @property
    def chroma_location(self) -> str:
        """FFmpeg's name of the chroma siting; known after a frame was decoded."""
        return self._chroma_location or UNSPECIFIED

    def coding(self, frame: VideoFrame) -> Coding | None:
        """Return what the movie says of the quantizer of a frame that it returned."""
        of_packet = None if frame.pts is None else self._packet_codings.get(frame.pts)
        return of_packet or coding_of(frame, codec=self._codec) or self._stream_coding

    def close(self) -> None:
        """Close the file; waits for a frame that is being decoded."""
        with self._lock:
            self._cache.clear()
            self._packets = None
            self._file.container.close()

    def frame(self, number: int) -> VideoFrame:
        """Return a decoded frame, which owns its memory.

        Raises:
            FrameMissing: The movie has no such frame.
            ImageUnreadable: The movie is truncated before it, or damaged there.
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
        """Return the picture of a time; continue or seek, further back if needed."""
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
            hint="copy or export the movie again; its other frames are rendered",
            frame=number,
            path=self._path,
        )

    def _is_ahead(self, time: int) -> bool:
        """Return whether decoding on is faster than a seek."""
        if self._packets is None or time <= self._reached:
            return False
        nearest = self._index.keys_before(time)[0].shown
        if nearest <= self._reached:
            return True
        return self._index.pictures_between(self._reached, nearest) <= _WORTH_SEEKING_PICTURES

    def _seek(self, key: KeyPicture | None) -> bool:
        """Seek to a keyframe, or to the file's first packet; return whether it worked."""
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
        # From the file's first packet every decodable picture is restored.
        self._whole_from = self._reached = self._index.keys[0].shown if key is None else first.pts
        self._reached -= 1
        self._packets = _chained(first, packets)
        return True

    def _advanced(self, time: int) -> VideoFrame | None:
        """Decode up to a time; None if no picture has it, or after damage."""
        match: VideoFrame | None = None
        damaged: int | None = None
        while self._packets is not None and self._reached < time:
            packet = next(self._packets, None)
            try:
                frames = self._decoded(packet)
            except _DamagedError:
                # Pictures decoded before the damage are still in the decoder's reorder buffer.
                damaged, frames = packet.pts if packet is not None else None, self._drained()
                self._packets = None
            if packet is None or not packet.size:
                self._packets = None
            for frame in frames:
                if frame.pts is not None and frame.pts != damaged and self._keep(frame):
                    match = frame if frame.pts == time else match
        return match

    def _decoded(self, packet: Packet[VideoStream] | None) -> list[VideoFrame]:
        """Return the pictures of a packet; None drains the decoder.

        Raises:
            _DamagedError: The packet should be decodable from here, and is not.
        """
        av = load_av()
        is_asked_for = packet is None or packet.pts is None or packet.pts >= self._whole_from
        try:
            if packet is not None and packet.size and packet.is_corrupt:
                raise _DamagedError
            if packet is not None and packet.size and packet.pts is not None:
                coding = coding_of_packet(packet, codec=self._codec)
                if coding is not None:
                    self._packet_codings[packet.pts] = coding
            return list(self._file.stream.decode(packet))
        except av.error.EOFError:
            return []
        except av.error.FFmpegError as error:
            if is_asked_for:
                raise _DamagedError from error
            return []  # it depends on pictures before the keyframe

    def _drained(self) -> list[VideoFrame]:
        with contextlib.suppress(_DamagedError):
            return self._decoded(None)
        return []

    def _keep(self, frame: VideoFrame) -> bool:
        """Update the position, and cache a frame if it is intact; return whether it is."""
        if frame.pts is None or frame.pts < self._whole_from or frame.is_corrupt:
            return False
        if frame.pts == self._whole_from and not (frame.key_frame or frame.pict_type in _INTRA):
            self._packets = None  # it is wrongly marked as a keyframe
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
                f"frame {number} of {self._path} is interlaced",
                hint="deinterlace it, or convert it to an image sequence if only its tag is wrong",
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
