"""Write results as tables that people read."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from kwaflux_models.evaluation.metrics.picture_scores import Scores
from kwaflux_models.evaluation.peers.peers import PEERS, PeerResult
from kwaflux_models.evaluation.peers.peerscores import PeerScores
from kwaflux_models.evaluation.report.gate import Gate
from kwaflux_models.evaluation.run.cases import Case, cases_of
from kwaflux_models.evaluation.run.collect_results import Results, by_picture, mean, median
from kwaflux_models.evaluation.run.crops import CREDITS
from kwaflux_models.evaluation.run.run_effects import PLANS, Row

__all__ = ["About", "page"]

_INTRO = """\
# Scores

Written by `kwaflux models evaluate`; `scores.json` beside it holds every picture's numbers.

The test set: 16 pictures that no training ever saw, a lively crop of 256 x 256 pixels of each (192
to 240 where a picture is small), as shot. A codec is a real encoder that was given five frames of
a pan, of which the middle one is judged; clips have seven frames of 192 x 192, of which the three
are judged whose window of five lies inside. Sensor noise is shot and read noise in front of a Bayer
mosaic, its number the standard deviation on mid gray in display units (0..1).
`evaluation/run/cases.py` lists every case.

Measures are taken on what an sRGB display shows, 0..1. PSNR in dB and SSIM are means over the
pictures. **Texture** is the Laplacian energy over the clean picture's on its textured blocks, the
median over the pictures: 1 is natural, below 0.8 looks plastic, above 1 is noise that is left.
MS-SSIM: more is better. GMSD: less is better.

Ours run through the renderer that users get, in float32, at the effect's **default** params;
`told` is the same with the true damage given. Peers marked * have their setting chosen **for each
picture with the clean one at hand**, which no user has: it is the most they can reach.
"""


@dataclass(frozen=True, slots=True)
class About:
    """Say what the numbers were made with.

    Args:
        effects: By effect: the machine it was measured on, and lines about its weights.
        peers_machine: What the peers ran on.
        notes: More lines for the page, such as what was skipped.
    """

    effects: Mapping[str, tuple[str, Sequence[str]]]
    peers_machine: str
    notes: Sequence[str]


def page(
    results: Results,
    peers: PeerScores,
    made: Sequence[Gate],
    about: About,
    *,
    pictures: Mapping[str, Sequence[str]],
) -> str:
    """Return the page in Markdown.

    Args:
        results: What was measured of ours.
        peers: What was measured of others.
        made: The gates.
        about: What with.
        pictures: Markdown lines of plots and crops by effect.
    """
    parts = [_INTRO, _made_with(about), _gate_table(made)]
    for effect in results.stills:
        parts.append(f"## {effect}\n")
        parts += _effect(results, peers, effect)
        parts += [line + "\n" for line in pictures.get(effect, ())]
    parts.append(_speed(results, peers))
    if any(pictures.values()):
        parts.append(CREDITS)
    return "\n".join(part.rstrip("\n") + "\n" for part in parts if part)


def _made_with(about: About) -> str:
    machines = "; ".join(dict.fromkeys(machine for machine, _ in about.effects.values()))
    lines = [f"Measured on: {machines}. Peers on: {about.peers_machine or 'nothing'}.", ""]
    lines += [f"- {effect}: {'; '.join(said)}" for effect, (_, said) in about.effects.items()]
    lines += [f"- {note}" for note in about.notes]
    return "## What it was made with\n\n" + "\n".join(lines) + "\n"


def _gate_table(made: Sequence[Gate]) -> str:
    rows = [[gate.effect, gate.text, gate.found, gate.outcome] for gate in made]
    passed = sum(gate.outcome == "pass" for gate in made)
    missed = sum(gate.outcome == "miss" for gate in made)
    head = (
        f"## What was asked, and what was reached\n\n{passed} reached, {missed} missed,"
        f" {len(made) - passed - missed} not measured.\n\n"
    )
    return head + _table(["effect", "asked", "found", "outcome"], rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows)]
    return "\n".join(lines) + "\n"


def _effect(results: Results, peers: PeerScores, effect: str) -> list[str]:
    groups = PLANS[effect].groups
    parts = []
    for title, chosen in (
        ("", [g for g in groups if g not in ("light", "clean")]),
        ("Light damage, and none: it should do no harm.\n\n", ["light", "clean"]),
    ):
        cases = [
            case
            for case in cases_of(*[g for g in groups if g in chosen])
            if results.rows(effect, case.name)
        ]
        if cases:
            parts.append(title + _compared(results, peers, effect, cases))
            parts.append(_finer(results, effect, cases))
    parts.append(_on_few(results, peers, effect))
    parts.append(_clips(results, effect))
    return [part for part in parts if part]


def _peers_of(
    results: Results, peers: PeerScores, effect: str, cases: Sequence[Case], *, is_slow: bool
) -> list[str]:
    """Return the peers that have results on any of the cases and our pictures."""
    return [
        peer.id
        for peer in PEERS.values()
        if peer.is_slow == is_slow
        and any(
            by_picture(results.rows(effect, case.name), peers.of(case, peer.id)) for case in cases
        )
    ]


def _pair(scores: Sequence[Scores]) -> str:
    if not scores:
        return ""
    return (
        f"{mean(s.psnr for s in scores):.2f} / {mean(s.ssim for s in scores):.3f}"
        f" / {_number(median(s.texture for s in scores))}"
    )


def _number(value: float) -> str:
    return f"{value:.2f}" if math.isfinite(value) else "-"


def _peer_scores(rows: Sequence[Row], theirs: Mapping[str, PeerResult]) -> list[Scores]:
    return [theirs[row.picture].scores for row in rows if row.picture in theirs]


def _label(peer: str) -> str:
    return PEERS[peer].label + ("*" if len(PEERS[peer].ladder) > 1 else "")


def _compared(results: Results, peers: PeerScores, effect: str, cases: Sequence[Case]) -> str:
    """Return PSNR / SSIM / texture of the input, ours and the peers."""
    variants = list(results.stills[effect])
    variants = [v for v in variants if any(results.rows(effect, case.name, v) for case in cases)]
    others = _peers_of(results, peers, effect, cases, is_slow=False)
    before = "Lanczos" if cases[0].scale > 1 else "input"
    others = [peer for peer in others if not (peer == "lanczos" and before == "Lanczos")]
    head = ["PSNR / SSIM / texture", before, *(f"**{v}**" for v in variants)]
    rows = []
    for case in cases:
        ours = results.rows(effect, case.name)
        cells = [case.name, _pair([row.before for row in ours])]
        cells += [_pair([r.after for r in results.rows(effect, case.name, v)]) for v in variants]
        cells += [_pair(_peer_scores(ours, peers.of(case, peer))) for peer in others]
        rows.append(cells)
    return _table([*head, *map(_label, others)], rows)


def _finer(results: Results, effect: str, cases: Sequence[Case]) -> str:
    """Return the other measures of ours at the default, and the least gain of any picture."""
    head = [
        "MS-SSIM, GMSD: input to default",
        "MS-SSIM",
        "GMSD",
        "gain, dB: mean",
        "least",
        "pictures made worse",
        "left alone",
    ]
    rows = []
    for case in cases:
        found = results.rows(effect, case.name)
        gains = [row.after.psnr - row.before.psnr for row in found]
        rows.append(
            [
                case.name,
                _change(found, lambda s: s.ms_ssim, 4),
                _change(found, lambda s: s.gmsd, 4),
                f"{mean(gains):+.2f}",
                f"{min(gains):+.2f}",
                f"{sum(gain < -0.005 for gain in gains)} of {len(gains)}",
                f"{sum(row.is_refused or row.after == row.before for row in found)}",
            ]
        )
    return _table(head, rows)


def _change(rows: Sequence[Row], measure: Callable[[Scores], float], digits: int) -> str:
    before, after = mean(measure(r.before) for r in rows), mean(measure(r.after) for r in rows)
    return f"{before:.{digits}f} to {after:.{digits}f}"


def _on_few(results: Results, peers: PeerScores, effect: str) -> str:
    """Return the table of the peers that are too slow for every picture, on theirs alone."""
    cases = [case for case in cases_of(*PLANS[effect].groups) if results.rows(effect, case.name)]
    slow = _peers_of(results, peers, effect, cases, is_slow=True)
    parts = []
    for peer in slow:
        rows = []
        fast: list[str] = []
        for case in cases:
            theirs = peers.of(case, peer)
            ours = by_picture(results.rows(effect, case.name), theirs)
            if not ours:
                continue
            fast = fast or _peers_of(results, peers, effect, [case], is_slow=False)
            cells = [f"{case.name}, {len(ours)} pictures", _pair([row.before for row in ours])]
            cells += [_pair([row.after for row in ours]), _pair(_peer_scores(ours, theirs))]
            cells += [_pair(_peer_scores(ours, peers.of(case, other))) for other in fast]
            rows.append(cells)
        head = ["PSNR / SSIM / texture", "input", "**default**", _label(peer)]
        parts.append(
            f"{PEERS[peer].label} is slow; on the pictures it ran on:\n\n"
            + _table([*head, *map(_label, fast)], rows)
        )
    return "\n".join(parts)


def _clips(results: Results, effect: str) -> str:
    found = results.clips.get(effect, {})
    if not found:
        return ""
    head = ["clips: PSNR", "input", "one frame", "five frames", "texture: one", "five"]
    head += ["flicker / source's: one", "five", "ghost, %: one", "five"]
    rows = []
    for name, clips in found.items():
        rows.append(
            [
                name,
                *(f"{mean(getattr(r, k) for r in clips):.2f}" for k in _FORMS),
                _number(median(row.texture_still for row in clips)),
                _number(median(row.texture_temporal for row in clips)),
                f"{mean(row.flicker_still / row.flicker_before for row in clips):.2f}",
                f"{mean(row.flicker_temporal / row.flicker_before for row in clips):.2f}",
                f"{100 * mean(row.ghost_still for row in clips):.2f}",
                f"{100 * mean(row.ghost_temporal for row in clips):.2f}",
            ]
        )
    return _table(head, rows)


_FORMS = ("before", "still", "temporal")


def _speed(results: Results, peers: PeerScores) -> str:
    """Return what a frame of 1920 x 1080 costs; of peers, what their crops come to."""
    head = ["", "CPU seconds per megapixel", "seconds for 1920 x 1080"]
    rows = []
    for effect, cost in results.frames_1080p.items():
        per_megapixel = f"{cost.cpu_s / _FRAME_MP:.2f}"
        rows.append([f"**{effect}**{_WHAT.get(effect, '')}", per_megapixel, f"{cost.wall_s:.1f}"])
    for peer in PEERS.values():
        spent = [
            result.seconds_per_mp * (case.scale**2 if case.scale > 1 else 1)
            for case in cases_of(*peer.groups)
            if case.scale <= 2
            for result in peers.of(case, peer.id).values()
        ]
        if spent:
            cpu_s = median(spent)
            ideal = f"{cpu_s * _FRAME_MP / 2:.1f} on two ideal cores"
            rows.append([peer.label, f"{cpu_s:.2f}", ideal])
    text = (
        "Megapixels are those of the input; what enlarges does so twice. Ours: one noisy frame of "
        "1920 x 1080 with the neighbors that it reads, measured on the machine named above, which "
        "may have had other work to do; CPU seconds are those of all threads together. Peers: one "
        "setting, from the CPU seconds of the crops; where the best is searched it is several "
        "times as much.\n\n"
    )
    return "## Speed\n\n" + text + _table(head, rows)


_FRAME_MP = 1920 * 1080 / 1e6
_WHAT = {"upscale": " 2x", "denoise": ", five frames read"}
