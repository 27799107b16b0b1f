"""Timelines and their items.

Sources: Blackmagic's scripting README; the public ledger of davinci-resolve-mcp (Studio 19.1.3 to
21.0.4): ``GetLeftOffset`` is exact at 100 % and lies in the retimed domain otherwise,
``GetSourceStartFrame`` may be one off, a reversed clip starts after its end, 0..0 is not known,
``DeleteClips`` wants the Edit page, an item that was not placed answers None to everything.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from kwaflux_testing.fake_resolve.fusion import Comp, CompModel
from kwaflux_testing.fake_resolve.model import Cut, Placed, Take, Track, World
from kwaflux_testing.fake_resolve.remote import Remote

if TYPE_CHECKING:
    from kwaflux_testing.fake_resolve.media import MediaPoolItem

__all__ = ["Timeline", "TimelineItem"]

_FRAME_COLORS = ("Blue", "Cyan", "Green", "Yellow", "Red", "Pink", "Purple", "Cream")


class TimelineItem(Remote):
    """An item; ``model`` is None of one that was not placed."""

    def __init__(self, world: World, model: Placed | None) -> None:
        super().__init__(world)
        self.model = model

    @property
    def _is_there(self) -> bool:
        cuts = self._world.cuts
        return any(self.model is item for cut in cuts for t in cut.tracks for item in t.items)

    def GetUniqueId(self) -> str | None:
        return self.model.uid if self.model is not None and self._is_there else None

    def GetName(self) -> str | None:
        if self.model is None:
            return None
        return self.model.clip.name if self.model.clip else "Solid Color"

    def GetStart(self) -> int | None:
        return None if self.model is None else self.model.start

    def GetEnd(self) -> int | None:
        """Give the frame behind the last: ends are open."""
        return None if self.model is None else self.model.end

    def GetDuration(self) -> int | None:
        return None if self.model is None else self.model.count

    def GetLeftOffset(self) -> int | None:
        clip, first = (None, 0) if self.model is None else self.model.shown
        if self.model is None or clip is None:
            return None
        base = clip.start if self._world.quirks.left_numbering == "file" else 0
        return base + round(first / (abs(self.model.speed) or 1.0))

    def GetSourceStartFrame(self) -> int | None:
        item = self.model
        if item is None or item.clip is None:
            return None
        if item.speed == 0:
            return 0
        shift = 0 if item.speed > 0 else round(item.count * -item.speed)
        return item.clip.start + item.first + shift + item.source_shift

    def GetSourceEndFrame(self) -> int | None:
        item = self.model
        if item is None or item.clip is None:
            return None
        if item.speed == 0:
            return 0
        span = round(item.count * item.speed) if item.speed > 0 else 0
        return item.clip.start + item.first + span + item.source_shift

    def GetMediaPoolItem(self) -> MediaPoolItem | None:
        from kwaflux_testing.fake_resolve.media import MediaPoolItem

        clip = None if self.model is None else self.model.shown[0]
        return None if clip is None else MediaPoolItem(self._world, clip)

    def GetTrackTypeAndIndex(self) -> list[object] | None:
        for cut in self._world.cuts:
            for number, track in enumerate(cut.tracks, 1):
                if self.model in track.items:
                    return ["video", number]
        return None

    def GetProperty(self, propertyKey: str = "") -> dict[str, object] | object:  # noqa: N803
        """Give what the Inspector holds; no key tells the speed (measured)."""
        is_clip = self.model is not None and self.model.clip is not None
        found: dict[str, object] = {"Pan": 0.0, "ZoomX": 1.0, "Opacity": 100.0} if is_clip else {}
        return found.get(propertyKey) if propertyKey else found

    # --- takes ------------------------------------------------------------------------------

    def AddTake(
        self,
        mediaPoolItem: MediaPoolItem,  # noqa: N803
        startFrame: int | None = None,  # noqa: N803
        endFrame: int | None = None,  # noqa: N803
    ) -> bool:
        """Add a take; the first makes the item a take selector. Both ends belong to it."""
        item, clip = self.model, mediaPoolItem.model
        if item is None or item.clip is None:
            return False
        base = clip.start if self._world.quirks.append_numbering == "file" else 0
        first = 0 if startFrame is None else startFrame - base
        last = clip.count - 1 if endFrame is None else endFrame - base
        if not 0 <= first <= last < clip.count:
            return False
        if not item.takes:
            item.takes = [Take(item.clip, item.first, item.count)]
            item.selected_take = 1
        is_errored = self._world.quirks.takes_vanish
        item.takes.append(Take(clip, first, last - first + 1, is_errored))
        return True

    def GetTakesCount(self) -> int:
        return 0 if self.model is None else len(self.model.takes)

    def GetSelectedTakeIndex(self) -> int:
        return 0 if self.model is None else self.model.selected_take

    def GetTakeByIndex(self, idx: int) -> dict[str, object]:
        from kwaflux_testing.fake_resolve.media import MediaPoolItem

        if self.model is None or not 1 <= idx <= len(self.model.takes):
            return {}
        take = self.model.takes[idx - 1]
        base = take.clip.start if self._world.quirks.append_numbering == "file" else 0
        return {
            "startFrame": base + take.first,
            "endFrame": base + take.first + take.count - 1,
            "mediaPoolItem": MediaPoolItem(self._world, take.clip),
        }

    def SelectTakeByIndex(self, idx: int) -> bool:
        if self.model is None or not 1 <= idx <= len(self.model.takes):
            return False
        self.model.selected_take = idx
        return True

    def DeleteTakeByIndex(self, idx: int) -> bool:
        """Delete a take, not the one that is shown; one that is left alone ends the selector."""
        item = self.model
        if item is None or not 1 <= idx <= len(item.takes) or idx == item.selected_take:
            return False
        shown = item.takes[item.selected_take - 1]
        item.takes.pop(idx - 1)
        item.selected_take = item.takes.index(shown) + 1
        if len(item.takes) == 1:
            item.clip, item.first = item.takes[0].clip, item.takes[0].first
            item.takes, item.selected_take = [], 0
        return True

    def FinalizeTake(self) -> bool:
        """End the selector: what was not shown is gone."""
        item = self.model
        if item is None or not item.takes:
            return False
        take = item.takes[item.selected_take - 1]
        item.clip, item.first, item.takes, item.selected_take = take.clip, take.first, [], 0
        return True

    # --- Fusion -----------------------------------------------------------------------------

    def AddFusionComp(self) -> Comp | None:
        if self.model is None or self.model.clip is None:
            return None
        comp = CompModel(f"Composition {len(self.model.comps) + 1}", self.model.count)
        self.model.comps.append(comp)
        return Comp(self._world, comp)

    def GetFusionCompCount(self) -> int:
        return 0 if self.model is None else len(self.model.comps)

    def GetFusionCompNameList(self) -> list[str]:
        return [comp.name for comp in _comps(self.model)]

    def GetFusionCompByName(self, compName: str) -> Comp | None:  # noqa: N803
        found = next((comp for comp in _comps(self.model) if comp.name == compName), None)
        return None if found is None else Comp(self._world, found)

    def RenameFusionCompByName(self, oldName: str, newName: str) -> bool:  # noqa: N803
        for comp in _comps(self.model):
            if comp.name == oldName:
                comp.name = newName
                return True
        return False

    def DeleteFusionCompByName(self, compName: str) -> bool:  # noqa: N803
        if self.model is None or not self.GetFusionCompByName(compName):
            return False
        self.model.comps = [comp for comp in _comps(self.model) if comp.name != compName]
        return True


class Timeline(Remote):
    """A timeline."""

    LATER: ClassVar[Mapping[str, tuple[int, ...]]] = {"GetSelectedClips": (21, 0, 4)}

    def __init__(self, world: World, model: Cut) -> None:
        super().__init__(world)
        self.model = model

    def GetName(self) -> str:
        return self.model.name

    def GetUniqueId(self) -> str:
        return self.model.uid

    def GetStartFrame(self) -> int:
        return self.model.start

    def GetEndFrame(self) -> int:
        ends = (item.end for track in self.model.tracks for item in track.items)
        return max(ends, default=self.model.start)

    def GetStartTimecode(self) -> str:
        return _timecode(self.model.start, self._rate)

    def SetStartTimecode(self, timecode: str) -> bool:
        """Set where it starts; not on a timeline that holds something."""
        if any(track.items for track in self.model.tracks):
            return False
        hours, minutes, seconds, frames = map(int, timecode.replace(";", ":").split(":"))
        if frames >= self._rate or minutes > 59 or seconds > 59:
            return False
        self.model.start = ((hours * 60 + minutes) * 60 + seconds) * self._rate + frames
        return True

    @property
    def _rate(self) -> int:
        return round(float(self._world.shown_setting(self.model, "timelineFrameRate")))

    def GetSetting(self, settingName: str = "") -> str | dict[str, str]:  # noqa: N803
        if settingName:
            if settingName == "useCustomSettings":
                return self.model.settings.get(settingName, "0")
            return self._world.shown_setting(self.model, settingName)
        return {**self._world.settings, **self.model.settings}

    def SetSetting(self, settingName: str, settingValue: str) -> bool:  # noqa: N803
        """Set; what is not custom is refused in silence, and so is some color management."""
        is_color = settingName.startswith("color")
        if is_color and settingName not in self._world.quirks.custom_color:
            return True
        if settingName != "useCustomSettings":
            if self.model.settings.get("useCustomSettings") != "1":
                return False
            has_items = any(track.items for track in self.model.tracks)
            if settingName == "timelineFrameRate" and has_items:
                return False
        self.model.settings[settingName] = settingValue
        return True

    def GetTrackCount(self, trackType: str) -> int:  # noqa: N803
        return len(self.model.tracks) if trackType == "video" else 0

    def AddTrack(self, trackType: str) -> bool:  # noqa: N803
        self.model.tracks.append(Track(f"Video {len(self.model.tracks) + 1}"))
        return True

    def DeleteTrack(self, trackType: str, trackIndex: int) -> bool:  # noqa: N803
        if len(self.model.tracks) < 2 or not 1 <= trackIndex <= len(self.model.tracks):
            return False
        self.model.tracks.pop(trackIndex - 1)
        return True

    def GetTrackName(self, trackType: str, trackIndex: int) -> str:  # noqa: N803
        return self.model.tracks[trackIndex - 1].name

    def SetTrackName(self, trackType: str, trackIndex: int, name: str) -> bool:  # noqa: N803
        self.model.tracks[trackIndex - 1].name = name
        return True

    def GetIsTrackLocked(self, trackType: str, trackIndex: int) -> bool:  # noqa: N803
        return self.model.tracks[trackIndex - 1].is_locked

    def GetItemListInTrack(self, trackType: str, index: int) -> list[TimelineItem] | None:  # noqa: N803
        if trackType != "video" or not 1 <= index <= len(self.model.tracks):
            return None
        return [TimelineItem(self._world, item) for item in self.model.tracks[index - 1].items]

    def GetCurrentVideoItem(self) -> TimelineItem | None:
        found = self.model.item_at(self.model.playhead)
        return None if found is None else TimelineItem(self._world, found)

    def GetSelectedClips(self) -> list[TimelineItem]:
        return [TimelineItem(self._world, item) for item in self.model.selected]

    def DeleteClips(self, timelineItems: list[TimelineItem], Bool: bool = False) -> bool:  # noqa: N803
        """Delete items: on the Edit page alone, and not always at the first attempt (measured)."""
        if self._world.quirks.has_ui and self._world.page != "edit":
            return False
        if self._world.quirks.deletes_late:
            self._world.quirks.deletes_late = False
            return False
        gone = [item.model for item in timelineItems]
        for track in self.model.tracks:
            track.items = [item for item in track.items if item not in gone]
        return True

    # --- markers ----------------------------------------------------------------------------

    def AddMarker(
        self,
        frameId: float,  # noqa: N803
        color: str,
        name: str,
        note: str,
        duration: float,
        customData: str = "",  # noqa: N803
    ) -> bool:
        """Add a marker; ``frameId`` counts from the timeline's start, and one frame has one."""
        frame = int(frameId)
        if frame in self.model.markers or color not in _FRAME_COLORS or frame < 0:
            return False
        self.model.markers[frame] = {
            "color": color,
            "name": name,
            "note": note,
            "duration": duration,
            "customData": customData,
        }
        return True

    def GetMarkers(self) -> dict[float, dict[str, object]]:
        return {float(frame): dict(marker) for frame, marker in self.model.markers.items()}

    def DeleteMarkerByCustomData(self, customData: str) -> bool:  # noqa: N803
        for frame, marker in list(self.model.markers.items()):
            if marker["customData"] == customData:
                del self.model.markers[frame]
                return True
        return False


def _comps(item: Placed | None) -> list[CompModel]:
    return [] if item is None else [comp for comp in item.comps if isinstance(comp, CompModel)]


def _timecode(frame: int, rate: int) -> str:
    seconds, frames = divmod(frame, rate)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}:{frames:02d}"
