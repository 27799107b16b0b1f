"""A network with low-rank additions that can be trained, whatever code calls it.

The additions are parametrizations of torch: an effect reads ``module.weight`` as ever and gets the
sum.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from kwaflux_core.errors import ModelError

__all__ = ["Adapter", "fitting_rank"]

_KINDS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.Linear)
_HEADER_BYTES = 120
"""What a tensor's entry in the file's header takes, about."""


class _LowRank(nn.Module):
    """Add a product of two thin matrices; nothing at first."""

    def __init__(self, shape: torch.Size, rank: int) -> None:
        super().__init__()
        columns = math.prod(shape[1:])
        self.up = nn.Parameter(torch.zeros(shape[0], rank))
        self.down = nn.Parameter(torch.randn(rank, columns) / math.sqrt(columns))

    def forward(self, base: Tensor) -> Tensor:
        return base + (self.up @ self.down).reshape(base.shape)


class _Delta(nn.Module):
    """Add a tensor of the same shape; nothing at first."""

    def __init__(self, shape: torch.Size) -> None:
        super().__init__()
        self.delta = nn.Parameter(torch.zeros(shape))

    def forward(self, base: Tensor) -> Tensor:
        return base + self.delta


class Adapter:
    """Put additions on a network, in place.

    Args:
        network: The base; its own parameters stay as they are.
        rank: Of the factors.

    Raises:
        ModelError: It has no layer that a LoRA could bend.
    """

    def __init__(self, network: nn.Module, *, rank: int) -> None:
        self.network = network.requires_grad_(False)
        self._additions: dict[str, nn.Module] = {}
        for prefix, module in list(network.named_modules()):
            if isinstance(module, _KINDS):
                self._bend(prefix, module, rank)
        if not self._additions:
            raise ModelError(
                "the effect's network has no convolution that a LoRA could bend",
                hint="choose an effect with a network",
            )

    def parameters(self) -> list[nn.Parameter]:
        """Return what is trained."""
        return [p for addition in self._additions.values() for p in addition.parameters()]

    def tensors(self) -> dict[str, Tensor]:
        """Return copies of the factors and deltas under their names in the file."""
        return {
            f"{name}.{kind}": parameter.detach().clone()
            for name, addition in self._additions.items()
            for kind, parameter in addition.named_parameters()
        }

    def _bend(self, prefix: str, module: nn.Module, rank: int) -> None:
        for kind, parameter in list(module.named_parameters(recurse=False)):
            # Made where the base lies, so that a network on a GPU stays there as a whole.
            is_thin = _has_factors(parameter, rank)
            addition = _LowRank(parameter.shape, rank) if is_thin else _Delta(parameter.shape)
            addition.to(parameter.device)
            parametrize.register_parametrization(module, kind, addition)
            self._additions[f"{prefix}.{kind}".lstrip(".")] = addition


def fitting_rank(network: nn.Module, *, rank: int, bytes_max: int) -> int:
    """Return the greatest rank up to ``rank`` whose file stays below a size; at least 1."""
    parameters = [
        parameter
        for module in network.modules()
        if isinstance(module, _KINDS)
        for parameter in module.parameters(recurse=False)
    ]
    for smaller in range(rank, 1, -1):
        if sum(_file_bytes(parameter, smaller) for parameter in parameters) <= bytes_max:
            return smaller
    return 1


def _has_factors(parameter: Tensor, rank: int) -> bool:
    """Tell whether two factors are smaller than the parameter; depthwise kernels are kept whole."""
    if parameter.dim() < 2 or (parameter.dim() > 2 and parameter.shape[1] == 1):
        return False
    columns = math.prod(parameter.shape[1:])
    return rank * (parameter.shape[0] + columns) < parameter.numel()


def _file_bytes(parameter: Tensor, rank: int) -> int:
    columns = math.prod(parameter.shape[1:])
    if _has_factors(parameter, rank):
        return 2 * rank * (parameter.shape[0] + columns) + 2 * _HEADER_BYTES
    return 2 * parameter.numel() + _HEADER_BYTES
