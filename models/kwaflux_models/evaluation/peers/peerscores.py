"""Keep what peers reached, so that evaluating ours again needs only minutes."""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, field
from pathlib import Path

from kwaflux_core.errors import ImageError, ModelError
from kwaflux_models.evaluation.metrics.picture_scores import Scores
from kwaflux_models.evaluation.peers.peers import (
    PEERS,
    SUBSET,
    Peer,
    PeerResult,
    measure_peer,
)
from kwaflux_models.evaluation.run.cases import Case
from kwaflux_models.evaluation.run.testset import Item, TestSet, pixels_digest

__all__ = ["PEER_FILE", "PeerScores", "run_peers"]

PEER_FILE = Path(__file__).with_name("peers.json")
"""The scores that were measured once and are part of the repository."""

_FIELDS = ("setting", "psnr", "ssim", "ms_ssim", "gmsd", "texture", "seconds_per_mp")


@dataclass(slots=True)
class PeerScores:
    """Hold the peers' scores.

    Args:
        rows: By case digest, peer and picture.
        machine: What they were measured on.
        pixels: By case digest: what the pixels were.
    """

    rows: dict[str, dict[str, dict[str, PeerResult]]] = field(default_factory=dict)
    machine: str = ""
    pixels: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path = PEER_FILE) -> PeerScores:
        """Return the kept scores; none where there is no file.

        Raises:
            ImageError: The file cannot be understood.
        """
        if not path.is_file():
            return cls()
        try:
            kept = json.loads(path.read_text(encoding="utf-8"))
            rows = {
                digest: {
                    peer: {name: _result(row) for name, row in pictures.items()}
                    for peer, pictures in case["peers"].items()
                }
                for digest, case in kept["cases"].items()
            }
            pixels = {digest: str(case["pixels"]) for digest, case in kept["cases"].items()}
            return cls(rows, str(kept["machine"]), pixels)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ImageError(
                f"the peers' scores in {path} cannot be read: {error}",
                hint="restore the file, or remove it and measure the peers again",
                path=str(path),
            ) from error

    def write(self, cases: Sequence[Case], path: Path = PEER_FILE) -> None:
        """Write the scores of some cases; those of others are dropped."""
        kept = {
            case.digest: {
                "name": case.name,
                "pixels": self.pixels.get(case.digest, ""),
                "peers": {
                    peer: {name: _row(result) for name, result in sorted(pictures.items())}
                    for peer, pictures in sorted(self.rows[case.digest].items())
                },
            }
            for case in cases
            if case.digest in self.rows
        }
        text = json.dumps(
            {"machine": self.machine, "fields": _FIELDS, "cases": kept}, separators=(",", ":")
        )
        # One line a picture's row group: the file is read in reviews.
        path.write_text(text.replace('},"', '},\n"') + "\n", encoding="utf-8")

    def of(self, case: Case, peer: str) -> Mapping[str, PeerResult]:
        """Return a peer's results on a case by picture; empty where it was not measured."""
        return self.rows.get(case.digest, {}).get(peer, {})


def _row(result: PeerResult) -> list[float | None]:
    values = (result.setting, *astuple(result.scores), result.seconds_per_mp)
    return [None if math.isnan(value) else round(value, 4) for value in values]


def _result(row: Sequence[float | None]) -> PeerResult:
    values = [math.nan if value is None else float(value) for value in row]
    if len(values) != len(_FIELDS):
        raise ValueError(f"a row of {len(values)} numbers, not {len(_FIELDS)}")
    return PeerResult(values[0], Scores(*values[1:6]), values[6])


def run_peers(
    tests: TestSet,
    cases: Sequence[Case],
    scores: PeerScores,
    *,
    peers: Iterable[str],
    save: Callable[[], None],
    say: Callable[[str], None],
) -> None:
    """Measure what is missing of some peers; a peer whose package is missing is said and skipped.

    Args:
        tests: The test set.
        cases: The cases; a peer runs on those of its groups.
        scores: Filled in.
        peers: Ids, in the order to run.
        save: Called after each picture, so that a run that is stopped goes on where it was.
        say: Takes one line of text.
    """
    scores.machine = scores.machine or f"{platform.machine()}, one thread"
    for name in peers:
        peer = PEERS[name]
        for case in cases:
            if case.group not in peer.groups:
                continue
            rows = scores.rows.setdefault(case.digest, {}).setdefault(peer.id, {})
            whole = tests.items(case)
            scores.pixels[case.digest] = pixels_digest(whole)
            items = _wanted(whole, peer, rows)
            if not items:
                continue
            try:
                restore = peer.open(case)
            except ModelError as error:
                say(f"{peer.label} is skipped: {error}")
                break
            place = len(peer.ladder) // 2
            for item in items:
                rows[item.picture], place = measure_peer(peer, restore, item, start=place)
                save()
            mean = sum(row.scores.psnr for row in rows.values()) / len(rows)
            say(f"{peer.label:<26} {case.name:<32} {mean:6.2f} dB on {len(rows)} pictures")


def _wanted(items: list[Item], peer: Peer, rows: Mapping[str, PeerResult]) -> list[Item]:
    chosen = [items[i] for i in SUBSET if i < len(items)] if peer.is_slow else items
    return [item for item in chosen if item.picture not in rows]
