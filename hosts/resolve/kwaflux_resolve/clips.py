"""Which clips are meant, what Resolve says of them, and how results become clips.

``kwaflux_hosting`` says which frames are meant (``footage``), names colors by the table
``colorspaces.json`` (``clip_color``), and refuses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from kwaflux_core.errors import HostError
from kwaflux_hosting.timeline_host.clip_colorspace import (
    ClipColor,
    is_camera_raw,
    names_of,
    said_or,
)
from kwaflux_hosting.timeline_host.media import ClipRange, FrameSpan, MediaInfo, rate_of
from kwaflux_hosting.timeline_host.verified_settings import refused, rejected_settings, text_of
from kwaflux_resolve.resolve_api import Host

if TYPE_CHECKING:
    from kwaflux_resolve.api import MediaPoolItem, Project, Timeline, TimelineItem

__all__ = ["BIN", "Color", "Shot", "Source", "chosen", "imported", "look", "said", "source_of"]

BIN = "Kwaflux"
"""What our bin is called, and our tracks."""

_REAPPLIED = ("Input Color Space", "IDT")
_LEVEL = "Data Level"
_PLAIN = {
    "PAR": ("square", "1", "1.0", "1.00", "1.000"),
    "H-FLIP": ("off", "0"),
    "V-FLIP": ("off", "0"),
    "Input LUT": ("none", "no lut", "no lut selected"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Color(ClipColor):
    """Hold what Resolve says of a clip's color; its own properties are to be put back."""

    science: str
    own: dict[str, str]
    level: str

    def keep_numbers(self, timeline: Timeline) -> None:
        """Set a temporary timeline so that its render carries a clip's own numbers, or refuse."""
        ways = [{"colorScienceMode": "davinciYRGB"}]
        if self.science.startswith("davinciYRGBColorManaged") and "/" not in self.source:
            spaces = {"colorSpaceTimeline": self.source, "colorSpaceOutput": self.source}
            ways.append({**spaces, "colorSpaceOutputToneMapping": "None"})
        write, read = timeline.SetSetting, timeline.GetSetting
        if self.is_managed and all(rejected_settings(way, write=write, read=read) for way in ways):
            raise HostError(
                f"this project ({self.science}) would convert the clip to {self.output} on its way "
                "out, and Resolve did not let a temporary timeline leave that out",
                hint="enhance it in a project of DaVinci YRGB, or choose the graded composite",
            )

    def put_on(self, clip: MediaPoolItem, *, level: str = "") -> None:
        """Say of a clip what was said of the source; frames are of full range unless told."""
        asked: dict[str, tuple[str, ...]] = {name: (value,) for name, value in self.own.items()}
        asked[_LEVEL] = (level,) if level else ("Full", "Auto")
        for name in refused(asked, write=clip.SetClipProperty, read=clip.GetClipProperty):
            if self.is_managed or name == _LEVEL:
                hint = "it would be shown in the wrong colors, so it was not brought back"
                raise HostError(f"Resolve did not take {name} = {asked[name][0]}", hint=hint)


@dataclass(frozen=True, slots=True)
class Source:
    """Hold a clip of the media pool, its media, and what its numbers mean."""

    clip: MediaPoolItem
    media: MediaInfo
    color: Color


@dataclass(frozen=True, slots=True)
class Shot(Source):
    """Hold a clip on a timeline too: the item, its id, and which frames lie where."""

    timeline: Timeline
    item: TimelineItem
    uid: str
    cut: ClipRange


def chosen(host: Host) -> list[TimelineItem]:
    """Return the selected video clips, or the one under the playhead, or refuse."""
    timeline = host.timeline
    selected = timeline.GetSelectedClips() if "GetSelectedClips" in dir(timeline) else None
    items = [item for item in selected or () if (item.GetTrackTypeAndIndex() or [""])[0] == "video"]
    if not items and (current := timeline.GetCurrentVideoItem()) is not None:
        return [current]
    if not items:
        hint = "select clips (Resolve 21.0.4 and later), or put the playhead on one"
        raise HostError("no clip is selected and none is under the playhead", hint=hint)
    return items


def look(host: Host, item: TimelineItem, *, timeline: Timeline) -> Shot:
    """Return what an item is, or refuse it."""
    source = source_of(host, item.GetMediaPoolItem(), timeline=timeline)
    attributes = {key: said(source.clip, key) for key in _PLAIN}
    cut = ClipRange.of_media(
        source.media,
        span=(item.GetStart(), item.GetEnd()),
        left=item.GetLeftOffset(),
        shown=(item.GetSourceStartFrame(), item.GetSourceEndFrame()),
        fps=rate_of(text_of(timeline.GetSetting("timelineFrameRate"))),
        changed={key: v for key, v in attributes.items() if v.lower() not in ("", *_PLAIN[key])},
    )
    uid = text_of(item.GetUniqueId())
    return Shot(source.clip, source.media, source.color, timeline, item, uid, cut)


def source_of(host: Host, clip: MediaPoolItem | None, *, timeline: Timeline) -> Source:
    """Return what a clip of the media pool is, or refuse one without media."""
    keys = {"path": "File Path", "first": "Start", "last": "End", "fps": "FPS"}
    texts = {key: said(clip, theirs) for key, theirs in keys.items()}
    name = "" if clip is None else clip.GetName()
    media = MediaInfo.of_texts(name, size=said(clip, "Resolution"), **texts)
    found = cast("MediaPoolItem", clip)  # what has no clip has no media, and was refused
    return Source(found, media, _color_of(found, host.project, timeline))


def _color_of(clip: MediaPoolItem, project: Project, timeline: Timeline) -> Color:
    """Return what Resolve says of a clip's color on a timeline, or refuse a science not known."""

    def setting(name: str) -> str:
        return text_of(timeline.GetSetting(name)) or text_of(project.GetSetting(name))

    def space(name: str) -> str:
        gamma = setting(f"{name}Gamma") if setting("separateColorSpaceAndGamma") == "1" else ""
        return f"{setting(name)}/{gamma}" if gamma else setting(name)

    science = setting("colorScienceMode")
    is_aces = science.lower().startswith("aces")
    if not (is_aces or science.startswith("davinciYRGB")):
        raise HostError(f"the color science {science!r} is not known", hint="use DaVinci YRGB")
    own = {name: said(clip, name) for name in _REAPPLIED}
    source = own["IDT" if is_aces else "Input Color Space"]
    default = setting("colorAcesIDT") if is_aces else space("colorSpaceInput")
    output = setting("colorAcesODT") if is_aces else space("colorSpaceOutput")
    return Color(
        is_managed=science != "davinciYRGB",
        source=said_or(source, default),
        output=output and said_or(output, space("colorSpaceTimeline")),
        tone_mapping=f"ACES, {output}" if is_aces else setting("colorSpaceOutputToneMapping"),
        is_raw=is_camera_raw(said(clip, "File Path")),
        names=names_of(__package__),
        science=science,
        own={name: value for name, value in own.items() if value},
        level=said(clip, _LEVEL),
    )


def said(clip: MediaPoolItem | None, name: str) -> str:
    """Return a property of a clip as text; what is not there is empty."""
    return "" if clip is None else text_of(clip.GetClipProperty(name))


def imported(host: Host, frames: FrameSpan) -> MediaPoolItem:
    """Import frames as one clip into our bin, which is the current one then; or not at all."""
    pool, root = host.pool, host.pool.GetRootFolder()
    ours = next((inner for inner in root.GetSubFolderList() if inner.GetName() == BIN), None)
    ours = ours or pool.AddSubFolder(root, BIN)
    if ours is None:
        raise HostError(f"Resolve did not make the bin {BIN!r}", hint="make it by hand")
    pool.SetCurrentFolder(ours)  # an import lands in the current bin, and nowhere else
    info = {"FilePath": frames.pattern, "StartIndex": frames.first, "EndIndex": frames.last}
    clips = list(pool.ImportMedia([info]) or [])
    if len(clips) == 1 and said(clips[0], "Frames") == str(frames.count):
        return clips[0]
    pool.DeleteClips(clips)
    why = f"Resolve imported {len(clips)} clips of {frames.pattern}, not one with all its frames"
    raise HostError(why, hint="turn off Show Individual Frames in the media pool")
