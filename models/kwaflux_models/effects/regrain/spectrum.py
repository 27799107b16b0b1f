"""The shape of grain: how its pixels and channels hang together, and the kernel that makes it so.

Grain of unit variance is described by its cross-spectrum, a symmetric 3 x 3 matrix of the channels
at every frequency: noise that went through a demosaic is fine in luma and coarse in color, which a
shape per channel could not say. White noise filtered with the square root of the spectrum has that
spectrum (J. Lewis, "Generalized stochastic subdivision", ACM TOG 1987; B. Galerne et al., "Random
phase textures: theory and synthesis", IEEE TIP 2011; AV1's autoregressive model of A. Norkin and N.
Birkbeck, DCC 2018, is the recursive form of it, which no tile could begin in the middle of). The
spectrum is the Fourier transform of the windowed autocorrelation (R. Blackman, J. Tukey, "The
measurement of power spectra", 1958).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = [
    "GRID",
    "HALF",
    "OPPONENT",
    "Spectrum",
    "box_response",
    "cross_spectrum",
    "median_spectrum",
    "missing_spectrum",
    "spectrum_of",
]

GRID = 64
HALF = (6, GRID, GRID // 2 + 1)
"""Shape of what a spectrum follows from."""
_PAIRS = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))
"""Frequencies of a spectrum along one axis, in the order of a Fourier transform."""
BLOCK_PX = 64
"""Side of the blocks that are transformed."""
OPPONENT = (
    (1 / math.sqrt(3), 1 / math.sqrt(3), 1 / math.sqrt(3)),
    (1 / math.sqrt(2), 0.0, -1 / math.sqrt(2)),
    (1 / math.sqrt(6), -2 / math.sqrt(6), 1 / math.sqrt(6)),
)
"""Luma and two colors of channels of equal strength; orthonormal."""

_RINGS = 10
_MOST_SHARE = 8.0
"""More than this per part that was removed, where nearly all grain was left, is not believed."""
_SOFT_PX = 15
"""Side of the square over which weights are softened."""
_REACH_PX = 16
"""Radius of the kernel before it is scaled."""
_LEAST_PASSED = 0.25
"""Where the measuring filter let less of the power pass, the spectrum is continued, not divided."""
_NOTCH = 0.4
"""Spread of the local mean that is taken off, in kernel radii."""
_LARGEST_REACH_PX = 256


@dataclass(frozen=True, slots=True)
class Spectrum:
    """Hold the cross-spectrum of grain of unit variance.

    Args:
        power: (3, 3, GRID, GRID) float64 on the CPU, symmetric in the channels and in the
            frequency; the mean of each of the three spectra is 1.
    """

    power: Tensor

    def half(self) -> Tensor:
        """Return what the rest follows from by symmetry: six pairs of channels, half the rows."""
        pairs = torch.stack([self.power[one, other] for one, other in _PAIRS])
        return pairs[..., : GRID // 2 + 1]

    @classmethod
    def of_half(cls, half: Tensor) -> Spectrum:
        """Return the spectrum that ``half`` is of."""
        mirrored = half[..., 1 : GRID // 2].flip(-1, -2).roll(1, dims=-2)
        power = torch.zeros(3, 3, GRID, GRID, dtype=torch.float64)
        for (one, other), plane in zip(_PAIRS, torch.cat([half, mirrored], dim=-1), strict=True):
            power[one, other] = power[other, one] = plane.double()
        return cls(power)

    @property
    def size_px(self) -> float:
        """Diameter of a grain: 1 for white noise, the root of the area that is alike for others.

        It is the root of the sum of the squared autocorrelation of all channels.
        """
        own = torch.stack([self.power[channel, channel] for channel in range(3)]).mean(dim=0)
        return float((own.square().mean() / own.mean().square()).sqrt())

    def kernel(self, size: float) -> Tensor:
        """Return the filter that gives white noise this spectrum.

        Args:
            size: Multiplier of the grain's size.

        Returns:
            (3, 3, k, k) float64, from a channel of white noise to a channel of grain, k odd. The
            grain has unit variance in every channel and no mean: what is coarser than the kernel
            is taken off.
        """
        reach = math.ceil(max(1.5 * _REACH_PX, _REACH_PX * size, 5.0 * self.size_px * size))
        reach = min(reach, _LARGEST_REACH_PX)
        at = torch.arange(-reach, reach + 1, dtype=torch.float64)
        kernel = _inverse_at(_root(self.power), at / size, size)
        kernel *= _taper(at, min(_REACH_PX * size, float(reach)))
        bell = torch.exp(-0.5 * (at / (_NOTCH * reach)).square())
        bell = bell / bell.sum()
        kernel -= kernel.sum(dim=(2, 3), keepdim=True) * (bell[:, None] * bell)
        energy = kernel.square().sum(dim=(1, 2, 3)).clamp(min=1e-12)
        return kernel / energy.sqrt()[:, None, None, None]


def cross_spectrum(grain: Tensor, weight: Tensor) -> Tensor:
    """Return the mean cross-periodogram of windowed blocks.

    Its chance error is a share of the power at each frequency, so that the little power that
    coarse grain has at high frequencies is found too; an autocorrelation would drown it.

    Args:
        grain: (N, 3, H, W), square, at least half of BLOCK_PX a side.
        weight: (N, 1, H, W), from 0 to 1; a block counts as much as its pixels.

    Returns:
        (3, 3, GRID, GRID) float64 on the CPU, even; the mean of each own spectrum is the variance.
    """
    window = _window(weight)
    return _mean_product(_transformed(grain, window), _transformed(grain, window), window)


def missing_spectrum(removed: Tensor, left: Tensor, weight: Tensor) -> Tensor:
    """Return the cross-spectrum of what a plate has more than the picture that came of it.

    The plate is the sum of what was removed, r, and what is there now, c, so that the two differ
    by ``|r + c|**2 - |c|**2``, which is ``|r|**2 + 2 Re(r* c)``. The second part is found as a
    share of the first in rings of frequency, apart in luma and in color.

    Args:
        removed: (N, 3, H, W) as for ``cross_spectrum``.
        left: The same shape.
        weight: (N, 1, H, W), from 0 to 1.
    """
    window = _window(weight)
    one = _transformed(removed, window)
    power = _mean_product(one, one, window)
    common = _mean_product(one, _transformed(left, window), window)
    turn = torch.tensor(OPPONENT, dtype=torch.float64)
    own, both = (torch.einsum("ij,jkhw,ik->ihw", turn, each, turn) for each in (power, common))
    share = (1.0 + 2.0 * _by_ring(both, own)).clamp(min=0.0, max=_MOST_SHARE).sqrt()
    turned = torch.einsum("ij,jkhw,lk->ilhw", turn, power, turn) * (share[:, None] * share)
    whole: Tensor = torch.einsum("ji,jkhw,kl->ilhw", turn, turned, turn)
    return whole


def _by_ring(part: Tensor, whole: Tensor) -> Tensor:
    """Return part / whole, (3, GRID, GRID) of luma and two colors, as sums over rings."""
    grid = torch.fft.fftfreq(GRID, dtype=torch.float64)
    place = (grid[:, None].square() + grid.square()).sqrt() * (2 * _RINGS)
    ring = place.long().clamp(max=_RINGS - 1).reshape(-1)
    sums = [
        torch.zeros(3, _RINGS, dtype=torch.float64).index_add_(1, ring, each.reshape(3, -1))
        for each in (part, whole)
    ]
    luma, color = (
        sums[0][parts].sum(dim=0) / sums[1][parts].sum(dim=0).clamp(min=1e-12)
        for parts in ([0], [1, 2])
    )
    found = torch.stack([luma, color, color])
    at = (place - 0.5).clamp(0.0, _RINGS - 1.001)
    low = at.long()
    return torch.lerp(found[:, low], found[:, low + 1], at - low)


def _window(weight: Tensor) -> Tensor:
    """Return (N, 1, rows, columns, block, block): half-overlapping Hann windows, weighted.

    The weights are softened, and those of a block that has little weight count for less yet.
    """
    block = min(BLOCK_PX, weight.shape[-1])
    hann = torch.hann_window(block, device=weight.device)
    hann = hann[:, None] * hann
    soft = weight
    for _ in range(2):
        soft = F.avg_pool2d(soft, _SOFT_PX, 1, _SOFT_PX // 2, count_include_pad=False)
    soft = soft.square()
    seen = soft.unfold(2, block, block // 2).unfold(3, block, block // 2) * hann
    return seen * (seen.sum(dim=(-2, -1), keepdim=True) / hann.sum())


def _transformed(planes: Tensor, window: Tensor) -> Tensor:
    """Return the transforms (N, 3, rows, columns, GRID, GRID // 2 + 1) of windowed blocks."""
    block = window.shape[-1]
    pieces = planes.unfold(2, block, block // 2).unfold(3, block, block // 2)
    transformed: Tensor = torch.fft.rfft2(pieces * window, s=(GRID, GRID))
    return transformed


def _mean_product(one: Tensor, other: Tensor, window: Tensor) -> Tensor:
    """Return the mean (3, 3, GRID, GRID) of products of transforms, symmetric in the channels."""
    half = torch.einsum("ncyxhw,ndyxhw->cdhw", one.conj(), other).real
    half = 0.5 * (half + half.transpose(0, 1)).double().cpu()
    return _whole(half) / max(float(window.square().sum()), 1e-12)


def spectrum_of(measured: Tensor, *, passed: Tensor) -> tuple[Spectrum, Tensor]:
    """Return the spectrum of measured grain, and the variance that the measurement missed.

    Args:
        measured: (3, 3, GRID, GRID) as of ``cross_spectrum``.
        passed: (GRID, GRID): the share of the power that reached the measurement.

    Returns:
        The spectrum, and (3,) float32 factors by which the variance is greater than that of
        ``measured``.
    """
    before = measured.diagonal().mean(dim=(0, 1)).clamp(min=1e-9)
    restored = _restored(measured, _blurred(passed))
    power = _smoothed(restored)
    bent = restored.diagonal().mean(dim=(0, 1)) / power.diagonal().mean(dim=(0, 1))
    power = power * (bent[:, None] * bent).sqrt()[..., None, None]
    power = _positive(power)
    after = power.diagonal().mean(dim=(0, 1))
    return _of_unit_variance(power), (after / before).float()


def median_spectrum(spectra: Sequence[Spectrum]) -> Spectrum:
    """Return the spectrum that is, frequency by frequency, the median of several."""
    power = torch.stack([each.power for each in spectra])
    floor = 1e-9 * float(power.mean()) + 1e-30
    own = power.diagonal(dim1=1, dim2=2).permute(0, 3, 1, 2).clamp(min=floor).sqrt()
    common = (power / (own[:, :, None] * own[:, None])).quantile(0.5, dim=0)
    middle = own.quantile(0.5, dim=0)
    return _of_unit_variance(_positive(common * (middle[:, None] * middle)))


def box_response(side_px: int) -> Tensor:
    """Return (GRID, GRID): how a mean over a square answers to each frequency."""
    turn = math.pi * torch.fft.fftfreq(GRID, dtype=torch.float64)
    down = torch.where(turn == 0.0, 1.0, torch.sin(side_px * turn) / (side_px * torch.sin(turn)))
    return down[:, None] * down


def _of_unit_variance(power: Tensor) -> Spectrum:
    scale = power.diagonal().mean(dim=(0, 1)).clamp(min=1e-12).rsqrt()
    return Spectrum(power * (scale[:, None] * scale)[..., None, None])


def _whole(half: Tensor) -> Tensor:
    """Return the whole plane of an even real spectrum from its (..., GRID, GRID // 2 + 1) half."""
    mirrored = half[..., 1 : GRID // 2].flip(-1)
    mirrored = torch.roll(mirrored.flip(-2), 1, dims=-2)
    return torch.cat([half, mirrored], dim=-1)


def _smoothed(power: Tensor) -> Tensor:
    """Return a spectrum averaged over neighboring frequencies.

    The logarithm of a channel's power is averaged, which a steep slope does not bend, and what two
    channels have in common relative to it.
    """
    floor = 1e-9 * float(power.diagonal().mean()) + 1e-30
    own = power.diagonal().permute(2, 0, 1).clamp(min=floor)
    common = _around(power / (own[:, None] * own).sqrt())
    smooth = _around(own.log()).exp()
    return common * (smooth[:, None] * smooth).sqrt()


def _around(values: Tensor) -> Tensor:
    """Return the mean over a small square of frequencies; periodic."""
    return _with_neighbors(_with_neighbors(values, side=0.25), side=0.25)


def _blurred(passed: Tensor) -> Tensor:
    """Return a response to power as blocks under a Hann window see it."""
    return _with_neighbors(passed, side=1.0 / 6.0)


def _with_neighbors(values: Tensor, *, side: float) -> Tensor:
    """Return the mean of each frequency and its neighbors, which count ``side`` a side."""
    for dim in (-2, -1):
        around = torch.roll(values, 1, dims=dim) + torch.roll(values, -1, dims=dim)
        values = (1.0 - 2.0 * side) * values + side * around
    return values


def _taper(at: Tensor, reach: float) -> Tensor:
    """Return a round window: 1 up to half the reach, then a cosine that ends at 0."""
    distance = (at[:, None].square() + at.square()).sqrt() / reach
    return 0.5 + 0.5 * torch.cos(math.pi * (2.0 * distance - 1.0).clamp(0.0, 1.0))


def _restored(power: Tensor, passed: Tensor) -> Tensor:
    """Return a spectrum as it was before the measuring filter.

    The lowest frequencies, of which too little passed, take the mean of those just above them.
    """
    is_lost = passed < _LEAST_PASSED
    whole = power / passed.clamp(min=_LEAST_PASSED)
    if not bool(is_lost.any()):
        return whole
    grid = torch.fft.fftfreq(GRID, dtype=torch.float64)
    distance = (grid[:, None].square() + grid.square()).sqrt()
    lowest = is_lost & (distance < 0.125)
    edge = float(distance[lowest].max()) if bool(lowest.any()) else 0.0
    ring = ~is_lost & (distance <= edge + 2.0 / GRID)
    mean = whole[..., ring].mean(dim=-1)
    whole[..., lowest] = mean[..., None].expand(*mean.shape, int(lowest.sum()))
    return whole


def _positive(power: Tensor) -> Tensor:
    """Return the nearest spectrum that noise can have: no negative power in any mix of channels."""
    values, vectors = torch.linalg.eigh(power.permute(2, 3, 0, 1))
    rebuilt = (vectors * values.clamp(min=0.0)[..., None, :]) @ vectors.transpose(-1, -2)
    return torch.permute(rebuilt, (2, 3, 0, 1)).contiguous()


def _root(power: Tensor) -> Tensor:
    """Return the symmetric square root of the matrix at every frequency."""
    values, vectors = torch.linalg.eigh(power.permute(2, 3, 0, 1))
    root = (vectors * values.clamp(min=0.0).sqrt()[..., None, :]) @ vectors.transpose(-1, -2)
    return torch.permute(root, (2, 3, 0, 1)).contiguous()


def _inverse_at(root: Tensor, at: Tensor, size: float) -> Tensor:
    """Return the inverse Fourier transform of an even response at fractional pixels.

    Frequencies that a finer grain would carry beyond the sampling limit are left out.
    """
    grid = torch.fft.fftfreq(GRID, dtype=torch.float64)
    turns = 2.0 * math.pi * at[:, None] * grid
    kept = (grid.abs() <= 0.5 * size).double()
    wave_cos, wave_sin = torch.cos(turns) * kept, torch.sin(turns) * kept
    even = wave_cos @ root @ wave_cos.T - wave_sin @ root @ wave_sin.T
    return torch.mul(even, 1.0 / GRID**2)
