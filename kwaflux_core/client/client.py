"""The client: sends requests to a server, from any thread.

``io_thread`` owns the socket, ``pixel_transfers`` moves the pixels, ``results`` and ``jobs`` define
the results. Imports without numpy: ``render_file``, ``render_exr`` and ``submit`` do not need it.

    with Client.connect() as client:
        result = client.render(plate, Flow.parse("denoise(strength=0.6)"), frame=1001)
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Literal, TypeAlias

from kwaflux_core.client.connection import Connection, wire_to
from kwaflux_core.client.exr_request import ExrRequest, ExrResult, exr_result
from kwaflux_core.client.jobs import Job
from kwaflux_core.client.requests import Requester, StrPath, absolute, flow_text
from kwaflux_core.client.results import FileResult, RenderResult, file_result, merge_color
from kwaflux_core.flows.card import Card
from kwaflux_core.flows.flow import Flow
from kwaflux_core.flows.preset import Preset
from kwaflux_core.geometry import Box
from kwaflux_core.protocol.messages import (
    JobAccepted,
    PathPixels,
    PathTarget,
    Ping,
    Pong,
    Render,
    Rendered,
    RenderOptions,
    ServerStatus,
    Shutdown,
    ShuttingDown,
    Source,
    StatusRequest,
    Submit,
    Urgency,
)
from kwaflux_core.settings.settings import ClientSettings, load_client_settings, settings_file

if TYPE_CHECKING:
    from kwaflux_core.images.image import Image

__all__ = [
    "Client",
    "ExrRequest",
    "ExrResult",
    "FileResult",
    "Job",
    "RenderResult",
    "StrPath",
    "Transport",
]

Transport: TypeAlias = Literal["auto", "shm", "inline", "exr"]
"""How pixels of ``render`` travel; ``auto``: in shared memory where there is some, else inline."""


_CONNECT_S, _PING_S = 5.0, 5.0


class Client:
    """A connection to a server; made by ``connect``.

    If the connection is lost, active calls raise ``Unavailable``; the next call connects again and
    opens a new session.

    Thread: any, also concurrently. Not across a fork: connect in the child.
    """

    def __init__(self, wire: Connection, *, settings: ClientSettings) -> None:
        self._connection = wire
        self._clock = time.monotonic
        self._requester = Requester(wire, settings=settings, clock=self._clock)
        self._end = weakref.finalize(self, wire.close)

    @classmethod
    def connect(
        cls,
        endpoint: str | None = None,
        *,
        timeout_s: float = _CONNECT_S,
        transport: Transport | None = None,
        name: str = "python",
        waits_for_server: bool = False,
        silence_s: float = 10.0,
        environ: Mapping[str, str] = os.environ,
    ) -> Client:
        """Connect to a server and open a session.

        Args:
            endpoint: Address of the server; None uses the settings, or this user's own server.
            timeout_s: Longest wait for the server's answer.
            transport: Transport of the pixels of ``render``; None uses the settings (auto).
            name: Name of this client in the server's log.
            waits_for_server: Whether to retry while the server is not listening yet, because it is
                being started. Otherwise this is an error at once.
            silence_s: Seconds of silence, while a call waits, after which the server counts as
                gone.
            environ: The environment, which may set settings and name the settings file.

        Raises:
            Unavailable: No server listens, it does not answer, or it does not accept our key.
            ProtocolError: The server has another version of the protocol.
            SettingsError: A setting or the endpoint is invalid.
        """
        settings = load_client_settings(
            environ=environ,
            file=settings_file(environ),
            flags={"endpoint": endpoint, "transport": transport},
        )
        wire = wire_to(settings, name=name, waits_for_server=waits_for_server, silence_s=silence_s)
        try:
            wire.open(timeout_s=timeout_s)
        except BaseException:
            wire.close()
            raise
        return cls(wire, settings=settings)

    @property
    def endpoint(self) -> str:
        """Address of the server."""
        return self._connection.endpoint

    def close(self) -> None:
        """Close the session; active calls in other threads raise ``Unavailable``.

        Results in shared memory keep their pixels.
        """
        self._end()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # --- information about the server -------------------------------------------------------

    def ping(self, *, timeout_s: float = _PING_S) -> float:
        """Return the round-trip time of a message, in seconds."""
        start_s = self._clock()
        self._requester.call(Ping(), Pong, self._requester.deadline(timeout_s))
        return self._clock() - start_s

    def effects(self, *, timeout_s: float | None = None) -> tuple[Card, ...]:
        """Return the cards of the server's effects.

        Raises:
            ModelError: This version cannot read a card.
        """
        deadline = self._requester.deadline(timeout_s)
        return tuple(self._requester.cards(self._requester.session(deadline), deadline).values())

    def presets(self, *, timeout_s: float | None = None) -> tuple[Preset, ...]:
        """Return the server's presets: flows whose name can be used in a flow.

        Raises:
            ModelError: This version cannot read a card or preset.
        """
        deadline = self._requester.deadline(timeout_s)
        session = self._requester.session(deadline)
        self._requester.cards(session, deadline)
        return tuple(session.presets.values())

    def status(self, *, timeout_s: float = _PING_S) -> ServerStatus:
        """Return the status of the server."""
        return self._requester.call(
            StatusRequest(), ServerStatus, self._requester.deadline(timeout_s)
        )[0]

    def shutdown(self, *, timeout_s: float = _PING_S) -> None:
        """Stop the server after its running frames are done."""
        self._requester.call(Shutdown(), ShuttingDown, self._requester.deadline(timeout_s))

    # --- rendering --------------------------------------------------------------------------

    def render(
        self,
        plate: Image,
        flow: Flow | str,
        *,
        frame: int = 0,
        neighbors: Mapping[int, Image] | None = None,
        layer: str = "",
        region: Box | None = None,
        out: Image | None = None,
        urgency: Urgency = "interactive",
        node: str = "",
        profile: str = "",
        timeout_s: float | None = None,
        cancel: threading.Event | None = None,
    ) -> RenderResult:
        """Render one frame in memory.

        Only the layer's color and alpha are sent; everything else of the plate is returned
        unchanged.

        Args:
            plate: The frame.
            flow: The flow to render.
            frame: The absolute frame number.
            neighbors: Other frames that the flow may read, by frame number.
            layer: The layer to render; empty for the base layer.
            region: The part of the data window to render; the result then has only that part's
                color and alpha.
            out: A picture whose color planes (float32, of the result's size) receive the result.
                The result then uses no shared memory.
            urgency: ``interactive`` comes before ``sequence`` before ``batch``.
            node: Name of the requesting node; a newer interactive request of a node replaces older
                ones.
            profile: The text of a shot profile; what it does not say is measured on the frame.
            timeout_s: Longest wait; None uses the settings.
            cancel: Set by another thread to cancel the request.

        Raises:
            KwafluxError: The server's error, ``DeadlineExceeded``, ``Cancelled`` or
                ``Unavailable``.
        """
        from kwaflux_core.client.pixel_transfers import Plate

        text, deadline = flow_text(flow), self._requester.deadline(timeout_s, cancel)
        session = self._requester.session(deadline)
        plates = [Plate.of(plate, frame=frame, layer=layer)]
        for number, image in (neighbors or {}).items():
            if number != frame:
                plates.append(Plate.of(image, frame=number, layer=layer))
        transfer = self._requester.choose_transfer(
            session, plates, text, region=region, deadline=deadline
        )
        request = Render(
            text,
            frame,
            transfer.sources,
            transfer.target,
            RenderOptions(
                colorspace=plate.colorspace,
                alpha="premultiplied" if plate.is_premultiplied else "straight",
            ),
            region=None if region is None else region.as_tuple(),
            urgency=urgency,
            node=node,
            profile=profile,
        )
        rendered, parts = self._requester.call(
            request,
            Rendered,
            deadline,
            session=session,
            parts=transfer.parts,
            on_end=transfer.release,
        )
        color = transfer.read_result(rendered.pixels, parts)
        color_layer = plate.find_layer(layer)
        return merge_color(plate, color_layer, color, region=region, out=out, rendered=rendered)

    def render_file(
        self,
        source: StrPath,
        target: StrPath,
        flow: Flow | str,
        *,
        frame: int = 0,
        neighbors: Mapping[int, StrPath] | None = None,
        options: RenderOptions = RenderOptions(),
        urgency: Urgency = "interactive",
        node: str = "",
        profile: str = "",
        timeout_s: float | None = None,
        cancel: threading.Event | None = None,
    ) -> FileResult:
        """Render one frame from file to file; client and server must see the files. Needs no numpy.

        Args:
            source: The picture; relative paths are relative to this process.
            target: The file to write, complete or not at all.
            flow: The flow to render.
            frame: The absolute frame number.
            neighbors: Files of other frames that the flow may read.
            options: Colorspace, layer, alpha, and how to write the file.
            urgency: As in ``render``.
            node: As in ``render``.
            profile: As in ``render``.
            timeout_s: Longest wait; None uses the settings.
            cancel: Set by another thread to cancel the request.

        Raises:
            KwafluxError: As in ``render``.
        """
        files = {frame: source, **{n: p for n, p in (neighbors or {}).items() if n != frame}}
        request = Render(
            flow_text(flow),
            frame,
            tuple(Source(number, PathPixels(absolute(path))) for number, path in files.items()),
            PathTarget(absolute(target)),
            options,
            urgency=urgency,
            node=node,
            profile=profile,
        )
        rendered, _ = self._requester.call(
            request, Rendered, self._requester.deadline(timeout_s, cancel)
        )
        return file_result(rendered)

    def render_exr(
        self,
        request: ExrRequest,
        *,
        timeout_s: float | None = None,
        cancel: threading.Event | None = None,
    ) -> ExrResult:
        """Render one frame from the bytes of an EXR to the bytes of an EXR. Needs no numpy.

        For a host whose server is on another machine without a shared disk.

        Raises:
            KwafluxError: As in ``render``.
        """
        message, parts = request.on_wire()
        deadline = self._requester.deadline(timeout_s, cancel)
        return exr_result(*self._requester.call(message, Rendered, deadline, parts=parts))

    def submit(
        self,
        source: StrPath,
        target: StrPath,
        *,
        flow: Flow | str,
        frames: str = "",
        options: RenderOptions = RenderOptions(),
        urgency: Urgency = "sequence",
        profile: str = "",
        timeout_s: float | None = None,
    ) -> Job:
        """Submit a frame range to render from files to files; return when the job is accepted.

        Args:
            source: A sequence (``plate.####.exr``, ``plate.%04d.exr``), a picture or a movie.
            target: A sequence or a picture.
            flow: The flow to render.
            frames: A range (``1001-1100x2``); empty for all frames on disk.
            options: Colorspace, layer, alpha, and how to write the files.
            urgency: As in ``render``.
            profile: The text of a shot profile; what it does not say is estimated.
            timeout_s: Longest wait for the server to accept the job.

        Raises:
            KwafluxError: As in ``render``.
        """
        request = Submit(
            absolute(source),
            absolute(target),
            flow_text(flow),
            frames,
            options,
            urgency=urgency,
            profile=profile,
        )
        accepted, call = self._requester.start(
            request, JobAccepted, self._requester.deadline(timeout_s)
        )
        return Job(accepted, call=call, cancel=self._connection.cancel, clock=self._clock)
