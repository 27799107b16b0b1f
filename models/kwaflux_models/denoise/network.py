"""The denoiser's network: what it computes, how far it looks, how its weights are read.

Owns the layers and the two numbers that tiling needs. Knows torch and safetensors; must not know
effects, colorspaces, tiles or devices.

A U-shaped network of three resolutions on pixels folded 2 x 2 into channels. Its blocks are gated
convolutions: channel norm, a dense 3 x 3 convolution to twice the channels, the product of the two
halves, a 1 x 1 convolution, added to the input. The gate is that of NAFNet (L. Chen et al.,
"Simple Baselines for Image Restoration", ECCV 2022); its channel attention is left out, because
it pools over the whole picture and a tile must not know how big the frame is.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from kwaflux_core.errors import WeightsInvalid

__all__ = ["ALIGN_PX", "RADIUS_PX", "DenoiseNetwork", "load"]

WIDTHS = (32, 48, 64)
"""Channels at 1/2, 1/4 and 1/8 of the resolution."""

BLOCKS = (2, 2, 3)
"""Blocks at each resolution: on the way down and again on the way up; the last one once."""

ALIGN_PX = 8
"""Height and width of the input must be multiples of this."""

RADIUS_PX = 59
"""Farthest input pixel, along a row or column, that can reach an output pixel. Exact bound: the sum
of the 3 x 3 convolutions' reach at their resolutions, 52, and 7 for a pixel's place in its 8 x 8
cell; a test measures it."""

_LEVEL_SCALE = 8.0
"""Brings the noise levels that occur, 0.005 to 0.3, to the size of the other inputs."""


class _Norm(nn.Module):
    """Normalise each pixel over its channels; torch keeps the statistics in float32."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        pixels = x.permute(0, 2, 3, 1)
        normed = F.layer_norm(pixels, (pixels.shape[-1],), self.weight, self.bias, 1e-6)
        return normed.permute(0, 3, 1, 2)


class _Block(nn.Module):
    """Add a gated convolution of the normed input to the input; (N, C, H, W) to the same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = _Norm(channels)
        self.spread = nn.Conv2d(channels, 2 * channels, 3, padding=1)
        self.join = nn.Conv2d(channels, channels, 1)
        with torch.no_grad():
            self.join.weight.mul_(0.3)

    def forward(self, x: Tensor) -> Tensor:
        left, right = self.spread(self.norm(x)).chunk(2, dim=1)
        joined: Tensor = self.join(left * right)
        return x + joined


def _blocks(channels: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(_Block(channels) for _ in range(count)))


class DenoiseNetwork(nn.Module):
    """Estimate what to add to a noisy picture.

    A new network returns zeros: its last layer starts at 0, so it is the identity until trained.

    Attributes:
        ALIGN_PX: Height and width of the input must be multiples of this.
        RADIUS_PX: The receptive field's radius in input pixels.
    """

    ALIGN_PX = ALIGN_PX
    RADIUS_PX = RADIUS_PX

    def __init__(self) -> None:
        super().__init__()
        fine, middle, coarse = WIDTHS
        self.intro = nn.Conv2d(14, fine, 3, padding=1)
        self.down_fine = _blocks(fine, BLOCKS[0])
        self.to_middle = nn.Conv2d(fine, middle, 2, stride=2)
        self.down_middle = _blocks(middle, BLOCKS[1])
        self.to_coarse = nn.Conv2d(middle, coarse, 2, stride=2)
        self.coarse = _blocks(coarse, BLOCKS[2])
        self.from_coarse = nn.ConvTranspose2d(coarse, middle, 2, stride=2)
        self.up_middle = _blocks(middle, BLOCKS[1])
        self.from_middle = nn.ConvTranspose2d(middle, fine, 2, stride=2)
        self.up_fine = _blocks(fine, BLOCKS[0])
        self.outro = nn.Conv2d(fine, 12, 3, padding=1)
        nn.init.zeros_(self.outro.weight)
        if self.outro.bias is not None:
            nn.init.zeros_(self.outro.bias)

    def forward(self, picture: Tensor, noise_level: Tensor) -> Tensor:
        """Return the residual to add to a picture.

        Args:
            picture: (N, 3, H, W), working curve; trained on -1..1.5 or so. H and W are multiples
                of `ALIGN_PX`. Beyond the border the network sees zeros: give it a halo of
                `RADIUS_PX` that is cut off afterwards.
            noise_level: (N, 1, 1, 1), standard deviation of the noise in working-curve units,
                0..0.3; a negative value means that it is not known.

        Returns:
            (N, 3, H, W), working-curve units: the denoised picture is ``picture + residual``.
        """
        known = (noise_level >= 0).to(picture.dtype)
        level = noise_level.clamp_min(0).to(picture.dtype) * _LEVEL_SCALE * known
        folded = F.pixel_unshuffle(picture, 2)
        plane = torch.ones_like(folded[:, :1])
        fine = self.intro(torch.cat([folded, plane * level, plane * known], dim=1))
        fine = self.down_fine(fine)
        middle = self.down_middle(self.to_middle(fine))
        coarse = self.coarse(self.to_coarse(middle))
        middle = self.up_middle(middle + self.from_coarse(coarse))
        fine = self.up_fine(fine + self.from_middle(middle))
        residual: Tensor = self.outro(fine)
        return F.pixel_shuffle(residual, 2)


def load(path: Path) -> DenoiseNetwork:
    """Read weights into a network in float32, in evaluation mode, on the CPU.

    Args:
        path: A safetensors file with exactly this network's tensors, float16 or float32.

    Raises:
        WeightsInvalid: the file is missing, damaged, of another network, or holds NaN or Inf.
    """
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise WeightsInvalid(f"cannot read the weights {path.name}: {error}") from error
    network = DenoiseNetwork()
    for name, tensor in tensors.items():
        if not math.isfinite(float(tensor.float().abs().sum())):
            raise WeightsInvalid(f"{name} in {path.name} is not finite", tensor=name)
    try:
        network.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    except RuntimeError as error:
        hint = "the file was made for another network or another release"
        raise WeightsInvalid(f"{path.name} does not fit the denoiser", hint=hint) from error
    return network.eval()
