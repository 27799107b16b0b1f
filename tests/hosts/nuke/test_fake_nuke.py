"""The fake Nuke keeps the rules of the real one, the unkind ones above all."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kwaflux_core.images.exr.read import read_exr
from kwaflux_testing.fake_nuke import FakeNuke, running
from kwaflux_testing.pictures import plate


def _write(session: FakeNuke, folder: Path) -> Any:
    import nuke

    source = nuke.nodes.CheckerBoard2(name="Source")
    session.plates["Source"] = lambda frame, view: plate(seed=int(frame))
    write = nuke.nodes.Write(name="Out", inputs=[source], create_directories=True)
    write["file"].setValue(f"{folder.as_posix()}/out/out.%V.%04d.exr")
    return write


def test_the_codecs_knobs_come_and_go_with_the_file_type() -> None:
    with running() as session:
        write = _write(session, Path("nowhere"))
        assert write.knob("datatype") is None
        with pytest.raises(NameError, match="datatype"):
            write["datatype"]
        write["file_type"].setValue("exr")
        write["datatype"].setValue("32 bit float")
        write["file_type"].setValue("png")
        write["file_type"].setValue("exr")
        assert write["datatype"].value() == "16 bit half"


def test_a_write_as_it_is_made_loses_precision_channels_metadata_and_size(tmp_path: Path) -> None:
    with running() as session:
        import nuke

        write = _write(session, tmp_path)
        nuke.execute(write, 3, 3)
        part = read_exr(tmp_path / "out/out.main.0003.exr").part
        assert set(part.channels) == {"R", "G", "B"}
        assert all(pixels.dtype == np.float16 for pixels in part.channels.values())
        assert "comments" not in part.attributes
        session.root["proxy"].setValue(True)
        nuke.execute(write, 4, 4)
        small = read_exr(tmp_path / "out/out.main.0004.exr").part
        assert small.data_window.width * 2 == part.data_window.width
        write["file"].setValue(str(tmp_path) + "\\back\\slash.%04d.exr")
        with pytest.raises(RuntimeError, match="cannot write"):
            nuke.execute(write, 1, 1)


def test_an_enumeration_says_nothing_to_a_value_that_it_does_not_have() -> None:
    with running() as session:
        write = _write(session, Path("nowhere"))
        write["file_type"].setValue("exr")
        write["compression"].setValue("Zip (16 scanline)")
        assert write["compression"].value() == "Zip (1 scanline)"


def test_another_thread_may_not_call_and_the_main_thread_may_not_post() -> None:
    with running():
        import nuke

        found: list[BaseException] = []

        def call() -> None:
            try:
                nuke.root()
            except RuntimeError as error:
                found.append(error)

        thread = threading.Thread(target=call)
        thread.start()
        thread.join(5)
        assert len(found) == 1
        with pytest.raises(RuntimeError, match="main thread"):
            nuke.executeInMainThreadWithResult(print)  # type: ignore[no-untyped-call]
    with running(gui=False):
        import nuke

        with pytest.raises(RuntimeError, match="non-gui"):
            nuke.executeInMainThread(print)
        assert nuke.menu("Nodes") is None


def test_an_exception_that_was_posted_is_printed_and_none_comes_back() -> None:
    with running() as session:
        import nuke

        answers: list[object] = []

        def work() -> None:
            call: Any = nuke.executeInMainThreadWithResult
            answers.append(call(lambda: 1 // 0))

        thread = threading.Thread(target=work)
        thread.start()
        session.rules.pump(until=lambda: bool(answers))
        thread.join(5)
        assert answers == [None]
        assert "ZeroDivisionError" in session.rules.printed[0]


def test_a_render_in_a_render_or_in_a_callback_is_refused(tmp_path: Path) -> None:
    with running() as session:
        import nuke

        write = _write(session, tmp_path)
        session.rules.executing = True
        with pytest.raises(RuntimeError, match="already executing"):
            nuke.execute(write, 1, 1)
        session.rules.executing = False
        nuke.addKnobChanged(lambda: nuke.execute(write, 1, 1), nodeClass="Write")
        write["raw"].setValue(True)
        assert "already executing" in session.rules.printed[0]
        assert not (tmp_path / "out").exists()


def test_a_deleted_node_and_an_unconnected_mask_are_no_friends() -> None:
    with running() as session:
        import nuke

        group: Any = nuke.nodes.Group(name="G")
        session.plates["Source"] = lambda frame, view: plate()
        source = nuke.nodes.CheckerBoard2(name="Source")
        with group:
            first, mask = nuke.nodes.Input(), nuke.nodes.Input()
            value = nuke.nodes.Multiply(inputs=[first])
            value["value"].setValue(0.5)
            merge = nuke.nodes.Merge2(operation="copy", inputs=[first, value, mask])
            nuke.nodes.Output(inputs=[merge])
        group.setInput(0, source)
        shown = session.look(group, frame=1).part.channels["R"]
        assert np.array_equal(shown, plate().part.channels["R"]), "black lets nothing through"
        nuke.delete(source)
        with pytest.raises(ValueError, match="not attached"):
            source["label"].value()


def test_a_curve_overshoots_between_keys_that_were_not_made_constant() -> None:
    with running():
        import nuke

        switch: Any = nuke.nodes.Switch()
        switch["which"].setValueAt(0, 1)
        switch["which"].setValueAt(0, 11)
        assert switch["which"].getValueAt(6) > 0.5
        curve = switch["which"].animation(0)
        curve.changeInterpolation(curve.keys(), nuke.CONSTANT)
        assert switch["which"].getValueAt(6) == 0
