"""The quantizer of a movie's picture, as its stream has it.

FFmpeg's decoders of H.264, MPEG-1, MPEG-2 and MPEG-4 export it with each picture
(``AVVideoEncParams``, libavutil/video_enc_params.h). That of H.265 does not; the encoder x265
leaves its rate factor in the stream's header, which stands for the quantizer. Motion JPEG has its
tables in every packet. VP9's is left out: the picture
that is shown is mixed of several.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, cast

import numpy as np

from kwaflux_core.images.coding import MPEG_INTRA, Coding, detail_mean, h264_step, jpeg_coding

if TYPE_CHECKING:
    from collections.abc import Iterable

    from av.packet import Packet
    from av.sidedata.sidedata import SideData
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

__all__ = ["EXPORT", "coding_of", "coding_of_packet", "coding_of_stream"]

EXPORT = {"export_side_data": "venc_params"}
"""The decoder's option that has quantizers exported."""

_HEAD = np.dtype(
    [("blocks", "<u4"), ("", "<u4"), ("offset", "<u8"), ("size", "<u8"), ("kind", "<i4"),
     ("qp", "<i4"), ("deltas", "<i4", (4, 2))]
)  # fmt: skip
_BLOCK = np.dtype([("x", "<i4"), ("y", "<i4"), ("w", "<i4"), ("h", "<i4"), ("delta", "<i4")])
_H264, _MPEG2 = 1, 2
_JPEG_HEADER_BYTES = 1 << 16
_RATE_FACTOR = re.compile(rb"x265.{0,4000}?\bcrf=([0-9]{1,2}(?:\.[0-9]+)?)", re.DOTALL)


def coding_of(frame: VideoFrame, *, codec: str) -> Coding | None:
    """Return what a decoded picture says of its quantizer, the mean over its area; None if nothing.

    Args:
        frame: Decoded with the options of `EXPORT`.
        codec: FFmpeg's name of the codec.
    """
    for side in cast("Iterable[SideData]", frame.side_data):
        if side.type.name == "VIDEO_ENC_PARAMS":
            return _exported(bytes(cast("bytes", side)), codec)
    return None


def coding_of_stream(extradata: bytes, *, codec: str) -> Coding | None:
    """Return what a stream's header says of all its pictures: the rate factor of x265."""
    found = _RATE_FACTOR.search(extradata) if codec == "hevc" else None
    if found is None:
        return None
    factor = float(found[1])
    return Coding(h264_step(factor), f"H.265 CRF {factor:g}")


def coding_of_packet(packet: Packet[VideoStream], *, codec: str) -> Coding | None:
    """Return what a packet of Motion JPEG says of its picture; None of other codecs."""
    return (
        jpeg_coding(bytes(cast("bytes", packet))[:_JPEG_HEADER_BYTES]) if codec == "mjpeg" else None
    )


def _exported(data: bytes, codec: str) -> Coding | None:
    if len(data) < _HEAD.itemsize:
        return None
    head = np.frombuffer(data, _HEAD, 1)[0]
    count, offset, size = int(head["blocks"]), int(head["offset"]), int(head["size"])
    if size != _BLOCK.itemsize or offset + count * size > len(data):
        return None
    quantizer = float(head["qp"])
    if count:
        blocks = np.frombuffer(data, _BLOCK, count, offset)
        area = blocks["w"].astype(np.float64) * blocks["h"]
        if area.sum() <= 0.0:
            return None
        quantizer += float((blocks["delta"] * area).sum() / area.sum())
    if int(head["kind"]) == _H264:
        return Coding(h264_step(quantizer), f"H.264 QP {quantizer:.0f}")
    if int(head["kind"]) != _MPEG2 or quantizer <= 0.0:
        return None
    quantizer /= 2.0  # FFmpeg counts in halves
    if codec == "mpeg4":
        return Coding(max(2.0 * quantizer, 1.0), f"MPEG-4 quantizer {quantizer:.0f}")
    step = detail_mean(MPEG_INTRA) * quantizer / 8.0
    return Coding(max(step, 1.0), f"MPEG-2 quantizer {quantizer:.0f}")
