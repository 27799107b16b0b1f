"""The steps that every call of the client is made of."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from kwaflux_core.client.connection import Wire
from kwaflux_core.client.session import Call, Clock, Session
from kwaflux_core.errors import FrameTooLarge, RequestError, ResourceError
from kwaflux_core.flows.card import Card
from kwaflux_core.flows.flow import Flow
from kwaflux_core.flows.preset import Preset
from kwaflux_core.geometry import Box
from kwaflux_core.protocol.codec import WirePart
from kwaflux_core.protocol.messages import DescribeEffects, Effects, Message, Render, Rendered

if TYPE_CHECKING:
    from kwaflux_core.client.pixel_transfers import Freight, Plate
    from kwaflux_core.settings.settings import ClientSettings

__all__ = ["Calls", "Patience", "StrPath", "absolute", "flow_text"]

StrPath: TypeAlias = "str | os.PathLike[str]"

_LOG = logging.getLogger("kwaflux.client")
_M = TypeVar("_M", bound=Message)


@dataclass(frozen=True, slots=True)
class Patience:
    """Say how long a call waits: until a time on the client's clock, or until it is cancelled."""

    deadline_s: float
    cancel: threading.Event | None = None


class Calls:
    """Ask questions and wait for their answers.

    Thread: any.
    """

    def __init__(self, wire: Wire, *, settings: ClientSettings, clock: Clock) -> None:
        self._wire = wire
        self._settings = settings
        self._clock = clock

    def patience(self, timeout_s: float | None, cancel: threading.Event | None = None) -> Patience:
        """Return how long a call waits that begins now; None: as long as the settings say."""
        wait_s = self._settings.timeout_s if timeout_s is None else timeout_s
        return Patience(self._clock() + wait_s, cancel)

    def session(self, patience: Patience) -> Session:
        """Return the session, opened now if there is none; raises as ``Wire.open``."""
        return self._wire.open(timeout_s=patience.deadline_s - self._clock())

    def asked(self, message: Message, kind: type[_M], patience: Patience) -> _M:
        """Ask a question that has one answer."""
        return self._asked(self.session(patience), message, kind, patience)[0]

    def begun(self, message: Message, kind: type[_M], patience: Patience) -> tuple[_M, Call]:
        """Ask a question that has several answers: return the first, and the call."""
        call = self._wire.ask(self.session(patience), message)
        return self._awaited(call, kind, patience, on_end=_nothing)[0], call

    def rendered(
        self, request: Render, parts: tuple[WirePart, ...], patience: Patience
    ) -> tuple[Rendered, tuple[WirePart, ...]]:
        """Ask for a frame whose pixels need no freight."""
        return self._asked(self.session(patience), request, Rendered, patience, parts=parts)

    def rendered_freight(
        self, session: Session, request: Render, freight: Freight, patience: Patience
    ) -> tuple[Rendered, tuple[WirePart, ...]]:
        """Ask for a frame; when the wait ends early, the freight is released once it is safe."""
        try:
            call = self._wire.ask(session, request, parts=freight.parts)
        except BaseException:
            freight.release()
            raise
        return self._awaited(call, Rendered, patience, on_end=freight.release)

    def cards(self, session: Session, patience: Patience) -> dict[str, Card]:
        """Return the effects' cards under their ids, asked for once in a session.

        The session then knows the presets too.
        """
        if session.cards is None:
            answer, _ = self._asked(session, DescribeEffects(), Effects, patience)
            cards = (Card.from_json(text) for text in answer.cards)
            presets = (Preset.from_json(text) for text in answer.presets)
            session.presets = {preset.id: preset for preset in presets}
            session.cards = {card.id: card for card in cards}
        return session.cards

    def load(
        self,
        session: Session,
        plates: Sequence[Plate],
        flow: str,
        *,
        region: Box | None,
        patience: Patience,
    ) -> Freight:
        """Put pixels on their way: in shared memory if it can be, else in parts.

        Raises:
            FrameTooLarge: More than the server accepts.
            ResourceError: Only where shared memory was demanded, and there is none.
            FlowError: The flow does not fit the server's effects.
        """
        from kwaflux_core.client.pixel_transfers import ExrFreight, InlineFreight, ShmFreight

        transport, limits = self._settings.transport, session.welcome.limits
        window = plates[0].window if region is None else region
        _check(plates, region, frame_bytes=limits.frame_bytes)
        if transport == "exr":
            is_whole = window == plates[0].window
            return ExrFreight(plates, message_bytes=limits.message_bytes, is_whole=is_whole)
        if transport == "shm" or (transport != "inline" and session.is_shared):
            self.cards(session, patience)
            result_bytes = 3 * 4 * window.area_px * session.scale_of(flow) ** 2
            try:
                return ShmFreight(session.pool(), plates, result_bytes=result_bytes)
            except ResourceError as error:
                if transport == "shm":
                    raise
                _LOG.info("pixels travel inline: %s", error)
                session.note_no_room(result_bytes + sum(plate.length_bytes for plate in plates))
        return InlineFreight(plates, message_bytes=limits.message_bytes)

    def _asked(
        self,
        session: Session,
        message: Message,
        kind: type[_M],
        patience: Patience,
        *,
        parts: tuple[WirePart, ...] = (),
    ) -> tuple[_M, tuple[WirePart, ...]]:
        call = self._wire.ask(session, message, parts=parts)
        return self._awaited(call, kind, patience, on_end=_nothing)

    def _awaited(
        self, call: Call, kind: type[_M], patience: Patience, *, on_end: Callable[[], None]
    ) -> tuple[_M, tuple[WirePart, ...]]:
        try:
            return call.expect(
                kind, deadline_s=patience.deadline_s, clock=self._clock, cancel=patience.cancel
            )
        except BaseException:  # the keyboard's interrupt too
            self._wire.abandon(call, on_end=on_end)
            raise


def flow_text(flow: Flow | str) -> str:
    """Return a flow as the wire carries it."""
    return flow if isinstance(flow, str) else flow.to_text()


def absolute(path: StrPath) -> str:
    """Return an absolute path: the server's working directory is not ours.

    Raises:
        RequestError: The path is no Unicode and cannot be sent.
    """
    found = os.path.abspath(os.fspath(path))
    try:
        found.encode()
    except UnicodeEncodeError as error:
        raise RequestError(
            f"the path {found!r} is no Unicode text", hint="rename the file or folder"
        ) from error
    return found


def _check(plates: Sequence[Plate], region: Box | None, *, frame_bytes: int) -> None:
    if region is not None and not plates[0].window.contains(region):
        raise RequestError(
            f"the region {region.as_tuple()} does not lie in the data window "
            f"{plates[0].window.as_tuple()}",
            hint="ask for pixels that the plate has",
        )
    for plate in plates:
        if plate.length_bytes > frame_bytes:
            raise FrameTooLarge(
                f"frame {plate.frame} holds {plate.length_bytes} bytes of pixels, the server "
                f"accepts {frame_bytes}",
                hint="raise frame_bytes_max in the server's settings, or send a part of the frame",
                frame=plate.frame,
            )


def _nothing() -> None:
    """Give nothing back: nothing was reserved."""
