"""Measure weights on the pictures of the test split, which training never saw.

Owns the fixed cases, the measures and the table. Must not know how the weights were trained.

PSNR and SSIM are taken on sRGB-encoded values clipped to 0..1, as a viewer sees them. The texture
ratio is the restored Laplacian energy over the clean one, over 16 x 16 blocks with texture: 1 keeps
all of it, less is smoothing, more is noise that is left.
"""

from __future__ import annotations

import json
import math
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from skimage.metrics import structural_similarity
from skimage.restoration import denoise_nl_means
from torch.nn import functional as F

from kwaflux_models import domain
from kwaflux_models.denoise.network import RADIUS_PX, DenoiseNetwork, load
from kwaflux_models.training.codec import Encode, round_trip
from kwaflux_models.training.data import draw_clip
from kwaflux_models.training.degrade import (
    Array,
    Sensor,
    add_sensor_noise,
    display_decode,
    display_encode,
)
from kwaflux_models.training.losses import block_energy
from kwaflux_models.training.sources import Picture
from kwaflux_models.training.sources import load as load_pictures

__all__ = ["CASES", "Line", "TestCase", "measure", "restore", "write_report"]

SIDE_PX = 192
CROPS = 2
_PAD_PX = 8 * math.ceil(RADIUS_PX / 8)


@dataclass(frozen=True, slots=True)
class TestCase:
    """One way to degrade a test clip.

    Attributes:
        name: The case's name in the table.
        sigma: Display units: noise on mid gray from a Bayer sensor; 0 for none.
        crf: H.264 constant rate factor after the noise; -1 for no codec.
        is_white: True replaces the sensor by white noise on display-encoded values.
    """

    __test__ = False

    name: str
    sigma: float
    crf: int = -1
    is_white: bool = False


CASES = (
    TestCase("clean", 0.0),
    TestCase("h264 crf 18", 0.0, crf=18),
    TestCase("h264 crf 28", 0.0, crf=28),
    TestCase("sensor 0.03", 0.03),
    TestCase("sensor 0.06", 0.06),
    TestCase("sensor 0.03, h264 crf 24", 0.03, crf=24),
    TestCase("sensor 0.045, h264 crf 27", 0.045, crf=27),
    TestCase("sensor 0.06, h264 crf 30", 0.06, crf=30),
    TestCase("white 0.04, h264 crf 26", 0.04, crf=26, is_white=True),
    TestCase("white 0.05", 0.05, is_white=True),
)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table: means over the test crops.

    Attributes:
        case: The case's name.
        psnr_in: PSNR of the degraded crop, dB, capped at 60.
        psnr_blind: PSNR restored with the noise level unknown, the default.
        psnr_told: PSNR restored with the true noise level.
        psnr_nlm: Non-local means, its strength chosen per crop with the clean one at hand.
        ssim_in: SSIM of the degraded crop.
        ssim_blind: SSIM restored, level unknown.
        texture_blind: Texture ratio restored, level unknown.
        texture_told: Texture ratio restored, true level.
        worse: Share of crops whose PSNR the restoration (level unknown) lowers by over 0.1 dB.
    """

    case: str
    psnr_in: float
    psnr_blind: float
    psnr_told: float
    psnr_nlm: float
    ssim_in: float
    ssim_blind: float
    texture_blind: float
    texture_told: float
    worse: float


@torch.inference_mode()
def restore(network: DenoiseNetwork, degraded: Array, level: float) -> Array:
    """Denoise an (H, W, 3) scene-linear picture at full strength.

    Args:
        network: The network.
        degraded: Sides are multiples of the network's alignment.
        level: Noise level in working-curve units, negative for unknown.
    """
    linear = torch.from_numpy(np.ascontiguousarray(degraded.transpose(2, 0, 1)))[None]
    working = domain.encode(linear)
    padded = F.pad(working, (_PAD_PX,) * 4, mode="reflect")
    residual = network(padded, torch.full((1, 1, 1, 1), level))
    residual = residual[..., _PAD_PX:-_PAD_PX, _PAD_PX:-_PAD_PX]
    restored = linear + (domain.decode(working + residual) - domain.decode(working))
    return np.asarray(restored[0].permute(1, 2, 0).numpy(), dtype=np.float32)


def _degrade(clip: Array, case: TestCase, rng: np.random.Generator) -> tuple[Array, Array]:
    """Return the degraded and the clean middle frame of a clip."""
    noisy = clip
    if case.is_white:
        noise = case.sigma * rng.standard_normal(clip.shape, dtype=np.float32)
        noisy = display_decode(display_encode(clip, "srgb") + noise, "srgb")
    elif case.sigma > 0:
        variance = (case.sigma / 1.2) ** 2
        sensor = Sensor(
            shot=0.9 * variance / 0.18,
            read=math.sqrt(0.1 * variance),
            gains=(1.8, 1.5),
            crosstalk=0.4,
        )
        noisy = np.stack([add_sensor_noise(frame, sensor, rng) for frame in clip])
    middle = clip.shape[0] // 2
    if case.crf < 0:
        return noisy[middle], clip[middle]
    coded = round_trip(display_encode(noisy, "bt709"), Encode("h264", case.crf, preset="medium"))
    return display_decode(coded[middle], "bt709"), np.clip(clip[middle], 0.0, 1.0)


def _display(linear: Array) -> Array:
    return np.clip(display_encode(linear, "srgb"), 0.0, 1.0)


def _psnr(picture: Array, clean: Array) -> float:
    error = float(np.mean(np.square(_display(picture) - _display(clean))))
    return min(60.0, -10.0 * math.log10(max(error, 1e-9)))


def _ssim(picture: Array, clean: Array) -> float:
    return float(
        structural_similarity(  # type: ignore[no-untyped-call]
            _display(picture),
            _display(clean),
            channel_axis=2,
            data_range=1.0,
            gaussian_weights=True,
        )
    )


def _texture(picture: Array, clean: Array) -> float:
    """Return the texture ratio of a picture; NaN where the clean crop has no texture."""
    found, wanted = (
        block_energy(torch.from_numpy(_display(p).mean(axis=2))[None, None])
        for p in (picture, clean)
    )
    is_textured = wanted > 2e-4
    if not bool(is_textured.any()):
        return math.nan
    return float(found[is_textured].sum() / wanted[is_textured].sum())


def _best_nlm(degraded: Array, clean: Array) -> float:
    """Return the PSNR of non-local means at the best of four strengths, one of them nothing."""
    shown = _display(degraded)
    best = _psnr(degraded, clean)
    for strength in (0.02, 0.04, 0.07):
        smooth = denoise_nl_means(
            shown, h=strength, patch_size=5, patch_distance=6, fast_mode=True, channel_axis=2
        )
        best = max(best, _psnr(display_decode(np.asarray(smooth, np.float32), "srgb"), clean))
    return best


def measure(
    network: DenoiseNetwork, pictures: list[Picture], case: TestCase, *, has_nlm: bool
) -> Line:
    """Measure one case over two crops of every picture, the same crops for every case."""
    rows = []
    for number, picture in enumerate(pictures):
        for crop in range(CROPS):
            clip = draw_clip(
                [picture], np.random.default_rng([number, crop]), frames=5, side=SIDE_PX
            )
            degraded, clean = _degrade(clip, case, np.random.default_rng([9, number, crop]))
            error = domain.encode(torch.from_numpy(degraded)) - domain.encode(
                torch.from_numpy(clean)
            )
            blind = restore(network, degraded, -1.0)
            told = restore(network, degraded, float(error.std()))
            psnr_in, psnr_blind = _psnr(degraded, clean), _psnr(blind, clean)
            rows.append(
                (
                    psnr_in,
                    psnr_blind,
                    _psnr(told, clean),
                    _best_nlm(degraded, clean) if has_nlm else math.nan,
                    _ssim(degraded, clean),
                    _ssim(blind, clean),
                    _texture(blind, clean),
                    _texture(told, clean),
                    float(psnr_blind < psnr_in - 0.1),
                )
            )
    table = np.array(rows)
    means = [
        float(column[np.isfinite(column)].mean()) if np.isfinite(column).any() else math.nan
        for column in table.T
    ]
    return Line(case.name, *means)


def write_report(
    weights: Path,
    cache: Path,
    target: Path,
    *,
    say: Callable[[str], None],
    has_nlm: bool = True,
) -> list[Line]:
    """Measure weights on the test split, write the table as JSON and say it line by line.

    Args:
        weights: The safetensors file.
        cache: The cache folder with the fetched pictures.
        target: The JSON file to write.
        say: Takes one line of text.
        has_nlm: Whether to measure non-local means as well, which takes minutes.
    """
    network = load(weights)
    pictures = load_pictures(cache, "test")
    begin = time.monotonic()
    lines = []
    for case in CASES:
        lines.append(measure(network, pictures, case, has_nlm=has_nlm and case.sigma > 0))
        say(" ".join(_cell(value) for value in asdict(lines[-1]).values()))
    with safe_open(weights, framework="pt") as file:
        about = dict(file.metadata() or {})
    table = {
        "crops": len(pictures) * CROPS,
        "crop_px": SIDE_PX,
        "pictures": [picture.name for picture in pictures],
        "parameters": sum(p.numel() for p in network.parameters()),
        "minutes_per_million_patches": _cost(about),
        "measured_in_s": round(time.monotonic() - begin),
        "machine": platform.machine(),
        "weights": about,
        "cases": [
            {k: v if isinstance(v, str) or math.isfinite(v) else None for k, v in asdict(x).items()}
            for x in lines
        ],
    }
    target.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    return lines


def _cell(value: str | float) -> str:
    return f"{value:<26}" if isinstance(value, str) else f"{value:7.3f}"


def _cost(about: dict[str, str]) -> float | None:
    """Return the minutes of training that a million patches took."""
    patches = int(about.get("patches", "0"))
    return round(float(about.get("minutes", "0")) * 1e6 / patches, 1) if patches else None
