"""Colorspaces by name, and conversions between them, by OpenColorIO.

Loads the OCIO config, resolves names, finds the colorspace of a file's header attributes, and
converts planes of pixels.

Findings about OpenColorIO 2.6 and its built-in configs:

- Without ``$OCIO`` the built-in studio config is used under its full name. "Latest" changes with
  the installed library; the pinned one loads in every OpenColorIO from 2.5 on, and converts bit
  for bit as the newer v5.0.0 does in every space that both have.
- A conversion between a scene-referred and a display-referred space goes through the config's
  default view transform. In all built-in configs that is "Un-tone-mapped", plain colorimetry: no
  tone curve is involved. A config that has this transform and another default is set to it.
- ``sRGB - Display`` and ``SRGB_ENCODED`` (for pictures) therefore decode alike, white 1.0 to
  scene-linear 1.0. They differ only below zero: the display mirrors the curve, the picture's space
  extends its linear toe. Both round-trip within 1e-6.
- Linear spaces, LogC3/4, S-Log3, V-Log, Log3G10, BMD Film, DaVinci Intermediate, D-Log, ACEScct
  and the gamma encodings keep negatives and values far above 1 (6e-7 absolute below 1, 5e-6
  relative above). OCIO computes ACEScc, ADX, Apple Log, Canon Log, HLG and PQ from tables: values
  that their curves cannot hold are clipped there (Canon Log 3 ends at 14.6). A log code cannot
  hold the smallest values either: LogC4 returns a scene-linear 1e-6 to 5e-3 of itself.
"""

from __future__ import annotations

import difflib
import functools
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import TYPE_CHECKING, Any

from kwaflux_core.color.primaries import space_of_chromaticities
from kwaflux_core.errors import ImageError, RequestError, SettingsError, UnknownColorspace
from kwaflux_core.suggestions import shortened

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = [
    "BUILTIN_CONFIG",
    "SRGB_ENCODED",
    "ColorConfig",
    "Converter",
    "Matrix",
    "colorspace_of_attributes",
]

BUILTIN_CONFIG = "studio-config-v4.0.0_aces-v2.0_ocio-v2.5"
"""The default config without ``$OCIO``: OpenColorIO's studio config, with camera spaces."""

SRGB_ENCODED = "srgb_tx"
"""An untagged 8-bit picture: sRGB curve and primaries. An alias in every built-in config."""

Matrix = tuple[float, float, float, float, float, float, float, float, float]
"""A 3x3 matrix, row-major: ``red = m[0] * r + m[1] * g + m[2] * b``."""

_IDENTITY: Matrix = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
_COLORIMETRIC = "Un-tone-mapped"
_NAMES_KEPT = 1000
_COMPARED_CHARACTERS = 64  # names come from clients, and comparing them is quadratic
_LIST_NAMES = (
    'python -c "from kwaflux_core.color.config import ColorConfig; '
    "print(*ColorConfig.load().names(), sep='\\n')\""
)


@dataclass(frozen=True, slots=True)
class Converter:
    """Convert planes of pixels from one colorspace to another.

    Thread: callable from any; several may use one converter at a time (OCIO lets go of the GIL).

    Args:
        source: Canonical name of the colorspace the pixels are in.
        target: Canonical name of the colorspace they are converted to.
        is_identity: Whether no value changes.
        matrix: The whole conversion as a 3x3 matrix without offset, or None when it has a curve,
            a table or an offset. A GPU can do such a conversion by itself.
    """

    source: str
    target: str
    is_identity: bool
    matrix: Matrix | None
    _processor: Any = field(repr=False, compare=False)

    def apply(self, planes: npt.NDArray[np.float32]) -> None:
        """Convert red, green and blue in place.

        Kwaflux clamps nothing, and OCIO computes without its fast approximations. A matrix spreads
        NaN and Inf over the three planes: mask them before.

        Args:
            planes: (3, H, W), float32, C-contiguous and writable.

        Raises:
            ImageError: The array has another shape, type or layout.
        """
        _check_planes(planes)
        if self.is_identity:
            return
        # Planar took 10 to 67 % of the time of packing the planes for applyRGB.
        height, width = planes.shape[1:]
        red, green, blue = planes
        self._processor.apply(_ocio().PlanarImageDesc(red, green, blue, width, height))


@dataclass(frozen=True, slots=True, eq=False)
class ColorConfig:
    """The colorspaces of one OCIO config. Make one with ``load``.

    Thread: callable from any.

    Args:
        name: The config's full name (``studio-config-v4.0.0_aces-v2.0_ocio-v2.5``), or its path if
            it has none.
        digest: OCIO's hash of the config and its context; equal configs have equal digests.
    """

    name: str
    digest: str
    _config: Any = field(repr=False)
    _interop_ids: Mapping[str, str] = field(repr=False)
    _converters: dict[tuple[str, str], Converter] = field(default_factory=dict, repr=False)
    _resolved: dict[str, str] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @classmethod
    def load(cls, path: str = "", *, environ: Mapping[str, str] | None = None) -> ColorConfig:
        """Load a config.

        Args:
            path: A ``.ocio`` or ``.ocioz`` file, or ``ocio://`` and a built-in config's name;
                empty for ``$OCIO``, or ``BUILTIN_CONFIG`` if that is not set.
            environ: The environment that may set ``OCIO``; None for the process's.

        Raises:
            SettingsError: The config is missing or cannot be read.
        """
        ocio = _ocio()
        location = path or (os.environ if environ is None else environ).get("OCIO", "")
        location = location or f"ocio://{BUILTIN_CONFIG}"
        try:
            config = ocio.Config.CreateFromFile(ocio.ResolveConfigPath(location))
            digest = str(config.getCacheID())
        except (ocio.Exception, ocio.ExceptionMissingFile) as error:
            raise SettingsError(
                f"the OCIO config {location!r} cannot be loaded: {_one_line(error)}",
                hint="set $OCIO to a .ocio file or to ocio://studio-config-latest, or unset it",
                path=location,
            ) from error
        views = set(config.getViewTransformNames())
        if _COLORIMETRIC in views and config.getDefaultViewTransformName() != _COLORIMETRIC:
            config.setDefaultViewTransformName(_COLORIMETRIC)
        spaces = _spaces(config, is_active_only=False)
        interop_ids = {space.getInteropID(): space.getName() for space in reversed(spaces)}
        return cls(config.getName() or location, digest, config, interop_ids)

    @classmethod
    def default(cls, *, environ: Mapping[str, str] | None = None) -> ColorConfig:
        """Return the current config: ``load`` without a path, cached.

        Raises:
            SettingsError: The config that ``$OCIO`` names is missing or cannot be read.
        """
        return _kept((os.environ if environ is None else environ).get("OCIO", ""))

    def names(self) -> tuple[str, ...]:
        """Return the canonical name of every active colorspace, in the config's order."""
        return tuple(space.getName() for space in _spaces(self._config, is_active_only=True))

    def resolve(self, name: str) -> str:
        """Return the canonical name of a colorspace.

        Args:
            name: A name, an alias or a role (``scene_linear``); case does not matter, as in OCIO.

        Raises:
            UnknownColorspace: The config has no such colorspace, or the name is empty.
        """
        # A lookup in OCIO takes longer than everything else for a small frame.
        known = self._resolved.get(name)
        if known is not None:
            return known
        space = self._config.getColorSpace(name) if name else None
        if space is not None:
            canonical = str(space.getName())
            if len(self._resolved) < _NAMES_KEPT:
                self._resolved[name] = canonical
            return canonical
        nearest = self._nearest(name)
        hint = f"did you mean {' or '.join(map(repr, nearest))}? " if nearest else ""
        what = (
            f"no colorspace {shortened(name)}"
            if name
            else "no colorspace was named: '' does not exist"
        )
        raise UnknownColorspace(
            f"{what} in the OCIO config {self.name}",
            hint=f"{hint}List them all with: {_LIST_NAMES}",
            colorspace=name[:_COMPARED_CHARACTERS],
            config=self.name,
        )

    def converter(self, source: str, target: str) -> Converter:
        """Return the conversion between two colorspaces; the same object for the same pair.

        A data space (``Raw``) is not color: OCIO's conversions from and to it change nothing.

        Args:
            source: Name, alias or role of the pixels' colorspace.
            target: Name, alias or role of the new colorspace.

        Raises:
            UnknownColorspace: The config has no such colorspace.
            RequestError: One of the colorspaces is unusable, for example for a missing LUT file.
        """
        pair = (self.resolve(source), self.resolve(target))
        with self._lock:
            if pair not in self._converters:
                self._converters[pair] = self._build(*pair)
            return self._converters[pair]

    def colorspace_of_attributes(self, attributes: Mapping[str, object]) -> str | None:
        """Return the canonical colorspace that an EXR header names, or None if it names none.

        ``colorInteropID`` comes first, then ``chromaticities`` (red, green, blue and white as eight
        numbers) that are within 1e-3 of a known scene-linear space.

        Source: ASWF Color Interop Forum, "An ID for Color Interop" (for its ``unknown`` the
        chromaticities decide); OpenEXR, Standard Attributes.

        Raises:
            UnknownColorspace: The config does not have the ``colorInteropID``.
        """
        interop_id = attributes.get("colorInteropID", "unknown")
        if isinstance(interop_id, str) and interop_id not in ("", "unknown"):
            return self._interop_ids.get(interop_id) or self.resolve(interop_id)
        name = space_of_chromaticities(attributes.get("chromaticities"))
        return self.resolve(name) if name and self._config.getColorSpace(name) else None

    def _build(self, source: str, target: str) -> Converter:
        ocio = _ocio()
        try:
            processor = self._config.getProcessor(source, target)
            # Lossless: the default takes fast approximations of log and exp.
            optimized = processor.getOptimizedProcessor(ocio.OPTIMIZATION_LOSSLESS)
            cpu = processor.getOptimizedCPUProcessor(ocio.OPTIMIZATION_LOSSLESS)
        except (ocio.Exception, ocio.ExceptionMissingFile) as error:
            raise RequestError(
                f"{source!r} cannot be converted to {target!r}: {_one_line(error)}",
                hint=f"repair the OCIO config {self.name}, or name another colorspace",
            ) from error
        matrix = _matrix_of(optimized)
        is_identity = source == target or bool(cpu.isNoOp()) or matrix == _IDENTITY
        return Converter(source, target, is_identity, _IDENTITY if is_identity else matrix, cpu)

    def _nearest(self, name: str) -> tuple[str, ...]:
        """Return up to three similar names, nearest first."""
        known = {role.lower(): role for role, _ in self._config.getRoles()}
        for space in reversed(_spaces(self._config, is_active_only=False)):
            for spelling in (*space.getAliases(), space.getName()):
                known[spelling.lower()] = space.getName()
        near = difflib.get_close_matches(
            name[:_COMPARED_CHARACTERS].lower(), known, n=6, cutoff=0.5
        )
        return tuple(dict.fromkeys(known[spelling] for spelling in near))[:3]


def colorspace_of_attributes(
    attributes: Mapping[str, object], *, environ: Mapping[str, str] | None = None
) -> str | None:
    """Return ``ColorConfig.colorspace_of_attributes`` of the current config.

    Raises:
        UnknownColorspace: The config does not have the ``colorInteropID``.
        SettingsError: The config cannot be loaded.
    """
    return ColorConfig.default(environ=environ).colorspace_of_attributes(attributes)


@functools.lru_cache(maxsize=4)
def _kept(path: str) -> ColorConfig:
    return ColorConfig.load(path, environ={})


def _ocio() -> ModuleType:
    try:
        import PyOpenColorIO  # imported here, so that importing this module is fast and never fails
    except ImportError as error:
        raise RequestError(
            "OpenColorIO, which converts color, is not installed in this Python",
            hint='install it with: pip install "kwaflux[image]"',
        ) from error
    return PyOpenColorIO  # type: ignore[no-any-return]


def _spaces(config: Any, *, is_active_only: bool) -> list[Any]:
    ocio = _ocio()
    visible = ocio.COLORSPACE_ACTIVE if is_active_only else ocio.COLORSPACE_ALL
    return list(config.getColorSpaces(ocio.SEARCH_REFERENCE_SPACE_ALL, visible))


def _matrix_of(processor: Any) -> Matrix | None:
    """Return the processor as a 3x3 matrix, or None if it is more or changes alpha."""
    ocio = _ocio()
    transforms = list(processor.createGroupTransform())
    if not transforms:
        return _IDENTITY
    only = transforms[0]
    if len(transforms) > 1 or not isinstance(only, ocio.MatrixTransform):
        return None
    m = [float(value) for value in only.getMatrix()]
    is_alone = m[3::4] == [0, 0, 0, 1] and m[12:] == [0, 0, 0, 1] and not any(only.getOffset())
    if not is_alone or only.getDirection() != ocio.TRANSFORM_DIR_FORWARD:
        return None
    return (m[0], m[1], m[2], m[4], m[5], m[6], m[8], m[9], m[10])


def _check_planes(planes: npt.NDArray[np.float32]) -> None:
    shape = planes.shape
    if len(shape) != 3 or shape[0] != 3 or planes.size == 0 or planes.dtype != "float32":
        raise ImageError(
            f"color planes are {planes.dtype} {shape}",
            hint="give float32 planes as (3, height, width)",
        )
    if not planes.flags.c_contiguous or not planes.flags.writeable:
        raise ImageError(
            "color planes are converted in place, but are strided or read-only",
            hint="give a copy made with numpy.array(planes, order='C')",
        )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
