"""A server over TCP: roots, keys, and nobody else's files."""

from __future__ import annotations

import socket as sockets
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from kwaflux_core import Client, read_image, write_image
from kwaflux_core.client.exr_request import ExrRequest
from kwaflux_core.errors import PathNotAllowed, SettingsError, Unavailable
from kwaflux_core.images.exr.read import exr_to_bytes, read_exr
from kwaflux_core.settings.settings import load_server_settings
from kwaflux_core.transport.curve_keys import make_keys
from kwaflux_server.cli.main import app
from kwaflux_testing.pictures import plate, same_bits
from kwaflux_testing.servers import Place, RunningServer, new_place, serving

SMALL = plate(32, 48)


def _free_port() -> int:
    with sockets.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(frozen=True, slots=True)
class _Guarded:
    """A server that wants keys, and may use one folder."""

    server: RunningServer
    keys: Path
    root: Path

    def client(self, name: str, *, server_key: str = "server", timeout_s: float = 30.0) -> Client:
        endpoint = self.server.endpoint
        environ = _keys_of(self.keys, name, endpoint=endpoint, server_key=server_key)
        return Client.connect(timeout_s=timeout_s, name=name, environ=environ)


@pytest.fixture(scope="module")
def guarded(effects_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Guarded]:
    keys, root = tmp_path_factory.mktemp("keys"), tmp_path_factory.mktemp("root")
    app(["keys", "--client", "known", "--out", str(keys)], standalone_mode=False)
    make_keys(keys, "stranger")
    with ExitStack() as stack:
        found = stack.enter_context(new_place(effects_folder))
        settings = {
            "KWAFLUX_ENDPOINT": f"tcp://127.0.0.1:{_free_port()}",
            "KWAFLUX_ROOTS": str(root),
            "KWAFLUX_CURVE_SECRET_FILE": str(keys / "server.key_secret"),
            "KWAFLUX_CURVE_CLIENTS_DIR": str(keys / "clients"),
        }
        client = _keys_of(keys, "known", endpoint=settings["KWAFLUX_ENDPOINT"])
        running = stack.enter_context(serving(found, settings, client=client))
        yield _Guarded(running, keys, root)


def _keys_of(keys: Path, name: str, *, endpoint: str, server_key: str = "server") -> dict[str, str]:
    return {
        "KWAFLUX_ENDPOINT": endpoint,
        "KWAFLUX_CURVE_SECRET_FILE": str(keys / f"{name}.key_secret"),
        "KWAFLUX_CURVE_SERVER_KEY_FILE": str(keys / f"{server_key}.key"),
    }


def test_a_client_with_a_known_key_is_served_by_every_transport(guarded: _Guarded) -> None:
    source, target = guarded.root / "plate.exr", guarded.root / "clean.exr"
    write_image(source, SMALL)
    with guarded.client("known") as client:
        result = client.render(SMALL, "soften", timeout_s=60).image
        client.render_file(source, target, "soften", timeout_s=60)
        data = client.render_exr(
            ExrRequest(data=exr_to_bytes(SMALL), flow="soften"), timeout_s=60
        ).data
    for image in (read_image(target), read_exr(data)):
        for name in "RGB":
            assert same_bits(image.part.channels[name], result.part.channels[name])


def test_a_stranger_is_told_at_once_that_its_key_is_not_accepted(guarded: _Guarded) -> None:
    begun_s = time.monotonic()
    with pytest.raises(Unavailable, match="key was not accepted"):
        guarded.client("stranger")
    with pytest.raises(Unavailable, match="key was not accepted"):
        guarded.client("known", server_key="stranger", timeout_s=15)
    assert time.monotonic() - begun_s < 25
    guarded.client("known").close()


def test_a_client_without_keys_is_not_served(guarded: _Guarded) -> None:
    with pytest.raises(Unavailable):
        Client.connect(guarded.server.endpoint, timeout_s=10, environ={})
    guarded.client("known").close()


def test_paths_outside_the_roots_are_refused_through_links_too(
    guarded: _Guarded, tmp_path: Path
) -> None:
    outside, inside = tmp_path / "plate.exr", guarded.root / "in.exr"
    write_image(outside, SMALL)
    write_image(inside, SMALL)
    (guarded.root / "link.exr").symlink_to(outside)
    (guarded.root / "door").symlink_to(tmp_path)
    sibling = guarded.root.with_name(guarded.root.name + "-sibling")
    sibling.mkdir()
    cases = [
        (outside, guarded.root / "o.exr"),
        (guarded.root / "link.exr", guarded.root / "o.exr"),
        (guarded.root / "door" / "plate.exr", guarded.root / "o.exr"),
        (guarded.root / ".." / tmp_path.name / "plate.exr", guarded.root / "o.exr"),
        (inside, tmp_path / "o.exr"),
        (inside, guarded.root / "door" / "o.exr"),
        (inside, sibling / "o.exr"),
        (Path("/etc/passwd"), guarded.root / "o.exr"),
    ]
    with guarded.client("known") as client:
        for source, target in cases:
            with pytest.raises(PathNotAllowed) as caught:
                client.render_file(source, target, "soften", timeout_s=30)
            assert str(guarded.root) in caught.value.hint
            with pytest.raises(PathNotAllowed):
                client.submit(source, target, flow="soften", timeout_s=30)
    assert not list(tmp_path.glob("o.exr"))
    assert not list(sibling.iterdir())


def test_a_jobs_frames_that_are_links_out_of_the_roots_are_refused(
    guarded: _Guarded, tmp_path: Path
) -> None:
    secret = tmp_path / "secret.exr"
    write_image(secret, SMALL)
    shots = guarded.root / "shots"
    shots.mkdir()
    write_image(shots / "plate.0001.exr", SMALL)
    (shots / "plate.0002.exr").symlink_to(secret)
    with guarded.client("known") as client:
        job = client.submit(
            shots / "plate.####.exr", shots / "c.####.exr", flow="soften", timeout_s=30
        )
        ends = {e.frame: e for e in job.events(timeout_s=60) if e.state != "started"}
    assert ends[1].state == "done"
    assert ends[2].state == "failed"
    assert ends[2].error is not None
    assert ends[2].error.code == "path_not_allowed"
    assert not (shots / "c.0002.exr").exists()


def test_a_second_server_at_the_same_port_is_refused(guarded: _Guarded) -> None:
    place = guarded.server.place
    second = place.command("serve")
    assert second.returncode == 2
    assert "cannot listen" in second.stderr
    assert "Traceback" not in second.stderr
    guarded.client("known").close()


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"KWAFLUX_ENDPOINT": "tcp://127.0.0.1:4711"}, "roots"),
        ({"KWAFLUX_ENDPOINT": "tcp://0.0.0.0:4711", "KWAFLUX_ROOTS": "/tmp"}, "network"),
        ({"KWAFLUX_DEVICES": "tpu"}, "devices"),
        ({"KWAFLUX_TILE_PIX": "64"}, "KWAFLUX_TILE_PX"),
    ],
    ids=["no roots", "no keys", "no such device", "a misspelt setting"],
)
def test_a_server_that_would_be_unsafe_or_misread_does_not_start(
    place: Place, settings: dict[str, str], says: str
) -> None:
    environ = {**place.environ, **settings}
    with pytest.raises(SettingsError, match=says):
        load_server_settings(environ=environ, file=None, flags={})
    refused = place.with_settings(settings).command("serve")
    assert refused.returncode == 2
    assert says in refused.stderr
    assert "Traceback" not in refused.stderr
