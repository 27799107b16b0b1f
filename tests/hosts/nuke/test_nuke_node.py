"""The node in a script: what is in it, what it writes, what it says, and how little it touches."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from kwaflux_core.errors import HostError, ParamError
from kwaflux_core.flows.card import Card
from kwaflux_core.images.exr.read import read_exr
from kwaflux_hosting.panel.panel import Panel
from kwaflux_testing.effects import card
from kwaflux_testing.fake_nuke import commands, running
from kwaflux_testing.nuke_scenes import nuke_scene
from kwaflux_testing.packages import REPOSITORY
from kwaflux_testing.pictures import same_bits

PLUGIN = REPOSITORY / "hosts/nuke/kwaflux_nuke/plugin"
GOLDEN = Path(__file__).parent / "golden"


def _panel(*names: str, **changes: object) -> Panel:
    return Panel.from_descriptors(tuple(card(name, **changes) for name in names))


def _every_kind() -> Card:
    raw: list[dict[str, object]] = [
        {"name": "strength", "type": "double", "default": 0.6, "range": [0.0, 1.0]},
        {"name": "steps", "type": "int", "default": 3, "range": [1, 9]},
        {"name": "fast", "type": "boolean", "default": True},
        {"name": "curve", "type": "choice", "default": "log", "choices": ["srgb", "log"]},
        {"name": "note", "type": "string", "default": ""},
    ]
    params = [{"label": str(entry["name"]).title(), "hint": "A hint.", **entry} for entry in raw]
    return card("every_kind", params=params, identity_when={})


def test_knobs_are_made_of_descriptors_and_give_the_flow_back(tmp_path: Path) -> None:
    with nuke_scene(tmp_path) as scene:
        from kwaflux_nuke import knobs

        knobs.fill(scene.node, Panel.from_descriptors((_every_kind(), card("other"))))
        scene.set(kw_effect="every_kind")
        knob = scene.node["kw_every_kind_strength"]
        assert (knob.Class(), knob.label(), knob.min(), knob.max()) == (
            "Double_Knob", "Strength", 0.0, 1.0,
        )  # fmt: skip
        assert "A hint." in knob.tooltip()
        assert [knob.visible() for knob in _params(scene.node, "every_kind")] == [True] * 5
        scene.set(
            kw_every_kind_strength=0.30000001192092896,  # a slider's number
            kw_every_kind_steps=4,
            kw_every_kind_fast=False,
            kw_every_kind_curve="srgb",
            kw_every_kind_note='a "b"',
        )
        text = 'every_kind(strength=0.3, steps=4, fast=false, curve=srgb, note="a \\"b\\"")'
        assert knobs.flow_of(scene.node) == text
        assert scene.node["kw_flow"].value() == text
        scene.set(kw_effect="other")
        assert not any(knob.visible() for knob in _params(scene.node, "every_kind"))
        scene.set(kw_effect="every_kind", kw_every_kind_strength=7.0)
        with pytest.raises(ParamError, match="strength"):
            knobs.flow_of(scene.node)


def _params(node: Any, effect: str) -> list[Any]:
    return [knob for name, knob in node._knobs.items() if name.startswith(f"kw_{effect}_")]


def test_an_effect_that_comes_to_the_server_appears_and_one_that_goes_stays_chosen(
    tmp_path: Path,
) -> None:
    with nuke_scene(tmp_path) as scene:
        from kwaflux_nuke import knobs

        knobs.fill(scene.node, _panel("first", "second"))
        scene.set(kw_effect="second", kw_second_strength=0.25)
        knobs.fill(scene.node, _panel("first", "third"))
        labels = scene.node["kw_effect"].values()
        assert any(label.startswith("third\t") for label in labels)
        assert any("not on this server" in label for label in labels)
        assert knobs.flow_of(scene.node) == "second(strength=0.25)"
        knobs.fill(scene.node, _panel("first", "second"))
        assert not any("not on this server" in v for v in scene.node["kw_effect"].values())
        assert knobs.flow_of(scene.node) == "second(strength=0.25)"


def test_a_node_is_one_step_of_undo_and_stands_below_what_was_selected(tmp_path: Path) -> None:
    with running() as session:
        import nuke

        plate = nuke.nodes.Read(name="Plate")
        plate.setXYpos(30, 40)
        plate.setSelected(True)
        before = list(session.rules.undo)
        from kwaflux_nuke.node import create

        group = create()
        assert session.rules.undo == [*before, "Kwaflux"]
        assert group.input(0) is plate
        assert (group.xpos(), group.ypos()) == (30, 120)
        assert nuke.selectedNodes() == [group]
        assert [node.name() for node in group.nodes() if node.Class() == "Input"] == [
            "Input", "mask",
        ]  # fmt: skip
        assert not [node for node in group.nodes() if node.Class() == "Write"]
        assert create().name() == "Kwaflux2"


def test_the_hop_is_32_bit_float_with_every_channel_and_the_whole_header(tmp_path: Path) -> None:
    with nuke_scene(tmp_path, frames=range(7, 8)) as scene:
        from kwaflux_nuke.write_frames import render_frame

        scene.nuke.root["proxy"].setValue(True)
        scene.nuke.root["colorManagement"].setValue("OCIO")
        pattern = f"{tmp_path.as_posix()}/deep/hop.%04d.exr"
        render_frame(scene.node, 7, pattern=pattern, view="main")
        hop, plate = read_exr(tmp_path / "deep/hop.0007.exr").part, scene.plate(7).part
        assert hop.channels.keys() == plate.channels.keys()
        assert all(same_bits(hop.channels[name], plate.channels[name]) for name in hop.channels)
        assert (hop.data_window, hop.display_window) == (plate.data_window, plate.display_window)
        assert hop.attributes["camera"] == "A-cam"
        assert hop.attributes["nuke/node_hash"]
        assert scene.nuke.root["proxy"].value() is True


def test_a_nuke_that_cannot_write_losslessly_is_refused_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kwaflux_testing.fake_nuke import kinds

    lossy = {**kinds._EXR_KNOBS, "datatype": ("Enumeration_Knob", ["16 bit half"])}
    monkeypatch.setattr(kinds, "_EXR_KNOBS", lossy)
    with nuke_scene(tmp_path, frames=range(1, 2)) as scene:
        from kwaflux_nuke.write_frames import render_frame

        children = list(scene.node._children)
        with pytest.raises(HostError, match="datatype 32 bit float"):
            render_frame(scene.node, 1, pattern=f"{tmp_path}/x.%04d.exr", view="main")
        assert scene.node._children == children


def test_what_cannot_be_is_said_in_a_sentence_and_never_raised_at_the_person(
    tmp_path: Path,
) -> None:
    with nuke_scene(tmp_path) as scene:
        scene.set(kw_effect="Flow", kw_Flow_text="soften(")
        assert "soften(" in scene.press("enhance_range")
        scene.set(kw_Flow_text="identity", kw_range="custom", kw_frames="ten to twelve")
        assert "ten to twelve" in scene.press("enhance_range")
        scene.set(kw_frames="1001", kw_output="somewhere.mov")
        assert "name.%04d.exr" in scene.press("enhance_range")
        scene.set(kw_output="")
        scene.nuke.rules.executing = True
        assert "Nuke is rendering" in scene.press("enhance_range")
        scene.nuke.rules.executing = False
        scene.node.setInput(0, None)
        assert "nothing is connected" in scene.press("enhance_range")
        assert len(scene.nuke.messages) == 5
        assert not scene.nuke.rules.printed


def test_a_script_that_was_never_saved_or_cannot_be_written_to_has_results_at_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, shot = tmp_path / "home", tmp_path / "shot"
    home.mkdir()
    shot.mkdir()
    with nuke_scene(shot) as scene:
        from kwaflux_nuke import read_nodes

        monkeypatch.setattr(Path, "home", lambda: home)
        assert read_nodes.output_of(scene.node) == (
            f"{shot.as_posix()}/kwaflux/shot/Kwaflux1_v001/Kwaflux1_v001.%04d.exr"
        )
        scene.set(kw_output="")
        monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != shot)
        assert read_nodes.output_of(scene.node).startswith(f"{home.as_posix()}/kwaflux/shot/")
        scene.nuke.root._knobs["name"]._value = ""
        scene.set(kw_output="")
        assert read_nodes.output_of(scene.node).startswith(f"{home.as_posix()}/kwaflux/unsaved/")
        scene.press("version_up")
        assert scene.node["kw_output"].value().endswith("Kwaflux1_v002/Kwaflux1_v002.%04d.exr")


@pytest.mark.parametrize(
    ("management", "space", "name"),
    [
        ("Nuke", "linear", "Linear Rec.709 (sRGB)"),
        ("OCIO", "ACEScg", "ACEScg"),
        ("OCIO", "scene_linear", "ACEScg"),
        ("OCIO", "Studio Lin", "Studio Lin"),
    ],
)
def test_the_working_space_is_named_and_a_role_is_looked_behind(
    tmp_path: Path, management: str, space: str, name: str
) -> None:
    with nuke_scene(tmp_path) as scene:
        from kwaflux_nuke import knobs

        scene.nuke.root["colorManagement"].setValue(management)
        scene.nuke.root["workingSpaceLUT"].setValue(space)
        assert knobs.working_space() == name
        scene.set(kw_effect="Flow", kw_Flow_text="identity", kw_colorspace="ACES2065-1")
        assert knobs.request_of(scene.node).options.colorspace == "ACES2065-1"


def test_a_working_space_that_is_not_linear_is_refused_and_the_config_is_handed_on(
    tmp_path: Path,
) -> None:
    with nuke_scene(tmp_path) as scene:
        from kwaflux_nuke import knobs
        from kwaflux_nuke.knobs import server_environ

        scene.nuke.root["workingSpaceLUT"].setValue("Studio Lin")
        with pytest.raises(HostError, match="Studio Lin"):
            knobs.working_space()
        scene.nuke.root["colorManagement"].setValue("OCIO")
        scene.nuke.root["OCIO_config"].setValue("custom")
        scene.nuke.root["customOCIOConfigPath"].setValue("/show/config.ocio")
        assert server_environ()["OCIO"] == "/show/config.ocio"


def test_calls_reach_the_main_thread_and_errors_come_back_from_there() -> None:
    with running() as session:
        from kwaflux_nuke.nuke_api import on_main

        outcomes: list[object] = []

        def work() -> None:
            outcomes.append(on_main(lambda: threading.current_thread() is session.rules.main))
            try:
                on_main(lambda: dict[str, int]()["absent"])
            except KeyError as error:
                outcomes.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        session.rules.pump(until=lambda: len(outcomes) == 2)
        thread.join(5)
        assert outcomes[0] is True
        assert isinstance(outcomes[1], KeyError)
        assert on_main(lambda: 3) == 3
        assert not session.rules.printed


def test_a_script_opens_and_renders_its_results_where_kwaflux_is_not_installed(
    tmp_path: Path,
) -> None:
    with nuke_scene(tmp_path, frames=range(1, 4)) as scene:
        from kwaflux_hosting.batch.file_patterns import frame_path
        from kwaflux_hosting.batch.results_index import FrameRecord, ResultsIndex
        from kwaflux_nuke import callbacks, knobs, read_nodes

        scene.set(kw_effect="Flow", kw_Flow_text="identity")
        pattern, order = read_nodes.output_of(scene.node), knobs.request_of(scene.node)
        graph, record = read_nodes.remember_graph(scene.node), ResultsIndex.load(pattern)
        target = frame_path(pattern, 2)
        Path(target).parent.mkdir(parents=True)
        Path(target).write_bytes((tmp_path / "plate.0003.exr").read_bytes())
        entry = FrameRecord(state="good", order_key=order.key, source_key=graph).of_file(target)
        record.note(2, entry, order=order)
        record.save()
        callbacks._reload(scene.node)
        text = scene.nuke.text()
    assert scene.status == "2 ready"
    with running() as bare:
        import sys

        bare.open(text)
        node = bare.root.node("Kwaflux1")
        assert node is not None
        red = [bare.look(node, frame=frame).part.channels["R"] for frame in (1, 2, 3)]
        assert same_bits(red[1], red[2])
        assert not same_bits(red[0], red[1])
        sys.modules["kwaflux_nuke"] = None  # type: ignore[assignment]
        try:
            bare.press(node, "kw_enhance_range")
        finally:
            del sys.modules["kwaflux_nuke"]
        assert bare.messages == [
            "Kwaflux is not installed here. The results that are on disk are shown."
        ]
        assert bare.text() == text


def test_the_node_is_saved_as_the_golden_script_says(tmp_path: Path) -> None:
    with running() as session:
        import nuke

        from kwaflux_nuke import knobs
        from kwaflux_nuke.node import create

        nuke.nodes.Read(name="Plate").setSelected(True)
        knobs.fill(create(), Panel.from_descriptors((_every_kind(),)))
        session.root.node("Kwaflux1").node("KwReady")["which"].fromScript(  # type: ignore[union-attr]
            "{curve K x1000 0 x1001 1 x1051 0}"
        )
        text = session.text()
    golden = (GOLDEN / "node.nk").read_text(encoding="utf-8")
    assert text == golden, "look at the difference; if it is meant, write it to golden/node.nk"
    kinds = [words[0] for words in commands(text) if len(words) == 2 and words[0][0].isupper()]
    assert kinds == [
        "Root", "Read", "Group", "Input", "Input", "Read", "Switch", "Merge2", "Switch", "Output",
    ]  # fmt: skip


def test_scripts_as_nuke_writes_them_are_read() -> None:
    text = (GOLDEN / "as_nuke_writes.nk").read_text(encoding="utf-8")
    with running() as session:
        session.open(text)
        merge = session.root.node("Merge1")
        assert merge is not None
        assert [node and node.name() for node in merge._inputs] == ["Read1", "Grp", "Read1"]
        group = session.root.node("Grp")
        assert group is not None
        assert group["size"].value() == 12.5
        assert group["which"].value() == "b c"
        assert session.text().count("end_group") == 1


def test_the_menu_makes_a_node_and_a_farm_sees_no_window(tmp_path: Path) -> None:
    with running() as session:
        session.start(PLUGIN)
        command = session.menus["Nodes"].findItem("Kwaflux/Kwaflux")
        assert callable(command)
        assert len(session.knob_changed) == 1
        assert len(session.update_ui) == 1
    with running(gui=False) as farm:
        farm.start(PLUGIN)
        assert not farm.knob_changed


def test_an_installation_that_is_broken_never_blocks_nuke(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    with running() as session:
        session.start(PLUGIN)
        monkeypatch.setitem(sys.modules, "kwaflux_nuke", None)
        session.menus["Nodes"].findItem("Kwaflux/Kwaflux")()
        assert "Install it: kwaflux install nuke" in session.messages[0]
        import nuke

        node = nuke.nodes.Group(name="Other")
        node["label"].setValue("changed")
        session.idle()
        assert not session.rules.printed
