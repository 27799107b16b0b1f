"""A test of whether server and host see the same disk, with an EXR of one pixel.

Equal host names or paths prove nothing: containers, mounts and the server's roots decide. So a tiny
EXR with a random text in its header is written to the source's folder and rendered to the target's,
and the text is searched for in the file that is there then.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
from pathlib import Path

from kwaflux_core.client.client import Client
from kwaflux_core.errors import (
    Cancelled,
    DeadlineExceeded,
    KwafluxError,
    ProtocolError,
    Unavailable,
)
from kwaflux_core.flows.flow import Flow, Step
from kwaflux_core.geometry import Box
from kwaflux_core.images.exr.small_exr import encode_plain
from kwaflux_core.protocol.render_options import RenderOptions

__all__ = ["server_shares_disk"]

_TIMEOUT_S = 60.0
_PREFIX = ".kwaflux-probe-"


def server_shares_disk(
    client: Client, *, source_folder: str, target_folder: str, cancel: threading.Event
) -> bool:
    """Tell whether the server reads and writes the files that we see in two folders.

    Raises:
        Unavailable: The server went away.
        DeadlineExceeded: It did not answer.
        Cancelled: ``cancel`` was set.
    """
    token = secrets.token_hex(12)
    name = f"{_PREFIX}{token[:8]}"
    target = Path(target_folder) / f"{name}-result.exr"
    with contextlib.ExitStack() as stack:
        # A plate's own folder may be closed to us; then the results' folder stands for both.
        for folder in (source_folder, target_folder):
            source = Path(folder) / f"{name}.exr"
            with contextlib.suppress(OSError):
                source.write_bytes(_exr_of_one_pixel(token))
                break
        else:
            return False
        stack.callback(_forget, source)
        stack.callback(_forget, target)
        try:
            client.render_file(
                source,
                target,
                _harmless_flow(client),
                options=RenderOptions(colorspace="scene_linear"),
                timeout_s=_TIMEOUT_S,
                cancel=cancel,
            )
        except (Cancelled, DeadlineExceeded, ProtocolError, Unavailable):
            raise
        except KwafluxError:
            return False  # it may not, or there is no such file where it looks
        try:
            return token.encode() in target.read_bytes()
        except OSError:
            return False


def _exr_of_one_pixel(text: str) -> bytes:
    """Return an EXR of one black pixel whose header holds a text."""
    pixel = Box(0, 0, 1, 1)
    return encode_plain(
        dict.fromkeys("RGB", (0.0,)),
        data_window=pixel,
        display_window=pixel,
        attributes={"kwafluxProbe": ("string", text.encode())},
    )


def _harmless_flow(client: Client) -> Flow:
    """Return a flow that touches no pixel and keeps the size, of the effects the server has."""
    cards = {card.id: card for card in client.effects()}
    if "identity" in cards:
        return Flow((Step("identity"),))
    still = [card for card in cards.values() if card.identity_when]
    plain = [card for card in cards.values() if not card.frames_before + card.frames_after]
    for card in (*still, *plain, *cards.values()):
        return Flow((Step(card.id, dict(card.identity_when)),))
    raise ProtocolError("the server has no effects")


def _forget(path: Path) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)
