"""The private runtime directory: made for us alone, and refused when it is not."""

from __future__ import annotations

import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from kwaflux_core.errors import SettingsError
from kwaflux_core.settings.settings import (
    default_endpoint,
    load_client_settings,
    load_server_settings,
    runtime_dir,
)

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes and owners")


@pytest.fixture
def place() -> Iterator[Path]:
    """Return an empty directory whose path is short, as a socket's must be."""
    path = Path(tempfile.mkdtemp(prefix="kw-", dir=None if sys.platform == "win32" else "/tmp"))
    yield path
    shutil.rmtree(path)


def environment(place: Path) -> dict[str, str]:
    return {"KWAFLUX_RUNTIME_DIR": str(place / "run")}


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@posix
def test_the_default_endpoint_lies_in_a_directory_of_our_own(place: Path) -> None:
    found = load_server_settings(environ=environment(place), file=None, flags={})
    assert found.endpoint == f"ipc://{place}/run/server.sock"
    assert found.endpoint == default_endpoint(environment(place))
    assert mode(place / "run") == 0o700
    client = load_client_settings(environ=environment(place), file=None, flags={})
    assert client.endpoint == found.endpoint


@posix
def test_a_directory_that_is_ours_is_taken_again_and_parents_are_made(place: Path) -> None:
    environ = {"KWAFLUX_RUNTIME_DIR": str(place / "a" / "b")}
    assert runtime_dir(environ) == runtime_dir(environ) == place / "a" / "b"


@posix
@pytest.mark.parametrize("bad", [0o755, 0o770, 0o701, 0o777, 0o500])
def test_a_directory_that_others_may_enter_is_refused(place: Path, bad: int) -> None:
    (place / "run").mkdir()
    (place / "run").chmod(bad)
    with pytest.raises(SettingsError, match=f"mode {bad:04o}, not 0700.*chmod 700"):
        runtime_dir(environment(place))
    assert mode(place / "run") == bad


@posix
def test_a_symbolic_link_to_a_private_directory_is_refused(place: Path) -> None:
    (place / "real").mkdir(mode=0o700)
    (place / "run").symlink_to(place / "real")
    with pytest.raises(SettingsError, match="symbolic link"):
        runtime_dir(environment(place))


@posix
@pytest.mark.parametrize("kind", ["a file", "a dangling link"])
def test_something_else_in_the_directorys_place_is_refused(place: Path, kind: str) -> None:
    if kind == "a file":
        (place / "run").write_text("")
    else:
        (place / "run").symlink_to(place / "nowhere")
    with pytest.raises(SettingsError, match="cannot be made"):
        runtime_dir(environment(place))
    assert not (place / "nowhere").exists()


@posix
def test_a_private_directory_that_somebody_else_made_is_refused(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "run").mkdir(mode=0o700)
    owner = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    with pytest.raises(SettingsError, match=f"another user .uid {owner}."):
        runtime_dir(environment(place))


@posix
def test_a_parent_that_anybody_may_write_to_is_refused_unless_it_is_sticky(place: Path) -> None:
    place.chmod(0o777)
    with pytest.raises(SettingsError, match="replaced by anybody"):
        runtime_dir(environment(place))
    place.chmod(0o1777)
    assert runtime_dir(environment(place)) == place / "run"


@posix
def test_a_named_directory_must_be_absolute_and_short(place: Path) -> None:
    with pytest.raises(SettingsError, match="no absolute path"):
        runtime_dir({"KWAFLUX_RUNTIME_DIR": "run"})
    long = {"KWAFLUX_RUNTIME_DIR": str(place / ("x" * 100))}
    with pytest.raises(SettingsError, match="longer than 82 bytes"):
        default_endpoint(long)
    assert not any(place.iterdir())


@posix
def test_the_sessions_runtime_directory_comes_before_the_temporary_one(place: Path) -> None:
    xdg, temporary = place / "xdg", place / "tmp"
    xdg.mkdir(mode=0o700)
    temporary.mkdir(mode=0o700)
    environ = {"XDG_RUNTIME_DIR": str(xdg), "TMPDIR": str(temporary)}
    assert runtime_dir(environ) == xdg / "kwaflux"
    own = temporary / f"kwaflux-{os.geteuid()}"
    assert runtime_dir({**environ, "XDG_RUNTIME_DIR": str(place / "gone")}) == own
    assert runtime_dir({**environ, "XDG_RUNTIME_DIR": "relative"}) == own
    assert runtime_dir({"TMPDIR": str(temporary)}) == own
    assert mode(own) == 0o700


@posix
def test_the_sessions_runtime_directory_of_another_user_is_passed_over(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    xdg, temporary = place / "xdg", place / "tmp"
    xdg.mkdir(mode=0o700)
    temporary.mkdir(mode=0o700)
    owner = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    with pytest.raises(SettingsError, match="another user"):  # we made it as the real owner
        runtime_dir({"XDG_RUNTIME_DIR": str(xdg), "TMPDIR": str(temporary)})
    assert not (xdg / "kwaflux").exists()
    assert (temporary / f"kwaflux-{owner + 1}").exists()


@posix
def test_a_directory_too_long_for_a_socket_is_passed_over(
    place: Path,
) -> None:
    long, short = place / ("x" * 90), place / "tmp"
    long.mkdir(mode=0o700)
    short.mkdir()
    environ = {"XDG_RUNTIME_DIR": str(long), "TMPDIR": str(short)}
    endpoint = default_endpoint(environ)
    assert endpoint == f"ipc://{short}/kwaflux-{os.geteuid()}/server.sock"
    assert not any(long.iterdir())


def test_windows_has_loopback_and_the_users_own_folder(place: Path) -> None:
    environ = {"LOCALAPPDATA": str(place)}
    assert runtime_dir(environ, platform="win32") == place / "kwaflux"
    endpoint = default_endpoint(environ, platform="win32")
    assert endpoint.startswith("tcp://127.0.0.1:")
    client = load_client_settings(environ=environ, file=None, flags={}, platform="win32")
    assert client.endpoint == endpoint
    with pytest.raises(SettingsError, match="no roots are given"):
        load_server_settings(environ=environ, file=None, flags={}, platform="win32")
