"""Clips enhanced one by one: rendered in the host, enhanced by the server, imported as results."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Final, Generic, Protocol, TypeVar

from kwaflux_core.errors import HostError, KwafluxError
from kwaflux_core.frames.frame_range import format_frames
from kwaflux_core.protocol.render_options import RenderOptions
from kwaflux_hosting.batch.file_patterns import literal_name, posix_path
from kwaflux_hosting.batch.range_render import Progress, RangeRender
from kwaflux_hosting.batch.results_index import RenderRequest
from kwaflux_hosting.exchange_folder import ExchangeFolder
from kwaflux_hosting.panel.controls import EffectEntry
from kwaflux_hosting.panel.panel import Panel
from kwaflux_hosting.server_link import local_server
from kwaflux_hosting.timeline_host.clip_request import ClipRequest
from kwaflux_hosting.timeline_host.clip_roundtrip import check_round_trip
from kwaflux_hosting.timeline_host.media import FrameSpan, MediaInfo
from kwaflux_hosting.timeline_host.result_marker import ResultMarker, new_job
from kwaflux_hosting.timeline_host.task_runner import Task

if TYPE_CHECKING:
    from kwaflux_hosting.batch.range_render import OpenClient
    from kwaflux_hosting.roundtrip_check.chart import Aspect

__all__ = ["ClipHost", "ClipLike", "ResultFolder", "enhance"]

_Item = TypeVar("_Item")
_Shot = TypeVar("_Shot", bound="ClipLike")
_DONE: Final = "brought_back.json"
_NAMED: Final = 3


@dataclass(frozen=True, slots=True)
class ResultFolder:
    """The folder of one version of results, and the name of its files before the number."""

    path: str
    stem: str

    @classmethod
    def next_of(cls, media: MediaInfo, *, root: str = "") -> ResultFolder:
        """Return the first version that is not in use.

        A version that was not imported, because it failed or was cancelled, is used again.

        Args:
            media: The media of the clip.
            root: The folder that holds the folders of all clips; empty: ``kwaflux`` beside the
                media.

        Raises:
            HostError: The media is itself a result.
        """
        beside = os.path.dirname(media.path)
        if os.path.exists(os.path.join(beside, _DONE)):
            raise HostError(
                f"{media.name} is itself a result of Kwaflux",
                hint="show the original take, or revert it, so that nothing is enhanced twice",
            )
        name = os.path.splitext(media.name)[0].partition("[")[0]
        stem = literal_name(name).rstrip("._- ") or "clip"
        home = os.path.join(root or os.path.join(beside, "kwaflux"), stem)
        version = 1
        while os.path.exists(os.path.join(home, f"v{version:03d}", _DONE)):
            version += 1
        return cls(posix_path(os.path.join(home, f"v{version:03d}")), f"{stem}_v{version:03d}")

    @property
    def pattern(self) -> str:
        """The pattern of its files."""
        return f"{self.path}/{self.stem}.%04d.exr"

    def set_in_use(self, text: str) -> None:
        """Record the imported result, after which the version is in use."""
        with open(f"{self.path}/{_DONE}", "w", encoding="utf-8") as file:
            file.write(text)


class ClipLike(Protocol):
    """A clip on a timeline, as far as ``enhance`` needs to know it."""

    @property
    def media(self) -> MediaInfo:
        """The media that it shows."""
        ...

    def colorspace(self, request: ClipRequest) -> str:
        """Return the OCIO name of the frames that are rendered for a request.

        Raises:
            UnknownColorspace: Neither the request nor the host names it.
        """
        ...


class ClipHost(ABC, Generic[_Item, _Shot]):
    """The ``TimelineHost`` of a host with clips; an adapter adds what it does with one clip.

    Thread: all calls come from the thread that runs the tasks.

    Attributes:
        name: The host's name; in lower case, the client's name.
        asked: The controls beside the effect's.
        accepted: Aspects of the chart that the host is known to change.
    """

    name: ClassVar[str]
    asked: ClassVar[EffectEntry]
    accepted: ClassVar[tuple[Aspect, ...]]

    @abstractmethod
    def say(self, text: str) -> None:
        """Show a message that is not a task's step."""

    @abstractmethod
    def chosen(self) -> Sequence[_Item]:
        """Return the clips to enhance.

        Raises:
            HostError: There is none.
        """

    @abstractmethod
    def look(self, item: _Item) -> _Shot:
        """Return what is known of a clip.

        Raises:
            HostError: It cannot be enhanced.
        """

    @abstractmethod
    def render(self, shot: _Shot, request: ClipRequest, folder: str) -> Task[FrameSpan]:
        """Render a clip's frames into a folder; closing the task stops the render."""

    @abstractmethod
    def import_result(
        self, shot: _Shot, request: ClipRequest, *, job: str, results: FrameSpan
    ) -> ResultMarker:
        """Import results into the project, or leave it unchanged."""

    @abstractmethod
    def made(self) -> list[ResultMarker]:
        """Return the results on the open timeline, oldest first."""

    @abstractmethod
    def revert(self, made: ResultMarker) -> None:
        """Remove a result from the project."""

    @abstractmethod
    def render_chart(self, chart: FrameSpan, folder: str) -> FrameSpan:
        """Import the test chart and render it into a folder, as a clip's frames are."""

    @abstractmethod
    def about(self) -> dict[str, str]:
        """Return the host's entries in the support bundle."""

    def panel(self) -> Panel:
        """Return the panel of the server's effects."""
        with local_server.connect(say=self.say, name=self.name.lower()) as client:
            return Panel.from_server(client)

    def enhance(self, flow: str, values: Mapping[str, object]) -> Task[list[ResultMarker]]:
        """Enhance the chosen clips; return the imported results."""
        return enhance(self, ClipRequest.of(flow, values, asked=self.asked))

    def check(self) -> Task[bool]:
        """Send the test chart through the host and the server; return whether all is well."""
        return check_round_trip(
            self.name, self.render_chart, accepted=self.accepted, about=self.about(), say=self.say
        )


def enhance(
    host: ClipHost[_Item, _Shot], request: ClipRequest, *, open_client: OpenClient | None = None
) -> Task[list[ResultMarker]]:
    """Enhance the chosen clips; a clip that is refused or fails does not end the others.

    Args:
        host: The host with the clips.
        request: What to do with them.
        open_client: As of ``RangeRender``.

    Returns:
        The imported results.

    Raises:
        HostError: No clip could be enhanced; the message names every reason.
    """
    imported: list[ResultMarker] = []
    problems: list[str] = []
    for item in host.chosen():
        try:
            marker = yield from _enhance_clip(host, item, request, open_client=open_client)
            imported.append(marker)
        except KwafluxError as error:
            problems.append(str(error))
            host.say(str(error))
    if problems and not imported:
        raise HostError("; ".join(problems), hint="nothing was changed")
    return imported


def _enhance_clip(
    host: ClipHost[_Item, _Shot],
    item: _Item,
    request: ClipRequest,
    *,
    open_client: OpenClient | None,
) -> Task[ResultMarker]:
    shot = host.look(item)
    folder = ResultFolder.next_of(shot.media, root=request.folder)
    options = RenderOptions(colorspace=shot.colorspace(request))
    order = RenderRequest(flow=request.flow, options=options)
    results = yield from _render_results(
        host, shot, request, order, folder=folder, open_client=open_client
    )
    marker = host.import_result(shot, request, job=new_job(), results=results)
    folder.set_in_use(marker.data)
    yield f"{shot.media.name}: imported as a {request.mode}, and verified after a save"
    return marker


def _render_results(
    host: ClipHost[_Item, _Shot],
    shot: _Shot,
    request: ClipRequest,
    order: RenderRequest,
    *,
    folder: ResultFolder,
    open_client: OpenClient | None,
) -> Task[FrameSpan]:
    """Render a clip's frames in the host and enhance them; the rendered frames are removed."""
    name = shot.media.name
    with ExchangeFolder.make(beside=os.path.dirname(folder.path)) as exchange:
        frames = exchange.pattern("plates")
        os.mkdir(frames)
        plates = yield from host.render(shot, request, frames)
        work = RangeRender(
            order,
            source=plates.pattern,
            target=folder.pattern,
            frames=range(plates.first, plates.last + 1),
            open_client=open_client,
            name=host.name.lower(),
        )
        with work:
            while not (now := work.snapshot()).is_over:
                yield f"{name}: {now.done} of {now.total} frames. {now.message}"
    _check_complete(now, name=name)
    if attention := now.in_state("attention"):
        reason = now.frames[attention[0]].reason
        host.say(f"{name}: check {format_frames(attention)}: {reason}")
    for text in dict.fromkeys(now.frames[frame].reason for frame in now.in_state("good")):
        if text:
            host.say(f"{name}: {text}")
    return replace(plates, pattern=folder.pattern)


def _check_complete(progress: Progress, *, name: str) -> None:
    """Raise unless every frame has a result."""
    if progress.state != "done":
        raise HostError(f"{name}: {progress.message}", hint=progress.hint)
    failed = [f"{frame} ({progress.frames[frame].reason})" for frame in progress.in_state("failed")]
    if failed:
        raise HostError(
            f"{name}: {len(failed)} of {progress.total} frames failed: "
            f"{'; '.join(failed[:_NAMED])}",
            hint="finished frames remain; run it again for the failed ones",
        )
