"""``kwaflux serve``, ``start``, ``stop``, ``status`` and ``effects``."""

from __future__ import annotations

import json
import os
import signal

import pytest
import torch

from kwaflux_core.client.client import Client
from kwaflux_core.errors import Unavailable
from kwaflux_testing.outside import EFFECT_IDS
from kwaflux_testing.servers import Place, RunningServer, wait_until


def _line(text: str) -> dict[str, object]:
    (line,) = text.splitlines()
    found: dict[str, object] = json.loads(line)
    return found


def test_start_status_and_stop_are_idempotent_and_speak_json(place: Place) -> None:
    assert place.command_in_process("status").returncode == 2
    assert _line(place.command_in_process("stop", "--json").stdout) == {
        "event": "stopped",
        "was_running": False,
    }
    try:
        started = place.command("start", "--json")
        assert started.returncode == 0, started.stdout + started.stderr
        assert _line(started.stdout)["is_new"] is True
        again = _line(place.command_in_process("start", "--json").stdout)
        assert again["is_new"] is False

        status = place.command("status", "--json")
        assert status.returncode == 0
        found = _line(status.stdout)["status"]
        assert isinstance(found, dict)
        assert found["endpoint"] == place.endpoint
        assert [worker["is_ready"] for worker in found["workers"]] == [True]
        words = place.command_in_process("status")
        assert words.returncode == 0
        assert "ready" in words.stdout
        assert str(found["pid"]) in words.stdout

        stopped = place.command("stop", "--json")
        assert stopped.returncode == 0
        assert _line(stopped.stdout) == {"event": "stopped", "was_running": True}
    finally:
        place.command_in_process("stop")
    assert place.command_in_process("status").returncode == 2
    assert (place.folder / "server.log").stat().st_size > 0


def test_a_status_without_a_server_says_how_to_start_one(place: Place) -> None:
    words = place.command("status")
    assert "kwaflux start" in words.stderr
    assert "Traceback" not in words.stderr
    line = _line(place.command_in_process("status", "--json").stdout)
    assert (line["event"], line["code"]) == ("error", "unavailable")


@pytest.mark.skipif(torch.cuda.is_available(), reason="the device is there")
def test_a_server_whose_device_is_not_there_says_so_soon(place: Place) -> None:
    refused = place.with_settings({"KWAFLUX_DEVICES": "cuda:0"}).command("start")
    assert refused.returncode == 2
    assert "cuda:0" in refused.stderr
    assert "server.log" in refused.stderr
    assert "Traceback" not in refused.stderr
    wait_until(lambda: not _answers(place), what="the useless server ended")


def test_a_setting_that_is_wrong_is_said_by_start_too(place: Place) -> None:
    refused = place.with_settings({"KWAFLUX_TILE_PX": "7"}).command_in_process("start")
    assert refused.returncode == 2
    assert "KWAFLUX_TILE_PX" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_effects_from_outside_are_listed_by_the_command_line_and_by_the_client(
    server: RunningServer,
) -> None:
    with server.client() as client:
        cards = {card.id: card for card in client.effects()}
    assert {"identity", "denoise", *EFFECT_IDS} <= set(cards)
    assert "damaged" not in cards
    listed = server.place.command("effects")
    assert listed.returncode == 0
    for name in cards:
        assert name in listed.stdout
    assert "skipped: kw_test_effects.damaged" in listed.stdout
    as_json = json.loads(server.place.command("effects", "--json").stdout)
    assert {entry["id"] for entry in as_json if "flow" not in entry} == set(cards)
    one = json.loads(server.place.command("effects", "soften", "--json").stdout)
    assert one["params"][0]["name"] == "strength"
    assert "skipped" in server.log().lower()


def test_an_effect_that_is_not_there_is_status_2_and_names_those_that_are(
    server: RunningServer,
) -> None:
    refused = server.place.command("effects", "sharpen")
    assert refused.returncode == 2
    assert "denoise" in refused.stderr


def test_a_server_in_the_background_is_in_no_terminals_group(place: Place) -> None:
    try:
        assert place.command("start", "--json").returncode == 0
        with Client.connect(place.endpoint, environ=place.environ) as client:
            pid = client.status().pid
        assert os.getpgid(pid) == pid
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not _answers(place), what="the server ended")
    finally:
        place.command_in_process("stop")


def _answers(place: Place) -> bool:
    try:
        Client.connect(place.endpoint, timeout_s=5, environ=place.environ).close()
    except Unavailable:
        return False
    return True


def test_the_log_of_a_server_names_its_clients(server: RunningServer) -> None:
    with server.client(name="nuke-13") as client:
        client.ping()
    wait_until(lambda: "nuke-13" in server.log(), what="the client's name is in the log")
