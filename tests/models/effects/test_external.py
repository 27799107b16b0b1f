"""A user's own checkpoint becomes an effect like any other, or a typed error and nothing else."""

from __future__ import annotations

import importlib.util
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor, nn

from kwaflux_core.color.config import ColorConfig
from kwaflux_core.errors import KwafluxError, ModelError, RequestError, WeightsInvalid
from kwaflux_core.flows.flow import Flow
from kwaflux_core.geometry import Box
from kwaflux_models.catalog.registry import EXTERNAL_PACKAGE, Registry
from kwaflux_models.catalog.user_models import OwnModels
from kwaflux_models.effects.external import architectures
from kwaflux_models.effects.external.add import AddOrder, add_checkpoint
from kwaflux_models.effects.external.architectures import describe
from kwaflux_models.effects.external.effect import Habits
from kwaflux_models.rendering import working_curves
from kwaflux_models.rendering.device import Device
from kwaflux_models.rendering.frame_renderer import FrameRenderer
from kwaflux_models.rendering.local_renderer import plate_of
from kwaflux_models.rendering.model_cache import WarmModels
from kwaflux_models.rendering.plane_pool import PlanePool
from kwaflux_testing.checkpoints import compact, saved

if importlib.util.find_spec("spandrel") is None:
    pytest.skip("the extra 'external' is not installed", allow_module_level=True)

Planes = npt.NDArray[np.float32]


@pytest.fixture
def own(tmp_path: Path) -> OwnModels:
    return OwnModels(tmp_path / "models")


def nothing_in(own: OwnModels) -> bool:
    return not own.folder.exists() or not [path for path in own.folder.rglob("*") if path.is_file()]


def added(own: OwnModels, file: Path, **how: Any) -> Registry:
    order = AddOrder(file=file, name="mine", **{"halo_max_px": 8, **how})
    add_checkpoint(order, registry=Registry.discover(own=own), own=own)
    return Registry.discover(own=own)


def rendered(registry: Registry, flow: str, planes: Planes, **how: Any) -> Planes:
    warm = WarmModels(
        registry,
        device=Device("cpu"),
        budget_bytes=1 << 26,
        precision="auto",
        on_change=lambda resident: None,
    )
    tile_px, region = how.get("tile_px", 512), how.get("region")
    renderer = FrameRenderer(
        warm.lend, device=Device("cpu"), config=ColorConfig.default(), tile_px=tile_px
    )
    pool = PlanePool()
    return np.stack(
        renderer.render(
            Flow.parse(flow).bind(registry.cards),
            {1: replace(plate_of(planes), colorspace=how.get("colorspace", "scene_linear"))},
            frame=1,
            scratch=pool.take,
            final=pool.take,
            region=region,
        ).color
    )


def picture(height: int = 60, width: int = 76) -> Planes:
    rng = np.random.default_rng(5)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    base = 0.3 + 0.25 * np.sin(x / 9) * np.cos(y / 13)
    return np.stack([base + rng.normal(0, 0.02, base.shape) for _ in range(3)]).astype(np.float32)


def curve(planes: Planes) -> Tensor:
    return working_curves.encode(torch.from_numpy(np.ascontiguousarray(planes)))


# --- an effect like any other -----------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_checkpoint_becomes_an_effect(own: OwnModels, tmp_path: Path, suffix: str) -> None:
    file = saved(compact(), tmp_path / f"Some Net{suffix}")
    installed = added(own, file, licence="MIT", for_what="my show")["mine"]
    card = installed.card
    assert installed.is_own
    assert installed.package == EXTERNAL_PACKAGE
    assert (card.scale, card.halo_px, card.align_px) == (1, 3, 1)
    assert card.weights[0].licence == "MIT"
    assert "Some Net" in card.weights[0].source
    assert card.for_what == "my show"
    assert installed.verified_weight_files()[0].parent == own.effects_folder / "mine"


def test_a_licence_that_is_not_known_is_flagged(own: OwnModels, tmp_path: Path) -> None:
    card = added(own, saved(compact(), tmp_path / "a.pth"))["mine"].card
    assert card.weights[0].licence == "unknown"
    assert any("licence is not known" in limit for limit in card.limits)


@pytest.mark.parametrize(("scale", "channels"), [(1, 3), (2, 3), (1, 1)])
def test_tiles_and_regions_agree_with_the_whole(
    own: OwnModels, tmp_path: Path, scale: int, channels: int
) -> None:
    file = saved(compact(scale, channels=channels), tmp_path / "a.safetensors")
    registry = added(own, file)
    planes, region = picture(), Box(11, 9, 61, 50)
    whole = rendered(registry, "mine", planes)
    assert whole.shape == (3, 60 * scale, 76 * scale)
    tiled = rendered(registry, "mine", planes, tile_px=16)
    part = rendered(registry, "mine", planes, tile_px=16, region=region)
    box = region.scaled(scale)
    assert float((curve(tiled) - curve(whole)).abs().max()) <= 2e-5
    crop = whole[:, box.y0 : box.y1, box.x0 : box.x1]
    assert float((curve(part) - curve(crop)).abs().max()) <= 2e-5
    if scale == 1:
        assert np.abs(whole - planes).max() > 0.005


def test_it_shows_what_the_network_shows(own: OwnModels, tmp_path: Path) -> None:
    tensors = compact()
    planes = np.maximum(picture(), 0.0)
    registry = added(own, saved(tensors, tmp_path / "a.pth"))
    result = rendered(registry, "mine", planes, colorspace="Linear Rec.709 (sRGB)")
    code = np.where(
        planes <= 0.0031308, 12.92 * planes, 1.055 * np.maximum(planes, 1e-9) ** (1 / 2.4) - 0.055
    )
    network = describe(tensors, name="a")
    wanted = network(torch.from_numpy(np.clip(code, 0, 1))[None]).numpy()[0]
    light = np.where(wanted <= 0.04045, wanted / 12.92, ((wanted + 0.055) / 1.055) ** 2.4)
    inner = np.s_[:, 4:-4, 4:-4]  # at the frame's border tiles are mirrored, the call pads zeros
    assert np.abs(result[inner] - light[inner]).max() < 1e-4


def test_highlights_negatives_nan_and_inf_pass(own: OwnModels, tmp_path: Path) -> None:
    registry = added(own, saved(compact(), tmp_path / "a.pth"))
    planes = picture()
    planes[:, 10:40, 20:60] = 40.0
    planes[0, 50:55, 5:15] = -3.0
    planes[0, 2, 2], planes[1, 3, 3] = np.nan, np.inf
    result = rendered(registry, "mine", planes)
    assert (result[:, 10:40, 20:60] == 40.0).all()
    assert (result[:, 50:55, 5:15] == planes[:, 50:55, 5:15]).all()
    special = ~np.isfinite(planes)
    assert (result.view(np.uint32)[special] == planes.view(np.uint32)[special]).all()
    assert np.isfinite(result[~special]).all()


def test_a_ramp_far_beyond_white_stays_a_ramp(own: OwnModels, tmp_path: Path) -> None:
    registry = added(own, saved(compact(), tmp_path / "a.pth"))
    ramp = np.geomspace(0.02, 64.0, 400).astype(np.float32)
    planes = np.broadcast_to(ramp, (3, 24, 400)).copy()
    result = rendered(registry, "mine", planes)[:, 12]
    assert (np.diff(result, axis=1) > 0).all()
    assert (result[:, ramp > 1.6] == ramp[ramp > 1.6]).all()


def test_strength_zero_keeps_every_bit(own: OwnModels, tmp_path: Path) -> None:
    planes = picture()
    registry = added(own, saved(compact(), tmp_path / "a.pth"))
    result = rendered(registry, "mine(strength=0)", planes)
    assert (result.view(np.uint32) == planes.view(np.uint32)).all()


def test_a_peak_above_one_reaches_into_the_highlights(own: OwnModels, tmp_path: Path) -> None:
    registry = added(own, saved(compact(), tmp_path / "a.pth"), habits=Habits("linear", peak=8.0))
    planes = np.full((3, 24, 24), 6.0, np.float32)
    assert (rendered(registry, "mine", planes) != planes).all()
    assert registry["mine"].card.working.range[1] == 8.0


def test_weights_that_were_altered_after_installation_are_refused(
    own: OwnModels, tmp_path: Path
) -> None:
    registry = added(own, saved(compact(), tmp_path / "a.pth"))
    (path,) = registry["mine"].weight_files()
    path.write_bytes(path.read_bytes()[:-4] + b"\0\0\0\1")
    with pytest.raises(WeightsInvalid, match="add the checkpoint again"):
        rendered(registry, "mine", picture())


def test_a_broken_card_takes_no_other_effect_away(own: OwnModels, tmp_path: Path) -> None:
    added(own, saved(compact(), tmp_path / "a.pth"))
    (own.effects_folder / "bad").mkdir()
    (own.effects_folder / "bad" / "card.json").write_text("{}")
    found = Registry.discover(own=own)
    assert "mine" in found.cards
    assert [name for name in found.broken if name.endswith("/bad")]
    assert "mine" not in Registry.of_packages().cards


# --- what is refused, and leaves nothing behind -----------------------------------------------


class _Malice:
    """Pickles as a call that leaves a trace."""

    def __init__(self, trace: Path) -> None:
        self._trace = trace

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self._trace,))


def refused(own: OwnModels, file: Path, error: type[KwafluxError], words: str) -> None:
    with pytest.raises(error, match=words):
        added(own, file)
    assert nothing_in(own)


def test_a_pickle_with_code_is_refused_and_nothing_of_it_runs(
    own: OwnModels, tmp_path: Path
) -> None:
    trace, file = tmp_path / "trace", tmp_path / "evil.pth"
    torch.save({"params": {"a": torch.zeros(2)}, "x": _Malice(trace)}, file)
    refused(own, file, WeightsInvalid, "more than tensors")
    assert not trace.exists()


def test_torchscript_is_refused(own: OwnModels, tmp_path: Path) -> None:
    file = tmp_path / "script.pt"
    with warnings.catch_warnings(action="ignore"):
        torch.jit.save(torch.jit.trace(nn.Conv2d(3, 3, 1), torch.zeros(1, 3, 4, 4)), file)  # type: ignore[no-untyped-call]
    refused(own, file, WeightsInvalid, "more than tensors")


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("kept", [0, 7, 200, 0.5, 0.99])
def test_a_truncated_file_is_refused(
    own: OwnModels, tmp_path: Path, suffix: str, kept: float
) -> None:
    whole = saved(compact(), tmp_path / f"a{suffix}").read_bytes()
    file = tmp_path / f"cut{suffix}"
    file.write_bytes(whole[: int(kept if kept > 1 else kept * len(whole))])
    refused(own, file, WeightsInvalid, "cut")


@pytest.mark.parametrize("name", ["a.onnx", "a", "none.pth", "none.safetensors"])
def test_what_is_no_checkpoint_is_refused(own: OwnModels, tmp_path: Path, name: str) -> None:
    if not name.startswith("none"):
        (tmp_path / name).write_bytes(b"x")
    refused(own, tmp_path / name, WeightsInvalid, "no kind|does not exist|cannot be read")


def test_an_unknown_architecture_is_refused(own: OwnModels, tmp_path: Path) -> None:
    file = saved({"some.weight": torch.zeros(3, 3)}, tmp_path / "a.safetensors")
    refused(own, file, ModelError, "architecture of a.safetensors is not known")


def test_tensors_of_another_shape_are_refused(own: OwnModels, tmp_path: Path) -> None:
    tensors = {**compact(), "body.2.weight": torch.zeros(8, 7, 3, 3)}
    refused(own, saved(tensors, tmp_path / "a.pth"), WeightsInvalid, "do not fit")


def test_nan_is_refused(own: OwnModels, tmp_path: Path) -> None:
    tensors = compact()
    tensors["body.0.weight"] = torch.full_like(tensors["body.0.weight"], torch.nan)
    refused(own, saved(tensors, tmp_path / "a.pth"), WeightsInvalid, "not finite")


def test_a_file_without_tensors_is_refused(own: OwnModels, tmp_path: Path) -> None:
    torch.save({"epoch": 3, "name": "x"}, tmp_path / "a.pth")
    refused(own, tmp_path / "a.pth", WeightsInvalid, "holds no tensors")
    torch.save(torch.zeros(3), tmp_path / "b.pth")
    refused(own, tmp_path / "b.pth", WeightsInvalid, "no named tensors")


def test_a_network_that_pools_is_refused_unless_seams_are_accepted(
    own: OwnModels, tmp_path: Path
) -> None:
    kind = importlib.import_module("spandrel.architectures.RCAN").RCAN
    torch.manual_seed(1)
    network = kind(scale=2, n_resgroups=1, n_resblocks=1, n_feats=8, reduction=4, norm=False)
    parameters = dict(network.named_parameters())
    attention = parameters["body.0.body.0.body.3.conv_du.0.weight"]
    with torch.no_grad():  # as it is made, its attention hardly depends on the picture
        attention[0], attention[1] = 5.0, -5.0
        parameters["body.0.body.0.body.3.conv_du.2.weight"].fill_(5.0)
        parameters["tail.1.bias"].fill_(0.5)
    file = saved(network.state_dict(), tmp_path / "a.pth")
    with pytest.raises(ModelError, match="looks at the whole picture"):
        added(own, file, halo_max_px=8)
    assert nothing_in(own)
    card = added(own, file, halo_max_px=8, accepts_seams=True)["mine"].card
    assert any("seams" in limit for limit in card.limits)


def test_a_network_whose_output_is_flat_is_refused(own: OwnModels, tmp_path: Path) -> None:
    tensors = compact(2)
    tensors["body.4.bias"] += 9.0
    refused(own, saved(tensors, tmp_path / "a.pth"), ModelError, "a flat picture")


def test_another_scale_than_was_said_is_refused(own: OwnModels, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="enlarges 2 times, not 4"):
        added(own, saved(compact(2), tmp_path / "a.pth"), scale=4)
    assert nothing_in(own)


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("denoise", ModelError, "an effect 'denoise' already"),
        ("Bad Name", RequestError, "no id"),
        ("../up", RequestError, "no id"),
    ],
)
def test_a_name_that_is_taken_or_none_is_refused(
    own: OwnModels, tmp_path: Path, name: str, error: type[KwafluxError], words: str
) -> None:
    order = AddOrder(file=saved(compact(), tmp_path / "a.pth"), name=name)
    with pytest.raises(error, match=words):
        add_checkpoint(order, registry=Registry.discover(own=own), own=own)
    assert nothing_in(own)


def test_an_own_effect_is_replaced_only_when_told(own: OwnModels, tmp_path: Path) -> None:
    added(own, saved(compact(), tmp_path / "a.pth"))
    other = saved(compact(2, seed=2), tmp_path / "b.pth")
    with pytest.raises(ModelError, match="already"):
        added(own, other)
    assert Registry.discover(own=own)["mine"].card.scale == 1
    assert added(own, other, replaces=True)["mine"].card.scale == 2
    assert [path.name for path in own.effects_folder.iterdir()] == ["mine"]


def test_without_spandrel_it_is_said_what_to_install(
    monkeypatch: pytest.MonkeyPatch, own: OwnModels, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "spandrel", None)
    architectures.spandrel.cache_clear()
    with pytest.raises(ModelError, match=r"kwaflux\[external\]"):
        added(own, saved(compact_tensors(), tmp_path / "a.safetensors"))
    architectures.spandrel.cache_clear()


def compact_tensors() -> dict[str, Tensor]:
    return {"body.0.weight": torch.zeros(8, 3, 3, 3), "body.1.weight": torch.zeros(8)}


def test_no_stand_in_for_torchvision_stays_behind() -> None:
    architectures.spandrel()
    found = sys.modules.get("torchvision.transforms.functional")
    assert found is None or found.__file__ is not None
