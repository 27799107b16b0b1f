"""Checkpoints of a stranger's architecture, tiny, for tests. Needs the extra ``external``."""

from __future__ import annotations

import importlib
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from kwaflux_models.effects.external.architectures import spandrel

__all__ = ["compact", "saved"]


def compact(scale: int = 1, *, channels: int = 3, seed: int = 1) -> dict[str, Tensor]:
    """Return a tiny network of the architecture Compact that changes pictures a little."""
    spandrel()
    kind = importlib.import_module("spandrel.architectures.Compact").Compact
    torch.manual_seed(seed)
    network: nn.Module = kind(
        num_in_ch=channels, num_out_ch=channels, num_feat=8, num_conv=1, upscale=scale
    )
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(0.5)
    return network.state_dict()


def saved(tensors: dict[str, Tensor], path: Path) -> Path:
    """Write tensors as the path's suffix says; return the path."""
    if path.suffix == ".safetensors":
        save_file(tensors, path)
    else:
        torch.save({"params_ema": tensors}, path)
    return path
