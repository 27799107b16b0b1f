"""The run of *Enhance*: knobs are read, frames are rendered and enhanced, results are shown."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

from kwaflux_core.errors import HostError
from kwaflux_core.frames.frame_range import FrameRange
from kwaflux_hosting.exchange_folder import check_room
from kwaflux_hosting.node_host.enhance import EnhanceRequest, NodeEnhance, State, opener
from kwaflux_nuke import knobs, read_nodes
from kwaflux_nuke.node import connect_mask
from kwaflux_nuke.nuke_api import beside, nuke, on_main
from kwaflux_nuke.write_frames import is_busy, picture_bytes, render_frame

__all__ = ["Enhancement", "requested_frames", "running"]

_POLL_S = 0.1
_SHOW_S = 0.5
_RUNNING: list[Enhancement] = []


def running(group: nuke.Group) -> Enhancement | None:
    """Return what is under way for a node."""
    return next((found for found in _RUNNING if found.group == group), None)


def requested_frames(group: nuke.Group) -> tuple[int, ...]:
    """Return the frames that the node's range says."""
    mode = knobs.text(group, "range")
    if mode == "custom":
        return tuple(sorted(FrameRange.parse(knobs.text(group, "frames"))))
    if mode == "still":
        return (nuke.frame(),)
    node = nuke.root() if mode == "script" else group
    return tuple(range(int(node.firstFrame()), int(node.lastFrame()) + 1))


class Enhancement:
    """Hold one press, of ``frames`` or the node's range. Make it in the main thread, ``start`` it.

    Raises:
        KwafluxError: Something is not set, or cannot be; it says what.
    """

    def __init__(
        self, group: nuke.Group, *, frames: Sequence[int] = (), is_redone: bool = False
    ) -> None:
        if group.input(0) is None:
            raise HostError("nothing is connected", hint="connect a plate to the first input")
        if is_busy():
            raise HostError("Nuke is rendering", hint="press again when it has ended")
        self.group = group
        self.work = NodeEnhance(
            _asked(group, tuple(frames) or requested_frames(group), is_redone=is_redone),
            render=self._render,
            look=lambda state: on_main(lambda: self._update(state)),
            open_client=opener("nuke", knobs.server_environ()),
        )
        needed_bytes = picture_bytes(group) * self.work.asked.count
        check_room(os.path.dirname(self.work.asked.pattern), needed_bytes=needed_bytes)
        self._shown: tuple[int, float] = (0, 0.0)
        self._task: nuke.ProgressTask | None = None

    def start(self) -> None:
        """Run in a thread of its own; without windows, here, before this returns."""
        _RUNNING.append(self)
        if nuke.GUI:
            self._task = nuke.ProgressTask(f"Kwaflux: {self.work.asked.order.flow}")
        beside(self._run, name="kwaflux-nuke")

    def _run(self) -> None:
        self.work.run()
        _RUNNING.remove(self)
        try:
            on_main(self._close)
        except Exception as error:  # noqa: BLE001 - the node is gone; what is done is on disk
            self.work.problem = self.work.problem or str(error)

    def _render(self, frame: int, *, pattern: str, view: str) -> None:
        while on_main(is_busy):  # the person renders something else
            time.sleep(_POLL_S)
        on_main(lambda: render_frame(self.group, frame, pattern=pattern, view=view))

    def _update(self, state: State) -> bool:
        """Show how far it is; tell whether the person pressed Cancel."""
        knobs.tell(self.group, state.text)
        ended, shown_s = self._shown
        if state.ended != ended and time.monotonic() - shown_s > _SHOW_S:
            self._show()
            self._shown = (state.ended, time.monotonic())
        if self._task is None:
            return False
        self._task.setMessage(state.text)
        self._task.setProgress(int(100 * state.fraction))
        return bool(self._task.isCancelled())

    def _show(self) -> None:
        asked = self.work.asked
        read_nodes.refresh(self.group, asked.pattern, order=asked.order, graph=asked.source_key)

    def _close(self) -> None:
        self._task = None  # its window goes with it
        read_nodes.reload(self.group)
        self._show()
        knobs.tell(self.group, self.work.summary())


def _asked(group: nuke.Group, frames: tuple[int, ...], *, is_redone: bool) -> EnhanceRequest:
    order, graph = knobs.request_of(group), read_nodes.remember_graph(group)
    pattern, views = read_nodes.output_of(group), read_nodes.views_of(group)
    is_redone = is_redone or bool(group[f"{knobs.PREFIX}redo"].value())
    connect_mask(group)
    known = read_nodes.refresh(group, pattern, order=order, graph=graph)
    todo = {v: [n for n in frames if is_redone or known[v].get(n) != "ready"] for v in views}
    panel = knobs.panel_of(group)
    ends = (int(group.firstFrame()), int(group.lastFrame()), *frames)
    return EnhanceRequest(
        order=order,
        pattern=pattern,
        todo=todo,
        total=len(frames) * len(views),
        span=range(min(ends), max(ends) + 1),
        around=panel.frames_around(order.flow) if panel is not None else (0, 0),
        source_key=graph,
        is_redone=is_redone,
    )
