"""Put short clips through real codecs and take them out again.

Knows PyAV, Pillow and numpy; must not know noise, networks or files. Call it in a child process: a
failed assertion inside an encoder ends the process it runs in.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from kwaflux_core.color.display_curves import Curve, display_decode, display_encode
from kwaflux_core.errors import RequestError, WorkerError
from kwaflux_core.images.coding import Coding
from kwaflux_models.training.degradations.codec_level import quantizer_step
from kwaflux_models.training.degradations.ycbcr_planes import (
    Codec,
    Plane,
    mirror_planes,
    planes_from_rgb,
    planes_to_rgb,
)

__all__ = [
    "CODECS",
    "Codec",
    "Encode",
    "planes_from_rgb",
    "rgb_from_planes",
    "round_trip",
    "round_trip_linear",
]

Picture = NDArray[np.float32]

CODECS = {
    "h264": Codec("libx264", "h264", "yuv420p"),
    "h264_10": Codec("libx264", "h264", "yuv422p10le", bits=10),
    "h265": Codec("libx265", "hevc", "yuv420p", least_px=(32, 32)),
    "h265_10": Codec("libx265", "hevc", "yuv420p10le", bits=10, least_px=(32, 32)),
    "mpeg1": Codec("mpeg1video", "mpeg1video", "yuv420p", best=1, worst=31),
    "mpeg2": Codec("mpeg2video", "mpeg2video", "yuv420p", best=1, worst=31),
    "mpeg4": Codec("mpeg4", "mpeg4", "yuv420p", best=1, worst=31),
    "mjpeg": Codec("mjpeg", "mjpeg", "yuvj420p", is_full_range=True, best=1, worst=31),
    "jpeg": Codec("", "", "yuvj420p", is_full_range=True, best=98, worst=5),
    "prores": Codec("prores_ks", "prores", "yuv422p10le", bits=10, best=3, worst=0),
    "dv": Codec("dvvideo", "dvvideo", "yuv420p", best=2, worst=0, fixed_px=(576, 720)),
    "dnxhd": Codec("dnxhd", "dnxhd", "yuv422p", best=2, worst=0, least_px=(128, 256)),
    "vp9": Codec("libvpx-vp9", "vp9", "yuv420p", best=0, worst=63),
}

# DV by profile: NTSC 25 Mbit/s, PAL 25 Mbit/s, DVCPRO50. Source: SMPTE 314M, IEC 61834.
_DV = (
    Codec("dvvideo", "dvvideo", "yuv411p", best=2, worst=0, fixed_px=(480, 720)),
    CODECS["dv"],
    Codec("dvvideo", "dvvideo", "yuv422p", best=2, worst=0, fixed_px=(576, 720)),
)
_DNXHR = ("dnxhr_lb", "dnxhr_sq", "dnxhr_hq")

# One thread and no code that depends on the processor or on where memory lies: without
# cpu-independent, x264 makes slightly different streams of the same clip from one call to the next.
_QUIET = {
    "libx264": {"x264-params": "log-level=none:threads=1:lookahead_threads=1:cpu-independent=1"},
    "libx265": {"x265-params": "log-level=none:pools=none:frame-threads=1"},
}
_VP9_SPEED = {"veryfast": "5", "fast": "4", "medium": "2"}


@dataclass(frozen=True, slots=True)
class Encode:
    """How one clip is encoded.

    Attributes:
        codec: A key of `CODECS`.
        quality: Constant rate factor for h264, h265 (0..51) and vp9 (0..63); quantiser for mpeg1,
            mpeg2, mpeg4 and mjpeg (1 is best); Pillow's quality for jpeg (98 is best); profile
            0..3 for prores (3 is best); 0 NTSC 4:1:1, 1 PAL 4:2:0, 2 DVCPRO50 4:2:2 for dv;
            0 LB, 1 SQ, 2 HQ for dnxhd.
        preset: Encoder preset; only h264, h265 and vp9 read it.
        is_bt601: True takes the BT.601 matrix, False BT.709; jpeg is always BT.601.
        is_smooth_chroma: True enlarges chroma bilinearly after decoding, False repeats samples;
            jpeg has its decoder's own way.
        subsampling: Chroma of jpeg; the other codecs have their own.
    """

    codec: str
    quality: int
    preset: str = "fast"
    is_bt601: bool = False
    is_smooth_chroma: bool = True
    subsampling: Literal["420", "444"] = "420"

    @property
    def layout(self) -> Codec:
        """The codec, with the layout that this quality has."""
        return _DV[self.quality] if self.codec == "dv" else CODECS[self.codec]

    @property
    def step(self) -> float:
        """Estimated mean quantizer step in 8-bit code values: the label of codec damage.

        See `kwaflux_models.training.degradations.codec_level.quantizer_step` for what it stands on.
        """
        return quantizer_step(self.codec, self.quality)

    def coding(self) -> Coding | None:
        """Return what a file of it says of its quantizer; None for codecs whose files don't."""
        if self.codec in ("jpeg", "mjpeg"):
            return Coding(self.step, f"{self.codec} at {self.quality}", is_jpeg=True)
        if self.codec in ("h264", "h264_10", "h265", "h265_10", "mpeg2", "mpeg4"):
            return Coding(self.step, f"{self.codec} at {self.quality}")
        return None

    def options(self) -> dict[str, str]:
        """Return the encoder's options."""
        encoder = CODECS[self.codec].encoder
        if encoder in _QUIET:
            return {"crf": str(self.quality), "preset": self.preset, **_QUIET[encoder]}
        if encoder == "prores_ks":
            return {"profile": str(self.quality)}
        if encoder == "dnxhd":
            return {"profile": _DNXHR[self.quality]}
        if encoder == "libvpx-vp9":
            speed = _VP9_SPEED.get(self.preset, "4")
            return {"crf": str(self.quality), "b": "0", "deadline": "good", "cpu-used": speed}
        if encoder == "dvvideo":
            return {}
        fixed = {"qmin": str(self.quality), "qmax": str(self.quality)}
        is_mpeg = encoder in ("mpeg1video", "mpeg2video")
        return {**fixed, "g": "12", "bf": "2"} if is_mpeg else fixed


def rgb_from_planes(planes: list[Plane], codec: Codec, how: Encode) -> Picture:
    """Convert Y'CbCr planes back to display-encoded RGB, (H, W, 3), clipped to 0..1."""
    return planes_to_rgb(
        planes, codec, is_bt601=how.is_bt601, is_smooth_chroma=how.is_smooth_chroma
    )


def round_trip(clip: Picture, how: Encode) -> Picture:
    """Encode a clip and decode it.

    Args:
        clip: (T, H, W, 3), display-encoded, 0..1; H and W even. Codecs that take only larger
            pictures get the clip in the middle of its own mirror images.
        how: Codec and settings.

    Returns:
        The decoded clip: same shape and order, 0..1.

    Raises:
        RequestError: the codec is unknown, the quality is none of its own, a side is odd, or the
            clip is larger than the codec's one size.
        WorkerError: the decoder returned other frames than were put in, or none.
    """
    _check(clip, how)
    if how.codec == "jpeg":
        return np.stack([_through_jpeg(picture, how) for picture in clip])
    codec = how.layout
    height, width = (int(side) for side in clip.shape[1:3])
    beyond = -width % codec.chroma_px[1]
    even = np.pad(clip, ((0, 0), (0, 0), (0, beyond), (0, 0)), mode="edge") if beyond else clip
    frames = [planes_from_rgb(picture, codec, is_bt601=how.is_bt601) for picture in even]
    frame_px = _frame_px(codec, (height, width + beyond))
    corner = (0, 0)
    if frame_px != (height, width + beyond):
        placed = [mirror_planes(planes, codec, frame_px) for planes in frames]
        frames, corner = [planes for planes, _ in placed], placed[0][1]
    packets, headers = _encode(frames, codec, how)
    decoded = _decode(packets, headers, codec)
    if [frame.pts for frame in decoded] != list(range(clip.shape[0])):
        raise WorkerError(f"{how.codec} returned other frames than were put in")
    pictures = [
        rgb_from_planes(
            _cut(_read_planes(frame, codec), codec, corner, (height, width)), codec, how
        )
        for frame in decoded
    ]
    return np.stack(pictures)[:, :height, :width]


def round_trip_linear(clip: Picture, how: Encode, curve: Curve) -> Picture:
    """Encode a scene-linear clip for a display, send it through `round_trip`, and decode it."""
    return display_decode(round_trip(display_encode(clip, curve), how), curve)


def _check(clip: Picture, how: Encode) -> None:
    """Refuse what an encoder would refuse less clearly."""
    if how.codec not in CODECS:
        raise RequestError(f"no codec named {how.codec!r}", hint=f"one of {sorted(CODECS)}")
    codec = CODECS[how.codec]
    low, high = sorted((codec.best, codec.worst))
    if not low <= how.quality <= high:
        hint = f"from {codec.best} (best) to {codec.worst}"
        raise RequestError(f"{how.codec} has no quality {how.quality}", hint=hint)
    if clip.shape[1] % 2 or clip.shape[2] % 2:
        raise RequestError("a clip for a codec needs even sides", hint="crop it by one pixel")
    fixed = how.layout.fixed_px
    if fixed != (0, 0) and (clip.shape[1] > fixed[0] or clip.shape[2] > fixed[1]):
        given = f"{clip.shape[2]} x {clip.shape[1]}"
        hint = f"at most {fixed[1]} x {fixed[0]}"
        raise RequestError(f"{given} pixels do not fit {how.codec}", hint=hint)


def _frame_px(codec: Codec, size_px: tuple[int, int]) -> tuple[int, int]:
    """Return the (height, width) of the frames that are encoded for a clip of a size."""
    if codec.fixed_px != (0, 0):
        return codec.fixed_px
    return max(size_px[0], codec.least_px[0]), max(size_px[1], codec.least_px[1])


def _cut(
    planes: list[Plane], codec: Codec, corner: tuple[int, int], size_px: tuple[int, int]
) -> list[Plane]:
    """Cut the clip's picture out of a larger one; as wide as whole chroma samples ask."""
    rows, columns = codec.chroma_px
    cut = []
    for plane, down, across in zip(planes, (1, rows, rows), (1, columns, columns), strict=True):
        top, left = corner[0] // down, corner[1] // across
        width = -(-size_px[1] // columns) * columns // across
        cut.append(plane[top : top + size_px[0] // down, left : left + width])
    return cut


def _through_jpeg(picture: Picture, how: Encode) -> Picture:
    """Write one picture as JPEG and read it back."""
    code = np.rint(np.clip(picture, 0.0, 1.0) * 255.0).astype(np.uint8)
    stream = io.BytesIO()
    sampling = {"420": "4:2:0", "444": "4:4:4"}[how.subsampling]
    Image.fromarray(code).save(stream, "JPEG", quality=how.quality, subsampling=sampling)
    with Image.open(stream) as back:
        return np.asarray(back.convert("RGB"), dtype=np.float32) / np.float32(255.0)


def _decode(
    packets: list[av.Packet[Any]], headers: bytes | None, codec: Codec
) -> list[av.VideoFrame]:
    """Return the frames of a stream in the order they are shown."""
    decoder = av.CodecContext.create(codec.decoder, "r")
    decoder.thread_count = 1
    if headers:
        decoder.extradata = headers
    decoded: list[av.VideoFrame] = []
    for packet in [*packets, None]:
        decoded += [f for f in decoder.decode(packet) if isinstance(f, av.VideoFrame)]  # type: ignore[attr-defined]
    return decoded


def _encode(
    frames: list[list[Plane]], codec: Codec, how: Encode
) -> tuple[list[av.Packet[Any]], bytes | None]:
    """Return the packets of a clip and the stream's headers, if it keeps them apart."""
    encoder = av.CodecContext.create(codec.encoder, "w")
    if not isinstance(encoder, av.VideoCodecContext):
        raise WorkerError(f"{codec.encoder} is no video encoder")
    encoder.height, encoder.width = (int(side) for side in frames[0][0].shape)
    encoder.pix_fmt = codec.layout
    encoder.time_base, encoder.framerate = Fraction(1, 24), Fraction(24, 1)
    encoder.thread_count = 1
    encoder.options = how.options()
    packets: list[av.Packet[Any]] = []
    for number, planes in enumerate(frames):
        frame = av.VideoFrame(encoder.width, encoder.height, codec.layout)
        _write_planes(frame, planes, codec)
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
