"""The header of a safetensors file, read without torch.

Source: the format's page in the safetensors repository: eight bytes with the header's length
(little endian), the header as JSON, then the tensors' bytes, each tensor from its first offset to
its second, without gaps.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from kwaflux_core.errors import WeightsInvalid

__all__ = ["Header", "in_one_order", "parse_header", "read_bytes"]

_HEADER_BYTES_MAX = 100 << 20
_LENGTH_BYTES = 8


@dataclass(frozen=True, slots=True)
class Header:
    """Hold what a header says.

    Args:
        notes: The strings that were stored beside the tensors.
        payload_sha256: Of all the tensors' bytes, 64 hexadecimal digits.
    """

    notes: Mapping[str, str]
    payload_sha256: str


def read_bytes(path: Path, *, bytes_max: int) -> bytes:
    """Return a file's bytes.

    Raises:
        WeightsInvalid: It is not there, cannot be read or is larger than ``bytes_max``.
    """
    try:
        with path.open("rb") as file:
            data = file.read(bytes_max + 1)
    except OSError as error:
        raise WeightsInvalid(f"{path} cannot be read: {error.strerror}") from error
    if len(data) > bytes_max:
        raise WeightsInvalid(
            f"{path.name} is larger than {bytes_max} bytes", hint="it is no file of this kind"
        )
    return data


def parse_header(data: bytes | memoryview, *, name: str) -> Header:
    """Return the header of a safetensors file.

    Args:
        data: The whole file.
        name: What to call it in an error.

    Raises:
        WeightsInvalid: It is cut short, longer than it says, or no such file.
    """
    length = int.from_bytes(data[:_LENGTH_BYTES], "little")
    if len(data) < _LENGTH_BYTES or length > min(len(data) - _LENGTH_BYTES, _HEADER_BYTES_MAX):
        raise _damaged(name, "its header is cut short")
    payload = data[_LENGTH_BYTES + length :]
    try:
        raw = json.loads(bytes(data[_LENGTH_BYTES : _LENGTH_BYTES + length]).decode("utf-8"))
        notes = {str(key): str(value) for key, value in raw.pop("__metadata__", {}).items()}
        end = max((int(entry["data_offsets"][1]) for entry in raw.values()), default=0)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
        raise _damaged(name, "its header cannot be read") from error
    if end != len(payload):
        raise _damaged(name, f"its tensors should take {end} bytes and take {len(payload)}")
    return Header(MappingProxyType(notes), hashlib.sha256(payload).hexdigest())


def in_one_order(data: bytes) -> bytes:
    """Return a whole file with its header's keys in alphabetical order.

    The writer puts notes in another order each time; equal contents should have equal hashes.
    """
    length = int.from_bytes(data[:_LENGTH_BYTES], "little")
    raw = json.loads(data[_LENGTH_BYTES : _LENGTH_BYTES + length])
    header = json.dumps(raw, sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % _LENGTH_BYTES)
    start = len(header).to_bytes(_LENGTH_BYTES, "little")
    return start + header + data[_LENGTH_BYTES + length :]


def _damaged(name: str, why: str) -> WeightsInvalid:
    return WeightsInvalid(
        f"{name} is no whole safetensors file: {why}",
        hint="copy or download it again",
        file=name,
    )
