"""What is inside the fake Resolve: plain data that tests set up and look at.

Must not know the scripting API; ``application``, ``media`` and ``timeline`` are that.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

__all__ = ["Bin", "Clip", "Cut", "Job", "Placed", "Quirks", "Take", "Track", "World"]

_COUNTER = itertools.count(1)


def _uid(kind: str) -> str:
    return f"{kind}-{next(_COUNTER):04d}"


@dataclass(slots=True)
class Quirks:
    """Choose among what differs between versions, languages and days.

    Args:
        language: JobStatus follows the application's language (measured: "Concluso").
        append_numbering: Whether ``startFrame`` of a sequence counts from its first file's number
            or from 0; and takes alike.
        left_numbering: The same for ``GetLeftOffset``.
        custom_color: Timeline settings of color management that can be set: the others answer True
            and stay what they are.
        append_errors: Placements are visible and are gone after a save.
        takes_vanish: The same for takes.
        replace_fails: ``ReplaceClip`` answers True and does nothing.
        render_frames_missing: That many frames at the end are not written.
        render_writes: Another codec than was asked for, as a leftover of the Deliver page; or "".
        render_stalls: A job never gets to its end.
        render_fails: A job ends with an Error.
        modal_is_open: A dialog waits for a person: saving answers False.
        has_ui: Whether there is a UIManager; without, as with ``-nogui``, Fusion gives None.
        deletes_late: ``DeleteClips`` of a timeline answers False the first time.
    """

    language: Literal["en", "it"] = "en"
    append_numbering: Literal["file", "zero"] = "file"
    left_numbering: Literal["file", "zero"] = "zero"
    custom_color: frozenset[str] = frozenset({"colorScienceMode"})
    append_errors: bool = False
    takes_vanish: bool = False
    replace_fails: bool = False
    render_frames_missing: int = 0
    render_writes: str = ""
    render_stalls: bool = False
    render_fails: bool = False
    modal_is_open: bool = False
    has_ui: bool = True
    deletes_late: bool = False


@dataclass(eq=False, slots=True)
class Bin:
    """Hold a folder of the media pool."""

    name: str
    clips: list[Clip] = field(default_factory=list)
    bins: list[Bin] = field(default_factory=list)
    uid: str = field(default_factory=lambda: _uid("bin"))


@dataclass(eq=False, slots=True)
class Clip:
    """Hold media: a sequence of EXR files, or what plays the movie.

    Args:
        pattern: With ``%04d``; of a movie the files are what its frames decode to.
        first: The number of the first file.
        count: How many frames.
        start: The clip property "Start": the first file's number, or 0 of a movie.
        marks: In and out, both inside, counted from the first frame.
    """

    name: str
    pattern: str
    first: int
    count: int
    start: int
    size_px: tuple[int, int]
    fps: float = 24.0
    properties: dict[str, str] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)
    is_generator: bool = False
    marks: tuple[int, int] | None = None
    uid: str = field(default_factory=lambda: _uid("clip"))

    def file(self, offset: int) -> Path:
        """Return the file of the frame that lies so far from the first."""
        return Path(self.pattern % (self.first + offset))

    @property
    def numbered(self) -> str:
        """The file path as Resolve shows it."""
        if "%" not in self.pattern:
            return self.pattern
        head, _, tail = self.pattern.partition("%04d")
        return f"{head}[{self.first:04d}-{self.first + self.count - 1:04d}]{tail}"


@dataclass(eq=False, slots=True)
class Take:
    """Hold one take; ``first`` counts from the media's first frame, ``count`` is its length."""

    clip: Clip
    first: int
    count: int
    is_errored: bool = False


@dataclass(eq=False, slots=True)
class Placed:
    """Hold an item of a timeline.

    Args:
        clip: None of a title or generator.
        first: The source's first frame, counted from the media's first.
        start: Where it begins, in absolute frames.
        count: How many frames it lasts.
        speed: Source frames for each frame; negative is reversed; 0: the source is not told.
        gain: The grade: what color is multiplied with on the Color page.
        source_shift: How far off ``GetSourceStartFrame`` is.
        is_errored: It vanishes with the next save.
        comps: Fusion comps (``fusion.CompModel``).
    """

    clip: Clip | None
    first: int
    start: int
    count: int
    speed: float = 1.0
    gain: float = 1.0
    source_shift: int = 0
    is_errored: bool = False
    takes: list[Take] = field(default_factory=list)
    selected_take: int = 0
    comps: list[object] = field(default_factory=list)
    uid: str = field(default_factory=lambda: _uid("item"))

    @property
    def shown(self) -> tuple[Clip | None, int]:
        """The media that is shown, and its first frame."""
        if not self.takes:
            return self.clip, self.first
        take = self.takes[self.selected_take - 1]
        return take.clip, take.first

    @property
    def end(self) -> int:
        """The frame behind the last."""
        return self.start + self.count


@dataclass(eq=False, slots=True)
class Track:
    """Hold one video track."""

    name: str
    items: list[Placed] = field(default_factory=list)
    is_enabled: bool = True
    is_locked: bool = False


@dataclass(eq=False, slots=True)
class Cut:
    """Hold a timeline."""

    name: str
    start: int = 86400
    settings: dict[str, str] = field(default_factory=dict)
    tracks: list[Track] = field(default_factory=lambda: [Track("Video 1")])
    markers: dict[int, dict[str, object]] = field(default_factory=dict)
    selected: list[Placed] = field(default_factory=list)
    playhead: int = 86400
    uid: str = field(default_factory=lambda: _uid("timeline"))

    def item_at(self, frame: int) -> Placed | None:
        """Return what is seen at an absolute frame."""
        for track in reversed(self.tracks):
            for item in track.items:
                if track.is_enabled and item.start <= frame < item.end:
                    return item
        return None


@dataclass(eq=False, slots=True)
class Job:
    """Hold a render job: what the Deliver page held when it was added."""

    cut: Cut
    settings: dict[str, object]
    codec: str
    mode: int
    polls: int = 0
    percent: int = 0
    error: str = ""
    uid: str = field(default_factory=lambda: _uid("job"))


_DELIVER: dict[str, object] = {
    # What somebody did last: sound alone, of a part, somewhere else.
    "SelectAllFrames": False,
    "MarkIn": 86410,
    "MarkOut": 86412,
    "TargetDir": "/somewhere/else",
    "CustomName": "reel",
    "ExportVideo": False,
    "ExportAudio": True,
    "FormatWidth": 960,
    "FormatHeight": 540,
    "ExportAlpha": False,
}


@dataclass(eq=False, slots=True)
class World:
    """Hold the whole: product, project, page."""

    version: tuple[int, ...] = (21, 0, 4, 5)
    product: str = "DaVinci Resolve Studio"
    quirks: Quirks = field(default_factory=Quirks)
    project: str = "show"
    settings: dict[str, str] = field(
        default_factory=lambda: {
            "timelineFrameRate": "24",
            "timelineResolutionWidth": "1920",
            "timelineResolutionHeight": "1080",
            "colorScienceMode": "davinciYRGB",
            "colorSpaceInput": "Rec.709 (Scene)",
            "colorSpaceTimeline": "Rec.709 (Scene)",
            "colorSpaceOutput": "Rec.709 Gamma 2.4",
            "separateColorSpaceAndGamma": "0",
            "colorSpaceOutputToneMapping": "DaVinci",
            "colorAcesIDT": "No Input Transform",
            "colorAcesODT": "Rec.709",
        }
    )
    root: Bin = field(default_factory=lambda: Bin("Master"))
    bin: Bin = field(init=False)
    cuts: list[Cut] = field(default_factory=list)
    cut: Cut | None = None
    page: str = "color"
    deliver: dict[str, object] = field(default_factory=lambda: dict(_DELIVER))
    codec: tuple[str, str] = ("mov", "ProRes422HQ")
    render_mode: int = 0
    presets: dict[str, dict[str, object]] = field(default_factory=dict)
    jobs: list[Job] = field(default_factory=list)
    rendering: list[Job] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    saves: int = 0

    def __post_init__(self) -> None:
        self.bin = self.root
        video = {**self.deliver, "ExportVideo": True, "SelectAllFrames": True}
        self.presets = {
            "Audio Only": {**self.deliver},
            "H.264 Master": {**video, "format": "mp4", "codec": "H264"},
        }

    def bins(self) -> list[Bin]:
        """Return every bin."""
        found, pending = [], [self.root]
        while pending:
            found.append(pending.pop())
            pending.extend(found[-1].bins)
        return found

    def clips(self) -> list[Clip]:
        """Return every clip of the media pool."""
        return [clip for place in self.bins() for clip in place.clips]

    def bin_of(self, clip: Clip) -> Bin | None:
        """Return where a clip lies, or None."""
        return next((place for place in self.bins() if clip in place.clips), None)

    def shown_setting(self, cut: Cut, name: str) -> str:
        """Return a setting as it is in force for a timeline."""
        if cut.settings.get("useCustomSettings") == "1" and name in cut.settings:
            return cut.settings[name]
        return self.settings.get(name, "")

    def save(self) -> None:
        """Forget what errored, as a save does."""
        self.saves += 1
        for cut in self.cuts:
            for track in cut.tracks:
                track.items = [item for item in track.items if not item.is_errored]
                for item in track.items:
                    item.takes = [take for take in item.takes if not take.is_errored]
                    if len(item.takes) < 2:
                        item.takes, item.selected_take = [], 0
