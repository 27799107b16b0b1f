"""Judge how strong a degradation is, from samples of a frame.

Knows torch only; must not know which degradation it was fitted to.

The statistics are those of 8 x 8 cosine transforms at every fourth pixel of display-encoded luma
and color differences: how strong each band of frequencies is in the calmest, the middle and the
busiest places, and which share of its coefficients is next to nothing. Noise fills the calm places,
a codec empties the high bands, softness tilts them. Beside them, how much the steps between rows
and columns repeat every 8 pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kwaflux_core.color.luma import REC709_LUMA

__all__ = ["LevelProbe", "ProbeOutput", "statistics"]

_SIDE = 8
_STRIDE = 4
_BANDS = 9
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_NOTHING = (0.5 / 255.0, 2.0 / 255.0)
"""Coefficients of these sizes count as next to nothing."""
_FLOOR = (0.05 / 255.0) ** 2
_COUNT = 3 * _BANDS * (len(_QUANTILES) + len(_NOTHING)) + 2
_HIDDEN = (64, 32)
_LEAST_DOUBT = 0.01


def statistics(samples: Tensor) -> Tensor:
    """Return what the perceptron reads of each sample, (N, features), float32.

    Args:
        samples: (N, 3, H, W), display-encoded (the working curve ``extended_srgb``); H and W at
            least 16 and multiples of 8.
    """
    planes = _planes(samples.float())
    kernels = _cosines().to(planes.device)
    coefficients = F.conv2d(planes.flatten(0, 1)[:, None], kernels, stride=_STRIDE)
    coefficients = coefficients.flatten(2)
    bands = _bands().to(planes.device)
    shares = bands / bands.sum(dim=1, keepdim=True)
    energy = torch.einsum("bc,ncw->nbw", shares, coefficients**2)
    marks = torch.quantile(torch.log10(energy + _FLOOR), energy.new_tensor(_QUANTILES), dim=2)
    near = [torch.exp(-((coefficients / size) ** 2)).mean(dim=2) @ shares.T for size in _NOTHING]
    joined = torch.cat([*marks, *near], dim=1).reshape(samples.shape[0], -1)
    return torch.cat([joined, _grid_steps(planes[:, 0])], dim=1)


def _planes(samples: Tensor) -> Tensor:
    """Return luma, red and blue difference of display-encoded samples, (N, 3, H, W)."""
    luma = torch.einsum("nchw,c->nhw", samples, samples.new_tensor(REC709_LUMA))
    return torch.stack([luma, samples[:, 0] - luma, samples[:, 2] - luma], dim=1)


def _cosines() -> Tensor:
    """Return the 64 kernels of an orthonormal 8 x 8 cosine transform, (64, 1, 8, 8)."""
    place = torch.arange(_SIDE, dtype=torch.float32)
    waves = torch.cos(math.pi * (2 * place[None] + 1) * place[:, None] / (2 * _SIDE))
    waves = waves * math.sqrt(2.0 / _SIDE)
    waves[0] = math.sqrt(1.0 / _SIDE)
    return torch.einsum("ux,vy->uvxy", waves, waves).reshape(-1, 1, _SIDE, _SIDE)


def _bands() -> Tensor:
    """Return which coefficients belong to which band, (bands, 64) of 0 and 1."""
    place = torch.arange(_SIDE, dtype=torch.float32)
    radius = torch.hypot(place[:, None], place[None]).round().clamp(max=_BANDS).reshape(-1)
    return torch.stack([(radius == band).float() for band in range(1, _BANDS + 1)])


def _grid_steps(luma: Tensor) -> Tensor:
    """Return how far the largest of eight phases' steps stands out, rows and columns, (N, 2)."""
    found = []
    for dim in (1, 2):
        bent = luma.diff(dim=dim).abs().mean(dim=3 - dim)
        whole = bent[:, : bent.shape[1] // 8 * 8].reshape(luma.shape[0], -1, 8).mean(dim=1)
        found.append(torch.log((whole.amax(dim=1) + 1e-5) / (whole.median(dim=1).values + 1e-5)))
    return torch.stack(found, dim=1)


@dataclass(frozen=True, slots=True)
class ProbeOutput:
    """Hold what a probe says of samples.

    Attributes:
        level: (N,), at least 0, in the unit it was fitted to.
        doubt: (N,), by how much it expects to be wrong, in the same unit.
    """

    level: Tensor
    doubt: Tensor

    def mean_level(self) -> float:
        """Return one level for samples of one frame: the sure ones count more."""
        weight = self.doubt.double().square().reciprocal()
        return float((self.level.double() * weight).sum() / weight.sum())

    def confident_level(self) -> float:
        """Return the level that it is confident of: twice the mean doubt below `mean_level`.

        The doubt is the scale of a Laplace distribution: one level in fifteen lies lower.
        """
        return self.mean_level() - 2.0 * float(self.doubt.double().mean())


class LevelProbe(nn.Module):
    """Judge the level of a degradation from samples of one size.

    It pools over a sample, so it is never given a tile.
    """

    center: Tensor
    spread: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("center", torch.zeros(_COUNT))
        self.register_buffer("spread", torch.ones(_COUNT))
        wide, narrow = _HIDDEN
        self.first = nn.Linear(_COUNT, wide)
        self.second = nn.Linear(wide, narrow)
        self.last = nn.Linear(narrow, 2)

    def forward(self, samples: Tensor) -> ProbeOutput:
        """Judge samples each by itself.

        Args:
            samples: (N, 3, H, W), display-encoded (the working curve ``extended_srgb``); fitted on
                about 128 pixels a side.
        """
        return self.read(statistics(samples).to(self.first.weight.dtype))

    def read(self, found: Tensor) -> ProbeOutput:
        """Judge samples by their (N, features) statistics."""
        x = ((found - self.center) / self.spread).clamp(-6.0, 6.0)
        x = F.gelu(self.first(x))
        x = F.gelu(self.second(x))
        level, doubt = self.last(x).unbind(dim=1)
        return ProbeOutput(F.softplus(level, beta=8.0), F.softplus(doubt, beta=8.0) + _LEAST_DOUBT)
