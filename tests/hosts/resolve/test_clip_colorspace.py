"""Color out of Resolve: named by what Resolve says or a person says, never guessed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from kwaflux_core.color.config import ColorConfig
from kwaflux_core.errors import HostError, UnknownColorspace
from kwaflux_resolve.clip_colorspace import ClipColor, is_camera_raw, ocio_names, or_default
from kwaflux_resolve.clips import source_of
from kwaflux_resolve.host import find_host
from kwaflux_testing.fake_resolve.scenes import Scene, scene

MANAGED = "davinciYRGBColorManagedv2"
COLOR = ClipColor(
    science=MANAGED,
    source="ARRI Log-C3",
    output="rec709 (scene)",
    tone_mapping="None",
    is_raw=False,
    own={},
    level="",
)


def _color(found: Scene) -> ClipColor:
    host = find_host(found.names)
    item = host.timeline.GetCurrentVideoItem()
    assert item is not None
    clip = item.GetMediaPoolItem()
    assert clip is not None
    return source_of(host, clip, timeline=host.timeline).color


def _managed(folder: Path, space: str = "ARRI LogC3") -> Scene:
    found = scene(folder)
    found.world.settings["colorScienceMode"] = MANAGED
    found.clip.properties["Input Color Space"] = space
    return found


def test_an_unmanaged_project_says_nothing_so_a_person_must(tmp_path: Path) -> None:
    color = _color(scene(tmp_path))
    with pytest.raises(UnknownColorspace):
        color.of_source("")
    assert color.of_source("ACEScg") == "ACEScg"


@pytest.mark.parametrize(
    ("resolve", "ocio"),
    [
        ("ARRI LogC3", "ARRI LogC3 (EI800)"),
        ("DaVinci WG/Intermediate", "DaVinci Intermediate WideGamut"),
        ("Rec.709 (Scene)", "Camera Rec.709"),
    ],
)
def test_a_managed_clip_is_named_by_its_input_space(
    tmp_path: Path, resolve: str, ocio: str
) -> None:
    assert _color(_managed(tmp_path, resolve)).of_source("") == ocio


def test_a_clip_that_follows_the_project_is_named_by_the_project(tmp_path: Path) -> None:
    found = _managed(tmp_path, "Project")
    found.world.settings["colorSpaceInput"] = "ACEScct"
    assert _color(found).of_source("") == "ACEScct"


def test_space_and_gamma_apart_are_read_together(tmp_path: Path) -> None:
    found = _managed(tmp_path, "Project")
    found.world.settings |= {
        "separateColorSpaceAndGamma": "1",
        "colorSpaceInput": "REDWideGamutRGB",
        "colorSpaceInputGamma": "Log3G10",
    }
    assert _color(found).of_source("") == "Log3G10 REDWideGamutRGB"


def test_a_space_in_no_table_is_refused_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(UnknownColorspace, match="'AstroDesign'"):
        _color(_managed(tmp_path, "AstroDesign")).of_source("")


def test_a_raw_file_is_decoded_by_its_own_settings_so_a_person_must_say(tmp_path: Path) -> None:
    found = _managed(tmp_path)
    found.clip.pattern = str(tmp_path / "A001.braw")
    with pytest.raises(UnknownColorspace):
        _color(found).of_source("")


def test_aces_is_read_from_the_clip_s_idt(tmp_path: Path) -> None:
    found = scene(tmp_path)
    found.world.settings["colorScienceMode"] = "acescct"
    found.clip.properties["IDT"] = "ACEScg - CSC"
    color = _color(found)
    assert color.of_source("") == "ACEScg"
    with pytest.raises(UnknownColorspace):
        color.of_composite("")


def test_a_tone_mapped_composite_is_refused_and_a_plain_one_named(tmp_path: Path) -> None:
    found = _managed(tmp_path)
    with pytest.raises(UnknownColorspace):
        _color(found).of_composite("")
    found.world.settings["colorSpaceOutputToneMapping"] = "None"
    assert _color(found).of_composite("") == "Gamma 2.4 Encoded Rec.709"
    found.world.settings |= {
        "colorSpaceOutput": "Same as Timeline",
        "colorSpaceTimeline": "DaVinci WG/Intermediate",
    }
    assert _color(found).of_composite("") == "DaVinci Intermediate WideGamut"


def test_an_unmanaged_composite_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownColorspace):
        _color(scene(tmp_path)).of_composite("")


def test_a_science_nobody_knows_is_refused(tmp_path: Path) -> None:
    found = scene(tmp_path)
    found.world.settings["colorScienceMode"] = "somethingNew"
    with pytest.raises(HostError, match="somethingNew"):
        _color(found)


@pytest.mark.parametrize(
    "settable",
    [
        {"colorScienceMode"},
        {"colorSpaceTimeline", "colorSpaceOutput", "colorSpaceOutputToneMapping"},
    ],
    ids=["by turning management off", "by making input and output the same"],
)
def test_a_temporary_timeline_leaves_the_conversion_out(tmp_path: Path, settable: set[str]) -> None:
    found = _managed(tmp_path)
    found.world.quirks.custom_color = frozenset(settable)
    color, host = _color(found), find_host(found.names)
    timeline = host.pool.CreateEmptyTimeline("temporary")
    assert timeline is not None
    timeline.SetSetting("useCustomSettings", "1")
    color.keep_numbers(timeline)
    assert found.world.cut is not None
    assert settable <= found.world.cut.settings.keys()


def test_a_conversion_that_cannot_be_left_out_is_refused_not_guessed(tmp_path: Path) -> None:
    """Resolve answers True to color settings that it does not take."""
    found = _managed(tmp_path)
    found.world.quirks.custom_color = frozenset()
    color, host = _color(found), find_host(found.names)
    timeline = host.pool.CreateEmptyTimeline("temporary")
    assert timeline is not None
    timeline.SetSetting("useCustomSettings", "1")
    with pytest.raises(HostError, match=MANAGED):
        color.keep_numbers(timeline)


def test_every_name_of_the_table_is_one_that_our_config_has() -> None:
    config = ColorConfig.load("", environ={})
    for resolve, ocio in ocio_names().items():
        assert config.resolve(ocio) == ocio, resolve


def test_a_space_is_found_however_it_is_spelled() -> None:
    assert COLOR.of_source("") == "ARRI LogC3 (EI800)"
    assert COLOR.of_composite("") == "Camera Rec.709"


def test_what_a_person_says_goes_before_everything() -> None:
    unknown = replace(COLOR, is_raw=True, science="davinciYRGB")
    assert unknown.of_source("ACEScg") == unknown.of_composite("ACEScg") == "ACEScg"


@pytest.mark.parametrize(
    "color",
    [
        replace(COLOR, is_raw=True),
        replace(COLOR, science="davinciYRGB"),
        replace(COLOR, source="Brand New"),
        replace(COLOR, source=""),
    ],
)
def test_a_source_that_nothing_names_is_refused(color: ClipColor) -> None:
    with pytest.raises(UnknownColorspace) as error:
        color.of_source("")
    assert "ACEScg" in error.value.hint


@pytest.mark.parametrize(
    "color",
    [
        replace(COLOR, science="davinciYRGB"),
        replace(COLOR, tone_mapping="Luminance"),
        replace(COLOR, output=""),
    ],
)
def test_a_composite_that_nothing_names_is_refused(color: ClipColor) -> None:
    with pytest.raises(UnknownColorspace):
        color.of_composite("")


def test_what_only_points_to_a_default_is_the_default() -> None:
    assert [or_default(text, "it") for text in ("Project", "Same as Timeline", "")] == ["it"] * 3
    assert or_default("ACEScct", "it") == "ACEScct"


def test_camera_raw_is_known_by_its_suffix() -> None:
    assert is_camera_raw("/a/A001.BRAW")
    assert not is_camera_raw("/a/A001.exr")
