"""The enlarging network: the shared body at the small picture's resolution, two pictures out.

It predicts apart what an enlargement by Lanczos lacks, and what of it is noise and codec damage, so
that a person can take the one without the other: the result is

    Lanczos(picture) + lacking + denoise * unclean

Source of the pixel shuffle: W. Shi et al., "Real-Time Single Image and Video Super-Resolution Using
an Efficient Sub-Pixel Convolutional Neural Network", CVPR 2016.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from kwaflux_models.effects.restorer_network import DEPTH, SkippingBody, conditioned
from kwaflux_models.rendering import working_curves
from kwaflux_models.rendering.lanczos_tensor import lanczos_upscale_tensor

__all__ = ["SCALE", "UpscaleNetwork", "enlarged"]

SCALE = 2
"""Output size / input size."""


class UpscaleNetwork(nn.Module):
    """Predict what to add to a Lanczos enlargement, in two parts.

    Attributes:
        ALIGN_PX: Height and width of the small picture must be multiples of this.
        RADIUS_PX: The receptive field's radius in pixels of the small picture.
    """

    ALIGN_PX = 1
    RADIUS_PX = DEPTH
    probe = None

    def __init__(self) -> None:
        super().__init__()
        self.body = SkippingBody(3 + 1, 6 * SCALE * SCALE)

    def forward(self, picture: Tensor, detail: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the enlargement lacks, and what of it is to be cleaned away.

        Args:
            picture: (N, 3, H, W), working curve ``extended_srgb``.
            detail: (N, 1, 1, 1), 0..1: how much texture is wanted.

        Returns:
            Two of (N, 3, H * SCALE, W * SCALE), working curve.
        """
        told = conditioned(picture, detail)
        lacking, unclean = F.pixel_shuffle(self.body(told), SCALE).chunk(2, dim=1)
        return lacking, unclean


def enlarged(picture: Tensor, *, scale: int = SCALE) -> Tensor:
    """Return a picture enlarged by Lanczos in linear light, as the renderer does it.

    Args:
        picture: (N, C, H, W), working curve ``extended_srgb``.
        scale: How many times.
    """
    linear = working_curves.decode(picture.float(), "extended_srgb")
    planes = lanczos_upscale_tensor(linear.flatten(0, 1), scale)
    large = planes.reshape(*picture.shape[:2], *planes.shape[1:])
    return working_curves.encode(large, "extended_srgb").to(picture.dtype)
