"""Make degraded pictures from clean ones, the way cameras and codecs do it.

Works on numpy arrays and a given random generator only; must not know files, processes or networks.

Sources: A. Foi et al., "Practical Poissonian-Gaussian noise modeling and fitting for single-image
raw-data", IEEE TIP 2008 (the noise); H. Malvar et al., "High-quality linear interpolation for
demosaicing of Bayer-patterned color images", ICASSP 2004 (the demosaic); IEC 61966-2-1 and ITU-R
BT.709-6 (the display curves).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import convolve

from kwaflux_models.training.degradations.video_codecs import Encode, round_trip

__all__ = [
    "CASES",
    "Case",
    "Pair",
    "Sensor",
    "add_sensor_noise",
    "degrade_clip",
    "demosaic",
    "display_decode",
    "display_encode",
    "draw_case",
    "draw_encode",
    "draw_sensor",
]

Array = NDArray[np.float32]
Case = Literal["sensor", "sensor_codec", "gauss", "gauss_codec", "codec", "clean", "light"]
Curve = Literal["srgb", "bt709", "gamma24", "log"]

CASES: dict[Case, float] = {
    "sensor": 0.27,
    "sensor_codec": 0.25,
    "gauss": 0.11,
    "gauss_codec": 0.07,
    "codec": 0.09,
    "light": 0.13,
    "clean": 0.08,
}
"""Share of each case in the training mix; sums to 1."""

LOG_PEAK = 8.0
"""Scene-linear value at code value 1 of the log curve used for log-encoded clips."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One degraded frame and what it should have been.

    Attributes:
        degraded: (H, W, 3) scene-linear Rec.709, float32; may hold negatives and values above 1.
        clean: (H, W, 3) of the same domain: clipped where the degradation clipped.
        case: The case it was made by.
    """

    degraded: Array
    clean: Array
    case: Case


@dataclass(frozen=True, slots=True)
class Sensor:
    """A camera's noise and how its raw picture becomes RGB.

    Attributes:
        shot: Variance per unit of linear signal (a of Foi et al.), at white balance gain 1.
        read: Standard deviation of the signal-independent part, linear units.
        row: Standard deviation of an offset shared by a row, linear units.
        gains: White balance gains of red and blue, at least 1.
        crosstalk: 0..1: how far the sensor's colors are from Rec.709; the matrix that undoes it
            mixes the channels' noise.
        mosaic: Phase 0..3 of the Bayer pattern, or -1 for three sensors without a mosaic.
        is_linear_demosaic: True takes plain bilinear interpolation, False Malvar's filters.
        saturation: Linear value at which the sensor clips, after gains.
    """

    shot: float
    read: float
    row: float = 0.0
    gains: tuple[float, float] = (1.0, 1.0)
    crosstalk: float = 0.0
    mosaic: int = 0
    is_linear_demosaic: bool = False
    saturation: float = 16.0


def display_encode(linear: Array, curve: Curve) -> Array:
    """Encode scene-linear values for a display; odd below 0, extended above 1."""
    size = np.abs(linear).astype(np.float32)
    if curve == "srgb":
        code = np.where(size <= 0.0031308, 12.92 * size, 1.055 * size ** (1 / 2.4) - 0.055)
    elif curve == "bt709":
        code = np.where(size < 0.018, 4.5 * size, 1.099 * size**0.45 - 0.099)
    elif curve == "gamma24":
        code = size ** (1 / 2.4)
    else:
        code = np.log1p(200.0 * size) / np.log1p(200.0 * LOG_PEAK)
    return np.asarray(np.copysign(code, linear), dtype=np.float32)


def display_decode(code: Array, curve: Curve) -> Array:
    """Undo `display_encode`."""
    size = np.abs(code).astype(np.float32)
    if curve == "srgb":
        linear = np.where(size <= 0.04045, size / 12.92, ((size + 0.055) / 1.055) ** 2.4)
    elif curve == "bt709":
        linear = np.where(size < 0.081, size / 4.5, ((size + 0.099) / 1.099) ** (1 / 0.45))
    elif curve == "gamma24":
        linear = size**2.4
    else:
        linear = np.expm1(size * np.log1p(200.0 * LOG_PEAK)) / 200.0
    return np.asarray(np.copysign(linear, code), dtype=np.float32)


def draw_case(rng: np.random.Generator) -> Case:
    """Draw a case by its share in the mix."""
    names = list(CASES)
    return names[int(rng.choice(len(names), p=np.array([CASES[name] for name in names])))]


def draw_sensor(rng: np.random.Generator, *, low: float = 0.006, high: float = 0.11) -> Sensor:
    """Draw a camera whose noise on mid gray has a log-uniform level.

    Args:
        rng: The random generator.
        low: Least standard deviation on linear 0.18, in display units (0..1).
        high: Greatest, likewise.
    """
    sigma = float(np.exp(rng.uniform(np.log(low), np.log(high)))) / 1.2
    shot_share = float(rng.uniform(0.75, 0.995))
    read = sigma * float(np.sqrt(1.0 - shot_share))
    return Sensor(
        shot=shot_share * sigma**2 / 0.18,
        read=read,
        row=read * float(rng.uniform(0.0, 0.3)) * float(rng.random() < 0.4),
        gains=(float(rng.uniform(1.2, 2.2)), float(rng.uniform(1.2, 2.2))),
        crosstalk=float(rng.uniform(0.0, 0.8)),
        mosaic=int(rng.integers(4)) if rng.random() < 0.85 else -1,
        is_linear_demosaic=bool(rng.random() < 0.3),
        saturation=float(rng.choice([1.0, 4.0, 16.0], p=[0.25, 0.25, 0.5])),
    )


def draw_encode(rng: np.random.Generator, *, is_light: bool = False) -> Encode:
    """Draw a codec and its settings; ``is_light`` keeps to what is nearly transparent."""
    names = ["h264", "h265", "mpeg2", "mpeg4", "mjpeg", "prores"]
    codec = names[int(rng.choice(6, p=[0.5, 0.1, 0.1, 0.1, 0.12, 0.08]))]
    limits = {"h264": (18, 34), "h265": (20, 34), "mpeg2": (3, 12), "mpeg4": (3, 12)}
    light = {"h264": (12, 20), "h265": (14, 21), "mpeg2": (2, 3), "mpeg4": (2, 3)}
    others = {"mjpeg": (2, 3 if is_light else 14), "prores": (2 if is_light else 0, 3)}
    low, high = {**others, **(light if is_light else limits)}[codec]
    return Encode(
        codec=codec,
        quality=int(rng.integers(low, high + 1)),
        preset=str(rng.choice(["veryfast", "fast", "medium"])),
        is_bt601=bool(rng.random() < 0.15),
        is_smooth_chroma=bool(rng.random() < 0.7),
    )


def _color_matrix(crosstalk: float) -> Array:
    """Return the matrix from Rec.709 to a sensor's colors; rows sum to 1."""
    full = np.array([[0.66, 0.29, 0.05], [0.12, 0.76, 0.12], [0.04, 0.30, 0.66]])
    return (crosstalk * full + (1.0 - crosstalk) * np.eye(3)).astype(np.float32)


def add_sensor_noise(clean: Array, sensor: Sensor, rng: np.random.Generator) -> Array:
    """Expose a sensor to a picture and develop what it read.

    Args:
        clean: (H, W, 3) scene-linear Rec.709; H and W even.
        sensor: The camera.
        rng: The random generator.

    Returns:
        (H, W, 3) scene-linear Rec.709 with noise; keeps negatives, clipped at the saturation.
    """
    matrix = _color_matrix(sensor.crosstalk)
    gains = np.array([sensor.gains[0], 1.0, sensor.gains[1]], dtype=np.float32)
    raw = (clean @ matrix.T) / gains
    if sensor.mosaic >= 0:
        mask = _bayer_mask(raw.shape[0], raw.shape[1], sensor.mosaic)
        raw = (raw * mask).sum(axis=2, keepdims=True)
    mean = np.maximum(raw, 0.0) / sensor.shot
    electrons = np.where(
        mean < 200.0,
        rng.poisson(np.minimum(mean, 200.0)),
        mean + np.sqrt(mean) * rng.standard_normal(mean.shape, dtype=np.float32),
    )
    raw = (electrons * sensor.shot + np.minimum(raw, 0.0)).astype(np.float32)
    raw += sensor.read * rng.standard_normal(raw.shape, dtype=np.float32)
    raw += sensor.row * rng.standard_normal((raw.shape[0], 1, 1), dtype=np.float32)
    if sensor.mosaic >= 0:
        balanced = raw[..., 0] * (mask * gains).sum(axis=2)
        balanced = np.minimum(balanced, sensor.saturation)
        rgb = demosaic(balanced, mask, is_linear=sensor.is_linear_demosaic)
        rgb = np.maximum(rgb, -6.0 * sensor.read)  # the filters undershoot beside highlights
    else:
        rgb = np.minimum(raw * gains, sensor.saturation)
    return np.asarray(rgb @ np.linalg.inv(matrix).T, dtype=np.float32)


def _bayer_mask(height: int, width: int, phase: int) -> Array:
    """Return (H, W, 3) of 0 and 1: which color each photosite sees."""
    mask = np.zeros((height, width, 3), dtype=np.float32)
    top, left = phase // 2, phase % 2
    mask[top::2, left::2, 0] = 1.0
    mask[1 - top :: 2, 1 - left :: 2, 2] = 1.0
    mask[..., 1] = 1.0 - mask[..., 0] - mask[..., 2]
    return mask


_CROSS = np.array([[0, 1, 0], [1, 4, 1], [0, 1, 0]], dtype=np.float32) / 4.0
_SQUARE = np.array([[1, 2, 1], [2, 4, 2], [1, 2, 1]], dtype=np.float32) / 4.0
# Malvar's linear filters, in units of 1/8.
_GREEN = np.array(
    [[0, 0, -1, 0, 0], [0, 0, 2, 0, 0], [-1, 2, 4, 2, -1], [0, 0, 2, 0, 0], [0, 0, -1, 0, 0]],
    dtype=np.float32,
)
_ALONG_ROW = np.array(
    [[0, 0, 0.5, 0, 0], [0, -1, 0, -1, 0], [-1, 4, 5, 4, -1], [0, -1, 0, -1, 0], [0, 0, 0.5, 0, 0]],
    dtype=np.float32,
)
_DIAGONAL = np.array(
    [
        [0, 0, -1.5, 0, 0],
        [0, 2, 0, 2, 0],
        [-1.5, 0, 6, 0, -1.5],
        [0, 2, 0, 2, 0],
        [0, 0, -1.5, 0, 0],
    ],
    dtype=np.float32,
)


def demosaic(raw: Array, mask: Array, *, is_linear: bool) -> Array:
    """Interpolate a Bayer picture to RGB.

    Args:
        raw: (H, W) linear, balanced.
        mask: (H, W, 3) of 0 and 1: the color of each photosite.
        is_linear: True for bilinear interpolation, False for Malvar's filters.
    """
    if is_linear:
        kernels = (_SQUARE, _CROSS, _SQUARE)
        planes = [convolve(raw * mask[..., c], kernels[c], mode="mirror") for c in range(3)]
        return np.stack(planes, axis=-1)
    green = convolve(raw, _GREEN / 8.0, mode="mirror")
    row = convolve(raw, _ALONG_ROW / 8.0, mode="mirror")
    column = convolve(raw, _ALONG_ROW.T / 8.0, mode="mirror")
    diagonal = convolve(raw, _DIAGONAL / 8.0, mode="mirror")
    at_red, at_green, at_blue = (mask[..., c] for c in range(3))
    red_rows = at_red.max(axis=1, keepdims=True) > 0.0
    red = np.where(red_rows, row, column)
    blue = np.where(red_rows, column, row)
    return np.stack(
        [
            at_red * raw + at_green * red + at_blue * diagonal,
            at_green * raw + (1.0 - at_green) * green,
            at_blue * raw + at_green * blue + at_red * diagonal,
        ],
        axis=-1,
    ).astype(np.float32)


def _add_gaussian(clean: Array, rng: np.random.Generator, *, low: float, high: float) -> Array:
    """Add white noise of a drawn level, in linear or in display units, sometimes softened."""
    sigma = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    noise = sigma * rng.standard_normal(clean.shape, dtype=np.float32)
    if rng.random() < 0.2:
        noise = 0.6 * noise + 0.6 * noise.mean(axis=-1, keepdims=True)
    if rng.random() < 0.25:
        return clean + noise / 3.0
    curve: Curve = "srgb" if rng.random() < 0.7 else "log"
    return display_decode(display_encode(clean, curve) + noise, curve)


def _through_codec(
    noisy: Array, clean: Array, how: Encode, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Encode for a display, round-trip through a codec, decode; clip the clean alike."""
    curves: list[Curve] = ["srgb", "bt709", "gamma24", "log"]
    curve = curves[int(rng.choice(4, p=[0.4, 0.3, 0.1, 0.2]))]
    decoded = display_decode(round_trip(display_encode(noisy, curve), how), curve)
    peak = LOG_PEAK if curve == "log" else 1.0
    return decoded, np.clip(clean, 0.0, peak)


def degrade_clip(clip: Array, case: Case, rng: np.random.Generator) -> list[Pair]:
    """Degrade a clip by one case and return its usable frames.

    Args:
        clip: (T, H, W, 3) clean, scene-linear Rec.709; H and W even. Only the first frame is used
            by cases without a codec.
        case: Which degradation.
        rng: The random generator; the same state gives the same pairs.

    Returns:
        One pair for cases without a codec; two, from different frames, for those with one.
    """
    has_codec = case.endswith("codec") or (case == "light" and rng.random() < 0.5)
    clean = clip if has_codec else clip[:1]
    noisy = clean
    if case.startswith("sensor"):
        sensor = draw_sensor(rng)
        noisy = np.stack([add_sensor_noise(frame, sensor, rng) for frame in clean])
        if sensor.saturation < 2.0:
            clean = np.minimum(clean, 1.0)
    elif case.startswith("gauss"):
        noisy = _add_gaussian(clean, rng, low=0.008, high=0.12)
    elif case == "light" and not has_codec:
        noisy = _light(clean, rng)
    if has_codec:
        how = draw_encode(rng, is_light=case == "light")
        noisy, clean = _through_codec(noisy, clean, how, rng)
        picks = sorted(int(i) for i in rng.choice(clip.shape[0], size=2, replace=False))
        return [Pair(noisy[i], clean[i], case) for i in picks]
    if case.startswith(("sensor", "gauss")) and rng.random() < 0.4:
        noisy, clean = _eight_bits(noisy), np.clip(clean, 0.0, 1.0)
    return [Pair(noisy[0], clean[0], case)]


def _light(clean: Array, rng: np.random.Generator) -> Array:
    """Add what a good camera adds: a trace of noise, or the steps of 8 bits."""
    if rng.random() < 0.4:
        clipped = np.clip(clean, 0.0, 1.0)
        return np.where(clean > 1.0, clean, _eight_bits(clipped)).astype(np.float32)
    return _add_gaussian(clean, rng, low=0.001, high=0.006)


def _eight_bits(linear: Array) -> Array:
    """Quantise to 8 bits in the sRGB curve, clipped to 0..1."""
    code = np.rint(np.clip(display_encode(linear, "srgb"), 0.0, 1.0) * 255.0) / 255.0
    return display_decode(code.astype(np.float32), "srgb")
