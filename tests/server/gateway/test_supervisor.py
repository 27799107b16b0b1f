"""Worker processes: started, watched, started again. The programs here are stand-ins."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kwaflux_core.protocol.messages import WorkerReady
from kwaflux_core.settings.settings import ServerSettings
from kwaflux_server.gateway import supervisor as supervising
from kwaflux_server.gateway.supervisor import CANNOT_START, LostWorker, Supervisor
from kwaflux_testing.servers import wait_until

Make = Callable[..., Supervisor]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Give a call that makes a supervisor whose workers are a shell script."""
    made: list[Supervisor] = []

    def supervisor(
        script: str, *, devices: tuple[str, ...] = ("cpu",), start_s: float = 60.0
    ) -> Supervisor:
        program = tmp_path / "python"
        program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        program.chmod(0o700)
        monkeypatch.setattr(sys, "executable", str(program))
        settings = ServerSettings(endpoint="ipc:///tmp/never.sock", worker_start_s=start_s)
        found = Supervisor(
            devices,
            settings=settings,
            endpoint="ipc:///tmp/workers.sock",
            ring_dir="/dev/shm/rings",
            log_file=tmp_path / "log",
        )
        made.append(found)
        found.start()
        return found

    yield supervisor
    monkeypatch.setattr(supervising, "_STOP_S", 0.0)
    for each in made:
        each.stop()


def _ready(name: str, resident: tuple[str, ...] = ()) -> WorkerReady:
    return WorkerReady(name, "cpu", "CPU, 1 threads", 1, resident)


def _next_lost(found: Supervisor) -> LostWorker:
    lost: list[LostWorker] = []

    def looked() -> bool:
        lost.extend(found.poll())
        return bool(lost)

    wait_until(looked, what="a worker was lost")
    (only,) = lost
    return only


def test_there_is_one_worker_a_device_and_each_has_a_name_of_its_own(make: Make) -> None:
    found = make("sleep 60", devices=("cuda:0", "cuda:1"))
    infos = found.infos()
    assert [info.name for info in infos] == ["cuda0-0.0", "cuda1-1.0"]
    assert [info.device for info in infos] == ["cuda:0", "cuda:1"]
    assert all(info.pid > 0 and not info.is_ready for info in infos)
    assert found.knows("cuda0-0.0")
    assert not found.knows("cuda0-0.1")
    assert found.poll() == []


def test_a_worker_is_told_the_servers_settings(make: Make, tmp_path: Path) -> None:
    make(f'echo "$@" > {tmp_path}/told; sleep 60')
    told = tmp_path / "told"
    wait_until(lambda: told.exists() and told.read_text().endswith("\n"), what="it was started")
    words = told.read_text()
    for option in (
        "--endpoint=ipc:///tmp/workers.sock",
        "--name=cpu-0.0",
        "--device=cpu",
        "--ring-dir=/dev/shm/rings",
        f"--frame-bytes-max={8 << 30}",
    ):
        assert option in words.split()


def test_a_word_of_being_ready_counts_once_and_from_the_living_alone(make: Make) -> None:
    found = make("sleep 60")
    assert found.noted(_ready("cpu-0.0"))
    assert not found.noted(_ready("cpu-0.0", ("denoise",)))
    assert found.infos()[0].resident == ("denoise",)
    assert not found.noted(_ready("cpu-0.7"))


def test_a_worker_that_ends_is_started_again_under_another_name(make: Make) -> None:
    found = make("sleep 60")
    found.noted(_ready("cpu-0.0"))
    before = found.infos()[0].pid
    found.restart("cpu-0.0")
    assert _next_lost(found) == LostWorker("cpu-0.0", "killed by signal 9")
    (info,) = found.infos()
    assert (info.name, info.restarts, info.is_ready) == ("cpu-0.1", 1, False)
    assert info.pid != before
    assert not found.knows("cpu-0.0")
    assert not found.is_hopeless


def test_one_that_ends_three_times_before_it_was_ready_is_given_up(make: Make) -> None:
    found = make("exit 7")
    reasons = [_next_lost(found).reason for _ in range(3)]
    assert reasons == ["exit status 7"] * 3
    assert found.is_hopeless
    assert found.infos()[0].pid == 0
    assert found.poll() == []


def test_one_that_was_ready_in_between_is_not_given_up(make: Make) -> None:
    found = make("exit 7")
    for restart in range(5):
        found.noted(_ready(f"cpu-0.{restart}"))
        _next_lost(found)
    assert not found.is_hopeless


def test_one_that_says_it_never_can_is_given_up_at_once(make: Make) -> None:
    found = make(f"exit {CANNOT_START}")
    _next_lost(found)
    assert found.is_hopeless


def test_the_last_living_worker_keeps_hope(make: Make) -> None:
    found = make(
        f'case "$*" in *device=cuda:0*) exit {CANNOT_START};; esac; sleep 60',
        devices=("cuda:0", "cpu"),
    )
    assert _next_lost(found).name == "cuda0-0.0"
    assert not found.is_hopeless


def test_one_that_takes_too_long_to_get_ready_is_killed(make: Make) -> None:
    found = make("sleep 60", start_s=0.3)
    assert _next_lost(found).reason == "killed by signal 9"


def test_one_that_does_not_listen_is_killed_in_the_end(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = make("trap '' TERM INT; while :; do sleep 0.05; done")
    found.noted(_ready("cpu-0.0"))
    monkeypatch.setattr(supervising, "_STOP_S", 0.2)
    begun_s = time.monotonic()
    found.stop()
    assert time.monotonic() - begun_s < 5
    assert found.is_hopeless
    found.stop()
