"""Make grain: random numbers of a place and a frame, filtered and given their strength.

Every pixel's random number is a hash of its absolute place, the frame's number and the seed, as in
counter-based generators (J. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011;
the mixing function is splitmix64's, G. Steele et al., "Fast splittable pseudorandom number
generators", OOPSLA 2014). A tile computes the numbers around itself, so that its grain is the same
however the frame is cut, and needs no pixel of the picture beyond its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from kwaflux_core.color.luma import REC709_LUMA
from kwaflux_models.effects.regrain.spectrum import Spectrum
from kwaflux_models.effects.regrain.strength import Strength, luma_of
from kwaflux_models.rendering import working_curves

__all__ = ["Grain", "Place", "grain_of", "white_noise"]

_WORD = 1 << 64
_FIRST, _SECOND = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_ROW, _COLUMN = 0x9E3779B97F4A7C15, 0xD1B54A32D192ED03
_BITS = 21
"""Bits of one channel's random number: a pixel's 64 give three, which reach 5 deviations."""
_LOG_SLOPE = math.log1p(working_curves.STEEPNESS)


@dataclass(frozen=True, slots=True)
class Grain:
    """Hold grain that was measured.

    Args:
        strength: Its variance at every level.
        kernel: (3, 3, k, k) float32, even in the place; filters white noise to grain of unit
            variance.
        correlation: (3, 3) float32: of the channels, 1 on the diagonal.
        spectrum: What the kernel was made of, at a size of 1.
        size: Multiplier of the grain's size.
        scale: How many times larger the picture is than the plate that was measured.
    """

    strength: Strength
    kernel: Tensor
    correlation: Tensor
    spectrum: Spectrum
    size: float
    scale: int

    @classmethod
    def prepare(
        cls, strength: Strength, spectrum: Spectrum, *, size: float, scale: int = 1
    ) -> Grain:
        """Return measured grain, ready to be made at a size on the device of its strength."""
        kernel = spectrum.kernel(size)
        correlation = torch.einsum("cjhw,djhw->cd", kernel, kernel)
        own_device = strength.own.device
        return cls(
            strength, kernel.float().to(own_device), correlation.float(), spectrum, size, scale
        )

    def on(self, device: torch.device) -> Grain:
        """Return the grain with what it is made by on a device."""
        if self.kernel.device == device:
            return self
        own, shared = (table.to(device) for table in (self.strength.own, self.strength.shared))
        return replace(self, strength=Strength(own, shared), kernel=self.kernel.to(device))


@dataclass(frozen=True, slots=True)
class Place:
    """Say which random numbers are meant.

    Args:
        x: Column of the first pixel, from the frame's first; may be negative.
        y: Its row.
        width: Columns.
        height: Rows.
        frame: The frame's number.
        seed: Which of many grains alike.
    """

    x: int
    y: int
    width: int
    height: int
    frame: int
    seed: int

    def grown(self, by_px: int, *, width: int, height: int) -> Place:
        """Return a place that begins ``by_px`` earlier and has another size."""
        return Place(self.x - by_px, self.y - by_px, width, height, self.frame, self.seed)


def grain_of(
    grain: Grain, picture: Tensor, place: Place, *, amount: float = 1.0, color: float = 1.0
) -> Tensor:
    """Return grain to add to a picture, (1, 3, H, W) in the working curve.

    Args:
        grain: What was measured.
        picture: (1, 3, H, W) float32, working curve.
        place: Where the picture lies; of its size.
        amount: Multiplier of the standard deviation.
        color: 1: channels as measured; 0: the grain's luma in all three.
    """
    deviation = grain.strength.variance(picture).sqrt_().mul_(amount)
    added = _filtered(grain.kernel, place).mul_(deviation)
    variance = deviation.square()
    if color < 1.0:
        variance = _mixed_variance(deviation, grain.correlation, color)
        added = torch.lerp(luma_of(added).expand_as(added), added, color)
    return added.add_(_mean_keeping(picture, variance))


def white_noise(place: Place, *, device: torch.device) -> Tensor:
    """Return (3, H, W) independent normal random numbers, float32.

    Bit for bit those of the same pixels, frame and seed in any other place.
    """
    key = _mixed_number(place.seed * _ROW + _mixed_number(place.frame * _COLUMN + 1))
    rows = torch.arange(place.y, place.y + place.height, dtype=torch.int64, device=device)
    columns = torch.arange(place.x, place.x + place.width, dtype=torch.int64, device=device)
    rows = _mixed(rows.mul_(_signed(_ROW)).add_(_signed(key)))
    columns = _mixed(columns.mul_(_signed(_COLUMN)).sub_(_signed(key)))
    words = _mixed(rows[:, None] + columns)
    half = 1 << (_BITS - 1)
    drawn = [((words >> (_BITS * channel)) & (2 * half - 1)).float() for channel in range(3)]
    return torch.stack(drawn).add_(0.5 - half).mul_(1.0 / half).erfinv_().mul_(math.sqrt(2.0))


def _filtered(kernel: Tensor, place: Place) -> Tensor:
    """Return (1, 3, H, W): white noise filtered with a kernel, by way of its spectrum."""
    reach = kernel.shape[-1] // 2
    height, width = (_fast_length(side + 2 * reach) for side in (place.height, place.width))
    noise = white_noise(place.grown(reach, width=width, height=height), device=kernel.device)
    spectrum = torch.fft.rfft2(noise)
    response = _response(kernel, height, width)
    mixed = torch.empty_like(spectrum)
    for channel in range(3):
        torch.mul(spectrum[0], response[channel, 0], out=mixed[channel])
        for other in (1, 2):
            mixed[channel].addcmul_(spectrum[other], response[channel, other])
    grain: Tensor = torch.fft.irfft2(mixed, s=(height, width))
    return grain[None, :, reach : reach + place.height, reach : reach + place.width].contiguous()


def _response(kernel: Tensor, height: int, width: int) -> Tensor:
    """Return (3, 3, height, width // 2 + 1): the real answer of an even kernel at a size."""
    reach = kernel.shape[-1] // 2
    at = torch.arange(-reach, reach + 1, dtype=torch.float64, device=kernel.device)
    down = 2.0 * math.pi * torch.fft.fftfreq(height, dtype=torch.float64, device=kernel.device)
    across = 2.0 * math.pi * torch.fft.rfftfreq(width, dtype=torch.float64, device=kernel.device)
    rows, columns = down[:, None] * at, at[:, None] * across
    return torch.cos(rows).float() @ (kernel @ torch.cos(columns).float()) - torch.sin(
        rows
    ).float() @ (kernel @ torch.sin(columns).float())


def _fast_length(length: int) -> int:
    """Return the next length that a fast Fourier transform likes."""
    step = 1 << max(length.bit_length() - 4, 0)
    return -(-length // step) * step


def _mixed_variance(deviation: Tensor, correlation: Tensor, color: float) -> Tensor:
    """Return the variance (1, 3, H, W) of grain whose channels are drawn together."""
    weights = torch.tensor(REC709_LUMA, device=deviation.device)
    mix = color * torch.eye(3, device=deviation.device) + (1.0 - color) * weights
    pairs = torch.einsum("ci,cj,ij->cij", mix, mix, correlation.to(deviation.device))
    planes = deviation[0].reshape(3, -1)
    products = (planes[:, None] * planes).reshape(9, -1)
    return (pairs.reshape(3, 9) @ products).clamp_(min=0.0).reshape(deviation.shape)


def _mean_keeping(picture: Tensor, variance: Tensor) -> Tensor:
    """Return what to add so that the grain leaves the mean of the light where it is.

    The curve is a logarithm: what goes up as far as it goes down adds light. With k = log1p(64),
    the light of a level c, in units of 1 / 64, is ``sign(c) * (exp(k |c|) - 1)``, and under normal
    grain of variance v = s**2 its mean is

        exp(k c + k k v / 2) P((k v + c) / s) - exp(k k v / 2 - k c) P((k v - c) / s) - E(c / s)

    with P the normal distribution function and E(t) = 2 P(t) - 1. Well above black the answer is
    -k v / 2, at black it is 0; one step of Newton's from there leaves an error below 0.04 % of the
    light for a deviation up to 0.1.
    """
    k = _LOG_SLOPE
    light = torch.sign(picture) * torch.expm1(k * picture.abs())
    scale = math.sqrt(0.5) * (variance + 1e-12).rsqrt()
    moved = (picture * scale).erf_().mul_(variance).mul_(-0.5 * k)
    level = picture + moved
    above, below = torch.add(variance * k, level), torch.sub(variance * k, level)
    half = 0.5 * k * k * variance
    up = torch.exp(k * level + half).mul_((above * scale).erf_().add_(1.0)).mul_(0.5)
    down = torch.exp(half - k * level).mul_((below * scale).erf_().add_(1.0)).mul_(0.5)
    mean = up - down - (level * scale).erf_()
    return moved.add_((light - mean).div_((up + down).mul_(k)))


def _mixed(words: Tensor) -> Tensor:
    """Return splitmix64's finalizer of int64 words, in place; they count modulo 2**64."""
    for shift, factor in ((30, _FIRST), (27, _SECOND), (31, 1)):
        # The shift of a signed word drags its sign along, which the mask takes off again.
        words ^= (words >> shift) & ((1 << (64 - shift)) - 1)
        if factor != 1:
            words *= _signed(factor)
    return words


def _mixed_number(word: int) -> int:
    """Return the same of one whole number, from 0 to 2**64 - 1."""
    word %= _WORD
    word = (word ^ (word >> 30)) * _FIRST % _WORD
    word = (word ^ (word >> 27)) * _SECOND % _WORD
    return word ^ (word >> 31)


def _signed(word: int) -> int:
    """Return the int64 that has the bits of a number modulo 2**64."""
    word %= _WORD
    return word - _WORD if word >= _WORD // 2 else word
