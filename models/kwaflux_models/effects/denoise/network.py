"""The denoiser's network: FFDNet as it was published, and a probe.

Source: K. Zhang, W. Zuo and L. Zhang, "FFDNet: Toward a Fast and Flexible Solution for CNN based
Image Denoising", IEEE TIP 2018. It knows display codes from 0 to 1 and destroys what is brighter.
What is brighter is divided by the curve's value at the end of the range, cleaned as a dimmer picture
with as much less noise, and multiplied again; the network does as well on it, but for 0.1 dB.
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
_DIM, _BRIGHT = 0.98, 1.04
"""From no pixel brighter than the first to some brighter than the second the one way turns into the
other."""


class DenoiseNetwork(nn.Module):
    """Estimate a frame without its noise, told how strong it is at each pixel.

    Attributes:
        ALIGN_PX: Height and width of the input must be multiples of this.
        RADIUS_PX: The receptive field's radius in input pixels.
        REACH_PX: The same with the pixels that decide which way a pixel is cleaned.
    """

    ALIGN_PX = 2
    RADIUS_PX = 2 * DEPTH + 1
    REACH_PX = RADIUS_PX

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
        brightest = picture.amax(dim=1, keepdim=True)
        if float(brightest.max()) <= _DIM:
            return self._cleaned(picture, noise) - picture
        side = 2 * self.RADIUS_PX + 1
        around = F.max_pool2d(brightest.float(), (side, 1), 1, (self.RADIUS_PX, 0))
        around = F.max_pool2d(around, (1, side), 1, (0, self.RADIUS_PX))
        share = ((around - _DIM) / (_BRIGHT - _DIM)).clamp(0.0, 1.0)
        bright = self._cleaned(picture / _BRIGHTEST, noise / _BRIGHTEST) * _BRIGHTEST
        if float(share.min()) < 1.0:
            dim = self._cleaned(picture.clamp(max=_BRIGHT), noise)
            bright = torch.lerp(dim, bright, share.to(dim.dtype))
        return bright - picture

    def _cleaned(self, picture: Tensor, noise: Tensor) -> Tensor:
        folded = torch.cat([F.pixel_unshuffle(picture, 2), F.avg_pool2d(noise, 2)], dim=1)
        return F.pixel_shuffle(self.body(folded), 2)
