"""The window in Resolve: built from descriptors, never frozen, and the console says the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from kwaflux_core.errors import HostError
from kwaflux_core.flows.card import Card
from kwaflux_hosting.panel.controls_from_cards import FREE_TEXT
from kwaflux_hosting.panel.panel import Panel
from kwaflux_hosting.timeline_host.clip_request import ClipRequest
from kwaflux_resolve import entry_points
from kwaflux_resolve.dialog import Dialog
from kwaflux_resolve.entry_points import DIALOG_CONTROLS, ResolveTimelineHost
from kwaflux_resolve.host import Host, find_host
from kwaflux_resolve.place_results import PLACEMENTS
from kwaflux_testing.effects import card
from kwaflux_testing.fake_resolve.model import Quirks
from kwaflux_testing.fake_resolve.scenes import Scene, scene
from kwaflux_testing.fake_resolve.windows import FakeUser, UIDispatcher, Window

PARAMS = [
    {"name": "strength", "type": "double", "label": "Strength", "hint": "How much.",
     "default": 0.5, "range": [0.0, 1.0]},
    {"name": "passes", "type": "int", "label": "Passes", "hint": "How often.", "default": 2,
     "range": [1, 8]},
    {"name": "keep", "type": "boolean", "label": "Keep", "hint": "Whether.", "default": True},
    {"name": "kind", "type": "choice", "label": "Kind", "hint": "Which.", "default": "soft",
     "choices": ["hard", "soft"]},
    {"name": "note", "type": "string", "label": "Note", "hint": "What.", "default": "a b"},
]  # fmt: skip


def _panel(*names: str) -> Panel:
    cards: tuple[Card, ...] = (card("all_kinds", params=PARAMS),)
    return Panel.from_descriptors((*cards, *(card(name) for name in names)))


def _names(found: Scene, user: FakeUser) -> dict[str, object]:
    """Return what a menu script is given: Resolve, and ``bmd`` with a person at the screen."""
    bmd = SimpleNamespace(UIDispatcher=lambda ui: UIDispatcher(ui, user=user))
    return {**found.names, "bmd": bmd}


def _dialog(found: Scene, user: FakeUser, panel: Panel | None = None) -> Dialog:
    host = find_host(_names(found, user))
    makers = host.window_makers()
    assert makers is not None
    return Dialog(ResolveTimelineHost(host), panel or _panel(), makers=makers)


def _said(window: Window) -> str:
    return str(window.GetItems()["Status"].Text)


def test_every_kind_of_control_has_its_widget_and_its_value(tmp_path: Path) -> None:
    user = FakeUser()
    dialog = _dialog(scene(tmp_path), user)
    assert dialog.flow() == ('all_kinds(strength=0.5, passes=2, keep=true, kind=soft, note="a b")')
    (window,) = user.windows
    for identity, name, value in (
        ("strength", "Value", 0.25), ("passes", "Value", 5.0), ("keep", "Checked", False),
        ("kind", "CurrentIndex", 0), ("note", "Text", "c"),
    ):  # fmt: skip
        FakeUser.enter(f"all_kinds_{identity}", name, value)(window)
    assert dialog.flow() == "all_kinds(strength=0.25, passes=5, keep=false, kind=hard, note=c)"


def test_ranges_and_help_come_from_the_descriptor(tmp_path: Path) -> None:
    user = FakeUser()
    _dialog(scene(tmp_path), user)
    widget = user.windows[0].GetItems()["all_kinds_passes"]
    assert (widget.Minimum, widget.Maximum, widget.ToolTip) == (1, 8, "How often.")


def test_an_effect_added_on_the_server_is_there_with_no_line_changed(tmp_path: Path) -> None:
    user = FakeUser()
    dialog = _dialog(scene(tmp_path), user, _panel("brand_new"))
    (window,) = user.windows
    FakeUser.choose("Effect", "Brand_New")(window)
    assert dialog.flow() == "brand_new(strength=1.0)"
    items = window.GetItems()
    assert not items["brand_new"].Hidden
    assert items["all_kinds"].Hidden


def test_a_flow_can_be_typed_and_a_wrong_one_is_pointed_at(tmp_path: Path) -> None:
    user = FakeUser()
    dialog = _dialog(scene(tmp_path), user)
    (window,) = user.windows
    FakeUser.choose("Effect", "Flow as text")(window)
    FakeUser.enter(f"{FREE_TEXT}_text", "Text", "denoise | regrain(amount=1)")(window)
    assert dialog.flow() == "denoise | regrain(amount=1)"
    FakeUser.enter(f"{FREE_TEXT}_text", "Text", "denoise |")(window)
    FakeUser.press("Enhance")(window)
    assert "denoise |" in _said(window)


def test_mode_source_handles_and_colorspace_are_asked(tmp_path: Path) -> None:
    user = FakeUser()
    dialog = _dialog(scene(tmp_path), user)
    (window,) = user.windows
    for act in (
        FakeUser.choose("Resolve_mode", "track"),
        FakeUser.enter("Resolve_is_graded", "Checked", True),
        FakeUser.enter("Resolve_handles", "Value", 8),
        FakeUser.enter("Resolve_colorspace", "Text", "ACEScg"),
    ):
        act(window)
    wish = ClipRequest.of(dialog.flow(), dialog.asked(), asked=DIALOG_CONTROLS)
    assert (wish.mode, wish.is_graded, wish.handles, wish.colorspace) == (
        "track",
        True,
        8,
        "ACEScg",
    )


def test_every_way_back_can_be_chosen_and_is_one_that_there_is() -> None:
    (mode,) = [control for control in DIALOG_CONTROLS.controls if control.name == "mode"]
    assert mode.choices == tuple(PLACEMENTS)
    asked = {control.name for control in DIALOG_CONTROLS.controls}
    assert asked == {field.name for field in fields(ClipRequest)} - {"flow"}


def test_a_graded_picture_is_not_graded_twice() -> None:
    for mode in ("take", "replace", "fusion"):
        with pytest.raises(HostError, match="graded twice"):
            ClipRequest(flow="denoise", mode=mode, is_graded=True)


def test_the_window_goes_on_while_the_work_does_and_cancel_ends_it(tmp_path: Path) -> None:
    found = scene(tmp_path, quirks=Quirks(render_stalls=True))
    user = FakeUser(
        [
            FakeUser.enter("Resolve_colorspace", "Text", "scene_linear"),
            FakeUser.press("Enhance"),
            FakeUser.until(lambda window: "Resolve renders, 40 %" in _said(window)),
            FakeUser.press("Cancel"),
            FakeUser.until(lambda window: _said(window) == "Cancelled"),
            FakeUser.close,
        ]
    )
    dialog = _dialog(found, user)
    dialog.run()
    assert found.world.rendering == []
    assert [cut.name for cut in found.world.cuts] == ["edit"]
    assert not user.windows[0].is_shown


def test_closing_the_window_cancels_what_runs(tmp_path: Path) -> None:
    found = scene(tmp_path, quirks=Quirks(render_stalls=True))
    user = FakeUser(
        [
            FakeUser.enter("Resolve_colorspace", "Text", "scene_linear"),
            FakeUser.press("Enhance"),
            FakeUser.until(lambda window: "40 %" in _said(window)),
            FakeUser.close,
        ]
    )
    _dialog(found, user).run()
    assert found.world.rendering == []
    assert [cut.name for cut in found.world.cuts] == ["edit"]


def test_a_refusal_is_shown_and_the_window_stays(tmp_path: Path) -> None:
    found = scene(tmp_path)
    said: list[str] = []
    user = FakeUser(
        [
            FakeUser.press("Enhance"),
            FakeUser.until(lambda window: "colorspace is not known" in _said(window)),
            lambda window: said.append(_said(window)),
            FakeUser.press("Revert"),
            FakeUser.until(lambda window: "nothing to revert" in _said(window)),
            FakeUser.close,
        ]
    )
    _dialog(found, user).run()
    assert "ACEScg" in said[0]


# --- without a window ---------------------------------------------------------------------------


@pytest.fixture
def spoken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found: list[str] = []
    monkeypatch.setattr(entry_points, "_say", found.append)
    monkeypatch.setattr(ResolveTimelineHost, "panel", lambda self: _panel())
    return found


def test_the_menu_opens_the_window(tmp_path: Path, spoken: list[str]) -> None:
    user = FakeUser([FakeUser.close])
    entry_points.menu(_names(scene(tmp_path), user))
    assert len(user.windows) == 1
    assert spoken == []


def test_without_a_window_the_menu_says_how_else(tmp_path: Path, spoken: list[str]) -> None:
    found = scene(tmp_path, quirks=Quirks(has_ui=False))
    entry_points.menu(_names(found, FakeUser()))
    assert "main(['--flow', 'denoise'], names=globals())" in spoken[0]


def test_the_menu_says_why_and_never_raises(tmp_path: Path, spoken: list[str]) -> None:
    found = scene(tmp_path)
    found.world.product = "DaVinci Resolve"
    entry_points.menu(_names(found, FakeUser()))
    assert "Kwaflux needs DaVinci Resolve Studio" in spoken[0]


@pytest.mark.parametrize("has_ui", [True, False])
def test_the_console_lists_what_there_is(tmp_path: Path, spoken: list[str], has_ui: bool) -> None:
    found = scene(tmp_path, quirks=Quirks(has_ui=has_ui))
    assert entry_points.main([], names=found.names) == 0
    assert any(line.startswith("all_kinds ") for line in spoken)


def test_the_console_fails_with_a_reason_and_a_status(tmp_path: Path, spoken: list[str]) -> None:
    assert entry_points.main(["--flow", "denoise"], names=scene(tmp_path).names) == 1
    assert "colorspace is not known" in spoken[-1]
    assert entry_points.main(["--revert"], names=scene(tmp_path / "b").names) == 1
    assert "Kwaflux is on this timeline" in spoken[-1]


def test_ctrl_c_on_the_console_cancels(
    tmp_path: Path, spoken: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = scene(tmp_path, quirks=Quirks(render_stalls=True, has_ui=False))
    pauses: list[float] = []

    def interrupted(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("kwaflux_hosting.timeline_host.task_runner.time.sleep", interrupted)
    asked = ["--flow", "denoise", "--colorspace", "scene_linear"]
    assert entry_points.main(asked, names=found.names) == 1
    assert spoken[-1] == "Cancelled; nothing was imported"
    assert found.world.rendering == []
    assert [cut.name for cut in found.world.cuts] == ["edit"]


def _run_script(names: dict[str, object], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the menu script as Resolve does: its text, with no ``__file__``."""
    import kwaflux_resolve

    package = Path(kwaflux_resolve.__file__).parent
    script = package / "scripts" / "Kwaflux.py"
    monkeypatch.setenv("KWAFLUX_RESOLVE_DIR", str(folder))
    exec(compile(script.read_text(encoding="utf-8"), "<menu>", "exec"), dict(names))


def test_the_menu_script_needs_no_file_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[object] = []
    opened: Callable[[object], None] = given.append
    monkeypatch.setattr(entry_points, "menu", opened)
    _run_script({"resolve": "it"}, tmp_path, monkeypatch)
    (names,) = given
    assert isinstance(names, dict)
    assert names["resolve"] == "it"
    assert "__file__" not in names


def test_the_menu_script_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "kwaflux_resolve.entry_points", None)
    _run_script({}, tmp_path, monkeypatch)
    assert "kwaflux install resolve" in capsys.readouterr().out


def test_a_person_hears_of_a_state_that_did_not_come_back(tmp_path: Path) -> None:
    found = scene(tmp_path)
    said: list[str] = []
    host = replace(find_host(found.names), say=said.append)
    assert isinstance(host, Host)
    with host.kept():
        found.world.presets.clear()
    assert any("render settings" in line for line in said)
    assert found.world.cut is found.cut
