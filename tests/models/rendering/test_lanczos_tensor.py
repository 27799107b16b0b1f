"""The enlargement on a device gives the bits of the one in NumPy, and never leaves the device."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kwaflux_core.images.lanczos import lanczos_upscale
from kwaflux_models.rendering.lanczos_tensor import lanczos_upscale_tensor


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [(1, 1), (3, 70), (64, 5), (40, 33)])
def test_the_bits_are_those_of_numpy(scale: int, size: tuple[int, int]) -> None:
    rng = np.random.default_rng(scale)
    planes = (rng.standard_normal((3, *size)) * 40).astype(np.float32)
    found = lanczos_upscale_tensor(torch.from_numpy(planes), scale).numpy()
    assert (found.view(np.uint32) == lanczos_upscale(planes, scale).view(np.uint32)).all()


def test_what_is_not_finite_stays_a_whole_block() -> None:
    planes = np.random.default_rng(1).random((2, 9, 11)).astype(np.float32)
    planes[0, 3, 4], planes[1, 0, 0], planes[1, 8, 10] = np.nan, np.inf, -3e38
    found = lanczos_upscale_tensor(torch.from_numpy(planes), 2).numpy()
    expected = lanczos_upscale(planes, 2)
    assert (found.view(np.uint32) == expected.view(np.uint32)).all()
    assert np.isnan(found[0, 6:8, 8:10]).all()


def test_a_render_that_enlarges_never_leaves_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    def left(self: torch.Tensor, *_: object, **__: object) -> torch.Tensor:
        raise AssertionError("a tensor left its device")

    monkeypatch.setattr(torch.Tensor, "cpu", left)
    monkeypatch.setattr(torch.Tensor, "numpy", left)
    lanczos_upscale_tensor(torch.rand(3, 8, 8), 2)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is here")
def test_on_cuda_the_result_is_close_to_the_cpus() -> None:
    planes = torch.rand(3, 40, 50)
    found = lanczos_upscale_tensor(planes.cuda(), 2)
    assert found.is_cuda
    assert torch.allclose(found.cpu(), lanczos_upscale_tensor(planes, 2), atol=1e-6)
