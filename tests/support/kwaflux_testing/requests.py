"""Requests with some fields changed, whether they stand in the message or in its options."""

from __future__ import annotations

from dataclasses import fields, replace

from kwaflux_core.protocol.messages import Render, RenderOptions

__all__ = ["changed"]


def changed(request: Render, **how: object) -> Render:
    """Return a request with other fields; those of ``RenderOptions`` are changed in its options."""
    names = {entry.name for entry in fields(RenderOptions)}
    options = {name: how.pop(name) for name in names & set(how)}
    made = replace(request.options, **options)  # type: ignore[arg-type]
    return replace(request, options=made, **how)  # type: ignore[arg-type]
