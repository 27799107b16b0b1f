"""The tree of errors, the same on both ends of the wire.

Each class has a stable code, and fields that cross the wire with it::

    KwafluxError
    +-- ProtocolError            an invalid message, or a message out of order
    +-- RequestError             the request is invalid or impossible
    |   +-- FlowError            a flow that cannot be parsed; has the column
    |   |   +-- UnknownEffect    no such effect
    |   |   +-- ParamError       no such param, or a value out of its range
    |   +-- UnknownColorspace    a name the OCIO config does not have
    |   +-- PathNotAllowed       a path outside the server's roots
    |   +-- FrameTooLarge        more pixels than the server accepts
    |   +-- SettingsError        a setting that is misspelt or out of range
    +-- ImageError               a file or picture that cannot be read or written
    |   +-- FrameMissing         a frame of the range does not exist
    |   +-- ImageUnreadable      truncated, damaged or not a picture
    |   +-- ImageUnsupported     a kind of picture Kwaflux refuses (deep, subsampled, interlaced)
    |   +-- ImageWriteFailed     the target cannot be written (disk full, no permission)
    +-- ModelError               an effect, network or weights that cannot be used
    |   +-- WeightsInvalid       weights that are truncated, altered or of another network
    +-- ResourceError            memory, disk space or a similar resource is exhausted
    |   +-- OutOfMemory          out of memory; has the bytes needed
    |   +-- TooManyRequests      a client's limit of work in flight
    +-- WorkerError              a worker crashed or failed during the request
    +-- Unavailable              no server, or the connection was lost
    +-- DeadlineExceeded         no answer in time
    +-- Cancelled                the caller cancelled it
    +-- HostError                Nuke or Resolve refused a call
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, TypeAlias

__all__ = [
    "Cancelled",
    "DeadlineExceeded",
    "FlowError",
    "FrameMissing",
    "FrameTooLarge",
    "HostError",
    "ImageError",
    "ImageUnreadable",
    "ImageUnsupported",
    "ImageWriteFailed",
    "KwafluxError",
    "ModelError",
    "OutOfMemory",
    "ParamError",
    "PathNotAllowed",
    "ProtocolError",
    "RequestError",
    "ResourceError",
    "SettingsError",
    "TooManyRequests",
    "Unavailable",
    "UnknownColorspace",
    "UnknownEffect",
    "WeightsInvalid",
    "WireError",
    "WorkerError",
    "all_errors",
    "from_wire",
    "to_wire",
]

Field: TypeAlias = "str | int | float | bool | None"
WireError: TypeAlias = "dict[str, str | bool | dict[str, Field]]"


class KwafluxError(Exception):
    """The base class: a message, a hint and fields.

    Args:
        message: The problem and its object, one sentence without a final stop.
        hint: The remedy for the user; empty if there is none.
        **fields: Details for programs (numbers, names, paths); they are sent to the client.

    Attributes:
        code: A stable name for programs; never changes once released.
        retryable: Whether the same request may succeed when sent again.
    """

    code: ClassVar[str] = "error"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, hint: str = "", **fields: Field) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.fields: dict[str, Field] = dict(fields)

    def __str__(self) -> str:
        return f"{self.message}. {self.hint}" if self.hint else self.message

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self).code, self.message, self.hint, self.fields))


class ProtocolError(KwafluxError):
    """Bytes that are not a message, or a message out of order."""

    code = "protocol"


class RequestError(KwafluxError):
    """The request is invalid or impossible."""

    code = "request"


class FlowError(RequestError):
    """A flow that cannot be parsed; ``column`` (from 1) is the position."""

    code = "flow"

    @property
    def column(self) -> int:
        """Column of the first invalid character, counted from 1."""
        column = self.fields.get("column", 1)
        return column if isinstance(column, int) else 1


class UnknownEffect(FlowError):
    """No effect with that name is installed."""

    code = "unknown_effect"


class ParamError(FlowError):
    """No such param, or a value out of its range."""

    code = "param"


class UnknownColorspace(RequestError):
    """A colorspace the OCIO config does not have, or a picture that names none."""

    code = "unknown_colorspace"


class PathNotAllowed(RequestError):
    """A path outside the server's roots."""

    code = "path_not_allowed"


class FrameTooLarge(RequestError):
    """More pixels, or more bytes, than the server accepts in one frame."""

    code = "frame_too_large"


class SettingsError(RequestError):
    """A setting that is misspelt, of the wrong type or out of range."""

    code = "settings"


class ImageError(KwafluxError):
    """A file or picture that cannot be read or written."""

    code = "image"


class FrameMissing(ImageError):
    """A frame of the range is not on disk."""

    code = "frame_missing"


class ImageUnreadable(ImageError):
    """A file that is truncated, damaged or not a picture."""

    code = "image_unreadable"


class ImageUnsupported(ImageError):
    """A kind of picture that Kwaflux does not support, such as deep or interlaced."""

    code = "image_unsupported"


class ImageWriteFailed(ImageError):
    """A target that cannot be written; no partial file is left."""

    code = "image_write_failed"


class ModelError(KwafluxError):
    """An effect, network or weights that cannot be used."""

    code = "model"


class WeightsInvalid(ModelError):
    """Weights that are truncated, altered or of another network."""

    code = "weights_invalid"


class ResourceError(KwafluxError):
    """Memory, disk space or a similar resource is exhausted."""

    code = "resource"
    retryable = True


class OutOfMemory(ResourceError):
    """Out of memory; ``needed_bytes`` is the amount needed, if known."""

    code = "out_of_memory"


class TooManyRequests(ResourceError):
    """A client has more work in flight than the server allows."""

    code = "too_many_requests"


class WorkerError(KwafluxError):
    """A worker crashed or failed while it held the request."""

    code = "worker"
    retryable = True


class Unavailable(KwafluxError):
    """No server is running, or the connection to it was lost."""

    code = "unavailable"
    retryable = True


class DeadlineExceeded(KwafluxError):
    """No answer arrived in time."""

    code = "deadline_exceeded"
    retryable = True


class Cancelled(KwafluxError):
    """The caller cancelled the request."""

    code = "cancelled"


class HostError(KwafluxError):
    """Nuke or Resolve refused a call, or does not meet the adapter's requirements."""

    code = "host"


def all_errors() -> dict[str, type[KwafluxError]]:
    """Return every error class of the tree by its code."""
    classes: dict[str, type[KwafluxError]] = {}
    pending: list[type[KwafluxError]] = [KwafluxError]
    while pending:
        cls = pending.pop()
        classes[cls.code] = cls
        pending.extend(cls.__subclasses__())
    return classes


_BY_CODE = all_errors()


def to_wire(error: KwafluxError) -> WireError:
    """Return an error as plain maps and strings for a message."""
    return {
        "code": error.code,
        "message": error.message,
        "hint": error.hint,
        "retryable": error.retryable,
        "fields": dict(error.fields),
    }


def from_wire(wire: Mapping[str, object]) -> KwafluxError:
    """Return the error of a message, as the class that the peer raised.

    An unknown code of a newer peer becomes a plain ``KwafluxError`` with the code among its fields.

    Raises:
        ProtocolError: ``code`` or ``message`` is missing or not text.
    """
    code, message = wire.get("code"), wire.get("message")
    if not isinstance(code, str) or not isinstance(message, str):
        raise ProtocolError("received an error without a code or a message")
    raw_hint, raw_fields = wire.get("hint", ""), wire.get("fields", {})
    hint = raw_hint if isinstance(raw_hint, str) else ""
    fields: dict[str, Field] = {}
    if isinstance(raw_fields, Mapping):
        fields = {
            key: value
            for key, value in raw_fields.items()
            if isinstance(key, str) and (value is None or isinstance(value, (str, int, float)))
        }
    if code not in _BY_CODE:
        fields["code"] = code
    return _rebuild(code, message, hint, fields)


def _rebuild(code: str, message: str, hint: str, fields: dict[str, Field]) -> KwafluxError:
    error = _BY_CODE.get(code, KwafluxError)(message, hint=hint)
    error.fields = fields
    return error
