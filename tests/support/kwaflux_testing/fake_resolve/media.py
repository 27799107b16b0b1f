"""The media pool: bins, clips and what puts them on a timeline.

Sources: Blackmagic's scripting README; the public ledger of davinci-resolve-mcp for what imports
into the current bin, exclusive ends, absolute record frames, dropped overlaps, items whose getters
give None, floors of mixed rates, and placements that a save forgets; ynput/ayon-resolve for what
``ReplaceClip`` wipes.
"""

from __future__ import annotations

import re
from pathlib import Path

from kwaflux_core.images.exr.read import read_exr_header
from kwaflux_testing.fake_resolve.model import Bin, Clip, Cut, Placed, Track, World
from kwaflux_testing.fake_resolve.remote import Remote
from kwaflux_testing.fake_resolve.timeline import Timeline, TimelineItem

__all__ = ["Folder", "MediaPool", "MediaPoolItem"]

_SETTABLE = {"Input Color Space", "IDT", "Data Level", "FPS", "Comments"}


class Folder(Remote):
    """A bin."""

    def __init__(self, world: World, model: Bin) -> None:
        super().__init__(world)
        self.model = model

    def GetName(self) -> str:
        return self.model.name

    def GetUniqueId(self) -> str:
        return self.model.uid

    def GetClipList(self) -> list[MediaPoolItem]:
        return [MediaPoolItem(self._world, clip) for clip in self.model.clips]

    def GetSubFolderList(self) -> list[Folder]:
        return [Folder(self._world, inner) for inner in self.model.bins]


class MediaPoolItem(Remote):
    """A clip of the media pool."""

    def __init__(self, world: World, model: Clip) -> None:
        super().__init__(world)
        self.model = model

    def GetName(self) -> str:
        return self.model.name

    def GetUniqueId(self) -> str:
        return self.model.uid

    def GetMediaId(self) -> str:
        return self.model.uid

    def GetClipProperty(self, propertyName: str = "") -> str | dict[str, str]:  # noqa: N803
        clip = self.model
        found = {
            "Clip Name": clip.name,
            "File Path": "" if clip.is_generator else clip.numbered,
            "Type": "Generator" if clip.is_generator else "Video",
            "Start": str(clip.start),
            "End": str(clip.start + clip.count - 1),
            "Frames": str(clip.count),
            "FPS": str(clip.fps),
            "Resolution": f"{clip.size_px[0]}x{clip.size_px[1]}",
            "Data Level": "Auto",
            "Input Color Space": "Project",
            "IDT": "Project",
            "PAR": "Square",
            **clip.properties,
        }
        return found.get(propertyName, "") if propertyName else found

    def SetClipProperty(self, propertyName: str, propertyValue: str) -> bool:  # noqa: N803
        if propertyName not in _SETTABLE:
            return False
        self.model.properties[propertyName] = propertyValue
        return True

    def GetMetadata(self, metadataType: str | None = None) -> str | dict[str, str]:  # noqa: N803
        metadata = self.model.metadata
        return dict(metadata) if not metadataType else metadata.get(metadataType, "")

    def SetMetadata(self, metadata: dict[str, str]) -> bool:
        self.model.metadata.update(metadata)
        return True

    def ReplaceClip(self, filePath: str) -> bool:  # noqa: N803
        """Exchange the media; what people had set is wiped (ynput/ayon-resolve)."""
        if self._world.quirks.replace_fails:
            return True
        found = _scanned(Path(filePath))
        if found is None:
            return False
        self.model.pattern, self.model.first, self.model.count = found
        self.model.start = found[1]
        self.model.name = Path(self.model.numbered).name
        self.model.properties.clear()
        self.model.metadata.clear()
        return True


class MediaPool(Remote):
    """The media pool."""

    def GetRootFolder(self) -> Folder:
        return Folder(self._world, self._world.root)

    def GetCurrentFolder(self) -> Folder:
        return Folder(self._world, self._world.bin)

    def SetCurrentFolder(self, folder: Folder) -> bool:
        self._world.bin = folder.model
        return True

    def AddSubFolder(self, folder: Folder, name: str) -> Folder | None:
        """Add a bin; it becomes the current one."""
        if any(inner.name == name for inner in folder.model.bins):
            return None
        folder.model.bins.append(Bin(name))
        self._world.bin = folder.model.bins[-1]
        return Folder(self._world, self._world.bin)

    def DeleteFolders(self, subfolders: list[Folder]) -> bool:
        gone = [folder.model for folder in subfolders]
        if self._world.bin in gone:
            self._world.bin = self._world.root
        for place in self._world.bins():
            place.bins = [inner for inner in place.bins if inner not in gone]
        return True

    def ImportMedia(self, clipInfo: list[dict[str, object]]) -> list[MediaPoolItem]:  # noqa: N803
        """Import into the current bin: there is no other destination (measured)."""
        found = []
        for info in clipInfo:
            pattern = str(info["FilePath"])
            first, last = int(str(info["StartIndex"])), int(str(info["EndIndex"]))
            paths = [Path(pattern % number) for number in range(first, last + 1)]
            if not all(path.is_file() for path in paths):
                continue
            box = read_exr_header(paths[0])[0].display_window
            name = Path(pattern).name.replace("%04d", f"[{first:04d}-{last:04d}]")
            clip = Clip(name, pattern, first, len(paths), first, (box.width, box.height), 24.0)
            self._world.bin.clips.append(clip)
            found.append(MediaPoolItem(self._world, clip))
        return found

    def DeleteClips(self, clips: list[MediaPoolItem]) -> bool:
        gone = [clip.model for clip in clips]
        for place in self._world.bins():
            place.clips = [clip for clip in place.clips if clip not in gone]
        return True

    def CreateEmptyTimeline(self, name: str) -> Timeline | None:
        """Make a timeline; it becomes the current one, and starts at one hour."""
        if any(cut.name == name for cut in self._world.cuts):
            return None
        rate = round(float(self._world.settings["timelineFrameRate"]))
        cut = Cut(name, start=3600 * rate)
        self._world.cuts.append(cut)
        self._world.cut = cut
        return Timeline(self._world, cut)

    def DeleteTimelines(self, timeline: list[Timeline]) -> bool:
        """Delete; the current timeline cannot be."""
        gone = [cut.model for cut in timeline]
        if self._world.cut in gone:
            return False
        self._world.cuts = [cut for cut in self._world.cuts if cut not in gone]
        return True

    def AppendToTimeline(
        self,
        clipInfo: list[dict[str, object]] | list[MediaPoolItem],  # noqa: N803
    ) -> list[TimelineItem]:
        """Place clips on the current timeline, in the ways that were measured."""
        assert isinstance(clipInfo, list), "a bare dict freezes Resolve"
        cut = self._world.cut
        return [] if cut is None else [self._placed(cut, self._info(info)) for info in clipInfo]

    def _info(self, info: dict[str, object] | MediaPoolItem) -> dict[str, object]:
        """Return how a clip is placed that is given alone: whole, or between its marks."""
        if isinstance(info, dict):
            return info
        clip = info.model
        base = clip.start if self._world.quirks.append_numbering == "file" else 0
        first, last = clip.marks or (0, clip.count - 1)
        return {"mediaPoolItem": info, "startFrame": base + first, "endFrame": base + last + 1}

    def _placed(self, cut: Cut, info: dict[str, object]) -> TimelineItem:
        item = info["mediaPoolItem"]
        assert isinstance(item, MediaPoolItem)
        clip = item.model
        index = int(str(info.get("trackIndex", 1)))
        first, end = int(str(info["startFrame"])), int(str(info["endFrame"]))
        if self._world.quirks.append_numbering == "file":
            first, end = first - clip.start, end - clip.start
        rate = float(self._world.shown_setting(cut, "timelineFrameRate"))
        count = int((end - first) * rate / clip.fps)
        start = int(str(info["recordFrame"])) if "recordFrame" in info else _behind(cut)
        placed = Placed(clip, first, start, count, is_errored=self._world.quirks.append_errors)
        track = cut.tracks[index - 1] if 1 <= index <= len(cut.tracks) else None
        is_inside = 0 <= first < end <= clip.count and count > 0 and start >= cut.start
        if track is None or track.is_locked or not is_inside or _overlaps(track, placed):
            return TimelineItem(self._world, None)
        track.items.append(placed)
        return TimelineItem(self._world, placed)


def _behind(cut: Cut) -> int:
    return max((item.end for track in cut.tracks for item in track.items), default=cut.start)


def _overlaps(track: Track, new: Placed) -> bool:
    return any(new.start < item.end and item.start < new.end for item in track.items)


def _scanned(path: Path) -> tuple[str, int, int] | None:
    """Return pattern, first number and count of the sequence that a file or pattern names."""
    name = re.sub(r"%04d|\[[0-9]+-[0-9]+\]|([0-9]{4,})(?=\.[a-z]+$)", "%04d", path.name)
    head, mark, tail = name.partition("%04d")
    if not mark:
        return None
    numbers = sorted(
        int(found[1])
        for other in path.parent.iterdir()
        if (found := re.fullmatch(re.escape(head) + r"([0-9]{4,})" + re.escape(tail), other.name))
    )
    return (str(path.parent / name), numbers[0], len(numbers)) if numbers else None
