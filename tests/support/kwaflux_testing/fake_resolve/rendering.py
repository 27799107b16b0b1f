"""The render of the fake Resolve: it reads the media's EXR files and writes EXR files.

What a frame shows is the topmost enabled item, its take, its Fusion comp and its grade. Where color
management is on, numbers are converted on their way out, and clipped, as an output transform with
tone mapping does: whoever takes such frames for the source's numbers is caught.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kwaflux_core.images.exr.read import read_exr, write_exr
from kwaflux_core.images.image import Image
from kwaflux_testing.fake_resolve.fusion import CompModel, ToolModel, descends_from_media_in
from kwaflux_testing.fake_resolve.model import Cut, Job, Placed, World

__all__ = ["advance"]

_POLLS = 2
_PLANES = ("R", "G", "B")
Planes = npt.NDArray[np.float32]


def advance(world: World, job: Job) -> bool:
    """Let a job go on a little; return whether it still runs."""
    job.polls += 1
    if world.quirks.render_stalls:
        job.percent = 40
        return True
    if job.polls < _POLLS:
        job.percent = 100 * job.polls // (_POLLS + 1)
        return True
    if world.quirks.render_fails:
        job.error = "Full resolution media not found"
        return False
    _write(world, job)
    job.percent = 100
    return False


def _write(world: World, job: Job) -> None:
    settings, cut = job.settings, job.cut
    items = [item for track in cut.tracks for item in track.items]
    first, last = min(i.start for i in items), max(i.end for i in items) - 1
    if not settings.get("SelectAllFrames"):
        first, last = int(str(settings["MarkIn"])), int(str(settings["MarkOut"]))
    if not settings.get("ExportVideo"):
        Path(str(settings["TargetDir"]), f"{settings['CustomName']}.wav").write_bytes(b"RIFF")
        return
    codec = world.quirks.render_writes or job.codec
    for frame in range(first, last + 1 - world.quirks.render_frames_missing):
        planes = _fitted(_picture(world, cut, frame), world, job)
        dtype = np.float16 if "Half" in codec else np.float32
        # Individual clips are numbered from 0 each; a single clip by the timeline's frames.
        number = frame if job.mode == 1 else frame - first
        name = f"{settings['CustomName']}_{number:08d}.exr"
        channels = dict(zip(_PLANES, planes.astype(dtype), strict=True))
        write_exr(Path(str(settings["TargetDir"])) / name, Image.from_channels(channels))


def _picture(world: World, cut: Cut, frame: int) -> Planes:
    item = cut.item_at(frame)
    if item is None or item.clip is None:
        height, width = _size(world, cut)
        return np.zeros((3, height, width), np.float32)
    planes = _source(item, frame - item.start)
    for comp in item.comps:
        if isinstance(comp, CompModel) and descends_from_media_in(comp.out):
            planes = _tool(comp.out, planes, frame - item.start)
    return _delivered(world, cut, planes * np.float32(item.gain))


def _source(item: Placed, offset: int) -> Planes:
    clip, first = item.shown
    assert clip is not None
    return _read(clip.file(first + offset))


def _read(path: Path) -> Planes:
    """Return a file's color on its display window: overscan is cut off, as Resolve does."""
    part = read_exr(path).part
    box, data = part.display_window, part.data_window
    canvas = np.zeros((3, box.height, box.width), np.float32)
    x0, y0 = max(box.x0, data.x0), max(box.y0, data.y0)
    x1, y1 = min(box.x1, data.x1), min(box.y1, data.y1)
    color = np.stack([part.channels[name] for name in _PLANES]).astype(np.float32)
    inside = color[:, y0 - data.y0 : y1 - data.y0, x0 - data.x0 : x1 - data.x0]
    canvas[:, y0 - box.y0 : y1 - box.y0, x0 - box.x0 : x1 - box.x0] = inside
    return canvas


def _tool(tool: ToolModel, media: Planes, time: int) -> Planes:
    if tool.kind == "MediaIn":
        return media
    if tool.kind == "Loader":
        return _loaded(tool, time)
    if tool.kind == "MediaOut":
        return _tool(tool.sources["Input"], media, time)
    back = _tool(tool.sources["Background"], media, time)
    front = _tool(tool.sources["Foreground"], media, time)
    mix = float(str(tool.rendered.get("Mix", 0.5)))
    return front if mix == 1 else (back * (1 - mix) + front * mix).astype(np.float32)


def _loaded(tool: ToolModel, time: int) -> Planes:
    name = Path(str(tool.rendered["Clip"]))
    head, number, tail = re.fullmatch(r"(.*?)([0-9]+)(\.exr)", name.name).groups()  # type: ignore[union-attr]
    frame = int(number) + time - int(float(str(tool.rendered.get("GlobalIn", 0))))
    return _read(name.with_name(f"{head}{frame:0{len(number)}d}{tail}"))


def _delivered(world: World, cut: Cut, planes: Planes) -> Planes:
    """Return what leaves: the same numbers where nothing is managed or nothing converted."""
    science = world.shown_setting(cut, "colorScienceMode")
    spaces = {world.shown_setting(cut, f"colorSpace{name}") for name in ("Timeline", "Output")}
    if science == "davinciYRGB" or (len(spaces) == 1 and "Rec.709 (Scene)" not in spaces):
        return planes
    return (np.clip(planes, 0, 1) ** (1 / 2.4)).astype(np.float32)


def _size(world: World, cut: Cut) -> tuple[int, int]:
    width, height = (
        int(world.shown_setting(cut, f"timelineResolution{side}")) for side in ("Width", "Height")
    )
    return height, width


def _fitted(planes: Planes, world: World, job: Job) -> Planes:
    """Return the picture at the size that is delivered: scaled to the timeline, then to the job."""
    for height, width in (
        _size(world, job.cut),
        (int(str(job.settings["FormatHeight"])), int(str(job.settings["FormatWidth"]))),
    ):
        if planes.shape[1:] != (height, width):
            rows = np.arange(height) * planes.shape[1] // height
            columns = np.arange(width) * planes.shape[2] // width
            planes = planes[:, rows][:, :, columns]
    return np.ascontiguousarray(planes)
