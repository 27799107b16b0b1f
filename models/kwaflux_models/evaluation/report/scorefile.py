"""Keep what was measured of ours, so that one effect can be measured anew without the others."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, field
from pathlib import Path
from typing import Any, cast, get_args

from kwaflux_core.errors import ImageError
from kwaflux_models.evaluation.metrics.picture_scores import Scores
from kwaflux_models.evaluation.report.gate import Gate, Outcome
from kwaflux_models.evaluation.run.cases import CASES
from kwaflux_models.evaluation.run.collect_results import FrameCost, Results
from kwaflux_models.evaluation.run.run_effects import ClipRow, Row

__all__ = ["EffectRecord", "ScoreFile"]

_ROW = ("picture", "psnr", "ssim", "ms_ssim", "gmsd", "texture")
_FIELDS = (
    "picture",
    *(f"{name}_before" for name in _ROW[1:]),
    *(f"{name}_after" for name in _ROW[1:]),
    "cpu_seconds_per_mp",
    "is_refused",
)
_CLIP_FIELDS = tuple(ClipRow.__dataclass_fields__)


@dataclass(slots=True)
class EffectRecord:
    """Hold what is kept of one effect.

    Args:
        weights: SHA-256 of each of its files of weights.
        about: Lines on how they were trained.
        machine: What it was measured on.
        weights_bytes: Their size.
        pictures: Markdown lines of its plots and pictures.
    """

    weights: list[str]
    about: list[str]
    machine: str
    weights_bytes: int
    pictures: list[str] = field(default_factory=list)


@dataclass(slots=True)
class ScoreFile:
    """Hold the results of all effects, measured now or before.

    Args:
        results: What was measured.
        records: By effect, what it was measured with.
    """

    results: Results = field(default_factory=Results)
    records: dict[str, EffectRecord] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> ScoreFile:
        """Return what a file holds; nothing where there is none.

        Raises:
            ImageError: The file cannot be understood.
        """
        if not path.is_file():
            return cls()
        try:
            return _read(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ImageError(
                f"the scores in {path} cannot be read: {error}",
                hint="remove the file; the effects are measured anew",
                path=str(path),
            ) from error

    def keep_only(self, weights: Mapping[str, Sequence[str]]) -> list[str]:
        """Drop what no longer holds; return the effects that were dropped.

        Args:
            weights: SHA-256 of the installed weights by effect.
        """
        known = {case.name: case.digest for case in CASES}
        stale = [
            effect
            for effect, record in self.records.items()
            if list(weights.get(effect, ["gone"])) != record.weights
        ]
        for effect in stale:
            del self.records[effect]
            self.results.stills.pop(effect, None)
            self.results.clips.pop(effect, None)
            self.results.own.pop(effect, None)
            self.results.frames_1080p.pop(effect, None)
        self.results.pixels = {k: v for k, v in self.results.pixels.items() if k in known}
        for variants in self.results.stills.values():
            for cases in variants.values():
                for name in [name for name in cases if name not in known]:
                    del cases[name]
        return stale

    def take(self, fresh: Results, records: Mapping[str, EffectRecord]) -> None:
        """Put fresh results in the place of kept ones."""
        for effect, record in records.items():
            self.records[effect] = record
            self.results.stills[effect] = fresh.stills[effect]
            self.results.clips.pop(effect, None)
            if effect in fresh.clips:
                self.results.clips[effect] = fresh.clips[effect]
        self.results.own.update(fresh.own)
        self.results.frames_1080p.update(fresh.frames_1080p)
        self.results.pixels.update(fresh.pixels)
        self.results.shown = fresh.shown
        self.results.skipped = fresh.skipped

    def write(self, path: Path, gates: Sequence[Gate]) -> None:
        """Write the file: one line for a case's rows, numbers to five places."""
        text = json.dumps(_plain(_written(self, gates)), separators=(",", ":"))
        for end in ("]],", "},"):
            text = text.replace(f'{end}"', f'{end}\n"')
        path.write_text(text + "\n", encoding="utf-8")


def _written(kept: ScoreFile, gates: Sequence[Gate]) -> dict[str, object]:
    digests = {case.name: case.digest for case in CASES}
    results = kept.results
    return {
        "fields": _FIELDS,
        "clip_fields": _CLIP_FIELDS,
        "cases": {
            name: {"digest": digests[name], "pixels": pixels}
            for name, pixels in results.pixels.items()
        },
        "gates": [asdict(gate) for gate in gates],
        "effects": {
            effect: {
                **asdict(record),
                "own": [asdict(gate) for gate in results.own.get(effect, [])],
                "seconds_1080p": _cost(results.frames_1080p.get(effect)),
                "stills": {
                    variant: {name: [_row(row) for row in rows] for name, rows in cases.items()}
                    for variant, cases in results.stills[effect].items()
                },
                "clips": {
                    name: [astuple(row) for row in rows]
                    for name, rows in results.clips.get(effect, {}).items()
                },
            }
            for effect, record in kept.records.items()
        },
    }


def _cost(cost: FrameCost | None) -> dict[str, float] | None:
    return None if cost is None else asdict(cost)


def _row(row: Row) -> list[object]:
    return [
        row.picture,
        *astuple(row.before),
        *astuple(row.after),
        row.seconds_per_mp,
        row.is_refused,
    ]


def _number(value: object) -> float:
    if value is None:
        return math.nan
    if isinstance(value, (int, float)):
        return float(value)
    raise TypeError(f"{value!r} is no number")


def _read_row(values: Sequence[Any]) -> Row:
    if len(values) != len(_FIELDS):
        raise ValueError(f"a row of {len(values)} values, not {len(_FIELDS)}")
    numbers = [_number(value) for value in values[1:12]]
    return Row(
        str(values[0]),
        Scores(*numbers[:5]),
        Scores(*numbers[5:10]),
        numbers[10],
        bool(values[12]),
    )


def _read_gate(values: Mapping[str, str]) -> Gate:
    outcome = values["outcome"]
    if outcome not in get_args(Outcome):
        raise ValueError(f"{outcome!r} is no outcome")
    return Gate(values["effect"], values["text"], values["found"], cast(Outcome, outcome))


def _read(kept: Any) -> ScoreFile:
    file = ScoreFile()
    digests = {case.name: case.digest for case in CASES}
    valid = {n for n, c in kept["cases"].items() if digests.get(n) == c["digest"]}
    file.results.pixels = {name: str(kept["cases"][name]["pixels"]) for name in sorted(valid)}
    for effect, one in kept["effects"].items():
        file.records[effect] = EffectRecord(
            [str(digest) for digest in one["weights"]],
            [str(line) for line in one["about"]],
            str(one["machine"]),
            int(one["weights_bytes"]),
            [str(line) for line in one["pictures"]],
        )
        file.results.stills[effect] = {
            variant: {n: [_read_row(r) for r in rows] for n, rows in cases.items() if n in valid}
            for variant, cases in one["stills"].items()
        }
        clips = {
            name: [ClipRow(str(row[0]), *(_number(value) for value in row[1:])) for row in rows]
            for name, rows in one["clips"].items()
            if name in valid
        }
        if clips:
            file.results.clips[effect] = clips
        own = [_read_gate(gate) for gate in one["own"]]
        if own:
            file.results.own[effect] = own
        if one["seconds_1080p"] is not None:
            file.results.frames_1080p[effect] = FrameCost(
                **{name: _number(value) for name, value in one["seconds_1080p"].items()}
            )
    return file


def _plain(value: object) -> object:
    """Return what JSON can hold: numbers rounded to five places, NaN as null."""
    if isinstance(value, bool):
        return value
    if isinstance(value, float):
        return round(value, 5) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return value
