"""The denoiser's network: the shared restorer, given four neighbors that were brought into place.

Owns its shape and how the neighbors are laid out. Must not know effects, colorspaces, tiles or
devices.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from kwaflux_models.body import Restorer

__all__ = ["NEIGHBORS", "PLANES", "DenoiseNetwork"]

NEIGHBORS = 4
"""Frames beside the one at hand, oldest first."""

PLANES = 4
"""Planes of each neighbor: the difference to the frame at hand (3), and the mismatch (1)."""


class DenoiseNetwork(Restorer):
    """A `Restorer` whose levels are the noise's standard deviation and the detail (0..1).

    A neighbor that is not there is given as zeros; with none, it is a spatial denoiser.
    """

    def __init__(self) -> None:
        super().__init__(levels=2, extra=NEIGHBORS * (12 + 1))

    def forward(self, picture: Tensor, levels: Tensor, extra: Tensor | None = None) -> Tensor:
        """Return the residual to add to a picture.

        Args:
            picture: (N, 3, H, W), working curve.
            levels: (N, 2, 1, 1): standard deviation of the noise in the working curve, 0..0.3,
                and the detail wanted, 0..1.
            extra: (N, NEIGHBORS * PLANES, H, W): for each neighbor, oldest first, its difference
                to the picture after alignment and the mismatch, both in the working curve. None
                stands for zeros.
        """
        if extra is None:
            shape = (picture.shape[0], NEIGHBORS * PLANES, *picture.shape[2:])
            extra = picture.new_zeros(shape)
        folded = [
            part
            for one in torch.split(extra, PLANES, dim=1)
            for part in (F.pixel_unshuffle(one[:, :3], 2), F.avg_pool2d(one[:, 3:], 2))
        ]
        return super().forward(picture, levels, torch.cat(folded, dim=1))
