"""Enhance clips: render in the host, enhance the frames, import the results, clip by clip.

``enhance`` is a generator that yields progress, so that its caller can draw, and can close it to
cancel.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Final, Generic, Protocol, TypeVar

from kwaflux_core.errors import HostError
from kwaflux_core.protocol.render_options import RenderOptions
from kwaflux_hosting.batch.file_patterns import format_frames, posix_path
from kwaflux_hosting.batch.range_render import RangeRender
from kwaflux_hosting.batch.results_index import RenderRequest
from kwaflux_hosting.exchange_folder import ExchangeFolder
from kwaflux_hosting.panel.panel import EffectEntry, Panel
from kwaflux_hosting.server_link import local_server
from kwaflux_hosting.timeline_host.clip_request import ClipRequest
from kwaflux_hosting.timeline_host.media import FrameSpan, MediaInfo
from kwaflux_hosting.timeline_host.result_marker import ResultMarker, new_job
from kwaflux_hosting.timeline_host.roundtrip_check import check_round_trip
from kwaflux_hosting.timeline_host.step_generators import followed, one_by_one, told

if TYPE_CHECKING:
    from kwaflux_hosting.batch.range_render import OpenClient
    from kwaflux_hosting.roundtrip_check.chart import Aspect

__all__ = ["ClipHost", "ClipLike", "ResultFolder", "enhance"]

_Item = TypeVar("_Item")
_Shot = TypeVar("_Shot", bound="ClipLike")
_DONE: Final = "brought_back.json"


@dataclass(frozen=True, slots=True)
class ResultFolder:
    """Hold the folder of one version of results, and the name of its files before the number."""

    path: str
    stem: str

    @classmethod
    def next_of(cls, media: MediaInfo, *, root: str = "") -> ResultFolder:
        """Return the first version that is not in use.

        One that was not brought back, for it failed or was cancelled, is used again.

        Args:
            media: What is enhanced.
            root: Where the folders of all clips lie; empty: ``kwaflux`` beside the media.

        Raises:
            HostError: The media is itself a result.
        """
        beside = os.path.dirname(media.path)
        if os.path.exists(os.path.join(beside, _DONE)):
            raise HostError(
                f"{media.name} is itself a result of Kwaflux",
                hint="show the original take, or revert it, so that nothing is enhanced twice",
            )
        stem = os.path.splitext(media.name)[0].partition("[")[0].rstrip("._- ") or "clip"
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
        """Write down what was brought back."""
        with open(f"{self.path}/{_DONE}", "w", encoding="utf-8") as file:
            file.write(text)


class ClipLike(Protocol):
    """What must be known of a clip on a timeline."""

    @property
    def media(self) -> MediaInfo:
        """What it shows."""
        ...

    def colorspace(self, request: ClipRequest) -> str:
        """Return the OCIO name of the frames that are rendered for a request.

        Raises:
            UnknownColorspace: Neither the request nor the host names it.
        """
        ...


class ClipHost(ABC, Generic[_Item, _Shot]):
    """The ``TimelineHost`` of a host with clips, made of what an adapter does with one clip.

    All calls come from the thread that takes the steps of ``enhance`` and ``check``.

    Attributes:
        name: What the host is called; in lower case, the client's name.
        asked: What is asked beside the effect.
        accepted: Aspects of the chart that the host is known to change.
    """

    name: ClassVar[str]
    asked: ClassVar[EffectEntry]
    accepted: ClassVar[tuple[Aspect, ...]]

    @abstractmethod
    def say(self, text: str) -> None:
        """Show a sentence that is no step."""

    @abstractmethod
    def chosen(self) -> Sequence[_Item]:
        """Return the clips that are meant; refuse where there is none."""

    @abstractmethod
    def look(self, item: _Item) -> _Shot:
        """Return what a clip is, or refuse it."""

    @abstractmethod
    def render(
        self, shot: _Shot, wish: ClipRequest, folder: str
    ) -> Generator[float, None, FrameSpan]:
        """Render its frames into a folder; tell shares of 1; stop when closed."""

    @abstractmethod
    def import_result(
        self, shot: _Shot, wish: ClipRequest, *, job: str, results: FrameSpan
    ) -> ResultMarker:
        """Bring results into the project, or leave it as it was."""

    @abstractmethod
    def made(self) -> list[ResultMarker]:
        """Return what was made where the person looks, in the order of time."""

    @abstractmethod
    def revert(self, made: ResultMarker) -> None:
        """Undo it."""

    @abstractmethod
    def lead(self, chart: FrameSpan, folder: str) -> FrameSpan:
        """Bring the chart into the host and render it, into a folder, as plates are."""

    @abstractmethod
    def about(self) -> dict[str, str]:
        """Return what support is told of the host."""

    def panel(self) -> Panel:
        """Return what the server offers."""
        with local_server.connect(say=self.say, name=self.name.lower()) as client:
            return Panel.from_server(client)

    def enhance(
        self, flow: str, values: Mapping[str, object]
    ) -> Generator[str, None, list[ResultMarker]]:
        """Enhance the chosen clips; tell how far it is; return what was made."""
        return enhance(self, ClipRequest.of(flow, values, asked=self.asked))

    def check(self) -> Generator[str, None, bool]:
        """Send the chart down the whole road; return whether all is well."""
        return check_round_trip(
            self.name, self.lead, accepted=self.accepted, about=self.about(), say=self.say
        )


def enhance(
    host: ClipHost[_Item, _Shot], wish: ClipRequest, *, open_client: OpenClient | None = None
) -> Generator[str, None, list[ResultMarker]]:
    """Enhance the chosen clips; a clip that is refused or fails does not end the others.

    Args:
        host: Where the clips are.
        wish: What is asked for.
        open_client: As of ``RangeRender``.

    Returns:
        What was made; the steps are sentences, and closing them cancels.

    Raises:
        HostError: No clip could be enhanced; the message says why.
    """

    def one(item: _Item) -> Generator[str, None, ResultMarker]:
        shot = host.look(item)
        name, into = shot.media.name, ResultFolder.next_of(shot.media, root=wish.folder)
        options = RenderOptions(colorspace=shot.colorspace(wish))
        order = RenderRequest(flow=wish.flow, options=options)
        results = yield from _enhanced(host, shot, wish, order, into=into, open_client=open_client)
        made = host.import_result(shot, wish, job=new_job(), results=results)
        into.set_in_use(made.data)
        yield f"{name}: brought back as a {wish.mode}, and found again after a save"
        return made

    return (yield from one_by_one(host.chosen(), one, say=host.say))


def _enhanced(
    host: ClipHost[_Item, _Shot],
    shot: _Shot,
    wish: ClipRequest,
    order: RenderRequest,
    *,
    into: ResultFolder,
    open_client: OpenClient | None,
) -> Generator[str, None, FrameSpan]:
    """Render frames, have them enhanced, and remove the rendered ones; return the results."""
    what = shot.media.name
    with ExchangeFolder.make(beside=os.path.dirname(into.path)) as folder:
        frames = folder.pattern("plates")
        os.mkdir(frames)
        rendering = host.render(shot, wish, frames)
        plates = yield from told(rendering, what=f"{what}: {host.name} renders")
        work = RangeRender(
            order,
            source=plates.pattern,
            target=into.pattern,
            frames=range(plates.first, plates.last + 1),
            open_client=open_client,
            name=host.name.lower(),
        )
        done = yield from followed(work, what=what)
    if odd := done.in_state("attention"):
        host.say(f"{what}: look at {format_frames(odd)}: {done.frames[odd[0]].reason}")
    return replace(plates, pattern=into.pattern)
