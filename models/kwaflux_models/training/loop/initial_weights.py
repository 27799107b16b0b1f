"""Find the weights that a training begins with.

Zhang, W. Zuo and L. Zhang, IEEE TIP 2018; MIT licence), which a package carries.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

from kwaflux_core.errors import ModelError
from kwaflux_models.effects.ffdnet_weights import load_ffdnet
from kwaflux_models.training.loop.task_api import Network

__all__ = ["fitted_state", "shipped_weights", "start_tensors"]

_PREFIX = "body."
_FIRST, _FIRST_BIAS = "body.0.weight", "body.0.bias"
_LEVEL_INPUT = 12
"""FFDNet's first layer is given twelve folded planes of the picture, then the level."""


def shipped_weights(effect: str) -> Path:
    """Return where the weights lie that the package ships."""
    return Path(__file__).parents[2] / "weights" / f"{effect}.safetensors"


def start_tensors(name: str, *, slope: float = 1.0, zero: float = 0.0) -> dict[str, Tensor]:
    """Return the tensors that a recipe's ``start`` names, under a network's names.

    Args:
        name: ``ffdnet``, or an effect whose weights are shipped.
        slope: The network's level L is to stand for FFDNet's noise level (0..0.3 in use)
            ``slope * (L - zero)`` in the beginning; only for ``ffdnet``.
        zero: See ``slope``.

    Raises:
        ModelError: the file is not there.
    """
    if name == "ffdnet":
        state = load_ffdnet().model.state_dict()
        tensors = {f"{_PREFIX}{key}": tensor.clone() for key, tensor in state.items()}
        told = tensors[_FIRST][:, _LEVEL_INPUT] * slope
        tensors[_FIRST_BIAS] -= zero * told.sum(dim=(1, 2))
        tensors[_FIRST][:, _LEVEL_INPUT] = told
        return tensors
    path = shipped_weights(name)
    if not path.is_file():
        raise ModelError(f"no weights {path.name} to start from", hint="train that effect first")
    return load_file(path)


def fitted_state(network: Network, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a network's state with the body's tensors replaced by those that have its names.

    The further inputs of a first layer start at 0; a first layer with fewer inputs, and a last
    layer of another size, stay as they are.

    Raises:
        ModelError: nothing fits.
    """
    state = network.state_dict()
    found = {
        name: _fitted(tensor.float(), state[name])
        for name, tensor in tensors.items()
        if name.startswith(_PREFIX) and name in state and _fits(tensor, state[name])
    }
    if not found:
        raise ModelError("no tensor of the weights to start from fits the network")
    return {**state, **found}


def _fits(tensor: Tensor, target: Tensor) -> bool:
    """Tell whether ``target`` has the outputs of ``tensor`` and at least its inputs."""
    return tensor.shape[0] == target.shape[0] and (
        tensor.dim() == 1 or tensor.shape[1] <= target.shape[1]
    )


def _fitted(tensor: Tensor, target: Tensor) -> Tensor:
    """Return ``tensor`` with as many inputs (dimension 1) as ``target``."""
    if tensor.shape == target.shape:
        return tensor
    fitted = target.new_zeros(target.shape)
    fitted[:, : tensor.shape[1]] = tensor
    return fitted
