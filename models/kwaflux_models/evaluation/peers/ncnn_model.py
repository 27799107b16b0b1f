"""Read networks of the ncnn format and run them in torch.

Nothing is executed: the text is parsed, the blob is numbers.

Source: ncnn's documentation of its files ("param and model file structure", "operators"). In the
blob each convolution's weights follow a tag of four bytes: 0x01306B47 for half precision, padded to
four bytes, 0 for float32; biases and PReLU slopes are float32 without a tag.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from kwaflux_core.errors import WeightsInvalid

__all__ = ["Layer", "NcnnNetwork", "parse_layers"]

_MAGIC = "7767517"
_HALF_TAG = 0x01306B47
_INTERPOLATIONS = {1: "nearest", 2: "bilinear", 3: "bicubic"}


@dataclass(frozen=True, slots=True)
class Layer:
    """One line of the text.

    Args:
        kind: ncnn's name of the layer.
        inputs: The blobs it reads.
        outputs: The blobs it writes.
        values: Its numbers by key; an array (key -23300 - k) lies under k.
    """

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    values: Mapping[int, tuple[float, ...]]

    def number(self, key: int, default: float) -> float:
        """Return a number, or the default where the text has none."""
        return self.values.get(key, (default,))[0]


def parse_layers(text: str) -> list[Layer]:
    """Return the layers that a param file names, in order.

    Raises:
        WeightsInvalid: It is no such file, or is cut off.
    """
    lines = text.split("\n")
    try:
        if lines[0].strip() != _MAGIC:
            raise ValueError("the first line is not ncnn's")
        count = int(lines[1].split()[0])
        layers = [_parsed(line.split()) for line in lines[2:] if line.strip()]
        if len(layers) != count:
            raise ValueError(f"{len(layers)} layers where {count} were announced")
    except (ValueError, IndexError) as error:
        raise WeightsInvalid(f"this is no whole ncnn param file: {error}") from error
    return layers


def _parsed(words: list[str]) -> Layer:
    reads, writes = int(words[2]), int(words[3])
    values: dict[int, tuple[float, ...]] = {}
    for word in words[4 + reads + writes :]:
        key, _, rest = word.partition("=")
        numbers = tuple(float(part) for part in rest.split(","))
        is_array = int(key) <= -23300
        values[-23300 - int(key) if is_array else int(key)] = numbers[1:] if is_array else numbers
    return Layer(
        words[0],
        tuple(words[4 : 4 + reads]),
        tuple(words[4 + reads : 4 + reads + writes]),
        values,
    )


class _Blob:
    """The weights file, read from front to back."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, count: int, kind: str) -> NDArray[np.float32]:
        dtype = np.dtype(kind)
        size = count * dtype.itemsize
        if self._at + size > len(self._data):
            raise WeightsInvalid("the ncnn weights end before the network does")
        found = np.frombuffer(self._data, dtype, count=count, offset=self._at)
        self._at += -(-size // 4) * 4
        return found.astype(np.float32)

    def tagged(self, count: int) -> NDArray[np.float32]:
        tag = int.from_bytes(self._data[self._at : self._at + 4], "little")
        self._at += 4
        if tag not in (0, _HALF_TAG):
            raise WeightsInvalid(f"ncnn weights of the unknown kind {tag:#010x}")
        return self.take(count, "<f2" if tag else "<f4")

    def expect_end(self) -> None:
        if self._at != len(self._data):
            raise WeightsInvalid(f"{len(self._data) - self._at} bytes of ncnn weights are left")


class NcnnNetwork(nn.Module):
    """Run the layers one after another.

    Args:
        layers: What the text names.
        blob: The bytes of the weights file.

    Raises:
        WeightsInvalid: The weights do not fit the layers, or a layer is not known.
    """

    def __init__(self, layers: list[Layer], blob: bytes) -> None:
        super().__init__()
        self._layers = layers
        data = _Blob(blob)
        for index, layer in enumerate(layers):
            for name, values in _weights(layer, data).items():
                self.register_buffer(f"{name}{index}", torch.from_numpy(values))
        data.expect_end()

    @classmethod
    def read(cls, param: Path, weights: Path) -> NcnnNetwork:
        """Return the network of two files.

        Raises:
            WeightsInvalid: They cannot be read, or do not belong together.
        """
        try:
            return cls(parse_layers(param.read_text(encoding="utf-8")), weights.read_bytes())
        except (OSError, UnicodeDecodeError) as error:
            raise WeightsInvalid(f"{param.name} or its weights cannot be read: {error}") from error

    def forward(self, picture: Tensor) -> Tensor:
        """Return what the last layer gives for an (N, 3, H, W) picture."""
        blobs: dict[str, Tensor] = {}
        left: dict[str, int] = {}
        for layer in self._layers:
            for name in layer.inputs:
                left[name] = left.get(name, 0) + 1
        result = picture
        for index, layer in enumerate(self._layers):
            inputs = [blobs[name] for name in layer.inputs]
            result = picture if layer.kind == "Input" else self._run(index, layer, inputs)
            for name in layer.inputs:
                left[name] -= 1
                if not left[name]:
                    del blobs[name]
            for name in layer.outputs:
                blobs[name] = result
        return result

    def _run(self, index: int, layer: Layer, inputs: list[Tensor]) -> Tensor:
        x = inputs[0]
        match layer.kind:
            case "Split":
                return x
            case "Convolution":
                weight, bias = self.get_buffer(f"weight{index}"), self.get_buffer(f"bias{index}")
                y = F.conv2d(x, weight, bias, padding=int(layer.number(4, 0)))
                slope = layer.values.get(10, (0.0,))[0]
                return F.leaky_relu(y, slope) if layer.number(9, 0) == 2 else y
            case "PReLU":
                return F.prelu(x, self.get_buffer(f"slope{index}"))
            case "Concat":
                return torch.cat(inputs, dim=1)
            case "PixelShuffle":
                return F.pixel_shuffle(x, int(layer.number(0, 1)))
            case "Interp":
                return _resized(x, layer)
            case "BinaryOp":
                return inputs[0] + inputs[1]
            case _:
                return _weighted_sum(inputs, layer.values.get(1, ()))


def _resized(x: Tensor, layer: Layer) -> Tensor:
    mode = _INTERPOLATIONS[int(layer.number(0, 0))]
    factor = layer.number(1, 1.0)
    if mode == "nearest":
        return F.interpolate(x, scale_factor=factor, mode="nearest")
    return F.interpolate(x, scale_factor=factor, mode=mode, align_corners=False)


def _weighted_sum(inputs: list[Tensor], weights: tuple[float, ...]) -> Tensor:
    parts = zip(inputs, weights or (1.0,) * len(inputs), strict=True)
    first, *others = (tensor * weight for tensor, weight in parts)
    for other in others:
        first = first + other
    return first


def _weights(layer: Layer, blob: _Blob) -> dict[str, NDArray[np.float32]]:
    """Take a layer's weights off the blob, and refuse what is not understood."""
    match layer.kind:
        case "Convolution":
            count, side = int(layer.number(0, 0)), int(layer.number(1, 1))
            if (
                layer.number(2, 1) != 1
                or layer.number(3, 1) != 1
                or layer.number(9, 0) not in (0, 2)
            ):
                raise WeightsInvalid("a convolution with strides, dilation or another activation")
            flat = blob.tagged(int(layer.number(6, 0)))
            bias = blob.take(count, "<f4") if layer.number(5, 0) else np.zeros(count, np.float32)
            return {"weight": flat.reshape(count, -1, side, side), "bias": bias}
        case "PReLU":
            return {"slope": blob.take(int(layer.number(0, 0)), "<f4")}
        case "Interp":
            if int(layer.number(0, 0)) not in _INTERPOLATIONS:
                raise WeightsInvalid("an interpolation of an unknown kind")
        case "BinaryOp" | "Eltwise":
            # BinaryOp counts from add, Eltwise from product.
            if layer.number(0, 0) != (0 if layer.kind == "BinaryOp" else 1):
                raise WeightsInvalid(f"a {layer.kind} that does not add")
        case "Input" | "Split" | "Concat" | "PixelShuffle":
            pass
        case _:
            raise WeightsInvalid(f"an ncnn layer of the unknown kind {layer.kind!r}")
    return {}
