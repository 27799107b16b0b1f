"""Colorspaces: names, headers, and conversions that keep what a plate holds."""

from __future__ import annotations

import shlex
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import numpy.typing as npt
import PyOpenColorIO
import pytest

from kwaflux_core.color.config import (
    BUILTIN_CONFIG,
    SRGB_ENCODED,
    ColorConfig,
    Converter,
    colorspace_of_attributes,
)
from kwaflux_core.color.primaries import PRIMARIES
from kwaflux_core.errors import ImageError, RequestError, SettingsError, UnknownColorspace

Planes = npt.NDArray[np.float32]
BUILTINS = list(PyOpenColorIO.BuiltinConfigRegistry().getBuiltinConfigs())


@pytest.fixture(scope="module")
def config() -> ColorConfig:
    return ColorConfig.load(environ={})


def gray(values: npt.ArrayLike) -> Planes:
    """Return the values as one row of gray pixels, (3, 1, N)."""
    row = np.asarray(values, np.float32).reshape(1, 1, -1)
    return np.ascontiguousarray(np.repeat(row, 3, axis=0))


def converted(converter: Converter, planes: Planes) -> Planes:
    copy = planes.copy()
    converter.apply(copy)
    return copy


def round_trip(config: ColorConfig, name: str, planes: Planes) -> Planes:
    there = converted(config.converter("scene_linear", name), planes)
    return converted(config.converter(name, "scene_linear"), there)


# --- configs --------------------------------------------------------------------------------


def test_without_a_setting_the_built_in_config_is_recorded_under_its_full_pinned_name(
    config: ColorConfig,
) -> None:
    assert config.name == BUILTIN_CONFIG
    assert "latest" not in config.name
    assert config.digest
    assert config.digest == ColorConfig.load(environ={}).digest


def test_the_environment_names_the_config_and_a_path_overrules_it() -> None:
    environ = {"OCIO": "ocio://cg-config-latest"}
    assert ColorConfig.load(environ=environ).name.startswith("cg-config-v")
    by_path = ColorConfig.load("ocio://studio-config-latest", environ=environ)
    assert by_path.name.startswith("studio-config-v")
    assert "latest" not in by_path.name


def test_a_config_file_without_a_name_is_recorded_under_its_path(tmp_path: Path) -> None:
    path = tmp_path / "show.ocio"
    path.write_text(PyOpenColorIO.Config.CreateRaw().serialize())
    assert ColorConfig.load(str(path)).name == str(path)


@pytest.mark.parametrize("path", ["/no/such/config.ocio", "ocio://no-such-config"])
def test_a_config_that_is_not_there_is_a_settings_error_that_names_it(path: str) -> None:
    with pytest.raises(SettingsError, match=r"no.such.config"):
        ColorConfig.load(environ={"OCIO": path})


def test_a_damaged_config_is_a_settings_error(tmp_path: Path) -> None:
    path = tmp_path / "show.ocio"
    path.write_text("ocio_profile_version: 2\ncolorspaces: [[[")
    with pytest.raises(SettingsError, match="cannot be loaded"):
        ColorConfig.load(str(path))


def test_the_config_in_force_is_loaded_once_for_each_setting() -> None:
    studio = ColorConfig.default(environ={})
    assert studio.name == BUILTIN_CONFIG
    assert ColorConfig.default(environ={}) is studio
    assert ColorConfig.default(environ={"OCIO": "ocio://cg-config-latest"}) is not studio


def test_without_opencolorio_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "PyOpenColorIO", None)
    with pytest.raises(RequestError) as caught:
        ColorConfig.load(environ={})
    assert "OpenColorIO" in caught.value.message
    assert "kwaflux[image]" in caught.value.hint


def test_the_module_is_imported_without_numpy_and_opencolorio() -> None:
    code = "import sys; sys.modules['numpy'] = sys.modules['PyOpenColorIO'] = None\n"
    subprocess.run(
        [sys.executable, "-c", code + "import kwaflux_core.color.config"],
        timeout=60,
        check=True,
        env={"PYTHONPATH": str(Path(__file__).parents[3])},
    )


# --- names ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("ACEScg", "ACEScg"),
        ("acescg", "ACEScg"),
        ("lin_ap1", "ACEScg"),
        ("scene_linear", "ACEScg"),
        ("lin_srgb", "Linear Rec.709 (sRGB)"),
        ("ARRI LogC4", "ARRI LogC4"),
        ("sRGB - Display", "sRGB - Display"),
        ("sRGB - Texture", "sRGB Encoded Rec.709 (sRGB)"),
        ("data", "Raw"),
    ],
)
def test_names_aliases_and_roles_resolve_to_the_canonical_name(
    config: ColorConfig, name: str, canonical: str
) -> None:
    assert config.resolve(name) == canonical


def test_every_listed_name_resolves_to_itself(config: ColorConfig) -> None:
    assert "ARRI LogC4" in config.names()
    assert "Rec.1886 Rec.709 - Display" in config.names()
    assert [config.resolve(name) for name in config.names()] == list(config.names())


def test_an_unknown_name_is_refused_with_the_nearest_names(config: ColorConfig) -> None:
    with pytest.raises(UnknownColorspace) as caught:
        config.resolve("ARRI LogC 4")
    assert "'ARRI LogC 4'" in caught.value.message
    assert BUILTIN_CONFIG in caught.value.message
    assert "'ARRI LogC4'" in caught.value.hint
    assert caught.value.fields["colorspace"] == "ARRI LogC 4"


@pytest.mark.parametrize("name", ["", "linear", " ", "sRGB - Curve", "$OCIO", "\0"])
def test_nothing_is_guessed_from_a_name_that_is_no_colorspace(
    config: ColorConfig, name: str
) -> None:
    with pytest.raises(UnknownColorspace):
        config.resolve(name)


def test_a_name_of_a_megabyte_is_refused_in_a_short_message(config: ColorConfig) -> None:
    with pytest.raises(UnknownColorspace) as caught:
        config.resolve("ACES" * 250_000)
    assert len(str(caught.value)) < 1000


def test_the_command_that_an_error_gives_lists_the_names(config: ColorConfig) -> None:
    with pytest.raises(UnknownColorspace) as caught:
        config.resolve("")
    command = shlex.split(caught.value.hint.split("with: ")[1])
    listed = subprocess.run(
        [sys.executable, *command[1:]],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env={"PYTHONPATH": str(Path(__file__).parents[3])},
    )
    assert tuple(listed.stdout.splitlines()) == config.names()


@pytest.mark.parametrize("builtin", [name for name, *_ in BUILTINS])
def test_every_built_in_config_knows_what_an_8_bit_picture_is(builtin: str) -> None:
    config = ColorConfig.load(f"ocio://{builtin}")
    white = converted(config.converter(SRGB_ENCODED, "scene_linear"), gray([1.0]))
    np.testing.assert_allclose(white, 1.0, atol=1e-6)


# --- headers --------------------------------------------------------------------------------


def test_the_interop_id_of_a_header_is_believed_before_its_chromaticities(
    config: ColorConfig,
) -> None:
    attributes = {"colorInteropID": "lin_ap1_scene", "chromaticities": PRIMARIES["lin_ap0"]}
    assert config.colorspace_of_attributes(attributes) == "ACEScg"


@pytest.mark.parametrize(
    ("interop_id", "canonical"),
    [
        ("lin_rec709_scene", "Linear Rec.709 (sRGB)"),
        ("srgb_rec709_scene", "sRGB Encoded Rec.709 (sRGB)"),
        ("srgb_rec709_display", "sRGB - Display"),
        ("ocio:arrilogc4_awg4_scene", "ARRI LogC4"),
        ("data", "Raw"),
    ],
)
def test_interop_ids_name_colorspaces(config: ColorConfig, interop_id: str, canonical: str) -> None:
    assert config.colorspace_of_attributes({"colorInteropID": interop_id}) == canonical


def test_an_unknown_interop_id_is_refused_though_the_chromaticities_are_known(
    config: ColorConfig,
) -> None:
    attributes = {"colorInteropID": "lin_ap9_scene", "chromaticities": PRIMARIES["lin_ap0"]}
    with pytest.raises(UnknownColorspace, match="lin_ap9_scene"):
        config.colorspace_of_attributes(attributes)


@pytest.mark.parametrize("interop_id", ["unknown", "", None, b"lin_ap1_scene"])
def test_an_interop_id_that_says_nothing_leaves_the_word_to_the_chromaticities(
    config: ColorConfig, interop_id: object
) -> None:
    attributes = {"colorInteropID": interop_id, "chromaticities": PRIMARIES["lin_rec2020"]}
    assert config.colorspace_of_attributes(attributes) == "Linear Rec.2020"


@pytest.mark.parametrize("name", sorted(PRIMARIES))
def test_published_chromaticities_name_the_space_that_ocio_converts_with_them(
    config: ColorConfig, name: str
) -> None:
    rounded = tuple(float(np.float32(value)) + 4e-4 for value in PRIMARIES[name])
    assert config.colorspace_of_attributes({"chromaticities": rounded}) == config.resolve(name)
    # OCIO adapts white to D65, by two methods, which moves what it tells by up to 0.016.
    xyz = gray([0, 0, 0, 1])
    xyz[:, 0, :3] = np.eye(3)
    config.converter(name, "cie_xyz_d65_scene").apply(xyz)
    chromaticities = (xyz / xyz.sum(0))[:2, 0, :3].T.ravel()
    np.testing.assert_allclose(chromaticities, PRIMARIES[name][:6], atol=0.016)


def test_no_two_known_gamuts_are_near_enough_to_be_mistaken_for_each_other() -> None:
    table = np.array(list(PRIMARIES.values()))
    distances = np.abs(table[:, None] - table[None]).max(2) + np.eye(len(table))
    assert distances.min() > 4e-3


@pytest.mark.parametrize(
    "chromaticities",
    [None, "0.64", (0.64, 0.33), ("a",) * 8, 3.0, (0.5, 0.3, 0.2, 0.6, 0.1, 0.1, 0.31, 0.33)],
)
def test_a_header_that_names_no_known_color_is_not_guessed(
    config: ColorConfig, chromaticities: object
) -> None:
    assert config.colorspace_of_attributes({"chromaticities": chromaticities}) is None
    assert config.colorspace_of_attributes({}) is None


def test_known_chromaticities_that_the_config_has_no_space_for_name_nothing(
    tmp_path: Path,
) -> None:
    path = tmp_path / "bare.ocio"
    path.write_text(PyOpenColorIO.Config.CreateRaw().serialize())
    bare = ColorConfig.load(str(path))
    assert bare.colorspace_of_attributes({"chromaticities": PRIMARIES["lin_ap0"]}) is None


def test_a_header_can_be_asked_without_holding_a_config() -> None:
    attributes = {"colorInteropID": "lin_ap0_scene"}
    assert colorspace_of_attributes(attributes, environ={}) == "ACES2065-1"
    with pytest.raises(SettingsError):
        colorspace_of_attributes(attributes, environ={"OCIO": "/no/such/config.ocio"})


# --- conversions ----------------------------------------------------------------------------

WIDE = np.concatenate([[0.0], np.logspace(-6, 9, 301)]).astype(np.float32)
CLIPPED_BY_THEIR_TABLES = {
    *("ACEScc", "ADX10", "ADX16", "Apple Log", "CanonLog2 CinemaGamut D55"),
    *("CanonLog3 CinemaGamut D55", "Rec.2100-HLG - Display", "Rec.2100-PQ - Display"),
    *("ST2084-P3-D65 - Display", "Raw"),
}
UNCLIPPED = [
    name for name in ColorConfig.load(environ={}).names() if name not in CLIPPED_BY_THEIR_TABLES
]
"""What OCIO converts by formula."""


@pytest.mark.parametrize("name", UNCLIPPED)
def test_highlights_and_negatives_come_back_through_every_space_that_is_a_formula(
    config: ColorConfig, name: str
) -> None:
    values = np.concatenate([-WIDE[::-1], WIDE])
    back = round_trip(config, name, gray(values))
    error = np.abs(back - values).max(axis=(0, 1))
    small = np.abs(values) <= 1
    assert error[small].max() <= 6e-7
    assert (error[~small] / np.abs(values[~small])).max() <= 5e-6


@pytest.mark.parametrize("name", sorted(CLIPPED_BY_THEIR_TABLES - {"Raw"}))
def test_what_a_camera_records_comes_back_through_every_space_that_is_a_table(
    config: ColorConfig, name: str
) -> None:
    values = np.logspace(-3, np.log10(14), 200).astype(np.float32)
    back = round_trip(config, name, gray(values))
    assert (np.abs(back - values) / values).max() <= 2e-5


def test_a_log_code_loses_the_smallest_values_by_no_more_than_is_promised(
    config: ColorConfig,
) -> None:
    errors = {}
    for name in ("ARRI LogC4", "ACEScct"):
        errors[name] = np.abs(round_trip(config, name, gray([1e-6])) / 1e-6 - 1).max()
    assert errors["ARRI LogC4"] <= 6e-3
    assert errors["ACEScct"] <= 4e-4


@pytest.mark.parametrize("name", [SRGB_ENCODED, "sRGB - Display"])
def test_an_8_bit_srgb_picture_is_decoded_by_the_plain_curve_and_comes_back(
    config: ColorConfig, name: str
) -> None:
    codes = (np.arange(256) / 255).astype(np.float32)
    expected = np.where(codes <= 0.04045, codes / 12.92, ((codes + 0.055) / 1.055) ** 2.4)
    linear = converted(config.converter(name, "lin_srgb"), gray(codes))
    np.testing.assert_allclose(linear, gray(expected), atol=1e-6)

    to_plate = config.converter(name, "scene_linear")
    plate = converted(to_plate, gray(codes))
    np.testing.assert_allclose(plate[:, 0, 255], 1.0, atol=1e-6)
    back = converted(config.converter("scene_linear", name), plate)
    np.testing.assert_allclose(back, gray(codes), atol=1e-6)


def test_video_is_decoded_by_its_gamma_without_a_tone_curve(config: ColorConfig) -> None:
    codes = gray(np.linspace(0, 1, 64))
    linear = converted(config.converter("Rec.1886 Rec.709 - Display", "lin_srgb"), codes)
    np.testing.assert_allclose(linear, codes**2.4, atol=1e-6)


def test_below_zero_the_display_mirrors_its_curve_and_the_picture_continues_its_toe(
    config: ColorConfig,
) -> None:
    below = gray([-0.5])
    mirrored = converted(config.converter("sRGB - Display", "lin_srgb"), below)
    straight = converted(config.converter(SRGB_ENCODED, "lin_srgb"), below)
    np.testing.assert_allclose(mirrored, -(((0.5 + 0.055) / 1.055) ** 2.4), atol=1e-6)
    np.testing.assert_allclose(straight, -0.5 / 12.92, rtol=3e-4)  # OCIO joins the pieces exactly


def test_a_config_whose_default_view_is_a_tone_curve_still_decodes_plainly(
    tmp_path: Path,
) -> None:
    raw = PyOpenColorIO.Config.CreateFromBuiltinConfig(BUILTIN_CONFIG)
    raw.setDefaultViewTransformName("ACES 2.0 - SDR 100 nits (Rec.709)")
    path = tmp_path / "graded.ocio"
    path.write_text(raw.serialize())
    to_plate = ColorConfig.load(str(path)).converter("sRGB - Display", "scene_linear")
    np.testing.assert_allclose(converted(to_plate, gray([1.0])), 1.0, atol=1e-6)


def test_linear_to_linear_is_a_matrix_that_gives_what_ocio_gives(config: ColorConfig) -> None:
    planes = np.random.default_rng(1).normal(0, 10, (3, 7, 11)).astype(np.float32)
    linear = [name for name in config.names() if name.startswith(("Linear", "ACES2065", "CIE"))]
    assert len(linear) >= 17
    for name in linear:
        converter = config.converter(name, "scene_linear")
        assert converter.matrix is not None
        by_hand = np.einsum("ij,jyx->iyx", np.reshape(converter.matrix, (3, 3)), planes)
        np.testing.assert_allclose(converted(converter, planes), by_hand, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["ACEScct", SRGB_ENCODED, "ARRI LogC4", "Rec.2100-PQ - Display"])
def test_a_conversion_with_a_curve_has_no_matrix(config: ColorConfig, name: str) -> None:
    converter = config.converter(name, "scene_linear")
    assert converter.matrix is None
    assert not converter.is_identity


def add_matrix_space(
    raw: PyOpenColorIO.Config, name: str, offset: list[float], direction: object
) -> None:
    space = PyOpenColorIO.ColorSpace(name=name)
    matrix = [2.0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 8, 0, 0, 0, 0, 1]
    transform = PyOpenColorIO.MatrixTransform(matrix, offset, direction)
    space.setTransform(transform, PyOpenColorIO.COLORSPACE_DIR_TO_REFERENCE)
    raw.addColorSpace(space)


def test_an_offset_is_no_matrix_and_an_inverse_matrix_is_inverted(tmp_path: Path) -> None:
    raw = PyOpenColorIO.Config.CreateRaw()
    raw.addColorSpace(PyOpenColorIO.ColorSpace(name="reference"))
    add_matrix_space(raw, "inverse", [0.0] * 4, PyOpenColorIO.TRANSFORM_DIR_INVERSE)
    add_matrix_space(raw, "shifted", [0.5, 0, 0, 0], PyOpenColorIO.TRANSFORM_DIR_FORWARD)
    path = tmp_path / "show.ocio"
    path.write_text(raw.serialize())
    show = ColorConfig.load(str(path))
    inverse = show.converter("inverse", "reference")
    assert inverse.matrix == (0.5, 0.0, 0.0, 0.0, 0.25, 0.0, 0.0, 0.0, 0.125)
    np.testing.assert_array_equal(converted(inverse, gray([8.0])).ravel(), [4, 2, 1])
    shifted = show.converter("shifted", "reference")
    assert shifted.matrix is None
    np.testing.assert_array_equal(converted(shifted, gray([1.0])).ravel(), [2.5, 4, 8])


@pytest.mark.parametrize(
    ("source", "target"), [("ACEScg", "scene_linear"), ("lin_ap1", "acescg"), ("Raw", "ACEScct")]
)
def test_a_conversion_to_the_same_space_touches_no_bit(
    config: ColorConfig, source: str, target: str
) -> None:
    converter = config.converter(source, target)
    assert converter.is_identity
    assert converter.matrix == (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
    planes = gray([np.nan, np.inf, -0.0, 1e-45, 3e38])
    assert converted(converter, planes).tobytes() == planes.tobytes()


def test_the_same_pair_gives_the_same_converter_under_any_of_its_names(
    config: ColorConfig,
) -> None:
    assert config.converter("scene_linear", "acescct") is config.converter("lin_ap1", "ACEScct")


def test_an_unknown_end_of_a_conversion_is_refused(config: ColorConfig) -> None:
    with pytest.raises(UnknownColorspace):
        config.converter("scene_linear", "log")
    with pytest.raises(UnknownColorspace):
        config.converter("", "scene_linear")


def test_a_space_whose_lookup_table_is_missing_is_a_request_error(tmp_path: Path) -> None:
    raw = PyOpenColorIO.Config.CreateRaw()
    raw.addColorSpace(PyOpenColorIO.ColorSpace(name="reference"))
    broken = PyOpenColorIO.ColorSpace(name="broken")
    broken.setTransform(
        PyOpenColorIO.FileTransform(src="gone.cube"), PyOpenColorIO.COLORSPACE_DIR_TO_REFERENCE
    )
    raw.addColorSpace(broken)
    path = tmp_path / "show.ocio"
    path.write_text(raw.serialize())
    with pytest.raises(RequestError, match=r"gone\.cube"):
        ColorConfig.load(str(path)).converter("broken", "reference")


@pytest.mark.parametrize("name", UNCLIPPED)
def test_nan_and_inf_do_not_crash_nor_reach_other_pixels(config: ColorConfig, name: str) -> None:
    planes = gray([0.18, np.nan, 0.18, np.inf, 0.18, -np.inf, 0.18])
    result = converted(config.converter("scene_linear", name), planes)
    clean = converted(config.converter("scene_linear", name), gray([0.18]))
    np.testing.assert_array_equal(result[:, :, ::2], np.repeat(clean, 4, axis=2))


@pytest.mark.parametrize(
    "planes",
    [
        np.zeros((4, 2, 2), np.float32),
        np.zeros((2, 2), np.float32),
        np.zeros((3, 0, 2), np.float32),
        np.zeros((3, 2, 2), np.float64),
        np.zeros((3, 2, 2), np.float16),
        np.zeros((3, 2, 4), np.float32)[:, :, ::2],
        np.zeros((2, 2, 3), np.float32).transpose(2, 0, 1),
        np.broadcast_to(np.float32(0), (3, 2, 2)),
        np.frombuffer(bytes(48), np.float32).reshape(3, 2, 2),
    ],
)
@pytest.mark.parametrize("source", ["ACEScct", "ACEScg"])
def test_planes_of_another_shape_type_or_layout_are_refused(
    config: ColorConfig, source: str, planes: Planes
) -> None:
    with pytest.raises(ImageError, match="color planes"):
        config.converter(source, "scene_linear").apply(planes)


def test_several_threads_may_use_one_converter_at_a_time(config: ColorConfig) -> None:
    converter = config.converter("ARRI LogC4", "scene_linear")
    planes = np.random.default_rng(2).random((3, 64, 257), np.float32)
    expected = converted(converter, planes)
    results: list[Planes] = []

    def work() -> None:
        results.extend(converted(converter, planes) for _ in range(8))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert len(results) == 32
    assert all(np.array_equal(result, expected) for result in results)
