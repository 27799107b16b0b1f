"""Send pictures through composite video and tape, the way analog television did.

Works on display-encoded R'G'B' and a given random generator; must not know codecs, files or
networks.

Source: SMPTE 170M-2004 sections 7 to 9 (NTSC: subcarrier 5 MHz * 63/88, chroma 2 dB down at 1.3 MHz
and 20 dB at 3.6 MHz, phase turned by half a cycle from line to line) and ITU-R BT.470-6 table 2
(PAL: subcarrier 4.43361875 MHz, 283.7516 cycles a line, V switched from line to line; U = 0.493 (B'
- Y'), V = 0.877 (R' - Y')). One pixel is one sample of ITU-R BT.601: 13.5 MHz.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft, next_fast_len, rfft, rfftfreq

__all__ = [
    "NTSC",
    "PAL",
    "Composite",
    "Standard",
    "TimeBase",
    "from_yuv",
    "to_yuv",
]

Array = NDArray[np.float32]

_MARGIN_PX = 32


@dataclass(frozen=True, slots=True)
class Standard:
    """A color television standard.

    Attributes:
        name: What it is called.
        subcarrier_mhz: Frequency of the color subcarrier.
        cycles_per_line: Subcarrier cycles in one line.
        lines_per_frame: Lines of both fields.
        luma_mhz: Nominal bandwidth of luma.
        switches_v: True where V changes its sign from line to line.
        comb_lines: Lines of one field after which the subcarrier stands opposite.
    """

    name: str
    subcarrier_mhz: float
    cycles_per_line: float
    lines_per_frame: int
    luma_mhz: float
    switches_v: bool
    comb_lines: int


NTSC = Standard("NTSC", 5.0 * 63.0 / 88.0, 227.5, 525, 4.2, False, 1)
PAL = Standard("PAL", 4.43361875, 1135.0 / 4.0 + 1.0 / 625.0, 625, 5.0, True, 2)

_TO_YUV = np.array(
    [
        [0.299, 0.587, 0.114],
        [-0.299 * 0.493, -0.587 * 0.493, 0.886 * 0.493],
        [0.701 * 0.877, -0.587 * 0.877, -0.114 * 0.877],
    ]
)


def to_yuv(clip: Array) -> Array:
    """Convert display-encoded R'G'B', (..., 3), to Y'UV."""
    return np.asarray(clip @ _TO_YUV.T.astype(np.float32), dtype=np.float32)


def from_yuv(clip: Array) -> Array:
    """Undo `to_yuv`."""
    return np.asarray(clip @ np.linalg.inv(_TO_YUV).T.astype(np.float32), dtype=np.float32)


def _lowpass(frequency_mhz: Array, edge_mhz: float, *, steepness: float) -> Array:
    """Return a response that is 2 dB down at its edge."""
    return np.asarray(10.0 ** (-0.1 * (frequency_mhz / edge_mhz) ** steepness), dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Composite:
    """A trip through composite video; rows alternate between the two fields of a frame.

    Attributes:
        standard: NTSC or PAL.
        decoder: ``notch`` takes everything about the subcarrier out of luma (soft, with dots at
            colored edges), ``comb`` compares lines (sharp, with hanging dots).
        trap: 0..1, how much of the color the decoder takes out of luma; below 1 leaves dots.
        luma_mhz: Bandwidth of luma; tape has about 3.
        chroma_mhz: Bandwidth of color, 2 dB down; 1.3 in a studio, 0.4 on tape.
        delay_px: How far color lags behind luma, along rows.
        noise: Standard deviation of white noise on the signal, of a range of 1.
        sample_mhz: Pixels a microsecond: 13.5 as in BT.601, more where it was enlarged since.
        first_line: Line of the first row; turns the subcarrier.
    """

    standard: Standard = NTSC
    decoder: Literal["notch", "comb"] = "notch"
    trap: float = 1.0
    luma_mhz: float = 4.2
    chroma_mhz: float = 1.3
    delay_px: float = 0.0
    noise: float = 0.0
    sample_mhz: float = 13.5
    first_line: int = 0

    def apply(self, clip: Array, rng: np.random.Generator) -> Array:
        """Encode and decode a clip, (T, H, W, 3), display-encoded; the result is not clipped."""
        frames, height, width, _ = clip.shape
        wide = next_fast_len(width + 2 * _MARGIN_PX, True)
        right = wide - width - _MARGIN_PX
        margins = ((0, 0), (0, 0), (_MARGIN_PX, right), (0, 0))
        yuv = to_yuv(np.pad(clip, margins, mode="symmetric"))
        cycles = np.asarray(rfftfreq(wide), dtype=np.float32)
        frequency = cycles * np.float32(self.sample_mhz)
        color = _lowpass(frequency, self.chroma_mhz, steepness=2.3)
        sine, cosine = self._carrier(frames, height, wide)
        luma = self._filtered(yuv[..., 0], _lowpass(frequency, self.luma_mhz, steepness=12.0))
        signal = luma + self._filtered(yuv[..., 1], color) * sine
        signal += self._filtered(yuv[..., 2], color) * cosine
        if self.noise > 0.0:
            signal += np.float32(self.noise) * rng.standard_normal(signal.shape, dtype=np.float32)
        carried = self._color_band(signal, frequency)
        decoded = np.empty_like(yuv)
        decoded[..., 0] = signal - np.float32(self.trap) * carried
        late = color * np.exp(-2j * np.pi * cycles * self.delay_px)
        decoded[..., 1] = self._filtered(2.0 * carried * sine, late)
        decoded[..., 2] = self._filtered(2.0 * carried * cosine, late)
        return from_yuv(decoded[:, :, _MARGIN_PX : _MARGIN_PX + width])

    def _carrier(self, frames: int, height: int, wide: int) -> tuple[Array, Array]:
        """Return the subcarrier's two phases, (T, H, W); the second switched for PAL."""
        row = np.arange(height)
        half = (self.standard.lines_per_frame + 1) // 2
        line = (row % 2) * half + row // 2
        number = np.arange(frames)[:, None] * self.standard.lines_per_frame + line + self.first_line
        start = np.mod(number * self.standard.cycles_per_line, 1.0)[..., None]
        along = np.arange(wide) * self.standard.subcarrier_mhz / self.sample_mhz
        phase = (2.0 * np.pi * np.mod(start + along, 1.0)).astype(np.float32)
        switch = 1.0 - 2.0 * (number % 2) if self.standard.switches_v else np.ones_like(number)
        return np.sin(phase), np.cos(phase) * switch[..., None].astype(np.float32)

    def _color_band(self, signal: Array, frequency: Array) -> Array:
        """Return what the decoder takes for color, still on its carrier."""
        away = np.abs(frequency - self.standard.subcarrier_mhz)
        band = self._filtered(signal, _lowpass(away, max(self.chroma_mhz, 0.6), steepness=4.0))
        if self.decoder == "notch":
            return band
        apart = 2 * self.standard.comb_lines
        rows = np.arange(signal.shape[1])
        other = np.where(rows >= apart, rows - apart, np.minimum(rows + apart, rows[-1]))
        return np.asarray(0.5 * (band - band[:, other]), dtype=np.float32)

    @staticmethod
    def _filtered(signal: Array, response: NDArray[np.complexfloating] | Array) -> Array:
        """Filter (T, H, W) along rows."""
        return np.asarray(irfft(rfft(signal) * response, n=signal.shape[-1]), dtype=np.float32)


@dataclass(frozen=True, slots=True)
class TimeBase:
    """Tape that ran unevenly: rows slip sideways.

    Attributes:
        jitter_px: Standard deviation of a row's slip.
        memory: 0..1, how much of a row's slip the next one keeps.
        sway_px: Amplitude of a slow wave down the picture.
    """

    jitter_px: float
    memory: float = 0.7
    sway_px: float = 0.0

    def slips(self, frames: int, height: int, rng: np.random.Generator) -> Array:
        """Draw how far each row slips, (T, H) pixels."""
        steps = rng.standard_normal((frames, height)) * self.jitter_px
        slip = np.empty((frames, height))
        slip[:, 0] = steps[:, 0]
        fresh = float(np.sqrt(1.0 - self.memory**2))
        for row in range(1, height):
            slip[:, row] = self.memory * slip[:, row - 1] + fresh * steps[:, row]
        turn = rng.uniform(0.0, 2.0 * np.pi, size=(frames, 1))
        wave = np.sin(np.arange(height) * (2.0 * np.pi / rng.uniform(60.0, 300.0)) + turn)
        return np.asarray(slip + self.sway_px * wave, dtype=np.float32)

    def apply(self, clip: Array, rng: np.random.Generator) -> Array:
        """Slip the rows of a clip, (T, H, W, 3), display-encoded; linear between pixels."""
        frames, height, width, _ = clip.shape
        slip = self.slips(frames, height, rng)
        place = np.clip(np.arange(width) - slip[..., None], 0.0, width - 1.0)
        left = np.minimum(place.astype(np.intp), width - 2)
        share = (place - left).astype(np.float32)[..., None]
        near = np.take_along_axis(clip, left[..., None], axis=2)
        far = np.take_along_axis(clip, left[..., None] + 1, axis=2)
        return np.asarray(near + share * (far - near), dtype=np.float32)
