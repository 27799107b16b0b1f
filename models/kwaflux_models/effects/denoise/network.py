"""The denoiser's network: FFDNet as it was published, and a probe.

Source: K. Zhang, W. Zuo and L. Zhang, "FFDNet: Toward a Fast and Flexible Solution for CNN based
Image Denoising", IEEE TIP 2018. It knows display codes from 0 to 1 and destroys what is brighter.
What is brighter is divided by the largest code of the effect's range, cleaned as a darker picture
with proportionally less noise, and multiplied again, at a loss of about 0.1 dB.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kwaflux_models.effects.level_probe import LevelProbe
from kwaflux_models.effects.restorer_network import DEPTH, Body

__all__ = ["DenoiseNetwork"]

_BRIGHTEST = 3.3
"""Display code of light of 16, where the effect has faded out."""
_DIM, _BRIGHT = 1.002, 1.06
"""Where nothing in reach is brighter than the first, in the mean of 5 x 5 pixels, a picture is
cleaned as it is; from the second on divided; between them both ways are blended."""
_MEAN_PX = 5
_MOST_DIM = 1.2
"""Single bright pixels of a dim place are held to this: they are noise."""
_REACH_PX = 2 * DEPTH + 1
"""The receptive field's radius."""


class DenoiseNetwork(nn.Module):
    """Estimate a frame without its noise, told how strong it is at each pixel.

    Attributes:
        ALIGN_PX: Height and width of the input must be multiples of this.
        RADIUS_PX: Farthest pixel, along a row or column, that can change a pixel of the result.
    """

    ALIGN_PX = 2
    RADIUS_PX = _REACH_PX + _MEAN_PX // 2

    def __init__(self) -> None:
        super().__init__()
        self.body = Body(12 + 1, 12)
        self.probe = LevelProbe()

    def forward(self, picture: Tensor, noise: Tensor) -> Tensor:
        """Return the residual to add to a picture.

        Args:
            picture: (N, 3, H, W), working curve ``extended_srgb``, up to 3.3; H and W multiples of
                `ALIGN_PX`. Beyond the border the network sees zeros: give it a halo of `RADIUS_PX`
                that is cut off afterwards.
            noise: (N, 1, H, W): the standard deviation of white noise that it is to take away, in
                the working curve, 0..0.3.
        """
        if float(picture.amax()) <= _DIM:
            return self._cleaned(picture, noise) - picture
        means = F.avg_pool2d(
            picture.float(), _MEAN_PX, 1, _MEAN_PX // 2, count_include_pad=False
        ).amax(dim=1, keepdim=True)
        side = 2 * _REACH_PX + 1
        around = F.max_pool2d(means, (side, 1), 1, (_REACH_PX, 0))
        around = F.max_pool2d(around, (1, side), 1, (0, _REACH_PX))
        share = ((around - _DIM) / (_BRIGHT - _DIM)).clamp(0.0, 1.0)
        is_dim, is_bright = float(share.min()) < 1.0, float(share.max()) > 0.0
        dim = bright = picture
        if is_dim:
            dim = self._cleaned(picture.clamp(max=_MOST_DIM), noise)
        if is_bright:
            bright = self._cleaned(picture / _BRIGHTEST, noise / _BRIGHTEST) * _BRIGHTEST
        if is_dim and is_bright:
            return torch.lerp(dim, bright, share.to(dim.dtype)) - picture
        return (dim if is_dim else bright) - picture

    def _cleaned(self, picture: Tensor, noise: Tensor) -> Tensor:
        folded = torch.cat([F.pixel_unshuffle(picture, 2), F.avg_pool2d(noise, 2)], dim=1)
        return F.pixel_shuffle(self.body(folded), 2)
