"""Hold results to the numbers that were set before anything was trained."""

from __future__ import annotations

import math
from collections.abc import Mapping

from kwaflux_models.evaluation.peers.peers import PEERS
from kwaflux_models.evaluation.peers.peerscores import PeerScores
from kwaflux_models.evaluation.report.gate import Gate, Outcome
from kwaflux_models.evaluation.run.cases import Case, cases_of, find_case
from kwaflux_models.evaluation.run.collect_results import Results, by_picture, mean, median
from kwaflux_models.evaluation.run.run_effects import PLANS

__all__ = ["gates", "margin_over_peer"]

PLASTIC_BELOW = 0.80
_HARMLESS_DB = -0.005
_HARMLESS_SSIM = -0.00005
_NO_GHOST = 0.01
_LIGHT = ("H.264 CRF 18", "H.264 CRF 20", "JPEG q90")
"""What the promise to do no harm was made for; the tables show more."""


def gates(results: Results, peers: PeerScores, weights_bytes: Mapping[str, int]) -> list[Gate]:
    """Return every gate on the effects that were run, in the order of the line-up.

    Args:
        results: What was measured of ours.
        peers: What was measured of others.
        weights_bytes: The size of each effect's weights.
    """
    made: list[Gate] = []
    if "denoise" in results.stills:
        made += _denoise(results, peers)
    if "decompress" in results.stills:
        made += [
            _over_peer(results, peers, "decompress", find_case(name), "ffdnet", 0.0)
            for name in ("JPEG q25", "MPEG-2 q12", "H.264 CRF 28", "H.264 CRF 35")
        ]
    if "upscale" in results.stills:
        made += _upscale(results, peers)
    for effect in results.stills:
        made += _harmless(results, effect)
        made += _natural(results, effect)
        made += results.own.get(effect, [])
    made.append(
        Gate(
            "lora",
            "1.5 dB above the base on an unseen show, weight 0 bit-identical, under 200 KB",
            "`kwaflux models lora` measures it on the show's own pairs",
            "not measured",
        )
    )
    made += [
        _at_most(effect, "weights, MB", size / 1e6, 10.0)
        for effect, size in weights_bytes.items()
        if size
    ]
    return made


def margin_over_peer(
    results: Results, peers: PeerScores, effect: str, case: Case, peer: str
) -> tuple[float, int]:
    """Return ours minus the peer's PSNR on the pictures that both have, and how many they are."""
    theirs = peers.of(case, peer)
    rows = by_picture(results.rows(effect, case.name), theirs)
    return mean(row.after.psnr - theirs[row.picture].scores.psnr for row in rows), len(rows)


def _verdict(margin: float, wanted: float) -> Outcome:
    if not math.isfinite(margin):
        return "not measured"
    return "pass" if margin >= wanted else "miss"


def _over_peer(
    results: Results, peers: PeerScores, effect: str, case: Case, peer: str, wanted_db: float
) -> Gate:
    margin, count = margin_over_peer(results, peers, effect, case, peer)
    label = PEERS[peer].label
    aim = f"at least {wanted_db:g} dB above {label}" if wanted_db else f"not below {label}"
    found = f"{margin:+.2f} dB on {count} pictures" if count else f"{label} was not measured"
    return Gate(effect, f"{case.name}: {aim}", found, _verdict(margin, wanted_db))


def _denoise(results: Results, peers: PeerScores) -> list[Gate]:
    made = []
    for case in cases_of("noise", "noise_codec"):
        if case.is_white:
            continue
        wanted = 1.0 if case.group == "noise" else 0.5
        made.append(_over_peer(results, peers, "denoise", case, "ffdnet", wanted))
        made += [_over_peer(results, peers, "denoise", case, p, 0.0) for p in ("bm3d", "nlm")]
    return made + _clips(results)


def _clips(results: Results) -> list[Gate]:
    found = results.clips.get("denoise", {})
    made = []
    for case in cases_of("clip"):
        rows = found.get(case.name, [])
        if case.encodes and case.motion != "cut":
            wanted = 2.0 if case.motion == "static" else 1.0
            gain = mean(row.temporal - row.still for row in rows)
            made.append(
                Gate(
                    "denoise",
                    f"{case.name}: at least {wanted:g} dB above its one-frame form",
                    f"{gain:+.2f} dB" if rows else "it reads one frame",
                    _verdict(gain, wanted),
                )
            )
        ratio = mean(row.flicker_temporal / row.flicker_before for row in rows)
        made.append(
            Gate(
                "denoise",
                f"{case.name}: flicker below the source's",
                f"{ratio:.2f} of the source's" if rows else "it reads one frame",
                _verdict(-ratio, -1.0),
            )
        )
        if case.motion == "cut":
            more = mean(row.ghost_temporal - row.ghost_still for row in rows)
            loss = mean(row.temporal - row.still for row in rows)
            made.append(
                Gate(
                    "denoise",
                    f"{case.name}: no ghost of the other shot",
                    f"{100 * more:+.2f} % of it, {loss:+.2f} dB against one frame"
                    if rows
                    else "it reads one frame",
                    _verdict(-more, -_NO_GHOST),
                )
            )
    return made


def _upscale(results: Results, peers: PeerScores) -> list[Gate]:
    made = []
    for name, wanted in (
        ("2x, clean", 1.0),
        ("2x, sensor 0.03, H.264 CRF 26", 0.6),
        ("4x, clean", 0.5),
    ):
        case = find_case(name)
        gain = mean(r.after.psnr - r.before.psnr for r in results.rows("upscale", name))
        text = f"{name}: at least {wanted:g} dB above Lanczos"
        made.append(Gate("upscale", text, f"{gain:+.2f} dB", _verdict(gain, wanted)))
        if case.scale == 2:
            for peer in ("esrgan", "esrgan_anime"):
                made.append(_over_peer(results, peers, "upscale", case, peer, 0.0))
                made.append(_ssim_over(results, peers, case, peer))
    return made


def _ssim_over(results: Results, peers: PeerScores, case: Case, peer: str) -> Gate:
    theirs = peers.of(case, peer)
    rows = by_picture(results.rows("upscale", case.name), theirs)
    margin = mean(row.after.ssim - theirs[row.picture].scores.ssim for row in rows)
    label = PEERS[peer].label
    found = f"{margin:+.3f} on {len(rows)} pictures" if rows else f"{label} was not measured"
    return Gate("upscale", f"{case.name}: SSIM not below {label}", found, _verdict(margin, 0.0))


def _harmless(results: Results, effect: str) -> list[Gate]:
    """Return the gates of light compression: no picture may come out below what went in."""
    made = []
    for name in _LIGHT:
        case = find_case(name)
        rows = results.rows(effect, name)
        if not rows:
            continue
        psnr = min(row.after.psnr - row.before.psnr for row in rows)
        ssim = min(row.after.ssim - row.before.ssim for row in rows)
        is_fine = psnr >= _HARMLESS_DB and ssim >= _HARMLESS_SSIM
        made.append(
            Gate(
                effect,
                f"{case.name}: no picture below the input",
                f"worst picture {psnr:+.3f} dB, SSIM {ssim:+.5f}",
                "pass" if is_fine else "miss",
            )
        )
    return made


def _natural(results: Results, effect: str) -> list[Gate]:
    """Return the gate of texture at the default, over the cases the effect is for."""
    groups = [g for g in PLANS[effect].groups if g not in ("light", "clean", "analog")]
    found = {
        case.name: median(r.after.texture for r in results.rows(effect, case.name))
        for case in cases_of(*groups)
        if not case.is_white and results.rows(effect, case.name)
    }
    if not found:
        return []
    worst = min(found, key=lambda name: found[name])
    return [
        Gate(
            effect,
            f"texture at least {PLASTIC_BELOW:.2f} at the default",
            f"{_listed(found)}; least {found[worst]:.2f} ({worst})",
            _verdict(found[worst], PLASTIC_BELOW),
        )
    ]


def _listed(found: Mapping[str, float]) -> str:
    reached = sum(value >= PLASTIC_BELOW for value in found.values())
    return f"{reached} of {len(found)} cases"


def _at_most(effect: str, what: str, value: float, limit: float) -> Gate:
    return Gate(effect, f"{what}: at most {limit:g}", f"{value:.2f}", _verdict(-value, -limit))
