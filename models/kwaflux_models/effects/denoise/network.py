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
"""Where nothing in reach is brighter than the first, a picture is cleaned as it is; from the second
on divided; between them both ways are blended."""
_SMALL_PX, _LARGE_PX = 5, 11
"""Brightness is the mean of so many pixels a side: of the small one less what noise may add to it,
of the large one as it is."""
_NOISE_OF_MEAN = 0.6
"""Three deviations of the mean of 5 x 5 pixels with white noise."""
_MOST_DIM = 1.2
"""Single bright pixels of a dim place are held to this: they are noise."""
_REACH_PX = 2 * DEPTH + 1
"""The receptive field's radius."""
_MARGIN_PX = _REACH_PX + _REACH_PX % 2
_BLOCK_PX = 128
_MANY = 0.4
"""Blocks with their margins cost twice their area: with more of them the whole picture is less."""


class DenoiseNetwork(nn.Module):
    """Estimate a frame without its noise, told how strong it is at each pixel.

    Attributes:
        ALIGN_PX: Height and width of the input must be multiples of this.
        RADIUS_PX: Farthest pixel, along a row or column, that can change a pixel of the result.
    """

    ALIGN_PX = 2
    RADIUS_PX = _REACH_PX + 2 + _LARGE_PX // 2

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
        share = ((_brightness(picture.float(), noise) - _DIM) / (_BRIGHT - _DIM)).clamp(0.0, 1.0)
        dim = self._cleaned_where(share < 1.0, picture.clamp(max=_MOST_DIM), noise)
        bright = self._cleaned_where(share > 0.0, picture / _BRIGHTEST, noise / _BRIGHTEST)
        return torch.lerp(dim, bright * _BRIGHTEST, share.to(dim.dtype)) - picture

    def _cleaned_where(self, wanted: Tensor, picture: Tensor, noise: Tensor) -> Tensor:
        """Return a picture that is cleaned where it is wanted; elsewhere it may be as it came."""
        result = picture.clone()
        height, width = wanted.shape[2:]
        for y0, y1, x0, x1 in _places(wanted[0, 0]):
            top, left = max(0, y0 - _MARGIN_PX), max(0, x0 - _MARGIN_PX)
            rows = slice(top, min(height, y1 + _MARGIN_PX))
            columns = slice(left, min(width, x1 + _MARGIN_PX))
            cleaned = self._cleaned(picture[..., rows, columns], noise[..., rows, columns])
            result[..., y0:y1, x0:x1] = cleaned[..., y0 - top : y1 - top, x0 - left : x1 - left]
        return result

    def _cleaned(self, picture: Tensor, noise: Tensor) -> Tensor:
        folded = torch.cat([F.pixel_unshuffle(picture, 2), F.avg_pool2d(noise, 2)], dim=1)
        return F.pixel_shuffle(self.body(folded), 2)


def _brightness(picture: Tensor, noise: Tensor) -> Tensor:
    """Return (N, 1, H, W): the brightest place that the network sees from 2 x 2 pixels."""
    small, large = (
        F.avg_pool2d(picture, side, 1, side // 2, count_include_pad=False).amax(1, keepdim=True)
        for side in (_SMALL_PX, _LARGE_PX)
    )
    found = torch.maximum(small - _NOISE_OF_MEAN * noise.float(), large)
    reach = _REACH_PX // 2 + 1
    found = F.max_pool2d(found, 2)
    found = F.max_pool2d(found, (2 * reach + 1, 1), 1, (reach, 0))
    found = F.max_pool2d(found, (1, 2 * reach + 1), 1, (0, reach))
    return F.interpolate(found, scale_factor=2.0, mode="nearest")


def _places(wanted: Tensor) -> list[tuple[int, int, int, int]]:
    """Return top, bottom, left and right of what holds every wanted place: blocks, or all of it."""
    height, width = wanted.shape
    blocks = [
        (y, min(y + _BLOCK_PX, height), x, min(x + _BLOCK_PX, width))
        for y in range(0, height, _BLOCK_PX)
        for x in range(0, width, _BLOCK_PX)
    ]
    held = [each for each in blocks if bool(wanted[each[0] : each[1], each[2] : each[3]].any())]
    return [(0, height, 0, width)] if len(held) > _MANY * len(blocks) else held
