"""Tables of numbers as text, for records: float16, deflated, in base 64."""

from __future__ import annotations

import base64
import zlib

import numpy as np
import torch
from torch import Tensor

from kwaflux_core.errors import RequestError

__all__ = ["packed", "unpacked"]

_MOST_BYTES = 1 << 20


def packed(table: Tensor) -> str:
    """Return a table as text, each number divided by the largest and with 11 significant bits."""
    largest = max(float(table.abs().max()), 1e-30)
    half = (table.double() / largest).to(torch.float16).cpu().numpy().astype("<f2")
    head = np.array([largest], "<f4").tobytes()
    return base64.b64encode(zlib.compress(head + half.tobytes(), 9)).decode("ascii")


def unpacked(text: object, shape: tuple[int, ...]) -> Tensor:
    """Return the table of a text, float32.

    Raises:
        RequestError: It is no text of ``packed``, or of another shape, or not finite.
    """
    try:
        deflated = base64.b64decode(str(text), validate=True)
        data = zlib.decompressobj().decompress(deflated, _MOST_BYTES)
        largest = np.frombuffer(data[:4], "<f4")[0]
        table = np.frombuffer(data[4:], "<f2").astype(np.float32).reshape(shape) * largest
    except (ValueError, IndexError, zlib.error) as error:
        raise RequestError(f"a table of grain in the shot profile is damaged: {error}") from error
    if not np.isfinite(table).all():
        raise RequestError("a table of grain in the shot profile holds NaN or Inf")
    return torch.from_numpy(table)
