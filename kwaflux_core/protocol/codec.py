"""The codec: messages to bytes and back.

Owns the encoding of a message: one msgpack header ``{"v", "kind", "id", "body"}`` and raw parts
after it, and the limits of received bytes. Decoding any bytes gives a message or raises
``ProtocolError``. Must not know sockets or pixels.
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
    """The limits of a received message.

    Args:
        header_bytes: Length of the header part.
        depth: Nesting of maps and lists in the header, including the header's map.
        entries: Entries of one list or map (such as the frames of a job).
        string_bytes: Length of one string (such as an effect's card).
        parts: Number of raw parts.
        total_bytes: Length of the header and all parts.
    """

    header_bytes: int = 8 << 20
    depth: int = 12
    entries: int = 1 << 18
    string_bytes: int = 1 << 20
    parts: int = 64
    total_bytes: int = 4 << 30


@dataclass(frozen=True, slots=True)
class Envelope:
    """A received message: its body, the id of its request, its raw parts."""

    message: Message
    request_id: int
    parts: tuple[WirePart, ...] = ()


_DEFAULT_LIMITS = CodecLimits()


def encode(message: Message, *, request_id: int, parts: Sequence[WirePart] = ()) -> list[WirePart]:
    """Return the parts of a message: the header, then ``parts``, not copied.

    Args:
        message: Any message of ``kwaflux_core.protocol.messages``.
        request_id: Chosen by the sender of a request, repeated in every answer; 0 for a message
            that is not a request.
        parts: Raw pixels or file bytes.

    Raises:
        ProtocolError: A field cannot be encoded (a numpy scalar, text that is not valid Unicode, an
            integer beyond 64 bits).
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
    """Decode a message.

    Raises:
        ProtocolError: The bytes are not a message of this version, or exceed ``limits``. Its field
            ``request`` is the request's id, if that could be decoded, so that the sender can get an
            answer.
    """
    _check_sizes(frames, limits)
    header = _unpacked(frames[0], limits)
    version, kind = header.get("v"), header.get("kind")
    request_id, body = header.get("id"), header.get("body")
    if type(request_id) is not int or not 0 <= request_id <= _MAX_REQUEST_ID:
        raise ProtocolError("received a message without a request id")
    _check_version(version, request_id)
    cls = MESSAGES.get(kind) if type(kind) is str else None
    if cls is None:
        shown = repr(kind[:_SHOWN_CHARS]) if isinstance(kind, str) else "nothing"
        raise ProtocolError(f"there is no message of kind {shown}", request=request_id)
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
        raise ProtocolError("received a message without a header")
    if len(frames) - 1 > limits.parts:
        raise ProtocolError(f"a message has {len(frames) - 1} parts, the limit is {limits.parts}")
    if _length_bytes(frames[0]) > limits.header_bytes:
        raise ProtocolError(f"a header is over {limits.header_bytes} bytes")
    if sum(map(_length_bytes, frames)) > limits.total_bytes:
        raise ProtocolError(f"a message is over {limits.total_bytes} bytes")


def _length_bytes(part: WirePart) -> int:
    return part.nbytes if isinstance(part, memoryview) else len(part)


def _unpacked(header: WirePart, limits: CodecLimits) -> dict[str, object]:
    try:
        fields = msgpack.unpackb(
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
            "received bytes that are not a message",
            hint="check that the peer is Kwaflux",
        ) from error
    if type(fields) is not dict:
        raise ProtocolError("received a header that is not a map")
    _check_depth(fields, limits.depth)
    return fields


def _check_depth(header: dict[str, object], depth: int) -> None:
    """Refuse nesting beyond the limit, also in unknown fields."""
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
        raise ProtocolError("received a message without a protocol version")
    if version > PROTOCOL_VERSION:
        raise ProtocolError(
            f"the peer has protocol {version}, this end has {PROTOCOL_VERSION}",
            hint=f"update Kwaflux on the end that has protocol {PROTOCOL_VERSION}",
            theirs=version,
            ours=PROTOCOL_VERSION,
            request=request_id,
        )
