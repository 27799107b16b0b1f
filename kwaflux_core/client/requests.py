"""Requests: send one, wait for its answer, choose the transfer of its pixels."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from kwaflux_core.client.connection import Connection
from kwaflux_core.client.session import Call, Clock, Session
from kwaflux_core.errors import FrameTooLarge, RequestError, ResourceError
from kwaflux_core.flows.card import Card
from kwaflux_core.flows.flow import Flow
from kwaflux_core.flows.preset import Preset
from kwaflux_core.geometry import Box
from kwaflux_core.protocol.codec import WirePart
from kwaflux_core.protocol.messages import DescribeEffects, Effects, Message

if TYPE_CHECKING:
    from kwaflux_core.client.pixel_transfers import PixelTransfer, Plate
    from kwaflux_core.settings.settings import ClientSettings

__all__ = ["Deadline", "Requester", "StrPath", "absolute", "flow_text"]

StrPath: TypeAlias = "str | os.PathLike[str]"

_LOG = logging.getLogger("kwaflux.client")
_M = TypeVar("_M", bound=Message)


def _nothing() -> None:
    """Do nothing, for a request without reserved memory."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """The end of a call's wait: a time on the client's clock, or an event that cancels it."""

    deadline_s: float
    cancel: threading.Event | None = None


class Requester:
    """Send requests and wait for their answers.

    Thread: any.
    """

    def __init__(self, connection: Connection, *, settings: ClientSettings, clock: Clock) -> None:
        self._connection = connection
        self._settings = settings
        self._clock = clock

    def deadline(self, timeout_s: float | None, cancel: threading.Event | None = None) -> Deadline:
        """Return the deadline of a call that starts now; None uses the timeout of the settings."""
        wait_s = self._settings.timeout_s if timeout_s is None else timeout_s
        return Deadline(self._clock() + wait_s, cancel)

    def session(self, deadline: Deadline) -> Session:
        """Return the session, opening one if needed; raises as ``Connection.open``."""
        return self._connection.open(timeout_s=deadline.deadline_s - self._clock())

    def call(
        self,
        message: Message,
        kind: type[_M],
        deadline: Deadline,
        *,
        session: Session | None = None,
        parts: tuple[WirePart, ...] = (),
        on_end: Callable[[], None] = _nothing,
    ) -> tuple[_M, tuple[WirePart, ...]]:
        """Send a request that has one answer; return the answer and its parts.

        Args:
            message: The request.
            kind: The expected kind of answer.
            deadline: The end of the wait.
            session: The session to use; None uses the open one, or opens one.
            parts: Raw parts of the request.
            on_end: Called if the wait ends early, once the server no longer uses the request's
                files and slabs.
        """
        try:
            call = self._connection.ask(session or self.session(deadline), message, parts=parts)
        except BaseException:
            on_end()
            raise
        return self._wait(call, kind, deadline, on_end=on_end)

    def start(self, message: Message, kind: type[_M], deadline: Deadline) -> tuple[_M, Call]:
        """Send a request that has several answers; return the first, and the call."""
        call = self._connection.ask(self.session(deadline), message)
        return self._wait(call, kind, deadline, on_end=_nothing)[0], call

    def cards(self, session: Session, deadline: Deadline) -> dict[str, Card]:
        """Return the effects' cards by id, requested once per session.

        This also fills the session's presets.
        """
        if session.cards is None:
            answer, _ = self.call(DescribeEffects(), Effects, deadline, session=session)
            cards = (Card.from_json(text) for text in answer.cards)
            presets = (Preset.from_json(text) for text in answer.presets)
            session.presets = {preset.id: preset for preset in presets}
            session.cards = {card.id: card for card in cards}
        return session.cards

    def choose_transfer(
        self,
        session: Session,
        plates: Sequence[Plate],
        flow: str,
        *,
        region: Box | None,
        deadline: Deadline,
    ) -> PixelTransfer:
        """Return the transfer of a frame: by shared memory if possible, else in parts.

        Raises:
            FrameTooLarge: The frame is larger than the server accepts.
            ResourceError: Shared memory was demanded, and is not available.
            FlowError: The flow does not match the server's effects.
        """
        from kwaflux_core.client.pixel_transfers import (
            ExrTransfer,
            InlineTransfer,
            SharedMemoryTransfer,
        )

        transport, limits = self._settings.transport, session.welcome.limits
        window = plates[0].window if region is None else region
        _check(plates, region, frame_bytes=limits.frame_bytes)
        if transport == "exr":
            is_whole = window == plates[0].window
            return ExrTransfer(plates, message_bytes=limits.message_bytes, is_whole=is_whole)
        if transport == "shm" or (transport != "inline" and session.is_shared):
            self.cards(session, deadline)
            result_bytes = 3 * 4 * window.area_px * session.scale_of(flow) ** 2
            try:
                return SharedMemoryTransfer(session.pool(), plates, result_bytes=result_bytes)
            except ResourceError as error:
                if transport == "shm":
                    raise
                _LOG.info("pixels travel inline: %s", error)
                session.note_no_room(result_bytes + sum(plate.length_bytes for plate in plates))
        return InlineTransfer(plates, message_bytes=limits.message_bytes)

    def _wait(
        self, call: Call, kind: type[_M], deadline: Deadline, *, on_end: Callable[[], None]
    ) -> tuple[_M, tuple[WirePart, ...]]:
        try:
            return call.expect(
                kind, deadline_s=deadline.deadline_s, clock=self._clock, cancel=deadline.cancel
            )
        except BaseException:  # including KeyboardInterrupt
            self._connection.abandon(call, on_end=on_end)
            raise


def flow_text(flow: Flow | str) -> str:
    """Return a flow as text for a message."""
    return flow if isinstance(flow, str) else flow.to_text()


def absolute(path: StrPath) -> str:
    """Return an absolute path, since the server has another working directory.

    Raises:
        RequestError: The path is not valid Unicode and cannot be sent.
    """
    absolute = os.path.abspath(os.fspath(path))
    try:
        absolute.encode()
    except UnicodeEncodeError as error:
        raise RequestError(
            f"the path {absolute!r} is not valid Unicode", hint="rename the file or folder"
        ) from error
    return absolute


def _check(plates: Sequence[Plate], region: Box | None, *, frame_bytes: int) -> None:
    if region is not None and not plates[0].window.contains(region):
        raise RequestError(
            f"the region {region.as_tuple()} is outside the data window "
            f"{plates[0].window.as_tuple()}",
            hint="request a region inside the data window",
        )
    for plate in plates:
        if plate.length_bytes > frame_bytes:
            raise FrameTooLarge(
                f"frame {plate.frame} has {plate.length_bytes} bytes of pixels, the server "
                f"accepts {frame_bytes}",
                hint="raise frame_bytes_max in the server's settings, or send a part of the frame",
                frame=plate.frame,
            )
