"""Dialog and command line over a fake timeline host."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from kwaflux_core.errors import FlowError, HostError, ParamError
from kwaflux_hosting.panel.controls import Control, EffectEntry
from kwaflux_hosting.panel.panel import Panel
from kwaflux_hosting.timeline_host.clip_request import ClipRequest
from kwaflux_hosting.timeline_host.command_line import run_command
from kwaflux_hosting.timeline_host.dialog_model import DialogModel
from kwaflux_hosting.timeline_host.enhance import ResultFolder
from kwaflux_hosting.timeline_host.media import MediaInfo
from kwaflux_hosting.timeline_host.result_marker import (
    ResultMarker,
    check_stays,
    new_job,
    read_markers,
)
from kwaflux_hosting.timeline_host.timeline_host import TimelineHost
from kwaflux_testing.effects import card

DIALOG_CONTROLS = EffectEntry(
    id="Here",
    label="Here",
    help="",
    controls=(
        Control(name="is_graded", kind="boolean", label="G", help="g", default=False),
        Control(name="handles", kind="int", label="H", help="h", default=0, minimum=0, maximum=9),
        Control(name="gain", kind="double", label="D", help="d", default=1.0,
                minimum=0, maximum=2),
        Control(name="mode", kind="choice", label="M", help="m", default="take",
                choices=("take", "track")),
    ),
)  # fmt: skip


@dataclass
class FakeHost:
    """Do nothing, and remember what was asked."""

    steps: tuple[str, ...] = ("one", "two")
    asked: EffectEntry = DIALOG_CONTROLS
    calls: list[object] = field(default_factory=list)
    jobs: list[ResultMarker] = field(default_factory=list)
    error: BaseException | None = None

    def panel(self) -> Panel:
        return Panel.from_descriptors((card("soften"),))

    def enhance(
        self, flow: str, values: Mapping[str, object]
    ) -> Generator[str, None, list[ResultMarker]]:
        self.calls.append((flow, self.asked.checked(values)))
        try:
            yield from self.steps
            if self.error is not None:
                raise self.error
        finally:
            self.calls.append("closed")
        return self.jobs

    def check(self) -> Generator[str, None, bool]:
        yield "checked"
        return self.error is None

    def made(self) -> list[ResultMarker]:
        return self.jobs

    def revert(self, made: ResultMarker) -> None:
        self.calls.append(made.job)
        self.jobs.remove(made)


class FakeDialog(DialogModel):
    """A dialog whose widgets are a dict."""

    def __init__(self, host: TimelineHost) -> None:
        super().__init__(host, host.panel())
        self.said: list[str] = []
        self.held = {name: control.default for name, control in self.rows.items()}

    def say(self, text: str) -> None:
        self.said.append(text)

    def chosen(self) -> int:
        return 0

    def value(self, group: str, control: Control) -> object:
        return self.held[f"{group}_{control.name}"]


def _made(job: str) -> ResultMarker:
    return ResultMarker(job=job, mode="take", item="x")


def _typed(host: FakeHost, *arguments: str) -> tuple[int, list[str]]:
    said: list[str] = []
    find: Callable[[], TimelineHost] = lambda: host  # noqa: E731
    return run_command(find, arguments, asked=DIALOG_CONTROLS.controls, say=said.append), said


def test_options_are_what_the_controls_say() -> None:
    host = FakeHost()
    asked = ("--graded", "--handles", "3", "--gain", "0.5", "--mode", "track")
    assert _typed(host, "--flow", "soften", *asked) == (0, ["one", "two"])
    assert host.calls[0] == (
        "soften", {"is_graded": True, "handles": 3, "gain": 0.5, "mode": "track"}
    )  # fmt: skip


@pytest.mark.parametrize("typed", [("--mode", "up"), ("--handles", "x")])
def test_an_option_that_no_control_takes_is_refused_before_a_host_is_found(
    typed: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        _typed(FakeHost(), "--flow", "soften", *typed)
    assert typed[0] in capsys.readouterr().err


def test_a_value_out_of_range_is_said() -> None:
    status, said = _typed(FakeHost(), "--flow", "soften", "--handles", "10")
    assert status == 1
    assert "handles" in said[0]


def test_ctrl_c_closes_the_work() -> None:
    host = FakeHost(error=KeyboardInterrupt())
    assert _typed(host, "--flow", "soften") == (
        1, ["one", "two", "Cancelled; nothing was imported"]
    )  # fmt: skip
    assert host.calls[-1] == "closed"


def test_without_options_it_says_what_there_is_and_was_made() -> None:
    status, said = _typed(FakeHost(jobs=[_made("kw1")]))
    assert status == 0
    assert said[0].startswith("soften ")
    assert said[-1] == "kw1: a take on this timeline"


def test_the_last_job_or_a_named_one_is_reverted_and_no_other() -> None:
    host = FakeHost(jobs=[_made("kw1"), _made("kw2"), _made("kw3")])
    assert _typed(host, "--revert")[0] == 0
    assert _typed(host, "--revert", "kw1")[0] == 0
    assert host.calls == ["kw3", "kw1"]
    status, said = _typed(host, "--revert", "kw9")
    assert status == 1
    assert "kw9" in said[0]


def test_a_check_that_is_not_good_has_a_status() -> None:
    assert _typed(FakeHost(), "--check") == (0, ["checked"])
    assert _typed(FakeHost(error=HostError("it")), "--check")[0] == 1


# --- the dialog -----------------------------------------------------------------------------------


def test_a_dialog_goes_on_with_its_timer_and_does_one_thing_at_a_time() -> None:
    host = FakeHost(jobs=[_made("kw1")])
    dialog = FakeDialog(host)
    dialog.buttons["Enhance"]()
    dialog.tick()
    dialog.buttons["Enhance"]()
    dialog.buttons["Check"]()
    dialog.buttons["Revert"]()
    assert len(host.jobs) == 1
    dialog.tick()
    dialog.tick()
    dialog.tick()
    assert dialog.said == ["one", "two"]
    assert host.calls == [("soften(strength=1.0)", dialog.asked()), "closed"]
    dialog.buttons["Revert"]()
    dialog.buttons["Revert"]()
    assert dialog.said[2:] == ["kw1 is reverted", "There is nothing to revert"]


@pytest.mark.parametrize("how", ["Cancel", "close"])
def test_a_dialog_closes_what_goes_on(how: str) -> None:
    host = FakeHost()
    dialog = FakeDialog(host)
    dialog.buttons["Enhance"]()
    dialog.tick()
    dialog.buttons["Cancel"]() if how == "Cancel" else dialog.close()
    assert host.calls[-1] == "closed"
    assert dialog.said[1:] == (["Cancelled"] if how == "Cancel" else [""])
    dialog.tick()
    assert len(dialog.said) == 2


def test_what_is_wrong_is_shown_and_the_dialog_can_go_on() -> None:
    host = FakeHost(error=HostError("it broke", hint="mend it"))
    dialog = FakeDialog(host)
    dialog.held["Here_handles"] = 99
    dialog.buttons["Enhance"]()
    assert "handles" in _after(dialog, 1)[-1]
    dialog.held["Here_handles"] = 1
    dialog.buttons["Enhance"]()
    assert "it broke" in _after(dialog, 3)[-1]
    dialog.buttons["Check"]()
    assert _after(dialog, 1)[-1] == "checked"


def _after(dialog: FakeDialog, ticks: int) -> list[str]:
    for _ in range(ticks):
        dialog.tick()
    return dialog.said


def test_the_rows_of_the_effect_are_shown_and_what_is_asked_beside() -> None:
    dialog = FakeDialog(FakeHost())
    assert [name for name in dialog.groups if dialog.is_shown(name)] == ["soften", "Here"]


# --- wishes, results, records ---------------------------------------------------------------------


def test_a_wish_is_checked_and_may_not_contradict_itself() -> None:
    asked = EffectEntry(id="Here", label="", help="", controls=DIALOG_CONTROLS.controls[:2])
    assert ClipRequest.of("soften", {"handles": 2.0, "other": 1}, asked=asked).handles == 2
    with pytest.raises(ParamError):
        ClipRequest.of("soften", {"handles": -1}, asked=asked)
    with pytest.raises(FlowError):
        ClipRequest(flow="|")
    with pytest.raises(HostError, match="graded twice"):
        ClipRequest(flow="soften", is_graded=True)


def test_a_version_is_in_use_once_it_was_brought_back(tmp_path: Path) -> None:
    media = MediaInfo(name="a_.[1-5].exr", path=f"{tmp_path}/a_.[1-5].exr", first=1, last=5, fps=24,
                    size_px=(2, 2))  # fmt: skip
    first = ResultFolder.next_of(media)
    assert first.pattern == f"{tmp_path}/kwaflux/a/v001/a_v001.%04d.exr"
    Path(first.path).mkdir(parents=True)
    assert ResultFolder.next_of(media) == first
    first.set_in_use("{}")
    assert ResultFolder.next_of(media).stem == "a_v002"
    assert ResultFolder.next_of(media, root=f"{tmp_path}/out").path == f"{tmp_path}/out/a/v001"
    result = MediaInfo(name="a_v001.exr", path=f"{first.path}/a.exr", first=1, last=1, fps=24,
                     size_px=(2, 2))  # fmt: skip
    with pytest.raises(HostError, match="itself a result"):
        ResultFolder.next_of(result)


def test_records_come_back_in_the_order_of_time_and_foreign_ones_do_not() -> None:
    late, early = _made("kw20260102"), _made("kw20260101")
    texts = [late.data, "", '{"other":1}', '{"kwaflux":1,', '{"kwaflux":2}', early.data]
    assert read_markers([*texts, '{"kwaflux":1,"from":"later"}']) == [early, late]
    assert new_job() < "kw3"


def test_a_result_is_looked_for_before_and_after_the_save() -> None:
    calls: list[str] = []
    found = iter((True, False))
    with pytest.raises(HostError, match="after the project was saved"):
        check_stays(lambda: next(found), save=lambda: calls.append("saved"))
    assert calls == ["saved"]
    with pytest.raises(HostError, match=r"on the timeline\. run"):
        check_stays(lambda: False, save=lambda: calls.append("again"))
    assert calls == ["saved"]
