"""The picture in memory: which channels are color, and that the rest is left alone."""

from __future__ import annotations

import numpy as np
import pytest

from kwaflux_core.errors import ImageError, ImageUnsupported
from kwaflux_core.geometry import Box
from kwaflux_core.images.image import SCENE_LINEAR, Image, Layer, Part
from kwaflux_testing.pictures import noise

RGBA = ("R", "G", "B", "A")


def channels(*names: str) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    return {name: noise(3, 4, seed=index) for index, name in enumerate(names)}


def test_a_picture_of_arrays_starts_at_the_origin_and_is_scene_linear() -> None:
    image = Image.from_channels(channels(*RGBA))
    assert image.part.data_window == image.part.display_window == Box.from_size(4, 3)
    assert image.colorspace == SCENE_LINEAR
    assert image.is_premultiplied
    assert image.notes == ()


def test_a_channel_that_does_not_fill_the_data_window_is_refused() -> None:
    with pytest.raises(ImageError, match=r"'G' is \(4, 3\)"):
        Image.from_channels({"R": noise(3, 4), "G": noise(4, 3)})
    with pytest.raises(ImageError, match="at least one channel"):
        Image.from_channels({})


@pytest.mark.parametrize(
    ("names", "layer", "expected"),
    [
        (RGBA, "", Layer(0, ("R", "G", "B"), "A")),
        (("R", "G", "B"), "", Layer(0, ("R", "G", "B"), None)),
        (("r", "g", "b", "a"), "", Layer(0, ("r", "g", "b"), "a")),
        ((*RGBA, "s.R", "s.G", "s.B"), "s", Layer(0, ("s.R", "s.G", "s.B"), None)),
        (
            ("s.t.R", "s.t.G", "s.t.B", "s.t.A"),
            "s.t",
            Layer(0, ("s.t.R", "s.t.G", "s.t.B"), "s.t.A"),
        ),
    ],
)
def test_a_layer_is_found_by_the_name_before_the_dot(
    names: tuple[str, ...], layer: str, expected: Layer
) -> None:
    assert Image.from_channels(channels(*names)).find_layer(layer) == expected


@pytest.mark.parametrize(("names", "layer"), [(("Z",), ""), (("R", "G"), ""), (RGBA, "spec")])
def test_a_layer_that_is_not_there_is_refused_with_the_channels_there_are(
    names: tuple[str, ...], layer: str
) -> None:
    with pytest.raises(ImageUnsupported, match=names[0]):
        Image.from_channels(channels(*names)).find_layer(layer)


def test_a_layer_may_be_a_part_of_its_own() -> None:
    window = Box.from_size(4, 3)
    image = Image(
        (
            Part(channels("Z"), window, window, name="depth"),
            Part(channels("R", "G", "B"), window, window, name="beauty"),
            Part(channels("spec.R", "spec.G", "spec.B"), window, window, name="aovs"),
        )
    )
    assert image.find_layer("") == Layer(1, ("R", "G", "B"), None)
    assert image.find_layer("beauty").part == 1
    assert image.find_layer("spec").color[0] == "spec.R"
    assert image.find_layer("aovs") == Layer(2, ("spec.R", "spec.G", "spec.B"), None)


def test_new_color_leaves_every_other_channel_the_very_same_array() -> None:
    image = Image.from_channels(channels(*RGBA, "depth.Z"), attributes={"owner": "me"})
    layer = image.find_layer("")
    red, green, blue = noise(3, 4, seed=7), noise(3, 4, seed=8), noise(3, 4, seed=9)
    result = image.with_color(layer, (red, green, blue), attributes={"kwaflux/flow": "denoise"})
    assert all(a is b for a, b in zip(result.color_planes(layer), (red, green, blue)))  # noqa: B905
    for name in ("A", "depth.Z"):
        assert result.part.channels[name] is image.part.channels[name]
    assert result.part.attributes == {"owner": "me", "kwaflux/flow": "denoise"}
    assert image.part.attributes == {"owner": "me"}
    assert image.color_planes(layer)[0] is image.part.channels["R"]


def test_new_color_of_another_size_is_refused() -> None:
    image = Image.from_channels(channels("R", "G", "B"))
    small = noise(2, 2)
    with pytest.raises(ImageError, match="'R'"):
        image.with_color(image.find_layer(""), (small, small, small))
