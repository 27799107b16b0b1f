"""Settings: where they come from, what is refused, and who may come in."""

from __future__ import annotations

import builtins
import dataclasses
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kwaflux_core.errors import SettingsError
from kwaflux_core.settings.settings import (
    OTHER_VARIABLES,
    ClientSettings,
    ModelsSettings,
    ServerSettings,
    load_client_settings,
    load_models_dir,
    load_server_settings,
    settings_file,
    settings_table,
)

IPC = "ipc:///run/user/1000/kwaflux/server.sock"


@pytest.fixture
def place() -> Iterator[Path]:
    """Return an empty directory whose path is short, as a socket's must be."""
    path = Path(tempfile.mkdtemp(prefix="kw-", dir=None if sys.platform == "win32" else "/tmp"))
    yield path
    shutil.rmtree(path)


def load(
    flags: Mapping[str, object] | None = None,
    *,
    file: Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> ServerSettings:
    flags = {"endpoint": IPC, **(flags or {})}
    return load_server_settings(environ=environ or {}, file=file, flags=flags)


# --- the sources ----------------------------------------------------------------------------


def test_flags_win_over_the_environment_that_over_the_file_and_that_over_defaults(
    place: Path,
) -> None:
    file = place / "settings.toml"
    file.write_text("[server]\ntile_px = 100\nframes_in_flight = 5\nbeat_s = 2\n")
    environ = {"KWAFLUX_TILE_PX": "200", "KWAFLUX_FRAMES_IN_FLIGHT": "6"}
    found = load({"tile_px": 300}, file=file, environ=environ)
    assert (found.tile_px, found.frames_in_flight, found.beat_s) == (300, 6, 2.0)
    assert found.requests_in_flight_max == 64


def test_defaults_are_what_the_table_says() -> None:
    found = ServerSettings(endpoint=IPC)
    assert found == load()
    assert found.roots == (os.path.abspath(os.sep),)
    assert (found.devices, found.precision, found.tile_px) == (("auto",), "auto", 768)
    assert (found.frame_bytes_max, found.memory_budget_bytes) == (8 << 30, 0)
    assert not found.uses_curve


def test_each_source_may_spell_a_value_its_own_way(place: Path) -> None:
    file = place / "settings.toml"
    file.write_text(
        '[server]\nframe_bytes_max = "4GiB"\nring_bytes_max = 65536\ndevices = ["cpu", "cuda:1"]\n'
        'session_silence_s = 30\n[client]\ntransport = "shm"\n'
    )
    environ = {"KWAFLUX_ROOTS": f"/a{os.pathsep}/b", "KWAFLUX_MEMORY_BUDGET_BYTES": "1.5 gib"}
    found = load({"message_bytes_max": "2MB", "worker_start_s": "7.5"}, file=file, environ=environ)
    assert (found.frame_bytes_max, found.ring_bytes_max) == (4 << 30, 65536)
    assert (found.devices, found.roots) == (("cpu", "cuda:1"), ("/a", "/b"))
    assert (found.memory_budget_bytes, found.message_bytes_max) == (3 << 29, 2_000_000)
    assert (found.session_silence_s, found.worker_start_s) == (30.0, 7.5)
    client = load_client_settings(environ=environ, file=file, flags={"endpoint": IPC})
    assert client.transport == "shm"


def test_what_is_not_given_counts_as_not_given() -> None:
    environ = {"KWAFLUX_TILE_PX": "", "HOME": "/x", "kwaflux_odd": "1"}
    assert load({"tile_px": None}, environ=environ) == load()


def test_variables_of_the_client_and_known_others_do_not_disturb_the_server() -> None:
    environ = {"KWAFLUX_TIMEOUT_S": "3", **dict.fromkeys(OTHER_VARIABLES, "/x")}
    assert load(environ=environ) == load()
    client = load_client_settings(environ=environ, file=None, flags={"endpoint": IPC})
    assert client.timeout_s == 3.0


def test_a_value_is_blamed_on_where_it_was_set(place: Path) -> None:
    file = place / "settings.toml"
    file.write_text("[server]\ntile_px = 3\n")
    with pytest.raises(SettingsError, match=r"^server\.tile_px in .*settings\.toml is 3, not a wh"):
        load(file=file)
    with pytest.raises(SettingsError, match=r"^KWAFLUX_TILE_PX is 'many', not a whole number"):
        load(environ={"KWAFLUX_TILE_PX": "many"})
    with pytest.raises(SettingsError, match=r"^--tile-px is true, not a whole number") as caught:
        load({"tile_px": True})
    assert caught.value.fields == {"setting": "tile_px"}


@pytest.mark.parametrize(
    ("environ", "flags", "words"),
    [
        ({"KWAFLUX_TILEPX": "3"}, {}, "KWAFLUX_TILEPX.*did you mean 'KWAFLUX_TILE_PX'"),
        ({"KWAFLUX_RUNTIMEDIR": "3"}, {}, "did you mean 'KWAFLUX_RUNTIME_DIR'"),
        ({}, {"tile": 3}, "'tile'.*did you mean 'tile_px'"),
        ({}, {"timeout_s": 3}, "'timeout_s' is no setting"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(
    environ: dict[str, str], flags: dict[str, object], words: str
) -> None:
    with pytest.raises(SettingsError, match=words):
        load(flags, environ=environ)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[server]\ntile = 3", r"server\.tile in .*did you mean 'tile_px'"),
        ("[client]\ntimeout = 3", r"client\.timeout in .*did you mean 'timeout_s'"),
        ("[sever]\ntile_px = 3", "'sever'.*did you mean 'server'"),
        ("tile_px = 64", "'tile_px', which is no table"),
        ("server = 3", "'server', which is no table"),
        ("[server\n", "cannot be read"),
        ("x = " + "[" * 100_000, "cannot be read"),
        ("#" * (1 << 20) + "#", "more than 1 MiB"),
        ("[server]\nroots = ['/a', 3]", "not absolute paths"),
        ("[server]\ntile_px = 1.5", "not a whole number"),
        ("[server]\nbeat_s = inf", "not seconds"),
    ],
)
def test_a_file_that_is_wrong_says_what_is(place: Path, text: str, words: str) -> None:
    file = place / "settings.toml"
    file.write_text(text)
    with pytest.raises(SettingsError, match=words):
        load(file=file)


def test_a_file_that_is_not_there_or_no_text_is_a_settings_error(place: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        load(file=place / "absent.toml")
    (place / "odd.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match="cannot be read"):
        load(file=place / "odd.toml")


def test_a_python_without_a_toml_reader_is_told_so(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def python_3_10(name: str, *args: object, **more: object) -> object:
        if name == "tomllib":
            raise ModuleNotFoundError(name)
        return real(name, *args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", python_3_10)
    assert load() == ServerSettings(endpoint=IPC)
    with pytest.raises(SettingsError, match=r"no TOML reader.*Python 3\.11"):
        load(file=place / "settings.toml")


def test_the_settings_file_is_looked_for_where_the_system_keeps_such_files(place: Path) -> None:
    assert settings_file({}) is None
    assert settings_file({"HOME": str(place)}) is None
    file = place / ".config" / "kwaflux" / "settings.toml"
    file.parent.mkdir(parents=True)
    file.write_text("")
    assert settings_file({"HOME": str(place)}) == file
    assert settings_file({"HOME": "/x", "XDG_CONFIG_HOME": str(place / ".config")}) == file
    named = {"HOME": str(place), "KWAFLUX_SETTINGS_FILE": "/not/there"}
    assert settings_file(named) == Path("/not/there")


# --- values ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("tile_px", "512.0"),
        ("tile_px", "9" * 5000),
        ("tile_px", 10**400),
        ("frame_bytes_max", "4 apples"),
        ("frame_bytes_max", "-1GiB"),
        ("frame_bytes_max", "9999999TiB"),
        ("frame_bytes_max", 2.5),
        ("beat_s", "nan"),
        ("beat_s", "soon"),
        ("beat_s", 0),
        ("worker_start_s", True),
        ("worker_start_s", 10**400),
        ("precision", "half"),
        ("log_level", 10),
        ("log_level", "INFO"),
        ("roots", "relative/folder"),
        ("roots", ("/a", "")),
        ("roots", 3),
        ("devices", "cuda"),
        ("devices", "cpu,cpu"),
        ("devices", "auto,cpu"),
        ("devices", ()),
        ("ring_dir", "rings"),
        ("ring_dir", "/a\0b"),
        ("beat_s", 10),
        ("endpoint", "http://127.0.0.1:80"),
        ("endpoint", "ipc://relative"),
        ("endpoint", "tcp://127.0.0.1"),
        ("endpoint", "ipc:///" + "x" * 107),
    ],
)
def test_a_value_that_is_not_accepted_is_refused_and_named(name: str, value: object) -> None:
    with pytest.raises(SettingsError) as caught:
        load({name: value})
    assert caught.value.hint
    assert len(str(caught.value)) < 500


@given(
    st.text() | st.integers() | st.floats() | st.booleans() | st.lists(st.text(), max_size=2),
    st.sampled_from([field.name for field in dataclasses.fields(ServerSettings)]),
)
def test_any_value_of_any_setting_is_taken_or_a_settings_error(value: object, name: str) -> None:
    try:
        found = load({name: value})
    except SettingsError:
        return
    # What was taken is taken again: nothing is half read.
    assert dataclasses.replace(found) == found


def test_settings_made_by_hand_are_checked_and_read_too() -> None:
    made = ServerSettings(endpoint=IPC, beat_s=2, roots=["/a"])  # type: ignore[arg-type]
    assert (made.beat_s, type(made.beat_s), made.roots) == (2.0, float, ("/a",))
    with pytest.raises(SettingsError, match="tile_px is 0"):
        ServerSettings(endpoint=IPC, tile_px=0)
    with pytest.raises(SettingsError, match="transport is 'smoke'"):
        ClientSettings(endpoint=IPC, transport="smoke")  # type: ignore[arg-type]


# --- who may come in ------------------------------------------------------------------------

FAR = ("tcp://0.0.0.0:5555", "tcp://*:5555", "tcp://10.0.0.7:5555", "tcp://[::]:1", "tcp://host:1")
NEAR = ("tcp://127.0.0.1:5555", "tcp://127.8.9.1:*", "tcp://[::1]:5555", "tcp://localhost:5555")
SERVER_KEYS = {"curve_secret_file": "/k/server.key_secret", "curve_clients_dir": "/k/clients"}
CLIENT_KEYS = {"curve_secret_file": "/k/me.key_secret", "curve_server_key_file": "/k/server.key"}


@pytest.mark.parametrize("endpoint", FAR)
def test_an_endpoint_beyond_this_machine_needs_curve_keys(endpoint: str) -> None:
    with pytest.raises(SettingsError, match="open to the network"):
        load({"endpoint": endpoint, "roots": "/plates"})
    assert load({"endpoint": endpoint, "roots": "/plates", **SERVER_KEYS}).uses_curve
    with pytest.raises(SettingsError, match="open to the network"):
        ClientSettings(endpoint=endpoint)
    assert ClientSettings(endpoint=endpoint, **CLIENT_KEYS).uses_curve  # type: ignore[arg-type]


@pytest.mark.parametrize("endpoint", [*NEAR, *FAR])
def test_a_tcp_endpoint_needs_roots(endpoint: str) -> None:
    with pytest.raises(SettingsError, match="no roots are given"):
        load({"endpoint": endpoint, **SERVER_KEYS})
    assert load({"endpoint": endpoint, "roots": "/plates", **SERVER_KEYS}).roots == ("/plates",)


@pytest.mark.parametrize("endpoint", NEAR)
def test_a_loopback_endpoint_needs_no_keys(endpoint: str) -> None:
    assert not load({"endpoint": endpoint, "roots": ["/plates"]}).uses_curve


@pytest.mark.parametrize("name", SERVER_KEYS)
@pytest.mark.parametrize("endpoint", [IPC, NEAR[0], FAR[0]])
def test_half_a_set_of_keys_is_refused(name: str, endpoint: str) -> None:
    with pytest.raises(SettingsError, match="not given"):
        load({"endpoint": endpoint, "roots": "/plates", name: "/k"})


def test_a_client_needs_a_port() -> None:
    with pytest.raises(SettingsError, match="no port"):
        ClientSettings(endpoint="tcp://127.0.0.1:*")


# --- the page -------------------------------------------------------------------------------


def test_the_table_holds_every_setting_with_its_default_and_its_variable() -> None:
    rows = {(row.section, row.name): row for row in settings_table()}
    names = {("server", field.name) for field in dataclasses.fields(ServerSettings)}
    names |= {("client", field.name) for field in dataclasses.fields(ClientSettings)}
    names |= {("models", field.name) for field in dataclasses.fields(ModelsSettings)}
    assert rows.keys() == names
    assert rows["server", "frame_bytes_max"].default == "8GiB"
    assert rows["server", "tile_px"].variable == "KWAFLUX_TILE_PX"
    assert rows["server", "tile_px"].accepted == "a whole number from 16 to 16384"
    assert rows["client", "transport"].accepted == "one of auto, shm, inline, exr"
    assert all(row.help and row.accepted for row in rows.values())


def test_a_default_in_the_table_can_be_set_as_it_is_shown() -> None:
    environ = {
        row.variable: row.default
        for row in settings_table()
        if row.section == "server" and row.name != "endpoint"
    }
    assert load(environ=environ) == ServerSettings(endpoint=IPC)


# --- the user's own models ------------------------------------------------------------------


def test_the_models_folder_is_where_the_setting_says(place: Path) -> None:
    file = place / "settings.toml"
    file.write_text('[models]\nmodels_dir = "/shelf"\n')
    assert load_models_dir(environ={}, file=file) == Path("/shelf")
    environ = {"KWAFLUX_MODELS_DIR": "/other"}
    assert load_models_dir(environ=environ, file=file) == Path("/other")
    assert load(environ=environ).endpoint == IPC


@pytest.mark.parametrize(
    ("platform", "environ", "folder"),
    [
        ("linux", {"HOME": "/home/me"}, "/home/me/.local/share/kwaflux/models"),
        ("linux", {"HOME": "/home/me", "XDG_DATA_HOME": "/data"}, "/data/kwaflux/models"),
        ("linux", {"HOME": "/me", "XDG_DATA_HOME": "not/absolute"}, "/me/.local/share"),
        ("darwin", {"HOME": "/Users/me"}, "/Users/me/Library/Application Support/kwaflux/models"),
        ("win32", {"LOCALAPPDATA": "/Local", "HOME": "/me"}, "/Local/kwaflux/models"),
    ],
)
def test_without_a_setting_models_lie_with_the_users_data(
    platform: str, environ: dict[str, str], folder: str
) -> None:
    found = load_models_dir(environ=environ, file=None, platform=platform)
    assert found.as_posix().startswith(folder)


def test_a_models_folder_that_depends_on_where_one_stands_is_refused() -> None:
    with pytest.raises(SettingsError, match="no absolute path"):
        load_models_dir(environ={"KWAFLUX_MODELS_DIR": "models"}, file=None)
