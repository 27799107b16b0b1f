"""The message that carries an error."""

from __future__ import annotations

from kwaflux_core.errors import KwafluxError
from kwaflux_core.protocol.messages import Failed

__all__ = ["failed"]


def failed(error: KwafluxError) -> Failed:
    """Return the message that carries an error; the client rebuilds the same class from it."""
    return Failed(error.code, error.message, error.hint, error.retryable, dict(error.fields))
