"""One device: what goes up comes back, and CUDA computes what a CPU computes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import torch

from kwaflux_core.color.config import ColorConfig
from kwaflux_core.errors import SettingsError
from kwaflux_core.flows.flow import Flow
from kwaflux_core.geometry import Box
from kwaflux_models.catalog.registry import Registry
from kwaflux_models.rendering.device import Device
from kwaflux_models.rendering.frame_renderer import FrameRenderer, RenderedFrame
from kwaflux_models.rendering.model_cache import WarmModels
from kwaflux_models.rendering.plate import Plate
from kwaflux_testing.pictures import hard_floats, noise

Array = npt.NDArray[np.float32]
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is here")
DEVICES = ["cpu", pytest.param("cuda:0", marks=(pytest.mark.gpu, needs_cuda))]


@pytest.mark.parametrize("name", DEVICES)
def test_tiles_go_up_and_come_back_bit_for_bit_in_their_order(name: str) -> None:
    device = Device(name)
    tiles = [
        (noise(16, 24, seed=n)[None, None], np.asarray(hard_floats(np.float32, shape=(16, 24))))
        for n in range(5)
    ]
    results: list[Array] = []
    finish: list[Callable[[], None]] = []
    asked: list[int] = []

    def gather(number: int) -> Callable[[], tuple[Array, ...]]:
        def give() -> tuple[Array, ...]:
            asked.append(number)
            return tuple(np.array(each, np.float32) for each in tiles[number])

        return give

    for upload in device.uploaded(gather(number) for number in range(5)):
        for tensor in upload():
            assert tensor.device == device.torch
            result = np.zeros(tuple(tensor.shape), np.float32)
            results.append(result)
            finish.append(device.download(tensor, result))
    for call in finish:
        call()
    device.synchronize()
    assert asked == [0, 1, 2, 3, 4]
    expected = [each for pair in tiles for each in pair]
    for found, sent in zip(results, expected, strict=True):
        assert found.tobytes() == sent.tobytes()


@pytest.mark.parametrize("name", DEVICES)
def test_a_tile_that_nobody_looks_at_costs_nothing_on_a_cpu_and_is_harmless(name: str) -> None:
    device = Device(name)
    asked: list[int] = []

    def gather() -> tuple[Array, ...]:
        asked.append(1)
        return (np.zeros((4, 4), np.float32),)

    assert len(list(device.uploaded([gather, gather]))) == 2
    assert len(asked) == (0 if name == "cpu" else 2)


@pytest.mark.parametrize("name", DEVICES)
def test_a_device_says_what_it_is_and_what_is_free(name: str) -> None:
    device = Device(name)
    assert device.label
    assert device.free_bytes > 1 << 20
    device.release_memory()
    device.synchronize()


@pytest.mark.parametrize("name", ["cuda:0", "cuda"])
@pytest.mark.skipif(torch.cuda.is_available(), reason="the device is there")
def test_a_cuda_device_that_is_not_there_is_an_error_with_what_to_do(name: str) -> None:
    with pytest.raises(SettingsError, match="no CUDA device") as caught:
        Device(name)
    assert "cpu" in caught.value.hint
    assert Device.available() == ("cpu",)


def test_a_name_that_is_no_device_is_an_error() -> None:
    with pytest.raises(SettingsError, match="no device"):
        Device("abacus")


def _rendered(name: str, *, precision: str, tile_px: int = 64) -> RenderedFrame:
    device = Device(name)
    registry = Registry.discover()
    warm = WarmModels(
        registry,
        device=device,
        budget_bytes=0,
        precision=precision,
        on_change=lambda _: None,
    )
    renderer = FrameRenderer(
        warm.lend, device=device, config=ColorConfig.default(), tile_px=tile_px
    )
    red, green, blue = (noise(96, 144, seed=n) * 2 - 0.1 for n in range(3))
    red[3, 3], green[9, 9] = np.nan, 70000.0
    plate = Plate((red, green, blue), noise(96, 144, seed=4), Box(0, 0, 144, 96), "scene_linear")

    def allocate(height: int, width: int) -> tuple[Array, Array, Array]:
        planes = np.zeros((3, height, width), np.float32)
        return planes[0], planes[1], planes[2]

    flow = Flow.parse("denoise(strength=0.8)").bind(registry.cards)
    return renderer.render(flow, {1: plate}, frame=1, scratch=allocate, final=allocate)


def _assert_close(first: RenderedFrame, second: RenderedFrame, *, tolerance: float) -> None:
    """Compare in the working curve, up to its faded end, as the card states its errors."""
    for one, other in zip(first.color, second.color, strict=True):
        assert np.array_equal(np.isfinite(one), np.isfinite(other))
        is_in = np.isfinite(one) & (np.abs(one) < 16)
        curved = [np.sign(x) * np.log1p(64 * np.abs(x)) for x in (one[is_in], other[is_in])]
        assert np.abs(curved[0] - curved[1]).max() / np.log1p(64) < tolerance


@pytest.mark.gpu
@needs_cuda
@pytest.mark.parametrize("precision", ["float32", "auto"])
def test_cuda_renders_what_a_cpu_renders_within_the_cards_tolerance(precision: str) -> None:
    tolerance = Registry.discover()["denoise"].card.tolerance
    reference = _rendered("cpu", precision="float32")
    _assert_close(_rendered("cuda:0", precision=precision), reference, tolerance=tolerance)


def test_a_cpu_renders_the_same_for_other_tiles_and_what_it_may_choose_itself() -> None:
    """The twin of the test on CUDA: another precision and another tiling, on the same device."""
    tolerance = Registry.discover()["denoise"].card.tolerance
    reference = _rendered("cpu", precision="float32")
    _assert_close(_rendered("cpu", precision="auto"), reference, tolerance=tolerance)
    _assert_close(_rendered("cpu", precision="float32", tile_px=32), reference, tolerance=1e-5)
