"""Real servers for tests: processes with a runtime directory of their own, always stopped.

``server`` is one for the whole run, for tests that do it no harm; ``start_server`` starts others.
Every server has the effects of ``outside``, computes on the CPU and beats quickly. Nothing is read
from the environment that a person may have set.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from unittest import mock

import pytest

from kwaflux_core.client.client import Client, Transport
from kwaflux_core.errors import KwafluxError
from kwaflux_core.protocol.messages import ServerStatus
from kwaflux_core.settings.settings import default_endpoint
from kwaflux_server.cli.main import main
from kwaflux_testing.outside import install
from kwaflux_testing.packages import REPOSITORY, SHELVES

__all__ = [
    "Place",
    "RunningServer",
    "StartServer",
    "effects_folder",
    "new_place",
    "place",
    "server",
    "serving",
    "start_server",
    "wait_until",
]

_SHELVES = tuple(dict.fromkeys(REPOSITORY / shelf for shelf in SHELVES.values()))
START_S, STOP_S = 90.0, 30.0
_QUICK = {
    "KWAFLUX_DEVICES": "cpu",
    "KWAFLUX_TILE_PX": "32",
    "KWAFLUX_BEAT_S": "0.1",
    "KWAFLUX_SESSION_SILENCE_S": "3",
    # A processor that many tests share makes a measurement of precisions a lottery.
    "KWAFLUX_PRECISION": "float32",
    "OMP_NUM_THREADS": "1",
}


def wait_until(is_met: Callable[[], bool], *, what: str, timeout_s: float = 30.0) -> None:
    """Wait until a condition is met, or fail and say which was not."""
    deadline_s = time.monotonic() + timeout_s
    while not is_met():
        assert time.monotonic() < deadline_s, f"not within {timeout_s:g} s: {what}"
        time.sleep(0.01)


@dataclass(frozen=True, slots=True)
class Place:
    """Hold a private runtime directory, and the environment of processes that meet there."""

    folder: Path
    environ: Mapping[str, str]

    @property
    def endpoint(self) -> str:
        """Where this place's server listens."""
        return self.environ.get("KWAFLUX_ENDPOINT") or default_endpoint(self.environ)

    def with_settings(self, settings: Mapping[str, str]) -> Place:
        """Return the same place with other settings."""
        return Place(self.folder, {**self.environ, **settings})

    def command(self, *arguments: str, timeout_s: float = 90.0) -> subprocess.CompletedProcess[str]:
        """Run ``kwaflux`` to its end."""
        return subprocess.run(
            [sys.executable, "-m", "kwaflux_server", *arguments],
            env=dict(self.environ),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def command_in_process(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run ``kwaflux`` to its end in this process, which spares the imports.

        The effects of ``outside`` are not on this process's path: they are the server's alone.
        """
        out, err = io.StringIO(), io.StringIO()
        words = ["kwaflux", *arguments]
        with (
            mock.patch.dict(os.environ, self.environ, clear=True),
            mock.patch.object(sys, "argv", words),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            status = main()
        return subprocess.CompletedProcess(words, status, out.getvalue(), err.getvalue())


class RunningServer:
    """Hold a server process.

    Args:
        place: Where it runs.
        process: The gateway.
        client: The environment of its clients, where that is another (they have other keys).
    """

    def __init__(
        self,
        place: Place,
        process: subprocess.Popen[bytes],
        *,
        client: Mapping[str, str] | None = None,
    ) -> None:
        self.place = place
        self.process = process
        self._client_environ = place.environ if client is None else client

    @property
    def endpoint(self) -> str:
        """Where it listens."""
        return self.place.endpoint

    def log(self) -> str:
        """Return what it has logged so far."""
        return (self.place.folder / "log").read_text(encoding="utf-8", errors="replace")

    def client(self, *, transport: Transport | None = None, name: str = "test") -> Client:
        """Return a new client; whoever asks closes it."""
        return Client.connect(
            self.endpoint,
            timeout_s=START_S,
            transport=transport,
            name=name,
            environ=self._client_environ,
        )

    def status(self) -> ServerStatus:
        """Ask how it is."""
        with self.client(name="status") as client:
            return client.status(timeout_s=30)

    def ring_files(self) -> list[Path]:
        """Return the rings of all its sessions."""
        with self.client(name="rings") as client:
            ring_dir = client._requester.session(client._requester.deadline(30)).welcome.ring_dir
        return [path for path in Path(ring_dir).iterdir() if not path.name.startswith(".")]

    def is_well(self) -> bool:
        """Tell whether it runs and a worker is ready."""
        assert self.process.poll() is None, f"the server has ended:\n{self.log()}"
        with (
            contextlib.suppress(KwafluxError),
            Client.connect(
                self.endpoint, timeout_s=2, name="probe", environ=self._client_environ
            ) as client,
        ):
            return any(worker.is_ready for worker in client.status().workers)
        return False

    def end(self) -> int:
        """Stop it as the system does, by force if it lingers; return its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            return self.process.wait(STOP_S)


class StartServer(Protocol):
    """Start a server that is stopped when the test ends."""

    def __call__(
        self, settings: Mapping[str, str] | None = None, *, at: Place | None = None
    ) -> RunningServer:
        """Return it, ready; ``at`` reuses a place."""
        ...


@contextmanager
def new_place(effects: Path) -> Iterator[Place]:
    """Make a place with a short path, for a socket's is limited; remove it in the end."""
    folder = Path(tempfile.mkdtemp(prefix="kw"))
    kept = {name: value for name, value in os.environ.items() if not name.startswith("KWAFLUX_")}
    environ = {
        **kept,
        **_QUICK,
        "KWAFLUX_RUNTIME_DIR": str(folder),
        "KWAFLUX_SETTINGS_FILE": str(folder / "settings.toml"),
        # The server of this very tree, wherever the environment's installation points.
        "PYTHONPATH": os.pathsep.join(map(str, (effects, *_SHELVES))),
    }
    (folder / "settings.toml").touch()
    try:
        yield Place(folder, environ)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def serving(
    place: Place,
    settings: Mapping[str, str] | None = None,
    *,
    client: Mapping[str, str] | None = None,
) -> Iterator[RunningServer]:
    """Run a server at a place until the block ends; the arguments are as in ``RunningServer``.

    It leads a process group of its own, so that no worker outlives a test.
    """
    at = place.with_settings(settings or {})
    with (at.folder / "log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "kwaflux_server", "serve"],
            env=dict(at.environ),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    running = RunningServer(at, process, client=client)
    try:
        wait_until(running.is_well, what="a server is ready", timeout_s=START_S)
        yield running
    finally:
        running.end()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture(scope="session")
def effects_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder that holds the distribution of effects from outside."""
    return install(tmp_path_factory.mktemp("effects"))


@pytest.fixture
def place(effects_folder: Path) -> Iterator[Place]:
    """Give a place where no server runs."""
    with new_place(effects_folder) as found:
        yield found


@pytest.fixture(scope="session")
def server(effects_folder: Path) -> Iterator[RunningServer]:
    """Give a server that all tests share: ipc, shared memory, every path."""
    with new_place(effects_folder) as found, serving(found) as running:
        yield running


@pytest.fixture
def start_server(effects_folder: Path) -> Iterator[StartServer]:
    """Give a call that starts a server for one test."""
    with contextlib.ExitStack() as stack:

        def start(
            settings: Mapping[str, str] | None = None, *, at: Place | None = None
        ) -> RunningServer:
            found = at or stack.enter_context(new_place(effects_folder))
            return stack.enter_context(serving(found, settings))

        yield start
