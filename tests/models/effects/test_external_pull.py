"""Fetching a checkpoint: whole and verified, or not there."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from kwaflux_core.errors import ModelError, RequestError, Unavailable, WeightsInvalid
from kwaflux_models.effects.external.download import Pull, pull

DATA = bytes(range(256)) * 12_000
SHA = hashlib.sha256(DATA).hexdigest()


@dataclass(slots=True)
class Shop:
    """What a server on loopback does, and what it was asked."""

    address: str = ""
    knows_ranges: bool = True
    breaks_after: int = 0
    ranges: list[str | None] = field(default_factory=list)


@pytest.fixture
def shop() -> Iterator[Shop]:
    found = Shop()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            found.ranges.append(asked)
            if "gone" in self.path:
                self.send_error(404)
                return
            start = int(asked.split("=")[1].rstrip("-")) if asked and found.knows_ranges else 0
            if start >= len(DATA):
                self.send_error(416)
                return
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(DATA) - 1}/{len(DATA)}")
            self.send_header("Content-Length", str(len(DATA) - start))
            self.end_headers()
            end = found.breaks_after or len(DATA)
            self.wfile.write(DATA[start:end])

        def log_message(self, *args: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    found.address = f"http://127.0.0.1:{server.server_port}"
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


def silent(there: int, total: int) -> None:
    assert 0 < there <= (total or there)


def test_a_file_is_fetched_once_and_verified(shop: Shop, tmp_path: Path) -> None:
    wanted = Pull(address=f"{shop.address}/nets/my%20net.pth?x=1", sha256=SHA.upper())
    told: list[int] = []
    path = pull(wanted, tmp_path, say=lambda there, total: told.append(there))
    assert path.read_bytes() == DATA
    assert path.name == "my_net.pth"
    assert told[-1] == len(DATA)
    assert pull(wanted, tmp_path, say=silent) == path
    assert shop.ranges == [None]


def test_a_transfer_that_broke_off_goes_on_where_it_was(shop: Shop, tmp_path: Path) -> None:
    wanted = Pull(address=f"{shop.address}/a.pth", sha256=SHA)
    shop.breaks_after = 1_500_000
    with pytest.raises(Unavailable, match="broke off after 1500000"):
        pull(wanted, tmp_path, say=silent)
    shop.breaks_after = 0
    assert pull(wanted, tmp_path, say=silent).read_bytes() == DATA
    assert shop.ranges == [None, "bytes=1500000-"]


def test_a_server_without_ranges_sends_it_anew(shop: Shop, tmp_path: Path) -> None:
    wanted = Pull(address=f"{shop.address}/a.pth", sha256=SHA)
    shop.breaks_after, shop.knows_ranges = 1000, False
    with pytest.raises(Unavailable):
        pull(wanted, tmp_path, say=silent)
    shop.breaks_after = 0
    assert pull(wanted, tmp_path, say=silent).read_bytes() == DATA


def test_a_part_that_is_the_whole_is_taken(shop: Shop, tmp_path: Path) -> None:
    (tmp_path / SHA).mkdir()
    (tmp_path / SHA / ".part").write_bytes(DATA)
    wanted = Pull(address=f"{shop.address}/a.pth", sha256=SHA)
    assert pull(wanted, tmp_path, say=silent).read_bytes() == DATA


@pytest.mark.parametrize("there", [b"", b"wrong bytes"])
def test_a_file_that_was_not_meant_is_thrown_away(shop: Shop, tmp_path: Path, there: bytes) -> None:
    wrong = hashlib.sha256(b"another").hexdigest()
    if there:
        (tmp_path / wrong).mkdir()
        (tmp_path / wrong / ".part").write_bytes(there)
    with pytest.raises(WeightsInvalid, match="not the file that was meant"):
        pull(Pull(address=f"{shop.address}/a.pth", sha256=wrong), tmp_path, say=silent)
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_has_it_not_or_is_not_there_is_unavailable(
    shop: Shop, tmp_path: Path
) -> None:
    with pytest.raises(Unavailable, match="404"):
        pull(Pull(address=f"{shop.address}/gone.pth", sha256=SHA), tmp_path, say=silent)
    with pytest.raises(Unavailable, match="cannot be fetched"):
        pull(Pull(address="http://127.0.0.1:1/a", sha256=SHA), tmp_path, say=silent)


def test_more_than_is_accepted_is_refused(shop: Shop, tmp_path: Path) -> None:
    wanted = Pull(address=f"{shop.address}/a.pth", sha256=SHA, bytes_max=1000)
    with pytest.raises(ModelError, match="more than 1000 bytes"):
        pull(wanted, tmp_path, say=silent)


@pytest.mark.parametrize("prefix", ["", "file://"])
def test_a_file_on_this_machine_is_copied_and_verified(tmp_path: Path, prefix: str) -> None:
    source = tmp_path / "net.pth"
    source.write_bytes(DATA)
    path = pull(Pull(address=f"{prefix}{source}", sha256=SHA), tmp_path / "in", say=silent)
    assert path.read_bytes() == DATA
    assert source.is_file()


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(WeightsInvalid, match="cannot be read"):
        pull(Pull(address=str(tmp_path / "none"), sha256=SHA), tmp_path / "in", say=silent)


@pytest.mark.parametrize("address", ["ftp://x/a.pth", "javascript:1", "data:text/plain,1"])
def test_other_kinds_of_address_are_refused(address: str) -> None:
    with pytest.raises(RequestError, match="no address"):
        Pull(address=address, sha256=SHA)


def test_what_is_no_hash_is_refused() -> None:
    with pytest.raises(RequestError, match="no SHA-256"):
        Pull(address="a.pth", sha256="abc")


@pytest.mark.parametrize("address", ["https://x/..", "https://x/a/..%2F..%2Fetc", "https://x/"])
def test_a_name_never_leaves_its_folder(address: str, tmp_path: Path) -> None:
    name = Pull(address=address, sha256=SHA).name
    assert (tmp_path / name).resolve().parent == tmp_path.resolve()
    assert not name.startswith(".")
