"""The client: ask a server to render, from any thread, in a few lines.

The thread that owns the socket is in ``_client_loop``, the pixels' roads are in ``_client_pixels``,
what comes back in ``_client_results`` and ``_client_jobs``. Imports without numpy: ``render_file``,
``render_exr`` and ``submit`` need none.

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
    """Hold a connection to a server; made by ``connect``.

    When the server goes away, calls under way raise ``Unavailable``; the next call connects to the
    server that is there then, with a session of its own.

    Thread: any, any number at once. Not across a fork: connect in the child.
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
            endpoint: Where it listens; None: what the settings say, or this user's own server.
            timeout_s: How long to wait for its answer.
            transport: How the pixels of ``render`` travel; None: what the settings say (auto).
            name: What this client is; it stands in the server's log.
            waits_for_server: Whether to go on while nobody listens there, for a server that is
                being started. Otherwise that is an error at once.
            silence_s: A server that says nothing for longer, while a call waits, is taken for gone.
            environ: Where settings are read from, with the settings file that it names.

        Raises:
            Unavailable: No server is there, it does not answer, or it does not accept our key.
            ProtocolError: The server speaks another version of the protocol.
            SettingsError: A setting or an endpoint that is wrong.
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
        """Where the server listens."""
        return self._connection.endpoint

    def close(self) -> None:
        """Say goodbye; calls under way in other threads raise ``Unavailable``.

        Results that lie in shared memory keep their pixels.
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

    # --- questions about the server ---------------------------------------------------------

    def ping(self, *, timeout_s: float = _PING_S) -> float:
        """Return the seconds that a question and its answer took."""
        start_s = self._clock()
        self._requester.call(Ping(), Pong, self._requester.deadline(timeout_s))
        return self._clock() - start_s

    def effects(self, *, timeout_s: float | None = None) -> tuple[Card, ...]:
        """Return the cards of the effects the server has.

        Raises:
            ModelError: A card that this version cannot read.
        """
        deadline = self._requester.deadline(timeout_s)
        return tuple(self._requester.cards(self._requester.session(deadline), deadline).values())

    def presets(self, *, timeout_s: float | None = None) -> tuple[Preset, ...]:
        """Return the presets the server has: flows whose name may stand in a flow.

        Raises:
            ModelError: A card or preset that this version cannot read.
        """
        deadline = self._requester.deadline(timeout_s)
        session = self._requester.session(deadline)
        self._requester.cards(session, deadline)
        return tuple(session.presets.values())

    def status(self, *, timeout_s: float = _PING_S) -> ServerStatus:
        """Return how the server is."""
        return self._requester.call(
            StatusRequest(), ServerStatus, self._requester.deadline(timeout_s)
        )[0]

    def shutdown(self, *, timeout_s: float = _PING_S) -> None:
        """Stop the server once its running frames are done."""
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
        timeout_s: float | None = None,
        cancel: threading.Event | None = None,
    ) -> RenderResult:
        """Render one frame that is in memory.

        Only the layer's color and alpha are sent; everything else of the plate comes back as it is.

        Args:
            plate: The frame.
            flow: What to do with it.
            frame: Its absolute number.
            neighbors: Other frames that the flow may read, under their numbers.
            layer: Which layer's color; empty: the base layer.
            region: The part of the data window that is wanted; the result then holds that part's
                color and alpha alone.
            out: A picture whose color planes (float32, of the result's size) take the result. The
                result then owns no shared memory, and its color is ``out``'s.
            urgency: ``interactive`` comes before ``sequence`` before ``batch``.
            node: Who asks; a newer interactive request of the same node replaces an older one.
            timeout_s: How long to wait; None: what the settings say.
            cancel: Set by another thread to give up.

        Raises:
            KwafluxError: Typed: what the server could not do, ``DeadlineExceeded``, ``Cancelled``,
                or ``Unavailable``.
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
        found = plate.find_layer(layer)
        return merge_color(plate, found, color, region=region, out=out, rendered=rendered)

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
        timeout_s: float | None = None,
        cancel: threading.Event | None = None,
    ) -> FileResult:
        """Render one frame from a file to a file; both ends must see them. Needs no numpy.

        Args:
            source: The picture; relative paths are relative to this process.
            target: What is written, whole or not at all.
            flow: What to do with it.
            frame: Its absolute number.
            neighbors: Files of other frames that the flow may read.
            options: Colorspace, layer, alpha, and how the file is written.
            urgency: As in ``render``.
            node: As in ``render``.
            timeout_s: How long to wait; None: what the settings say.
            cancel: Set by another thread to give up.

        Raises:
            KwafluxError: As ``render`` raises.
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

        For a host whose server is on another machine, with no disk that both see.

        Raises:
            KwafluxError: As ``render`` raises.
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
        timeout_s: float | None = None,
    ) -> Job:
        """Let the server render a frame range from files to files; return when it has accepted.

        Args:
            source: A sequence (``plate.####.exr``, ``plate.%04d.exr``) or a picture.
            target: The same for what is written.
            flow: What to do.
            frames: A range (``1001-1100x2``); empty: all that are on disk.
            options: Colorspace, layer, alpha, and how the files are written.
            urgency: Which requests come first.
            timeout_s: How long to wait for the server to accept the job.

        Raises:
            KwafluxError: As ``render`` raises.
        """
        request = Submit(
            absolute(source),
            absolute(target),
            flow_text(flow),
            frames,
            options,
            urgency=urgency,
        )
        accepted, call = self._requester.start(
            request, JobAccepted, self._requester.deadline(timeout_s)
        )
        return Job(accepted, call=call, cancel=self._connection.cancel, clock=self._clock)
