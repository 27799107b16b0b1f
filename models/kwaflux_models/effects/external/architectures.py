"""Other people's networks: a file of tensors becomes a network that says what it needs.

spandrel imports torchvision for two functions of two architectures (``rotate`` in LaMa, an
inpainter; ``normalize`` in RestoreFormer, for faces), both of a kind that is refused here. Where
torchvision is missing, or is a build for another torch, those two names are stood in for while
spandrel is imported, by functions that raise when they are called; every other architecture is as
it would be.
"""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import NoReturn, Protocol, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn

from kwaflux_core.errors import ModelError, WeightsInvalid
from kwaflux_models.catalog.safetensors_header import parse_header, read_bytes

__all__ = ["Descriptor", "SizeRules", "describe", "read_tensors", "spandrel"]

_BYTES_MAX = 8 << 30
_PICKLED = (".pth", ".pt", ".ckpt", ".bin")
_TORCHVISION = ("torchvision", "torchvision.transforms", "torchvision.transforms.functional")
_FOREIGN = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What code that takes a stranger's tensors apart raises when they are not what it thought."""


class SizeRules(Protocol):
    """What a network asks of its input's size, in pixels."""

    minimum: int
    multiple_of: int
    square: bool


class _Architecture(Protocol):
    id: str
    name: str


class Descriptor(Protocol):
    """A network that spandrel recognized, as far as it is used here."""

    model: nn.Module
    architecture: _Architecture
    purpose: str
    tags: list[str]
    scale: int
    input_channels: int
    output_channels: int
    size_requirements: SizeRules

    def __call__(self, image: Tensor) -> Tensor:
        """Run (1, C, H, W) of display codes 0..1; the result is held to 0..1."""
        ...


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint, on the CPU. No code in the file is run.

    Args:
        path: A ``.safetensors`` file, or ``.pth``, ``.pt``, ``.ckpt``, ``.bin`` as torch saves
            tensors.

    Raises:
        WeightsInvalid: It is not there, truncated, holds code or NaN, or no tensors.
    """
    suffix = path.suffix.lower()
    found: Mapping[str, object]
    if suffix == ".safetensors":
        found = _read_safetensors(path)
    elif suffix in _PICKLED:
        found = _read_pickled(path)
    else:
        raise WeightsInvalid(
            f"{path.name} is no kind of checkpoint that is read",
            hint=f"give .safetensors or one of {', '.join(_PICKLED)}",
            file=path.name,
        )
    tensors = {str(key): value for key, value in found.items() if isinstance(value, Tensor)}
    if not tensors:
        raise WeightsInvalid(f"{path.name} holds no tensors", file=path.name)
    for key, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise WeightsInvalid(
                f"{key[:80]!r} in {path.name} is not finite", file=path.name, tensor=key[:80]
            )
    return tensors


def describe(tensors: Mapping[str, Tensor], *, name: str) -> Descriptor:
    """Return the network that tensors belong to, in float32, ready to infer.

    Args:
        tensors: The checkpoint's.
        name: What to call it in an error.

    Raises:
        ModelError: spandrel is not installed, does not know the architecture, or it is one that
            no effect can be made of (inpainting, faces, other channels than RGB or gray).
        WeightsInvalid: The tensors do not fit the architecture they look like.
    """
    library = spandrel()
    floats = {
        key: tensor.float() if tensor.is_floating_point() else tensor
        for key, tensor in tensors.items()
    }
    try:
        found = library.MAIN_REGISTRY.load(floats)
    except library.UnsupportedModelError as error:
        raise ModelError(
            f"the architecture of {name} is not known",
            hint="spandrel's list of architectures says which are; this one is not among them",
            file=name,
        ) from error
    except _FOREIGN as error:
        raise WeightsInvalid(
            f"the tensors of {name} do not fit the architecture they look like: "
            f"{type(error).__name__}: {str(error)[:200]}",
            hint="the file is damaged, or of a variant that spandrel does not know",
            file=name,
        ) from error
    _refuse_unusable(found, library, name=name)
    found.model.float().eval().requires_grad_(False)
    return cast(Descriptor, found)


def _refuse_unusable(found: object, library: ModuleType, *, name: str) -> None:
    described = cast(Descriptor, found)
    label = described.architecture.name
    if not isinstance(found, library.ImageModelDescriptor) or described.purpose == "FaceSR":
        raise ModelError(
            f"{name} ({label}) is for {described.purpose}, which no effect does",
            hint="give a network that restores or enlarges whole pictures",
            file=name,
        )
    channels = (described.input_channels, described.output_channels)
    if channels not in ((3, 3), (1, 1)):
        raise ModelError(
            f"{name} ({label}) takes {channels[0]} channels and gives {channels[1]}",
            hint="an effect needs RGB (3 and 3) or gray (1 and 1)",
            file=name,
        )


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    data = read_bytes(path, bytes_max=_BYTES_MAX)
    parse_header(data, name=path.name)
    try:
        found: dict[str, Tensor] = load(data)
    except (SafetensorError, ValueError, KeyError) as error:
        raise WeightsInvalid(f"{path.name} cannot be read: {error}", file=path.name) from error
    return found


def _read_pickled(path: Path) -> Mapping[str, object]:
    if not path.is_file():
        raise WeightsInvalid(f"{path} does not exist", file=path.name)
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise WeightsInvalid(f"{path} cannot be read: {error}", file=path.name) from error
    except Exception as error:
        # A stranger's file breaks its reader as it likes.
        raise _refused_pickle(path, error) from error
    if not isinstance(found, Mapping):
        raise WeightsInvalid(f"{path.name} holds no named tensors", file=path.name)
    canonical = spandrel().canonicalize_state_dict(dict(found))
    return cast("Mapping[str, object]", canonical)


def _refused_pickle(path: Path, error: Exception) -> WeightsInvalid:
    text = str(error)
    has_code = type(error).__name__ == "UnpicklingError" and "nsupported" in text
    if has_code or "TorchScript" in text:
        return WeightsInvalid(
            f"{path.name} holds more than tensors: code or objects. Nothing of it was run",
            hint="ask its maker for .safetensors, or save its state_dict alone where you trust it",
            file=path.name,
        )
    return WeightsInvalid(
        f"{path.name} is no whole checkpoint: {text.splitlines()[0][:200] if text else 'empty'}",
        hint="download or copy it again",
        file=path.name,
    )


@functools.cache
def spandrel() -> ModuleType:
    """Return the library, imported; it brings every architecture and takes a few seconds.

    Raises:
        ModelError: It is not installed.
    """
    try:
        with _torchvision_or_stand_in():
            return importlib.import_module("spandrel")
    except ImportError as error:
        raise ModelError(
            f"checkpoints of your own need spandrel, which cannot be imported: {error}",
            hint='install it: pip install "kwaflux[external]"',
        ) from error


@contextmanager
def _torchvision_or_stand_in() -> Iterator[None]:
    """Let ``import torchvision`` succeed inside the block, and leave no stand-in behind."""
    try:
        importlib.import_module(_TORCHVISION[-1])
    except (ImportError, OSError, RuntimeError):
        for name in [name for name in sys.modules if name.split(".")[0] == _TORCHVISION[0]]:
            del sys.modules[name]
    else:
        yield
        return
    modules = {name: ModuleType(name) for name in _TORCHVISION}
    functional = modules[_TORCHVISION[-1]]
    for name in ("normalize", "rotate"):
        setattr(functional, name, _absent)
    functional.InterpolationMode = _NoInterpolation  # type: ignore[attr-defined]
    sys.modules.update(modules)
    try:
        yield
    finally:
        for name in _TORCHVISION:
            sys.modules.pop(name, None)


class _NoInterpolation:
    """Stand in for the one member that LaMa names."""

    BILINEAR = "bilinear"


def _absent(*_: object, **__: object) -> NoReturn:
    raise ModelError("this architecture needs torchvision", hint="install torchvision")
