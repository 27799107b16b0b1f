"""Peers are read without running anything of theirs, get their best, and are measured once."""

from __future__ import annotations

import json
import pickle
import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from kwaflux_core.errors import ImageError, ModelError, WeightsInvalid
from kwaflux_models.effects.ffdnet_weights import FFDNet, load_ffdnet, package_file
from kwaflux_models.evaluation.peers import peers as peers_module
from kwaflux_models.evaluation.peers.ncnn_model import NcnnNetwork, parse_layers
from kwaflux_models.evaluation.peers.peers import PEERS, SUBSET, Peer, best_on_ladder, measure_peer
from kwaflux_models.evaluation.peers.peerscores import PEER_FILE, PeerScores, run_peers
from kwaflux_models.evaluation.run.cases import CASES, Case, find_case
from kwaflux_models.evaluation.run.testset import Item, TestSet, make_case
from kwaflux_models.training.pictures.sources import Picture

GRAPH = """7767517
6 7
Input            in   0 1 data
Split            s    1 2 data a b
Convolution      c    1 1 a x 0=12 1=3 4=1 5=1 6=324 9=2 -23310=1,2.000000e-01
PixelShuffle     p    1 1 x up 0=2
Interp           i    1 1 b wide 0=1 1=2.000000e+00 2=2.000000e+00
BinaryOp         add  2 1 up wide out 0=0
"""


def weights(seed: int = 1) -> tuple[bytes, torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    kernel = rng.normal(0.0, 0.2, (12, 3, 3, 3)).astype(np.float16)
    bias = rng.normal(0.0, 0.2, 12).astype(np.float32)
    blob = struct.pack("<I", 0x01306B47) + kernel.tobytes() + bias.tobytes()
    return blob, torch.from_numpy(kernel.astype(np.float32)), torch.from_numpy(bias)


def photograph(seed: int = 4) -> Picture:
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (50, 50, 3)).repeat(8, 0).repeat(8, 1)
    return Picture(f"photo-{seed}", "display", pixels.astype(np.uint8))


def test_an_ncnn_graph_computes_what_torch_does() -> None:
    blob, kernel, bias = weights()
    network = NcnnNetwork(parse_layers(GRAPH), blob)
    picture = torch.rand(1, 3, 6, 8)
    wanted = F.pixel_shuffle(F.leaky_relu(F.conv2d(picture, kernel, bias, padding=1), 0.2), 2)
    wanted = wanted + F.interpolate(picture, scale_factor=2, mode="nearest")
    assert torch.allclose(network(picture), wanted, atol=1e-6)


@pytest.mark.parametrize("cut", [1, 4, 300, 640])
def test_ncnn_weights_that_end_early_are_refused(cut: int) -> None:
    with pytest.raises(WeightsInvalid):
        NcnnNetwork(parse_layers(GRAPH), weights()[0][:-cut])


def test_ncnn_weights_that_do_not_end_are_refused() -> None:
    with pytest.raises(WeightsInvalid, match="4 bytes"):
        NcnnNetwork(parse_layers(GRAPH), weights()[0] + b"more")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("7767517", "1234567"),
        ("6 7", "9 7"),
        ("Split            s    1 2 data a b", "Split"),
        ("BinaryOp         add  2 1 up wide out 0=0", "BinaryOp         m  2 1 up wide out 0=2"),
        ("PixelShuffle     p", "Exec p"),
        ("1=3 4=1", "1=3 3=2 4=1"),
        ("0=1 1=2.000000e+00", "0=7 1=2.000000e+00"),
    ],
)
def test_an_ncnn_graph_that_is_not_understood_is_refused(old: str, new: str) -> None:
    text = GRAPH.replace(old, new)
    assert text != GRAPH
    with pytest.raises(WeightsInvalid):
        NcnnNetwork(parse_layers(text), weights()[0])


def test_ffdnet_takes_any_size_and_the_noise_level(tmp_path: Path) -> None:
    torch.manual_seed(1)
    path = tmp_path / "weights.pth"
    torch.save(FFDNet().state_dict(), path)
    network = load_ffdnet(path)
    picture = np.random.default_rng(1).random((9, 14, 3), dtype=np.float32)
    some, more = network.restore(picture, 0.05), network.restore(picture, 0.2)
    assert some.shape == picture.shape
    assert not np.allclose(some, more)


def test_ffdnet_has_the_shape_of_the_published_weights() -> None:
    tensors = FFDNet().state_dict()
    assert sum(tensor.numel() for tensor in tensors.values()) == 852_108
    assert tensors["model.0.weight"].shape == (96, 13, 3, 3)
    assert tensors["model.22.weight"].shape == (12, 96, 3, 3)


class _Harmful:
    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return print, ("executed",)


@pytest.mark.parametrize("kind", ["pickle", "other tensors", "truncated", "text"])
def test_a_file_that_is_not_ffdnet_is_refused_and_nothing_in_it_runs(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "weights.pth"
    if kind == "pickle":
        path.write_bytes(pickle.dumps(_Harmful(), protocol=2))
    elif kind == "other tensors":
        torch.save({"model.0.weight": torch.zeros(3)}, path)
    elif kind == "truncated":
        torch.save(FFDNet().state_dict(), path)
        path.write_bytes(path.read_bytes()[:5000])
    else:
        path.write_text("not weights")
    with pytest.raises(WeightsInvalid):
        load_ffdnet(path)
    assert "executed" not in capsys.readouterr().out


def test_a_package_that_is_missing_is_a_typed_error() -> None:
    with pytest.raises(ModelError, match="not installed"):
        package_file("no_such_package_anywhere", "weights.pth")


@given(st.integers(0, 9), st.integers(-3, 12))
@settings(deadline=None)
def test_the_best_of_a_ladder_is_found_from_any_start(best: int, start: int) -> None:
    ladder = tuple(float(step) for step in range(10))
    asked: list[float] = []

    def quality(setting: float) -> float:
        asked.append(setting)
        return -abs(setting - best)

    assert best_on_ladder(ladder, quality, start=start) == best
    assert len(asked) == len(set(asked))


def _brightness(_case: Case) -> peers_module.Restore:
    return lambda picture, amount: picture + np.float32(amount)


def test_a_peer_is_scored_with_the_setting_that_is_best_for_the_picture() -> None:
    item = make_case([photograph()], find_case("clean"))[0]
    peer = Peer("lift", "lift", ("clean",), (-0.2, 0.0, 0.2), _brightness)
    result, place = measure_peer(peer, _brightness(find_case("clean")), item, start=0)
    assert (result.setting, place) == (0.0, 1)
    assert result.scores.psnr == 60.0
    one = Peer("one", "one", ("clean",), (0.2,), _brightness)
    result, _ = measure_peer(one, _brightness(find_case("clean")), item, start=0)
    assert result.scores.psnr < 30.0


def test_peers_are_measured_once_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []

    def opening(case: Case) -> peers_module.Restore:
        opened.append(case.name)
        return _brightness(case)

    peer = Peer("lift", "lift", ("clean",), (0.0, 0.1), opening)
    monkeypatch.setitem(PEERS, "lift", peer)
    tests = TestSet(tmp_path / "cases", (photograph(1), photograph(2)))
    path, case = tmp_path / "peers.json", find_case("clean")
    for _ in range(2):
        scores = PeerScores.read(path)
        save = partial(scores.write, [case], path)
        run_peers(
            tests,
            [case, find_case("JPEG q90")],
            scores,
            peers=["lift"],
            save=save,
            say=lambda _: None,
        )
    assert opened == ["clean"]
    kept = PeerScores.read(path)
    assert set(kept.of(case, "lift")) == {"photo-1", "photo-2"}
    assert kept.of(case, "lift")["photo-1"].scores.psnr == 60.0
    assert kept.pixels[case.digest]
    assert kept.of(find_case("JPEG q90"), "lift") == {}


def test_a_peer_that_is_not_installed_is_said_and_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(_case: Case) -> peers_module.Restore:
        raise ModelError("no such package")

    monkeypatch.setitem(PEERS, "gone", Peer("gone", "Gone", ("clean",), (0.0,), missing))
    said: list[str] = []
    run_peers(
        TestSet(tmp_path, (photograph(),)),
        [find_case("clean")],
        PeerScores(),
        peers=["gone"],
        save=lambda: None,
        say=said.append,
    )
    assert said == ["Gone is skipped: no such package"]


def test_a_slow_peer_runs_on_the_subset_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kwaflux_models.evaluation.peers.peerscores.SUBSET", (1,))
    slow = Peer("slow", "slow", ("clean",), (0.0,), _brightness, is_slow=True)
    monkeypatch.setitem(PEERS, "slow", slow)
    scores, case = PeerScores(), find_case("clean")
    tests = TestSet(tmp_path, (photograph(1), photograph(2)))
    run_peers(tests, [case], scores, peers=["slow"], save=lambda: None, say=lambda _: None)
    assert set(scores.of(case, "slow")) == {"photo-2"}
    assert len(SUBSET) >= 4


@pytest.mark.parametrize("text", ["", "[]", '{"machine":"m","cases":{"x":{"peers":{}}}}'])
def test_kept_scores_that_are_damaged_are_a_typed_error(text: str, tmp_path: Path) -> None:
    path = tmp_path / "peers.json"
    path.write_text(text)
    with pytest.raises(ImageError, match="cannot be read"):
        PeerScores.read(path)


def test_the_kept_scores_of_the_repository_are_of_its_cases() -> None:
    kept = PeerScores.read()
    raw = json.loads(PEER_FILE.read_text(encoding="utf-8"))
    assert set(raw["cases"]) <= {case.digest for case in CASES}
    assert kept.of(find_case("sensor 0.03"), "ffdnet")


def test_true_deconvolution_sharpens_what_a_disk_softened() -> None:
    case = find_case("defocus 2 px")
    item = make_case([photograph()], case)[0]
    peer = PEERS["richardson_lucy"]
    result, _ = measure_peer(peer, peer.open(case), item, start=2)
    alone, _ = measure_peer(
        Peer("none", "none", ("deblur",), (0.0,), _brightness), _brightness(case), item, start=0
    )
    assert result.scores.psnr > alone.scores.psnr + 1.0


def test_lanczos_doubles_the_side() -> None:
    case = find_case("2x, clean")
    item: Item = make_case([photograph()], case)[0]
    restored = PEERS["lanczos"].open(case)(item.degraded[0], 0.0)
    assert restored.shape == item.clean[0].shape
