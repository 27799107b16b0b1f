"""The denoiser's network: the shared restorer, on the mean of what five frames agree on.

Each neighbor that was brought into place is averaged into the frame at hand, as much as it agrees
with it: a mean of several independent noises has less noise, by a factor that is known. The network
is given the mean, how much noise is left in it, pixel by pixel, and the neighbors themselves, so
that it can take back what the mean did wrong.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from kwaflux_models.effects.restorer_network import Restorer

__all__ = ["ABSENT", "NEIGHBORS", "PLANES", "DenoiseNetwork", "Mean", "mean_of"]

NEIGHBORS = 4
"""Frames beside the one at hand, oldest first."""

PLANES = 4
"""Planes of each neighbor: the difference to the frame at hand (3), and the mismatch (1)."""

ABSENT = 1.0
"""A mismatch from which on a neighbor counts as not there."""

_TOLERANCE = 1.1
"""The noise's variance may be this much more than what was told before a neighbor counts less."""

_MOST_ERROR = 8.0
"""In variances of the noise: from this error on a neighbor counts nothing."""


@dataclass(frozen=True, slots=True)
class Mean:
    """Hold what five frames agree on.

    Attributes:
        change: (N, 3, H, W), what the mean adds to the frame at hand, working curve.
        level: (N, 1, H, W), standard deviation of the noise that is left, working curve.
        weights: (N, NEIGHBORS, 1, H, W), 0..1: how much each neighbor counts; the frame at hand
            counts 1.
    """

    change: Tensor
    level: Tensor
    weights: Tensor


def mean_of(differences: Tensor, mismatch: Tensor, level: Tensor) -> Mean:
    """Average the neighbors into the frame at hand, as far as they agree with it.

    A neighbor whose error has the variance b^2 beside the noise's s^2 counts s^2 / (s^2 + b^2), the
    weight of least error for independent errors, and fades out towards b^2 = 8 s^2, so that what
    lies behind a cut leaves no ghost. Between two frames independent noise has the variance 2 s^2;
    less than that is noise that both have in common (a codec repeats it), and no mean takes it
    away.

    Source of the fading: A. E. Beaton and J. W. Tukey, "The fitting of power series", Technometrics
    1974 (the biweight).

    Args:
        differences: (N, NEIGHBORS, 3, H, W), neighbor minus frame, working curve.
        mismatch: (N, NEIGHBORS, 1, H, W), root mean square of the difference around each pixel.
        level: (N, 1, 1, 1), standard deviation of the noise.
    """
    noise = level.square()[:, None] + 1e-8
    apart = mismatch.square()
    error = F.relu(apart - 2.0 * _TOLERANCE * noise)
    faded = F.relu(1.0 - error / (_MOST_ERROR * noise)).square()
    weights = noise / (noise + error) * faded * (mismatch < ABSENT)
    total = 1.0 + weights.sum(dim=1)
    change = (weights * differences).sum(dim=1) / total
    own = torch.minimum(apart / 2.0, noise)
    independent = (weights * own).sum(dim=1) / (total - 1.0 + 1e-6)
    squares = (1.0 + weights.square().sum(dim=1)) / total.square()
    left = F.relu(noise[:, 0] - independent * (1.0 - squares))
    return Mean(change, left.sqrt(), weights)


class DenoiseNetwork(Restorer):
    """A `Restorer` of the mean of five frames, told how much noise is left in each pixel of it.

    A neighbor that is not there has the mismatch `ABSENT`; with none, it is a spatial denoiser.
    """

    def __init__(self) -> None:
        super().__init__(levels=2, extra=12 + NEIGHBORS * (12 + 1))

    def forward(self, picture: Tensor, levels: Tensor, extra: Tensor | None = None) -> Tensor:
        """Return the residual to add to a picture.

        Args:
            picture: (N, 3, H, W), working curve.
            levels: (N, 2, 1, 1): standard deviation of the noise in the working curve, 0..0.3,
                and the detail wanted, 0..1.
            extra: (N, NEIGHBORS * PLANES, H, W): for each neighbor, oldest first, its difference
                to the picture after alignment and the mismatch, both in the working curve. None
                stands for no neighbors.
        """
        if extra is None:
            extra = picture.new_zeros(picture.shape[0], NEIGHBORS * PLANES, *picture.shape[2:])
            extra[:, PLANES - 1 :: PLANES] = ABSENT
        planes = extra.reshape(extra.shape[0], NEIGHBORS, PLANES, *extra.shape[2:])
        mean = mean_of(planes[:, :, :3], planes[:, :, 3:], levels[:, :1])
        agreed = (mean.weights * planes[:, :, :3]).flatten(1, 2)
        told = [
            F.pixel_unshuffle(picture + mean.change, 2),
            F.avg_pool2d(mean.level, 2),
            _plane(levels[:, 1:], like=picture),
            F.pixel_unshuffle(mean.change, 2),
            F.pixel_unshuffle(agreed, 2),
            F.avg_pool2d(mean.weights[:, :, 0], 2),
        ]
        return self.residual(torch.cat(told, dim=1), picture)


def _plane(number: Tensor, *, like: Tensor) -> Tensor:
    """Return (N, 1, 1, 1) numbers as planes at half the resolution of a picture."""
    return number.to(like.dtype).expand(-1, 1, like.shape[2] // 2, like.shape[3] // 2)
