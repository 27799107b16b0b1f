"""Put short clips through real video codecs and take them out again.

Owns the encoders, their settings and the conversion between display-encoded RGB and planar
Y'CbCr. Knows PyAV and numpy; must not know noise, networks or files. Call it in a child process:
a failed assertion inside an encoder ends the process it runs in.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from kwaflux_core.errors import RequestError, WorkerError

__all__ = ["CODECS", "Codec", "Encode", "planes_from_rgb", "rgb_from_planes", "round_trip"]

Plane = NDArray[np.uint16]
Picture = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Codec:
    """One encoder and decoder pair, and the layout of the pictures it takes.

    Attributes:
        encoder: Name of the encoder in FFmpeg's libraries.
        decoder: Name of the decoder for its stream.
        layout: Pixel format: planar Y'CbCr, 4:2:0 or 4:2:2.
        bits: Bits of one sample, 8 or 10.
        is_full_range: True where code values span 0..255 instead of 16..235.
    """

    encoder: str
    decoder: str
    layout: str
    bits: int = 8
    is_full_range: bool = False

    @property
    def halves_rows(self) -> bool:
        """True for 4:2:0, whose chroma has half the rows as well as half the columns."""
        return "420" in self.layout


CODECS = {
    "h264": Codec("libx264", "h264", "yuv420p"),
    "h265": Codec("libx265", "hevc", "yuv420p"),
    "mpeg2": Codec("mpeg2video", "mpeg2video", "yuv420p"),
    "mpeg4": Codec("mpeg4", "mpeg4", "yuv420p"),
    "mjpeg": Codec("mjpeg", "mjpeg", "yuvj420p", is_full_range=True),
    "prores": Codec("prores_ks", "prores", "yuv422p10le", bits=10),
}

# One thread and no code that depends on the processor or on where memory lies: without
# cpu-independent, x264 makes slightly different streams of the same clip from one call to the next.
_QUIET = {
    "libx264": {"x264-params": "log-level=none:threads=1:lookahead_threads=1:cpu-independent=1"},
    "libx265": {"x265-params": "log-level=none:pools=none:frame-threads=1"},
}


@dataclass(frozen=True, slots=True)
class Encode:
    """How one clip is encoded.

    Attributes:
        codec: A key of `CODECS`.
        quality: Constant rate factor for h264 and h265, quantiser for mpeg2, mpeg4 and mjpeg
            (1 is best), profile 0..3 for prores (3 is best).
        preset: Encoder preset; only h264 and h265 read it.
        is_bt601: True takes the BT.601 matrix, False BT.709.
        is_smooth_chroma: True enlarges chroma bilinearly after decoding, False repeats samples.
    """

    codec: str
    quality: int
    preset: str = "fast"
    is_bt601: bool = False
    is_smooth_chroma: bool = True

    def options(self) -> dict[str, str]:
        """Return the encoder's options."""
        encoder = CODECS[self.codec].encoder
        if encoder in _QUIET:
            return {"crf": str(self.quality), "preset": self.preset, **_QUIET[encoder]}
        if encoder == "prores_ks":
            return {"profile": str(self.quality)}
        fixed = {"qmin": str(self.quality), "qmax": str(self.quality)}
        return {**fixed, "g": "12", "bf": "2"} if encoder == "mpeg2video" else fixed


def _luma_weights(is_bt601: bool) -> tuple[float, float]:
    """Return Kr and Kb. Source: ITU-R BT.601-7 section 2.5.1, BT.709-6 section 3.2."""
    return (0.299, 0.114) if is_bt601 else (0.2126, 0.0722)


def planes_from_rgb(rgb: Picture, codec: Codec, *, is_bt601: bool) -> list[Plane]:
    """Convert display-encoded RGB to quantised Y'CbCr planes.

    Args:
        rgb: (H, W, 3), display-encoded, 0..1 (values outside are clipped, as codecs do); H and W
            even.
        codec: Layout, bits and range of the planes.
        is_bt601: The matrix: BT.601 when true, else BT.709.

    Returns:
        Y' (H, W), Cb and Cr (H or H/2, W/2), code values of ``codec.bits`` bits.

    Source: ITU-R BT.709-6 sections 3.3 to 3.5; chroma is the mean of the pixels it covers.
    """
    red_weight, blue_weight = _luma_weights(is_bt601)
    shown = np.clip(rgb, 0.0, 1.0)
    luma = (
        red_weight * shown[..., 0]
        + (1.0 - red_weight - blue_weight) * shown[..., 1]
        + blue_weight * shown[..., 2]
    )
    blue = (shown[..., 2] - luma) / (2.0 * (1.0 - blue_weight))
    red = (shown[..., 0] - luma) / (2.0 * (1.0 - red_weight))
    offset, luma_span, chroma_span = _ranges(codec)
    middle = float(1 << (codec.bits - 1))
    planes = [luma * luma_span + offset]
    for chroma in (blue, red):
        small = 0.5 * (chroma[:, 0::2] + chroma[:, 1::2])
        if codec.halves_rows:
            small = 0.5 * (small[0::2] + small[1::2])
        planes.append(small * chroma_span + middle)
    top = float((1 << codec.bits) - 1)
    return [np.clip(np.rint(plane), 0.0, top).astype(np.uint16) for plane in planes]


def rgb_from_planes(planes: list[Plane], codec: Codec, how: Encode) -> Picture:
    """Convert Y'CbCr planes back to display-encoded RGB, (H, W, 3), clipped to 0..1."""
    red_weight, blue_weight = _luma_weights(how.is_bt601)
    offset, luma_span, chroma_span = _ranges(codec)
    middle = float(1 << (codec.bits - 1))
    luma = (planes[0].astype(np.float32) - offset) / luma_span
    enlarge = _bilinear_double if how.is_smooth_chroma else _repeat_double
    blue, red = (
        enlarge((plane.astype(np.float32) - middle) / chroma_span, codec.halves_rows)
        for plane in planes[1:]
    )
    red_out = luma + 2.0 * (1.0 - red_weight) * red
    blue_out = luma + 2.0 * (1.0 - blue_weight) * blue
    green_out = (luma - red_weight * red_out - blue_weight * blue_out) / (
        1.0 - red_weight - blue_weight
    )
    rgb = np.stack([red_out, green_out, blue_out], axis=-1)
    return np.asarray(np.clip(rgb, 0.0, 1.0), dtype=np.float32)


def round_trip(clip: Picture, how: Encode) -> Picture:
    """Encode a clip and decode it.

    Args:
        clip: (T, H, W, 3), display-encoded, 0..1; H and W even.
        how: Codec and settings.

    Returns:
        The decoded clip: same shape and order, 0..1.

    Raises:
        RequestError: the codec is unknown or a side is odd.
        WorkerError: the decoder returned other frames than were put in, or none.
    """
    if how.codec not in CODECS:
        raise RequestError(f"no codec named {how.codec!r}", hint=f"one of {sorted(CODECS)}")
    if clip.shape[1] % 2 or clip.shape[2] % 2:
        raise RequestError("a clip for a codec needs even sides", hint="crop it by one pixel")
    codec = CODECS[how.codec]
    packets, headers = _encode(clip, codec, how)
    decoder = av.CodecContext.create(codec.decoder, "r")
    decoder.thread_count = 1
    if headers:
        decoder.extradata = headers
    decoded: list[av.VideoFrame] = []
    for packet in [*packets, None]:
        decoded += [f for f in decoder.decode(packet) if isinstance(f, av.VideoFrame)]  # type: ignore[attr-defined]
    if [frame.pts for frame in decoded] != list(range(clip.shape[0])):
        raise WorkerError(f"{how.codec} returned other frames than were put in")
    pictures = [rgb_from_planes(_read_planes(frame, codec), codec, how) for frame in decoded]
    return np.stack(pictures)


def _encode(clip: Picture, codec: Codec, how: Encode) -> tuple[list[av.Packet[Any]], bytes | None]:
    """Return the packets of a clip and the stream's headers, if it keeps them apart."""
    encoder = av.CodecContext.create(codec.encoder, "w")
    if not isinstance(encoder, av.VideoCodecContext):
        raise WorkerError(f"{codec.encoder} is no video encoder")
    encoder.height, encoder.width = int(clip.shape[1]), int(clip.shape[2])
    encoder.pix_fmt = codec.layout
    encoder.time_base, encoder.framerate = Fraction(1, 24), Fraction(24, 1)
    encoder.thread_count = 1
    encoder.options = how.options()
    packets: list[av.Packet[Any]] = []
    for number, picture in enumerate(clip):
        frame = av.VideoFrame(encoder.width, encoder.height, codec.layout)
        _write_planes(frame, planes_from_rgb(picture, codec, is_bt601=how.is_bt601), codec)
        frame.pts, frame.time_base = number, Fraction(1, 24)
        packets += encoder.encode(frame)
    packets += encoder.encode(None)
    return packets, encoder.extradata


def _write_planes(frame: av.VideoFrame, planes: list[Plane], codec: Codec) -> None:
    """Copy planes into a frame, row by row as its line size asks."""
    kind = np.uint8 if codec.bits == 8 else np.dtype("<u2")
    for target, plane in zip(frame.planes, planes, strict=True):
        rows, columns = plane.shape
        step = target.line_size // np.dtype(kind).itemsize
        buffer = np.zeros((target.height, step), dtype=kind)
        buffer[:rows, :columns] = plane
        target.update(buffer.tobytes())


def _read_planes(frame: av.VideoFrame, codec: Codec) -> list[Plane]:
    """Copy the planes out of a decoded frame."""
    if frame.format.name.replace("yuvj", "yuv") != codec.layout.replace("yuvj", "yuv"):
        raise WorkerError(f"{codec.decoder} returned {frame.format.name}, not {codec.layout}")
    kind = np.uint8 if codec.bits == 8 else np.dtype("<u2")
    planes = []
    for plane in frame.planes:
        step = plane.line_size // np.dtype(kind).itemsize
        rows = np.frombuffer(bytes(plane), dtype=kind).reshape(-1, step)
        planes.append(rows[: plane.height, : plane.width].astype(np.uint16))
    return planes


def _ranges(codec: Codec) -> tuple[float, float, float]:
    """Return black's code value, the luma span and the chroma span of a codec."""
    if codec.is_full_range:
        top = float((1 << codec.bits) - 1)
        return 0.0, top, top
    unit = float(1 << (codec.bits - 8))
    return 16.0 * unit, 219.0 * unit, 224.0 * unit


def _repeat_double(plane: Picture, is_double_rows: bool) -> Picture:
    """Enlarge a chroma plane by repeating its samples."""
    wide = np.repeat(plane, 2, axis=1)
    return np.repeat(wide, 2, axis=0) if is_double_rows else wide


def _bilinear_double(plane: Picture, is_double_rows: bool) -> Picture:
    """Enlarge a chroma plane with weights 3/4 and 1/4, samples sited between pixels."""
    wide = _double_columns(plane)
    return _double_columns(wide.T).T if is_double_rows else wide


def _double_columns(plane: Picture) -> Picture:
    """Return (H, 2 W) from (H, W)."""
    before = np.concatenate([plane[:, :1], plane[:, :-1]], axis=1)
    after = np.concatenate([plane[:, 1:], plane[:, -1:]], axis=1)
    wide = np.empty((plane.shape[0], plane.shape[1] * 2), dtype=np.float32)
    wide[:, 0::2] = 0.75 * plane + 0.25 * before
    wide[:, 1::2] = 0.75 * plane + 0.25 * after
    return wide
