"""Say how far a restored patch is from the clean one.

Knows torch only.

Sources: the Charbonnier penalty, P. Charbonnier et al., "Two deterministic half-quadratic
regularization algorithms for computed imaging", ICIP 1994.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["LossWeights", "Losses", "block_energy", "restoration_loss"]

_EPSILON = 1e-3
_BLOCK_PX = 16
_FLAT_ENERGY = 1e-4
"""Blocks whose Laplacian energy is below this count as flat: texture is not asked of them."""


@dataclass(frozen=True, slots=True)
class LossWeights:
    """What each term counts beside the pixel term, which counts 1.

    Attributes:
        gradient: The gradients.
        texture: The energy of texture.
        excess: What too much texture counts, against too little.
    """

    gradient: float
    texture: float
    excess: float


@dataclass(frozen=True, slots=True)
class Losses:
    """The terms of one batch, scalars; ``total`` carries the gradient."""

    total: Tensor
    pixels: Tensor
    gradient: Tensor
    texture: Tensor


def block_energy(picture: Tensor) -> Tensor:
    """Return the mean squared Laplacian of each 16 x 16 block.

    Args:
        picture: (N, C, H, W), any curve.

    Returns:
        (N, C, h, w), where h and w count the whole blocks of the inner picture.
    """
    inner = picture[..., 1:-1, 1:-1]
    around = (
        picture[..., :-2, 1:-1]
        + picture[..., 2:, 1:-1]
        + picture[..., 1:-1, :-2]
        + picture[..., 1:-1, 2:]
    )
    return F.avg_pool2d((4.0 * inner - around).square(), _BLOCK_PX)


def _charbonnier(error: Tensor) -> Tensor:
    return (error.square() + _EPSILON**2).sqrt() - _EPSILON


def restoration_loss(
    restored: Tensor,
    clean: Tensor,
    *,
    sample_weight: Tensor,
    detail: Tensor,
    weights: LossWeights,
) -> Losses:
    """Compute the loss of a batch.

    Args:
        restored: (N, 3, H, W), display-encoded.
        clean: The same.
        sample_weight: (N, 1, 1, 1), what each sample counts.
        detail: (N, 1, 1, 1), 0..1, what the texture term counts for each sample.
        weights: What each term counts.

    Returns:
        Pixels: Charbonnier. Gradient: the same of differences to
        the right and down. Texture: by how much the logarithm of a textured block's Laplacian
        energy falls short of the clean one's, and, counted ``excess`` times, by how much that of
        any block exceeds it.
        A network that is told ``detail`` learns both: at 0 the least error, whose mean over what
        might have been is smooth, at 1 texture as strong as the clean one's.
    """
    error = restored - clean
    pixels = (sample_weight * _charbonnier(error)).mean()
    across = (sample_weight * _charbonnier(error[..., 1:] - error[..., :-1])).mean()
    down = (sample_weight * _charbonnier(error[..., 1:, :] - error[..., :-1, :])).mean()
    gradient = 0.5 * (across + down)
    wanted, found = block_energy(clean), block_energy(restored)
    is_textured = (wanted > _FLAT_ENERGY).to(wanted.dtype)
    short = torch.log(wanted + _FLAT_ENERGY) - torch.log(found + _FLAT_ENERGY)
    unlike = F.relu(short) * is_textured + weights.excess * F.relu(-short)
    texture = (unlike * detail * (sample_weight > 0)).mean()
    total = pixels + weights.gradient * gradient + weights.texture * texture
    return Losses(total, pixels.detach(), gradient.detach(), texture.detach())
