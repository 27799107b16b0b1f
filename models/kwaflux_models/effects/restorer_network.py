"""The network body that the restoring effects share, and the reading of weights.

Knows torch and safetensors; must not know effects, colorspaces, tiles or devices.

Twelve plain 3 x 3 convolutions with rectifiers between them, on pixels folded 2 x 2 into channels:
the shape of FFDNet (K. Zhang, W. Zuo and L. Zhang, "FFDNet: Toward a Fast and Flexible Solution for
CNN based Image Denoising", IEEE TIP 2018), whose published weights the training starts from. On a
CPU and in half precision dense convolutions do more work in a second than any other layer, and the
small reach keeps the halo of a tile small.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from kwaflux_core.errors import WeightsInvalid
from kwaflux_models.effects.level_probe import LevelProbe

__all__ = ["DEPTH", "Body", "Restorer", "SkippingBody", "conditioned", "load_weights"]

WIDTH = 96
"""Channels of every layer but the first's input and the last's output."""

DEPTH = 12
"""Number of convolutions; each reaches one pixel of the body's own resolution farther."""

_Network = TypeVar("_Network", bound=nn.Module)


class Body(nn.Sequential):
    """Map (N, inputs, H, W) to (N, outputs, H, W).

    Beyond the border it sees zeros: give it a margin of `DEPTH` that is cut off afterwards.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        layers: list[nn.Module] = [_convolution(inputs, WIDTH), nn.ReLU(inplace=True)]
        for _ in range(DEPTH - 2):
            layers += [_convolution(WIDTH, WIDTH), nn.ReLU(inplace=True)]
        super().__init__(*layers, _convolution(WIDTH, outputs))


class SkippingBody(nn.Module):
    """Do the same, each two layers adding to what came in, beginning with an answer of 0.

    What is trained from nothing needs the skips: without them 1,300 steps of an enlarging network
    gained nothing.

    Source: K. He, X. Zhang, S. Ren and J. Sun, "Identity Mappings in Deep Residual Networks", ECCV
    2016.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = _convolution(inputs, WIDTH)
        self.pairs = nn.ModuleList(
            nn.Sequential(
                _convolution(WIDTH, WIDTH),
                nn.ReLU(inplace=True),
                _convolution(WIDTH, WIDTH, gain=0.1),
            )
            for _ in range((DEPTH - 2) // 2)
        )
        self.last = _convolution(WIDTH, outputs, gain=0.0)

    def forward(self, x: Tensor) -> Tensor:
        """Return the answer, (N, outputs, H, W)."""
        x = F.relu(self.first(x))
        for pair in self.pairs:
            x = x + pair(x)
        answer: Tensor = self.last(x)
        return answer


def _convolution(inputs: int, outputs: int, *, gain: float = 1.0) -> nn.Conv2d:
    """Return a layer whose output is about ``gain`` times as large as its input."""
    layer = nn.Conv2d(inputs, outputs, 3, padding=1)
    with torch.no_grad():
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu").mul_(gain)
        for parameter in layer.parameters():
            if parameter.dim() == 1:
                parameter.zero_()
    return layer


class Restorer(nn.Module):
    """Estimate what to add to a picture: the body on pixels folded 2 x 2, and a probe.

    Args:
        levels: How many numbers it is told: the degradation's level first, then how much detail
            is wanted.
        extra: Channels of what else a network of its own kind is given, at half the resolution.
        is_residual: The body says what to add, and is trained from nothing; otherwise it says how
            the restored picture looks, as FFDNet's does, and can begin with its weights.

    Attributes:
        ALIGN_PX: Height and width of the input must be multiples of this.
        RADIUS_PX: The receptive field's radius in input pixels.
    """

    ALIGN_PX = 2
    RADIUS_PX = 2 * DEPTH + 1

    def __init__(self, *, levels: int = 2, extra: int = 0, is_residual: bool = False) -> None:
        super().__init__()
        self.is_residual = is_residual
        kind = SkippingBody if is_residual else Body
        self.body = kind(12 + levels + extra, 12)
        self.probe = LevelProbe()

    def forward(self, picture: Tensor, levels: Tensor) -> Tensor:
        """Return the residual to add to a picture.

        Args:
            picture: (N, 3, H, W), working curve ``extended_srgb``; H and W multiples of `ALIGN_PX`.
                Beyond the border the network sees zeros: give it a halo of `RADIUS_PX` that is
                cut off afterwards.
            levels: (N, levels, 1, 1), in the units it was trained with.

        Returns:
            (N, 3, H, W), working curve: the restored picture is ``picture + residual``.
        """
        told = conditioned(F.pixel_unshuffle(picture, 2), *torch.split(levels, 1, dim=1))
        return self.residual(told, picture)

    def residual(self, told: Tensor, picture: Tensor) -> Tensor:
        """Run the body on what it is told, (N, inputs, H / 2, W / 2), and return the residual."""
        answer = F.pixel_shuffle(self.body(told), 2)
        return answer if self.is_residual else answer - picture


def conditioned(x: Tensor, *levels: Tensor) -> Tensor:
    """Append (N, 1, 1, 1) numbers to (N, C, H, W) as constant planes."""
    plane = torch.ones_like(x[:, :1])
    return torch.cat([x, *(plane * level.to(x.dtype) for level in levels)], dim=1)


def load_weights(network: _Network, path: Path) -> _Network:
    """Read weights into a network in float32, in evaluation mode, on the CPU.

    Args:
        network: A new network.
        path: A safetensors file with exactly this network's tensors, float16 or float32.

    Raises:
        WeightsInvalid: the file is missing, damaged, of another network, or holds NaN or Inf.
    """
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise WeightsInvalid(f"cannot read the weights {path.name}: {error}") from error
    for name, tensor in tensors.items():
        if not math.isfinite(float(tensor.float().abs().sum())):
            raise WeightsInvalid(f"{name} in {path.name} is not finite", tensor=name)
    try:
        network.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    except RuntimeError as error:
        hint = "the file was made for another network or another release"
        raise WeightsInvalid(f"{path.name} does not fit its network", hint=hint) from error
    return network.eval()
