"""The message that carries an error, and the error in it."""

from __future__ import annotations

from kwaflux_core.errors import KwafluxError, from_wire
from kwaflux_core.protocol.messages import Failed

__all__ = ["failed", "failure_of"]


def failed(error: KwafluxError) -> Failed:
    """Return the message that carries an error; the client rebuilds the same class from it."""
    return Failed(error.code, error.message, error.hint, error.retryable, dict(error.fields))


def failure_of(failed: Failed) -> KwafluxError:
    """Return the error in a message, as the class that the server raised."""
    return from_wire(
        {
            "code": failed.code,
            "message": failed.message,
            "hint": failed.hint,
            "fields": failed.fields,
        }
    )
