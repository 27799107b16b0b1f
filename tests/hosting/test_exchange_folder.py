"""The folder that frames are exchanged in, and the results index beside the results."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from kwaflux_core.errors import FrameMissing, ImageWriteFailed
from kwaflux_core.protocol.render_options import RenderOptions
from kwaflux_hosting.batch.results_index import FrameRecord, RenderRequest, ResultsIndex, file_key
from kwaflux_hosting.exchange_folder import ExchangeFolder, check_room, remove_abandoned

_ORDER = RenderRequest(flow="denoise")


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


def test_an_exchange_folder_is_gone_after_its_use_unless_it_is_kept(tmp_path: Path) -> None:
    with ExchangeFolder.make(str(tmp_path / "results")) as folder:
        Path(folder.pattern("plate.1001.exr")).touch()
        assert Path(folder.path).parent == tmp_path / "results"
    assert not Path(folder.path).exists()
    folder.remove()
    with ExchangeFolder.make(str(tmp_path)) as kept:
        kept.is_kept = True
    assert Path(kept.path).is_dir()


def test_an_exchange_folder_is_elsewhere_where_the_results_folder_is_closed(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    elsewhere = tmp_path / "elsewhere"
    with ExchangeFolder.make(f"{tmp_path}/file/out", temporary_root=str(elsewhere)) as folder:
        assert Path(folder.path).parent == elsewhere
    with pytest.raises(ImageWriteFailed):
        ExchangeFolder.make(f"{tmp_path}/file/a", temporary_root=f"{tmp_path}/file/b")


def _killed(tmp_path: Path) -> Path:
    """Return the exchange folder of a process that was killed while it used it."""
    code = (
        "import sys, time\n"
        "from kwaflux_hosting.exchange_folder import ExchangeFolder\n"
        "folder = ExchangeFolder.make(sys.argv[1])\n"
        "open(folder.pattern('plate.1001.exr'), 'w').close()\n"
        "print(folder.path, flush=True)\n"
        "time.sleep(60)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        path = Path(process.stdout.readline().strip())
        assert path.is_dir()
        process.kill()
    return path


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_uses_is_not(
    tmp_path: Path,
) -> None:
    with ExchangeFolder.make(str(tmp_path / "mine")) as mine:
        left = _killed(tmp_path)
        assert left.is_dir()
        assert remove_abandoned() == 1
        assert not left.exists()
        assert Path(mine.path).is_dir()
        assert remove_abandoned() == 0


def test_the_next_exchange_folder_removes_what_was_left(tmp_path: Path) -> None:
    left = _killed(tmp_path)
    ExchangeFolder.make(str(tmp_path)).remove()
    assert not left.exists()


def test_an_entry_that_names_anything_else_removes_nothing(tmp_path: Path, state: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "shot.exr").touch()
    entries = state / "kwaflux" / "exchange"
    entries.mkdir(parents=True)
    (entries / "a.json").write_text(json.dumps({"folder": str(precious), "token": "a"}))
    (entries / "b.json").write_text("damaged")
    assert remove_abandoned() == 0
    assert (precious / "shot.exr").exists()
    assert not list(entries.iterdir())


def test_too_little_room_is_said_before_anything_is_rendered(tmp_path: Path) -> None:
    check_room(str(tmp_path / "not" / "there"), needed_bytes=1)
    with pytest.raises(ImageWriteFailed, match="GB free"):
        check_room(str(tmp_path), needed_bytes=1 << 60)


def _noted(
    tmp_path: Path, *, state: str = "good", source_key: str = "s"
) -> tuple[ResultsIndex, str]:
    target = f"{tmp_path}/clean.%04d.exr"
    Path(target % 1).write_bytes(b"picture")
    record = ResultsIndex.load(target)
    entry = FrameRecord(state=state, order_key=_ORDER.key, source_key=source_key, effects="e")  # type: ignore[arg-type]
    record.note(1, entry.of_file(target % 1), order=_ORDER)
    record.save()
    return ResultsIndex.load(target), target % 1


def test_a_record_tells_ready_from_stale_and_missing(tmp_path: Path) -> None:
    record, target = _noted(tmp_path)
    assert record.orders == {_ORDER.key: _ORDER}

    def status(order: RenderRequest = _ORDER, **known: str) -> str:
        return record.status(1, target, order=order, **known)

    assert status() == status(source_key="s") == status(source_key="s", effects="e") == "ready"
    assert status(source_key="t") == "stale"
    assert status(effects="f") == "stale"
    assert status(RenderRequest(flow="denoise", options=RenderOptions(layer="left"))) == "stale"
    assert record.status(2, target.replace("0001", "0002"), order=_ORDER) == "missing"
    Path(target).write_bytes(b"another picture")
    assert status() == "stale"
    Path(target).unlink()
    assert status() == "missing"


def test_a_result_that_nobody_noted_is_stale_and_not_ready(tmp_path: Path) -> None:
    (tmp_path / "clean.0001.exr").touch()
    record = ResultsIndex.load(f"{tmp_path}/clean.%04d.exr")
    assert record.status(1, f"{tmp_path}/clean.0001.exr", order=_ORDER) == "stale"


def test_a_failed_frame_is_failed_until_something_else_is_asked(tmp_path: Path) -> None:
    target = f"{tmp_path}/clean.0001.exr"
    record = ResultsIndex.load(f"{tmp_path}/clean.%04d.exr")
    record.note(1, FrameRecord(state="failed", order_key=_ORDER.key, reason="bad"), order=_ORDER)
    assert record.status(1, target, order=_ORDER) == "failed"
    assert record.status(1, target, order=RenderRequest(flow="deband")) == "missing"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1, "frames": {"x": 1}}', "\0"])
def test_a_damaged_record_is_an_empty_one(tmp_path: Path, text: str) -> None:
    (tmp_path / "clean.kwaflux.json").write_text(text, encoding="utf-8")
    assert not ResultsIndex.load(f"{tmp_path}/clean.%04d.exr").entries


def test_two_processes_that_note_different_frames_lose_none(tmp_path: Path) -> None:
    target = f"{tmp_path}/clean.%04d.exr"

    def note(first: int) -> None:
        for frame in range(first, first + 10):
            record = ResultsIndex.load(target)
            record.note(frame, FrameRecord(state="good", order_key=_ORDER.key), order=_ORDER)
            record.save()

    threads = [threading.Thread(target=note, args=(first,)) for first in (0, 100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert set(ResultsIndex.load(target).entries) == {*range(10), *range(100, 110)}
    assert not list(tmp_path.glob("*.lock"))


def test_an_abandoned_lock_is_taken_over(tmp_path: Path) -> None:
    lock = tmp_path / "clean.kwaflux.json.lock"
    lock.touch()
    os.utime(lock, (time.time() - 3600,) * 2)
    began_s = time.monotonic()
    _noted(tmp_path)
    assert time.monotonic() - began_s < 3.0


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("/a/clean.%04d.exr", "/a/clean.kwaflux.json"),
        ("/a/clean_v002.####.exr", "/a/clean_v002.kwaflux.json"),
        ("/a/still.exr", "/a/still.kwaflux.json"),
        ("/a/%04d.exr", "/a/kwaflux.kwaflux.json"),
    ],
)
def test_a_record_lies_beside_its_results(target: str, name: str) -> None:
    assert ResultsIndex.path_for(target) == name


def test_the_record_is_plain_json_that_a_script_can_read(tmp_path: Path) -> None:
    _noted(tmp_path)
    raw = json.loads((tmp_path / "clean.kwaflux.json").read_text(encoding="utf-8"))
    assert raw["frames"]["1"]["state"] == "good"
    assert raw["orders"][_ORDER.key]["flow"] == "denoise"


def test_the_key_of_a_source_is_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "b").write_bytes(b"1")
    (tmp_path / "c").write_bytes(b"2")
    first, second, third = (file_key(str(tmp_path / name)) for name in "abc")
    assert first == second != third
    with pytest.raises(FrameMissing):
        file_key(str(tmp_path / "d"))
