"""Keys are made once, for their owner alone, and what is printed can be put into the settings."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
import tomllib

from kwaflux_core.errors import SettingsError
from kwaflux_core.transport.zeromq import CurveClientKeys, CurveServerKeys
from kwaflux_server.cli.main import app


def _run(*arguments: object) -> None:
    app(["keys", *(str(word) for word in arguments)], standalone_mode=False)


def test_the_keys_of_a_server_and_a_client_load_and_are_nobody_elses(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _run("--out", tmp_path / "keys", "--client", "ann", "--json")
    told = json.loads(capsys.readouterr().out)
    server, client = told["server"], told["client"]
    CurveServerKeys.load(Path(server["curve_secret_file"]))
    CurveClientKeys.load(
        Path(client["curve_secret_file"]), server=Path(client["curve_server_key_file"])
    )
    assert [path.name for path in Path(server["curve_clients_dir"]).iterdir()] == ["ann.key"]
    for path in (tmp_path / "keys").glob("*_secret"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_is_printed_is_the_settings_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _run("--out", tmp_path, "--client", "ann")
    said = capsys.readouterr().out
    lines = [line for line in said.splitlines() if line.startswith("[") or " = " in line]
    tables = tomllib.loads("\n".join(lines))
    assert tables["server"]["curve_secret_file"] == str(tmp_path / "server.key_secret")
    assert tables["client"]["curve_server_key_file"] == str(tmp_path / "server.key")


def test_keys_that_are_there_are_never_replaced(tmp_path: Path) -> None:
    _run("--out", tmp_path, "--client", "ann")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.key*")}
    _run("--out", tmp_path, "--client", "ben")
    with pytest.raises(SettingsError):
        _run("--out", tmp_path, "--client", "ann")
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize("name", ["server", "../ann", "a b", "ann.key"])
def test_a_name_that_cannot_be_a_keys_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError):
        _run("--out", tmp_path / "keys", "--client", name)
    assert not (tmp_path / "keys").exists()
