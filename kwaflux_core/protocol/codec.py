"""Messages to bytes and back.

Owns the form of a message on the wire: one msgpack header ``{"v", "kind", "id", "body"}`` and raw
parts behind it, and the limits a peer's bytes must keep. Any bytes give a message or a
``ProtocolError``, nothing else. Must not know sockets or pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias, cast

import msgpack

from kwaflux_core.errors import ProtocolError
from kwaflux_core.protocol.dataclass_codec import Mismatch, reader_of, writer_of
from kwaflux_core.protocol.messages import MESSAGES, PROTOCOL_VERSION, Message

__all__ = ["CodecLimits", "Envelope", "WirePart", "decode", "encode"]

WirePart: TypeAlias = "bytes | memoryview"

_MAX_REQUEST_ID = 2**63 - 1
_SHOWN_CHARS = 40
_BAD_BYTES = (msgpack.UnpackException, ValueError, TypeError, OverflowError, RecursionError)


@dataclass(frozen=True, slots=True)
class CodecLimits:
    """State how much of a peer's message is read before it is refused.

    Args:
        header_bytes: Length of the header part.
        depth: Nesting of maps and lists in the header, the header's own map included.
        entries: Entries of one list or map (a job may name this many frames).
        string_bytes: Length of one string (an effect's card is one).
        parts: Raw parts behind the header.
        total_bytes: The header and all parts together.
    """

    header_bytes: int = 8 << 20
    depth: int = 12
    entries: int = 1 << 18
    string_bytes: int = 1 << 20
    parts: int = 64
    total_bytes: int = 4 << 30


@dataclass(frozen=True, slots=True)
class Envelope:
    """Hold a message as it came: what it says, which request it belongs to, its raw parts."""

    message: Message
    request_id: int
    parts: tuple[WirePart, ...] = ()


_DEFAULT_LIMITS = CodecLimits()


def encode(message: Message, *, request_id: int, parts: Sequence[WirePart] = ()) -> list[WirePart]:
    """Return the parts of a message: the header, then ``parts`` as they are, not copied.

    Args:
        message: Any message of ``kwaflux_core.protocol.messages``.
        request_id: Chosen by whoever asks, repeated in every answer; 0 where nothing is asked.
        parts: Raw pixels or file bytes.

    Raises:
        ProtocolError: A field holds what the wire cannot carry (a numpy scalar, text that is no
            Unicode, an integer beyond 64 bits).
    """
    header = {
        "v": PROTOCOL_VERSION,
        "kind": message.kind,
        "id": request_id,
        "body": writer_of(type(message))(message),
    }
    try:
        return [cast(bytes, msgpack.packb(header)), *parts]
    except (TypeError, ValueError, OverflowError) as error:
        raise ProtocolError(
            f"the message {message.kind!r} cannot be sent: {error}",
            hint="send plain text, numbers and booleans; a path must be valid Unicode",
            kind=message.kind,
        ) from error


def decode(frames: Sequence[WirePart], *, limits: CodecLimits = _DEFAULT_LIMITS) -> Envelope:
    """Read a message.

    Raises:
        ProtocolError: The bytes are no message of this version, or larger than ``limits``. Its
            field ``request`` holds the request's id where that could be read, so that whoever asked
            can be answered.
    """
    _check_sizes(frames, limits)
    header = _unpacked(frames[0], limits)
    version, kind = header.get("v"), header.get("kind")
    request_id, body = header.get("id"), header.get("body")
    if type(request_id) is not int or not 0 <= request_id <= _MAX_REQUEST_ID:
        raise ProtocolError("a message without a request id came over the wire")
    _check_version(version, request_id)
    cls = MESSAGES.get(kind) if type(kind) is str else None
    if cls is None:
        shown = repr(kind[:_SHOWN_CHARS]) if isinstance(kind, str) else "nothing"
        raise ProtocolError(f"no message is of kind {shown}", request=request_id)
    try:
        message = reader_of(cls)(body)
    except Mismatch as mismatch:
        where = f"{cls.kind}.{mismatch.where}" if mismatch.where else cls.kind
        raise ProtocolError(
            f"{where} should be {mismatch.wanted} but is {mismatch.found}",
            field=where,
            request=request_id,
        ) from None
    return Envelope(message, request_id, tuple(frames[1:]))


def _check_sizes(frames: Sequence[WirePart], limits: CodecLimits) -> None:
    if not frames:
        raise ProtocolError("a message without a header came over the wire")
    if len(frames) - 1 > limits.parts:
        raise ProtocolError(f"a message of {len(frames) - 1} parts is over {limits.parts} parts")
    if _length_bytes(frames[0]) > limits.header_bytes:
        raise ProtocolError(f"a header is over {limits.header_bytes} bytes")
    if sum(map(_length_bytes, frames)) > limits.total_bytes:
        raise ProtocolError(f"a message is over {limits.total_bytes} bytes")


def _length_bytes(part: WirePart) -> int:
    return part.nbytes if isinstance(part, memoryview) else len(part)


def _unpacked(header: WirePart, limits: CodecLimits) -> dict[str, object]:
    try:
        found = msgpack.unpackb(
            header,
            raw=False,
            strict_map_key=True,
            max_array_len=limits.entries,
            max_map_len=limits.entries,
            max_str_len=limits.string_bytes,
            max_bin_len=0,
            max_ext_len=0,
        )
    except _BAD_BYTES as error:
        raise ProtocolError(
            "bytes that are no message came over the wire",
            hint="something that is not Kwaflux may be at the other end",
        ) from error
    if type(found) is not dict:
        raise ProtocolError("a header that is no map came over the wire")
    _check_depth(found, limits.depth)
    return found


def _check_depth(header: dict[str, object], depth: int) -> None:
    """Refuse nesting beyond the limit, also in fields that nobody reads."""
    level: list[object] = [header]
    for _ in range(depth):
        level = [
            entry
            for container in level
            for entry in (
                container.values() if type(container) is dict else cast(list[object], container)
            )
            if type(entry) is dict or type(entry) is list
        ]
        if not level:
            return
    raise ProtocolError(f"a header is nested deeper than {depth} levels")


def _check_version(version: object, request_id: int) -> None:
    if type(version) is not int or version < 1:
        raise ProtocolError("a message without a protocol version came over the wire")
    if version > PROTOCOL_VERSION:
        raise ProtocolError(
            f"the other end speaks protocol {version}, this end speaks {PROTOCOL_VERSION}",
            hint=f"update Kwaflux on the end that speaks {PROTOCOL_VERSION}",
            theirs=version,
            ours=PROTOCOL_VERSION,
            request=request_id,
        )
