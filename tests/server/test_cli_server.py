"""``kwaflux serve``, ``start``, ``stop``, ``status`` and ``effects``."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

from kwaflux_core.errors import KwafluxError
from kwaflux_testing.outside import EFFECT_IDS
from kwaflux_testing.servers import Place, RunningServer, wait_until


def _line(text: str) -> dict[str, object]:
    (line,) = text.splitlines()
    found: dict[str, object] = json.loads(line)
    return found


def test_start_status_and_stop_are_idempotent_and_speak_json(place: Place) -> None:
    assert place.command("status").returncode == 2
    assert _line(place.command("stop", "--json").stdout) == {
        "event": "stopped",
        "was_running": False,
    }
    try:
        started = place.command("start", "--json")
        assert started.returncode == 0, started.stdout + started.stderr
        assert _line(started.stdout)["is_new"] is True
        again = _line(place.command("start", "--json").stdout)
        assert again["is_new"] is False

        status = place.command("status", "--json")
        assert status.returncode == 0
        found = _line(status.stdout)["status"]
        assert isinstance(found, dict)
        assert found["endpoint"] == place.endpoint
        assert [worker["is_ready"] for worker in found["workers"]] == [True]
        words = place.command("status")
        assert words.returncode == 0
        assert "ready" in words.stdout
        assert str(found["pid"]) in words.stdout

        stopped = place.command("stop", "--json")
        assert stopped.returncode == 0
        assert _line(stopped.stdout) == {"event": "stopped", "was_running": True}
    finally:
        place.command("stop")
    assert place.command("status").returncode == 2
    assert (place.folder / "server.log").stat().st_mode & 0o077 == 0 or (
        place.folder.stat().st_mode & 0o077 == 0
    )


def test_a_status_without_a_server_says_how_to_start_one(place: Place) -> None:
    words = place.command("status")
    assert "kwaflux start" in words.stderr
    assert "Traceback" not in words.stderr
    line = _line(place.command("status", "--json").stdout)
    assert (line["event"], line["code"]) == ("error", "unavailable")


def test_a_server_that_cannot_start_says_so_with_the_end_of_its_log(place: Place) -> None:
    broken = place.with_settings({"KWAFLUX_ROOTS": "relative/folder", "KWAFLUX_TILE_PX": "7"})
    refused = broken.command("start")
    assert refused.returncode == 2
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
    assert "left out: kw_test_effects.damaged" in listed.stdout
    as_json = json.loads(server.place.command("effects", "--json").stdout)
    assert {card["id"] for card in as_json} == set(cards)
    one = json.loads(server.place.command("effects", "soften", "--json").stdout)
    assert one["params"][0]["name"] == "strength"
    assert "left out" in server.log().lower()


def test_an_effect_that_is_not_there_is_status_2_and_names_those_that_are(
    server: RunningServer,
) -> None:
    refused = server.place.command("effects", "sharpen")
    assert refused.returncode == 2
    assert "denoise" in refused.stderr


def test_a_server_in_the_background_outlives_the_terminal_it_was_started_from(place: Place) -> None:
    try:
        started = place.command("start", "--json")
        assert started.returncode == 0
        with RunningServer(place, None).client() as client:  # type: ignore[arg-type]
            pid = client.status().pid
        assert os.getpgid(pid) == pid != os.getpgid(0)
        # The terminal's hang-up goes to the terminal's group; ending the server is SIGTERM's work.
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not _answers(place), what="the server ended")
    finally:
        place.command("stop")


def _answers(place: Place) -> bool:
    try:
        RunningServer(place, None).client().close()  # type: ignore[arg-type]
    except KwafluxError:
        return False
    return True


def test_the_log_of_a_server_names_its_clients_and_never_a_pixel(
    server: RunningServer, tmp_path: Path
) -> None:
    with server.client(name="nuke-13") as client:
        client.ping()
    wait_until(lambda: "nuke-13" in server.log(), what="the client's name is in the log")
    assert "Traceback" not in server.log()
