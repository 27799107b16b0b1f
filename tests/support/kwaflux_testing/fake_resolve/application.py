"""Resolve, its project manager and its project: the names of the scripting API.

Sources: Blackmagic's scripting README of 24 Jul 2026; measured behavior from the public
"api-limitations" ledger of davinci-resolve-mcp, named at each method.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from kwaflux_testing.fake_resolve.fusion import Fusion
from kwaflux_testing.fake_resolve.media import MediaPool
from kwaflux_testing.fake_resolve.model import Job
from kwaflux_testing.fake_resolve.remote import Remote
from kwaflux_testing.fake_resolve.rendering import advance
from kwaflux_testing.fake_resolve.timeline import Timeline

__all__ = ["Project", "ProjectManager", "Resolve"]

_PAGES = ("media", "cut", "edit", "fusion", "color", "fairlight", "deliver")
_STATUS = {
    "en": {"ready": "Ready", "rendering": "Rendering", "complete": "Complete", "failed": "Failed"},
    "it": {
        "ready": "Pronto",
        "rendering": "Rendering",
        "complete": "Concluso",
        "failed": "Non riuscito",
    },
}
_KEYS = frozenset(
    [
        "SelectAllFrames",
        "MarkIn",
        "MarkOut",
        "TargetDir",
        "CustomName",
        "UniqueFilenameStyle",
        "ExportVideo",
        "ExportAudio",
        "FormatWidth",
        "FormatHeight",
        "FrameRate",
        "PixelAspectRatio",
        "VideoQuality",
        "AudioCodec",
        "AudioBitDepth",
        "AudioSampleRate",
        "ColorSpaceTag",
        "GammaTag",
        "ExportAlpha",
        "EncodingProfile",
        "MultiPassEncode",
        "AlphaMode",
        "NetworkOptimization",
        "ClipStartFrame",
        "TimelineStartTimecode",
        "ReplaceExistingFilesInPlace",
        "ExportSubtitle",
        "SubtitleFormat",
    ]
)
_LATER_KEYS = frozenset({"UseFullExtents", "AddFrameHandles", "DataBurnIn"})
_CODECS = {
    "exr": {
        "RGB half": "RGBHalf",
        "RGB half (ZIP)": "RGBHalfZIP",
        "RGB float": "RGBFloat",
        "RGB float (ZIP)": "RGBFloatZIP",
    },
    "mov": {"Apple ProRes 422 HQ": "ProRes422HQ"},
    "mp4": {"H.264": "H264"},
}


class Resolve(Remote):
    """The application."""

    def GetProductName(self) -> str:
        return self._world.product

    def GetVersion(self) -> list[object]:
        return [*self._world.version, ""]

    def GetVersionString(self) -> str:
        return ".".join(map(str, self._world.version))

    def GetProjectManager(self) -> ProjectManager:
        return ProjectManager(self._world)

    def Fusion(self) -> Fusion | None:
        """Give Fusion; there is none of use without a user interface."""
        return Fusion(self._world) if self._world.quirks.has_ui else None

    def GetCurrentPage(self) -> str | None:
        return self._world.page if self._world.quirks.has_ui else None

    def OpenPage(self, pageName: str) -> bool:  # noqa: N803
        if pageName not in _PAGES or not self._world.quirks.has_ui:
            return False
        self._world.page = pageName
        return True


class ProjectManager(Remote):
    """The projects; there is one, and it is open."""

    def GetCurrentProject(self) -> Project | None:
        return Project(self._world) if self._world.project else None

    def SaveProject(self) -> bool:
        """Save. A project that was never saved cannot be; headless the call would never return."""
        if self._world.project == "Untitled Project":
            assert self._world.quirks.has_ui, "SaveProject of an untitled project blocks for ever"
            return False
        if self._world.quirks.modal_is_open:
            return False
        self._world.save()
        return True


class Project(Remote):
    """A project: settings, timelines, and the Deliver page."""

    LATER: ClassVar[Mapping[str, tuple[int, ...]]] = {"GetQuickExportRenderPresets": (19, 1)}

    def GetName(self) -> str:
        return self._world.project

    def GetMediaPool(self) -> MediaPool:
        return MediaPool(self._world)

    def GetTimelineCount(self) -> int:
        return len(self._world.cuts)

    def GetTimelineByIndex(self, idx: int) -> Timeline | None:
        is_there = 1 <= idx <= len(self._world.cuts)
        return Timeline(self._world, self._world.cuts[idx - 1]) if is_there else None

    def GetCurrentTimeline(self) -> Timeline | None:
        return None if self._world.cut is None else Timeline(self._world, self._world.cut)

    def SetCurrentTimeline(self, timeline: Timeline) -> bool:
        if timeline.model not in self._world.cuts:
            return False
        self._world.cut = timeline.model
        return True

    def GetSetting(self, settingName: str = "") -> str | dict[str, str]:  # noqa: N803
        if not settingName:
            return dict(self._world.settings)
        return self._world.settings.get(settingName, "")

    def SetSetting(self, settingName: str, settingValue: str) -> bool:  # noqa: N803
        """Set; ACES transforms are refused in silence (measured)."""
        self._world.calls.append(f"Project.SetSetting({settingName})")
        if settingName in self._world.settings and not settingName.startswith("colorAces"):
            self._world.settings[settingName] = settingValue
        return True

    # --- the Deliver page -------------------------------------------------------------------

    def GetRenderFormats(self) -> dict[str, str]:
        return {"EXR": "exr", "QuickTime": "mov", "MP4": "mp4"}

    def GetRenderCodecs(self, renderFormat: str) -> dict[str, str]:  # noqa: N803
        """Give {label: id}; setters take ids alone."""
        return dict(_CODECS.get(renderFormat, {}))

    def GetCurrentRenderFormatAndCodec(self) -> dict[str, str]:
        return {"format": self._world.codec[0], "codec": self._world.codec[1]}

    def SetCurrentRenderFormatAndCodec(self, format: str, codec: str) -> bool:  # noqa: A002
        if codec not in _CODECS.get(format, {}).values():
            return False
        self._world.codec = (format, codec)
        return True

    def GetCurrentRenderMode(self) -> int:
        return self._world.render_mode

    def SetCurrentRenderMode(self, renderMode: int) -> bool:  # noqa: N803
        self._world.render_mode = renderMode
        return True

    def GetRenderPresetList(self) -> list[str]:
        return list(self._world.presets)

    def LoadRenderPreset(self, presetName: str) -> bool:  # noqa: N803
        found = self._world.presets.get(presetName)
        if found is None:
            return False
        self._world.deliver = {
            k: v for k, v in found.items() if k not in ("format", "codec", "mode")
        }
        if "format" in found:
            self._world.codec = (str(found["format"]), str(found["codec"]))
        self._world.render_mode = int(str(found.get("mode", self._world.render_mode)))
        return True

    def SaveAsNewRenderPreset(self, presetName: str) -> bool:  # noqa: N803
        if presetName in self._world.presets:
            return False
        kept = dict(zip(("format", "codec"), self._world.codec, strict=True))
        kept["mode"] = str(self._world.render_mode)
        self._world.presets[presetName] = {**self._world.deliver, **kept}
        return True

    def DeleteRenderPreset(self, presetName: str) -> bool:  # noqa: N803
        return self._world.presets.pop(presetName, None) is not None

    def SetRenderSettings(self, settings: dict[str, object]) -> bool:
        """Lay the keys over what the page holds; nothing can be read back (measured)."""
        known = _KEYS | (_LATER_KEYS if self._world.version >= (21, 0, 4) else frozenset())
        if not settings.keys() <= known:
            return False
        # Explicit "ExportVideo" over a preset of sound alone is accepted and has no effect.
        was_sound_alone = self._world.deliver.get("ExportVideo") is False
        self._world.deliver.update(settings)
        if was_sound_alone:
            self._world.deliver["ExportVideo"] = False
        return True

    def AddRenderJob(self) -> str:
        if self._world.cut is None:
            return ""
        job = Job(
            self._world.cut,
            dict(self._world.deliver),
            self._world.codec[1],
            self._world.render_mode,
        )
        self._world.jobs.append(job)
        return job.uid

    def DeleteRenderJob(self, jobId: str) -> bool:  # noqa: N803
        kept = [job for job in self._world.jobs if job.uid != jobId]
        is_gone = len(kept) < len(self._world.jobs)
        self._world.jobs = kept
        return is_gone

    def GetRenderJobList(self) -> list[dict[str, str]]:
        return [{"JobId": job.uid, "TimelineName": job.cut.name} for job in self._world.jobs]

    def StartRendering(self, jobIds: list[str], isInteractiveMode: bool = False) -> bool:  # noqa: N803
        asked = [job for job in self._world.jobs if job.uid in jobIds]
        if not asked or self._world.rendering:
            return False
        self._world.rendering = asked
        return True

    def StopRendering(self) -> None:
        self._world.rendering = []

    def IsRenderingInProgress(self) -> bool:
        """Tell, and render a little: time passes while a script asks."""
        self._world.rendering = [job for job in self._world.rendering if advance(self._world, job)]
        return bool(self._world.rendering)

    def GetRenderJobStatus(self, jobId: str) -> dict[str, object]:  # noqa: N803
        """Say how a job is, in the application's language (measured)."""
        job = next((job for job in self._world.jobs if job.uid == jobId), None)
        if job is None:
            return {}
        state = "rendering" if job in self._world.rendering else "ready"
        state = "complete" if job.percent == 100 else state
        state = "failed" if job.error else state
        answer: dict[str, object] = {
            "JobStatus": _STATUS[self._world.quirks.language][state],
            "CompletionPercentage": job.percent,
        }
        return {**answer, "Error": job.error} if job.error else answer
