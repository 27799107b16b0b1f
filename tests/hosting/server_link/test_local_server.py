"""The way to a server: found, started in its own environment, or told why not in one sentence."""

from __future__ import annotations

import json
import os
import stat
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq.auth

import kwaflux_core
from kwaflux_core.errors import Cancelled, HostError, ProtocolError, Unavailable
from kwaflux_core.protocol import codec
from kwaflux_hosting.install_layout import (
    INSTALL_FILE,
    WHEELS,
    add_wheels,
    installed_root,
    python_tag,
)
from kwaflux_hosting.server_link import local_server
from kwaflux_hosting.server_link.local_server import (
    clean_environ,
    connect,
    import_problem,
    server_command,
)
from kwaflux_testing.servers import Place, RunningServer

_HOSTS_OWN = {
    "PYTHONHOME": "/opt/nuke/python",
    "PYTHONPATH": "/opt/nuke/site",
    "LD_LIBRARY_PATH": "/opt/nuke/lib",
    "QT_PLUGIN_PATH": "/opt/nuke/qt",
    "NUKE_TEMP_DIR": "/tmp/nuke",
}


def _program(folder: Path, text: str) -> str:
    path = folder / "kwaflux"
    path.write_text(f"#!{sys.executable}\n{text}", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


@pytest.fixture
def startable(place: Place, tmp_path: Path) -> Iterator[Place]:
    """Give a place where no server runs, and the program that starts one; it is stopped."""
    path = os.pathsep.join([place.environ["PYTHONPATH"], *filter(None, sys.path)])
    text = (
        "import os, sys\n"
        "held = [n for n in os.environ if n in "
        f"{sorted(_HOSTS_OWN)!r}]\n"
        "assert not held, held\n"
        f"os.environ['PYTHONPATH'] = {path!r}\n"
        "words = [sys.executable, '-m', 'kwaflux_server', *sys.argv[1:]]\n"
        "os.execv(sys.executable, words)\n"
    )
    yield place.with_settings({"KWAFLUX_COMMAND": _program(tmp_path, text)})
    place.command("stop")


def test_a_server_that_runs_is_used_and_nothing_is_said(server: RunningServer) -> None:
    said: list[str] = []
    with connect(say=said.append, environ=server.place.environ) as client:
        assert client.ping() < 5.0
    assert not said


def test_none_runs_so_one_is_started_outside_the_hosts_environment(startable: Place) -> None:
    said: list[str] = []
    environ = {**startable.environ, **_HOSTS_OWN}
    with connect(say=said.append, environ=environ, name="nuke") as client:
        assert any(worker.is_ready for worker in client.status().workers)
    assert "Starting" in said[0]
    assert "runs" in said[1]
    said.clear()
    with connect(say=said.append, environ=environ):
        pass
    assert not said, "the second host finds it warm"


def test_a_server_of_another_version_is_told_with_the_mend(
    server: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(codec, "PROTOCOL_VERSION", 99)
    with pytest.raises(ProtocolError, match="protocol") as caught:
        connect(say=lambda text: None, environ=server.place.environ)
    assert "kwaflux install" in caught.value.hint


def test_without_leave_to_start_it_is_an_error_with_the_mend(place: Place) -> None:
    with pytest.raises(Unavailable) as caught:
        connect(say=lambda text: None, start=False, environ=place.environ)
    assert "kwaflux start" in caught.value.hint


def test_another_machines_server_is_never_started_here(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_server, "_CONNECT_S", 0.3)
    for name in ("server", "client"):
        zmq.auth.create_certificates(tmp_path, name)
        (tmp_path / f"{name}.key_secret").chmod(0o600)
    keys = {
        # An address of RFC 5737, for documentation: nobody is ever there.
        "KWAFLUX_ENDPOINT": "tcp://192.0.2.1:47873",
        "KWAFLUX_CURVE_SERVER_KEY_FILE": str(tmp_path / "server.key"),
        "KWAFLUX_CURVE_SECRET_FILE": str(tmp_path / "client.key_secret"),
        "KWAFLUX_COMMAND": _program(tmp_path, "raise SystemExit('started')"),
    }
    said: list[str] = []
    with pytest.raises(Unavailable) as caught:
        connect(say=said.append, environ={**place.environ, **keys})
    assert "another machine" in caught.value.hint
    assert not said


def test_a_server_that_does_not_come_up_says_why_and_what_to_try(
    place: Place, tmp_path: Path
) -> None:
    text = (
        "import json\n"
        "print(json.dumps({'event': 'error', 'message': 'the disk is full'}))\n"
        "raise SystemExit(2)"
    )
    environ = {**place.environ, "KWAFLUX_COMMAND": _program(tmp_path, text)}
    with pytest.raises(Unavailable, match="the disk is full") as caught:
        connect(say=lambda said: None, environ=environ)
    assert caught.value.hint.endswith("kwaflux start")


def test_a_program_that_is_gone_is_named(place: Place, tmp_path: Path) -> None:
    environ = {**place.environ, "KWAFLUX_COMMAND": f"{tmp_path}/gone"}
    with pytest.raises(Unavailable, match="gone: No such file"):
        connect(say=lambda said: None, environ=environ)


def test_a_start_that_hangs_ends_at_its_time_and_at_a_cancel(place: Place, tmp_path: Path) -> None:
    text = "import time\ntime.sleep(60)"
    environ = {**place.environ, "KWAFLUX_COMMAND": _program(tmp_path, text)}
    with pytest.raises(Unavailable, match="not ready within 0"):
        connect(say=lambda said: None, environ=environ, start_timeout_s=0.3)
    cancel = threading.Event()
    threading.Timer(0.3, cancel.set).start()
    began_s = time.monotonic()
    with pytest.raises(Cancelled):
        connect(say=lambda said: None, environ=environ, cancel=cancel)
    assert time.monotonic() - began_s < 5.0


def test_the_command_is_the_one_that_the_installation_wrote_down(tmp_path: Path) -> None:
    (tmp_path / INSTALL_FILE).write_text(json.dumps({"command": ["/opt/k/python", "-m", "k"]}))
    assert server_command({}, folder=tmp_path) == ("/opt/k/python", "-m", "k")
    assert server_command({"KWAFLUX_COMMAND": "/x"}, folder=tmp_path) == ("/x",)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"command": []}', '{"command": [1]}'])
def test_a_damaged_list_says_to_install_again(tmp_path: Path, text: str) -> None:
    (tmp_path / INSTALL_FILE).write_text(text, encoding="utf-8")
    with pytest.raises(HostError) as caught:
        server_command({}, folder=tmp_path)
    assert "kwaflux install" in caught.value.hint


def test_the_environment_of_another_program_has_nothing_of_the_host() -> None:
    mine = {"HOME": "/home/me", "PATH": "/bin", "KWAFLUX_DEVICES": "cpu", "OCIO": "/c.ocio"}
    assert clean_environ({**_HOSTS_OWN, **mine}) == mine


def test_a_wheel_that_does_not_import_gives_one_sentence_with_the_mend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "zmq").mkdir()
    (tmp_path / "zmq" / "__init__.py").write_text("raise OSError('wrong ELF class')")
    for name in [name for name in sys.modules if name.split(".")[0] == "zmq"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(str(tmp_path))
    problem = import_problem()
    assert problem is not None
    assert "wrong ELF class" in problem.message
    assert "kwaflux install" in problem.hint
    assert "\n" not in str(problem)
    with pytest.raises(HostError, match="wrong ELF class"):
        connect(say=lambda text: None, environ={})


def test_only_the_wheels_of_this_python_are_added_and_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    other = tmp_path / WHEELS / python_tag(version=(3, 8))
    other.mkdir(parents=True)
    assert not add_wheels(tmp_path)
    own = tmp_path / WHEELS / python_tag()
    own.mkdir()
    assert add_wheels(tmp_path)
    assert add_wheels(tmp_path)
    assert sys.path[-1] == str(own)
    assert sys.path.count(str(own)) == 1
    assert str(other) not in sys.path


@pytest.mark.parametrize(
    ("machine", "tag"),
    [("AMD64", "cp310-win32-x86_64"), ("arm64", "cp310-win32-arm64")],
)
def test_a_python_is_called_alike_by_itself_and_by_who_installs_for_it(
    machine: str, tag: str
) -> None:
    assert python_tag(version=(3, 10), system="win32", machine=machine) == tag
    assert installed_root() == Path(kwaflux_core.__file__).resolve().parents[1]
