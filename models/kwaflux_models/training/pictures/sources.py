"""Fetch the clean pictures that training and evaluation start from.

Pictures are never part of this repository: they are taken out of named Debian packages (and out of
scikit-image, for the test split) into a cache folder.

A split goes by picture, never by crop: a picture of the test split has no pixel in training.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from kwaflux_core.errors import FrameMissing, ImageError, ImageUnreadable
from kwaflux_models.training.pictures.debian_photos import (
    fetch_photographs,
    photo_packages,
    run_tool,
)

__all__ = [
    "PACKAGES",
    "SPLITS",
    "Picture",
    "Split",
    "cache_folder",
    "drawn_pictures",
    "fetch",
    "fetch_package",
    "is_fetched",
    "licences",
    "load",
    "missing",
    "picture_source",
    "pictures",
    "scikit_picture",
]

Split = Literal["train", "valid", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
Kind = Literal["display", "pristine", "linear"]

_LOMIRI = "lomiri-wallpapers-16.04/usr/share/backgrounds"
_KLEIBER = "lomiri-wallpapers-20.04/usr/share/backgrounds"
_MATE = "mate-backgrounds/usr/share/backgrounds/mate/nature"
_PLASMA = "plasma-workspace-wallpapers/usr/share/wallpapers"
_WORLD = "blender-data/usr/share/blender/datafiles/studiolights/world"
_JXL = "libjxl-testdata/usr/share/libjxl-testdata/jxl/flower"

PACKAGES: dict[str, str] = {
    "lomiri-wallpapers-16.04": "CC-BY-4.0, CC-BY-SA-4.0 and CC0-1.0, per picture",
    "lomiri-wallpapers-20.04": "CC-BY-SA-3.0",
    "plasma-workspace-wallpapers": "package GPL-2+; pictures LGPL-3",
    "mate-backgrounds": "GPL-2+",
    "blender-data": "CC0-1.0 (environment maps)",
    "libjxl-testdata": "BSD-3-Clause",
    **{package.name: package.licence for package in photo_packages()},
}
"""Debian packages with pictures, and their licences as their copyright files state them."""

_PICTURES: dict[Split, dict[str, tuple[str, ...]]] = {
    "train": {
        _LOMIRI: (
            "Bridge_by_Sander_Klootwijk.jpg",
            "Dragonfly_by_Bolly.jpg",
            "Picture_0B_by_freespace.jpg",
            "aitzgorri_by_Aitzol_Berasategi.jpg",
            "free_by_Peter_Nerlich.jpg",
            "greentock_by_Peter_Nerlich.jpg",
            "picosdeeuropa_by_Aitzol_Berasategi.jpg",
            "seeding_by_Clements_Engelhardt.jpg",
        ),
        _KLEIBER: ("Kleiber_by_Lukas_Baubkus.jpg",),
        _MATE: (
            "Aqua.jpg",
            "Blinds.jpg",
            "Dune.jpg",
            "FreshFlower.jpg",
            "GreenMeadow.jpg",
            "LadyBird.jpg",
            "TwoWings.jpg",
            "Wood.jpg",
        ),
        _PLASMA: (
            "BytheWater",
            "ColdRipple",
            "DarkestHour",
            "FallenLeaf",
            "Grey",
            "Kite",
            "summer_1am",
        ),
        _WORLD: ("city.exr", "courtyard.exr", "forest.exr", "interior.exr", "studio.exr"),
        _JXL: ("flower.png",),
    },
    "valid": {
        _LOMIRI: ("sunset_by_Aitzol_Berasategi.jpg",),
        _MATE: ("YellowFlower.jpg",),
        _PLASMA: ("OneStandsOut",),
    },
    "test": {
        _LOMIRI: (
            "life_by_Aitzol_Berasategi.jpg",
            "Picture_1A_by_freespace.jpg",
            "Wine_by_Jakkub_Mede.jpg",
            "friends_by_Aitzol_Berasategi.jpg",
        ),
        _MATE: ("Garden.jpg", "RainDrops.jpg", "Storm.jpg"),
        _PLASMA: ("ColorfulCups", "EveningGlow", "Path"),
        _WORLD: ("night.exr", "sunrise.exr", "sunset.exr"),
        "scikit-image": ("astronaut", "coffee", "rocket"),
    },
}

for _package in photo_packages():
    for _one in _package.photographs:
        _folder, _, _name = f"{_package.name}/{_one.path}".rpartition("/")
        _PICTURES[_one.split][_folder] = (*_PICTURES[_one.split].get(_folder, ()), _name)

_LISTED = {package.name: package for package in photo_packages()}


@dataclass(frozen=True, slots=True)
class Picture:
    """One clean picture.

    Attributes:
        name: The package and the picture, unique.
        kind: ``display``: 8-bit sRGB, to be halved after decoding; ``pristine``: 8-bit sRGB that
            is clean and sharp as stored; ``linear``: scene-linear.
        pixels: (H, W, 3), uint8 or float32; may be mapped from disk.
    """

    name: str
    kind: Kind
    pixels: NDArray[np.uint8] | NDArray[np.float32]


def cache_folder(environ: Mapping[str, str], home: Path) -> Path:
    """Return where pictures are kept: ``KWAFLUX_CACHE_DIR``, else ``~/.cache/kwaflux``."""
    named = environ.get("KWAFLUX_CACHE_DIR")
    return Path(named) if named else home / ".cache" / "kwaflux"


def licences() -> dict[str, str]:
    """Return the licence of every source, the synthetic ones included."""
    return {
        **PACKAGES,
        "scikit-image": "test pictures: public domain and CC0-1.0, tests only",
        "procedural": "drawn by this recipe",
    }


def fetch(cache: Path) -> None:
    """Download the Debian packages that are missing and unpack them under ``cache/sources``.

    Raises:
        ImageError: ``apt-get`` or ``dpkg-deb`` is missing or failed.
    """
    for package in PACKAGES:
        fetch_package(cache, package)


def is_fetched(cache: Path, package: str) -> bool:
    """Return whether a package, or every listed photograph of it, has been unpacked."""
    folder = cache / "sources" / package
    listed = _LISTED.get(package)
    return folder.is_dir() if listed is None else not listed.missing(folder)


def fetch_package(cache: Path, package: str) -> None:
    """Download one package and unpack it, unless it is there.

    Raises:
        ImageError: ``apt-get`` or ``dpkg-deb`` is missing or failed; nothing is left half unpacked.
        ImageUnreadable: a listed photograph is not the one that was listed.
    """
    if is_fetched(cache, package):
        return
    if package in _LISTED:
        fetch_photographs(cache, _LISTED[package])
        return
    target, part = cache / "sources" / package, cache / "sources" / f"{package}.part"
    downloads = cache / "downloads"
    downloads.mkdir(parents=True, exist_ok=True)
    run_tool(["apt-get", "download", package], downloads)
    archives = sorted(downloads.glob(f"{package}_*.deb"))
    if not archives:
        raise ImageError(f"apt-get left no archive of {package}", hint="try: apt-get update")
    shutil.rmtree(part, ignore_errors=True)
    part.parent.mkdir(parents=True, exist_ok=True)
    run_tool(["dpkg-deb", "-x", str(archives[-1]), str(part)], downloads)
    part.rename(target)


def pictures(split: Split) -> list[str]:
    """Return the paths of a split's pictures, relative to ``cache/sources``."""
    paths = []
    for folder, names in _PICTURES[split].items():
        for name in names:
            path = f"{folder}/{name}"
            paths.append(f"{path}/contents/images/2560x1600.jpg" if folder == _PLASMA else path)
    return paths


def picture_source(path: str) -> str:
    """Return the package that a picture's path begins with."""
    return path.partition("/")[0]


def missing(cache: Path, split: Split) -> list[str]:
    """Return the pictures of a split that are neither unpacked nor decoded."""
    return [
        path
        for path in pictures(split)
        if picture_source(path) != "scikit-image"
        and not (cache / "sources" / path).is_file()
        and not _stored(cache, path).is_file()
    ]


def load(cache: Path, split: Split) -> list[Picture]:
    """Load a split, decoding each picture once into ``cache/pixels``.

    Raises:
        ImageError: a picture is missing or damaged, or two entries are one file (wallpapers are
            often links to each other, and a link across splits would leak).
    """
    found: dict[Path, str] = {}
    loaded = []
    for path in pictures(split):
        loaded.append(_load_one(cache, path))
        real = (cache / "sources" / path).resolve()
        if real in found:
            raise ImageError(f"{path} and {found[real]} are one file", path=path)
        found[real] = path
    if split == "train":
        loaded += drawn_pictures()
    return loaded


def _load_one(cache: Path, path: str) -> Picture:
    """Load one picture from its decoded copy, making the copy when there is none."""
    kind = _kind(path)
    stored = _stored(cache, path)
    if not stored.is_file():
        pixels: NDArray[np.uint8] | NDArray[np.float32]
        if path.startswith("scikit-image/"):
            pixels = scikit_picture(path.rpartition("/")[2])
        else:
            source = cache / "sources" / path
            if not source.is_file() or source.is_symlink():
                hint = "fetch the sources first: kwaflux models data"
                raise FrameMissing(f"no picture at {source}", hint=hint)
            pixels = _read_linear(source) if kind == "linear" else _read_display(source)
        stored.parent.mkdir(parents=True, exist_ok=True)
        part = stored.with_suffix(f".{os.getpid()}.part")
        with part.open("wb") as stream:
            np.save(stream, pixels)
        part.replace(stored)
    try:
        kept = np.load(stored, mmap_mode="r")
    except (OSError, ValueError) as error:
        hint = "remove it: it is decoded again"
        raise ImageUnreadable(f"{stored} is damaged: {error}", hint=hint) from error
    return Picture(path, kind, kept)


def _kind(path: str) -> Kind:
    """Return how a picture's stored pixels are to be used."""
    if path.endswith(".exr"):
        return "linear"
    listed = _LISTED.get(picture_source(path))
    return "pristine" if listed is not None and listed.is_pristine else "display"


def _stored(cache: Path, path: str) -> Path:
    """Return where a picture's decoded copy lies."""
    return cache / "pixels" / (path.replace("/", "_") + ".npy")


def _read_display(path: Path) -> NDArray[np.uint8]:
    """Read an 8-bit picture."""
    from PIL import Image

    try:
        with Image.open(path) as picture:
            return np.asarray(picture.convert("RGB"), dtype=np.uint8)
    except (OSError, ValueError) as error:
        raise ImageUnreadable(f"cannot read {path}: {error}", hint="fetch it again") from error


def _read_linear(path: Path) -> NDArray[np.float32]:
    """Read the RGB of an EXR file."""
    import OpenEXR

    try:
        with OpenEXR.File(str(path)) as file:
            channels = file.channels()
            if "RGB" in channels:
                pixels = channels["RGB"].pixels
            elif "RGBA" in channels:
                pixels = channels["RGBA"].pixels[..., :3]
            else:
                pixels = np.stack([channels[c].pixels for c in "RGB"], axis=-1)
    except (RuntimeError, OSError, KeyError, ValueError) as error:
        raise ImageUnreadable(f"cannot read {path}: {error}", hint="fetch it again") from error
    return np.ascontiguousarray(pixels, dtype=np.float32)


def scikit_picture(name: str) -> NDArray[np.uint8]:
    """Read one of scikit-image's own pictures, (H, W, 3) sRGB."""
    from skimage import data

    pixels = getattr(data, name)()
    return np.asarray(pixels[..., :3], dtype=np.uint8)


def drawn_pictures(*, seed: int = 20, side: int = 1024) -> list[Picture]:
    """Draw what the photographs lack: type, charts, ramps, cloth and stars."""
    from PIL import Image, ImageDraw

    rng = np.random.default_rng(seed)
    page = Image.new("RGB", (side, side), (235, 232, 225))
    draw = ImageDraw.Draw(page)
    letters = list("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 ,.:")
    row = 0
    while row < side:
        size = int(rng.integers(16, 60))
        ink = tuple(int(v) for v in rng.integers(0, 150, 3))
        text = "".join(rng.choice(letters, size=160))
        draw.text((-int(rng.integers(0, 20)), row), text, fill=ink, font_size=size)
        row += int(size * 1.25)
    rows, columns = np.mgrid[0:side, 0:side].astype(np.float32) / side
    rings = 0.5 + 0.5 * np.cos(260.0 * (rows**2 + columns**2))
    weave = 0.5 + 0.2 * np.sin(columns * 700.0) * np.sign(np.sin(rows * 350.0))
    weave = weave + 0.06 * rng.standard_normal((side, side))
    stars = np.zeros((side, side))
    spots = rng.integers(2, side - 2, size=(900, 2))
    for y, x in spots:
        stars[y - 1 : y + 2, x - 1 : x + 2] += rng.uniform(0.1, 1.0)
    ramp = np.stack([columns, rows, 1.0 - columns], axis=-1)
    drawn = {"rings": rings, "weave": weave, "stars": 0.03 + stars}
    tint = rng.uniform(0.6, 1.0, size=(3, 3))
    made = [Picture("procedural/type", "display", np.asarray(page, dtype=np.uint8))]
    for number, (name, gray) in enumerate(drawn.items()):
        code = np.clip(gray[..., None] * tint[number], 0.0, 1.0) * 255.0
        made.append(Picture(f"procedural/{name}", "display", code.astype(np.uint8)))
    smooth = np.ascontiguousarray(0.9 * ramp**2.2, dtype=np.float32)
    return [*made, Picture("procedural/ramp", "linear", smooth)]
