"""An installation, done and undone: staged beside its place and swapped in whole."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import kwaflux_core
from kwaflux_core.errors import HostError, ImageWriteFailed, KwafluxError
from kwaflux_core.images.atomic_write import atomic_path, write_failed
from kwaflux_hosting.install_layout import INSTALL_FILE, WHEELS
from kwaflux_server.install.host_python import HostPython
from kwaflux_server.install.install_plan import Shape, package_folder
from kwaflux_server.install.marked_lines import has_block, put_block, remove_block
from kwaflux_server.install.wheels import put_wheels

__all__ = ["Installation", "install", "uninstall"]

_FORMAT: Final = 1
_IGNORED: Final = shutil.ignore_patterns("__pycache__", "*.pyc", ".*")
_IN_USE: Final = "close the host, which holds its files open, and try again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """Say what to install, and how.

    Args:
        shape: What is put where.
        pythons: The host's own, by tag; the wheels of each are put in.
        environ: The environment.
        wheels: A folder to take wheels from; None: pip's own sources.
        say: Gets a line for everything that is done.
        is_dry: Whether nothing is done, and said all the same.
    """

    shape: Shape
    pythons: Sequence[HostPython]
    environ: Mapping[str, str]
    wheels: Path | None
    say: Callable[[str], None]
    is_dry: bool = False


def install(job: Installation) -> None:
    """Install, or bring what is installed up to date: afterwards all is as after a first time.

    Raises:
        HostError: No Python got its wheels, or files that are in use.
        ImageWriteFailed: A place that is closed to us, or a full disk.
    """
    shape, said = job.shape, "would put" if job.is_dry else "put"
    packages = ", ".join(shape.packages[:-1]) + f" and {shape.packages[-1]}"
    if job.is_dry:
        for python in job.pythons:
            job.say(f"would put wheels for {python.text} into {shape.root / WHEELS / python.tag}")
        job.say(f"would put {packages} into {shape.root}")
    else:
        made = _missing_folders([shape.root.parent, *(path.parent for path in shape.outside)])
        with _writing(shape.root), _staged(shape.root) as stage:
            _fill(stage, job)
            _write_list(stage, job, made=[*_made_before(shape.root), *made])
            _swap(stage, shape.root)
        job.say(f"put {packages} into {shape.root}")
    for target, source in shape.outside.items():
        if not job.is_dry:
            with _writing(target):
                target.parent.mkdir(parents=True, exist_ok=True)
                with atomic_path(target) as temporary:
                    shutil.copyfile(source, temporary)
        job.say(f"{said} {target}")
    if shape.lines_in is not None:
        if not job.is_dry:
            put_block(shape.lines_in, shape.lines)
        job.say(f"{said} {len(shape.lines) + 2} lines at the end of {shape.lines_in}")


def uninstall(shape: Shape, *, say: Callable[[str], None], is_dry: bool = False) -> bool:
    """Remove what ``install`` put there; return whether there was anything.

    Folders that it made go too, where nothing of others is in them by now.

    Raises:
        HostError: Files that are in use.
    """
    said, removed = "would remove" if is_dry else "removed", False
    made = _made_before(shape.root)
    outside = [path for path in shape.outside if path.exists()]
    for path in (shape.root, *outside):
        if path.exists():
            removed = True
            if not is_dry:
                with _writing(path):
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
            say(f"{said} {path}")
    if shape.lines_in is not None and has_block(shape.lines_in):
        removed = True
        if not is_dry:
            remove_block(shape.lines_in)
        say(f"{said} our lines from {shape.lines_in}")
    if not is_dry:
        for folder in reversed(made):
            with contextlib.suppress(OSError):
                Path(folder).rmdir()
    return removed


def _fill(stage: Path, job: Installation) -> None:
    for name in job.shape.packages:
        shutil.copytree(package_folder(name), stage / name, ignore=_IGNORED)
    for name, source in job.shape.beside.items():
        shutil.copyfile(source, stage / name)
    # Python finds the version of a package there.
    about = stage / f"kwaflux-{kwaflux_core.__version__}.dist-info"
    about.mkdir()
    text = f"Metadata-Version: 2.1\nName: kwaflux\nVersion: {kwaflux_core.__version__}\n"
    (about / "METADATA").write_text(text, encoding="utf-8")
    problems: list[KwafluxError] = []
    for python in job.pythons:
        try:
            brought = put_wheels(
                python, stage / WHEELS / python.tag, environ=job.environ, wheels=job.wheels
            )
        except HostError as error:
            shutil.rmtree(stage / WHEELS / python.tag, ignore_errors=True)
            job.say(str(error))
            problems.append(error)
        else:
            job.say(f"put wheels for {python.text}: {brought}")
    if len(problems) == len(job.pythons):
        raise problems[-1]


def _write_list(stage: Path, job: Installation, *, made: list[str]) -> None:
    raw = {
        "format": _FORMAT,
        "host": job.shape.host,
        "version": kwaflux_core.__version__,
        "command": [sys.executable, "-m", "kwaflux_server"],
        "pythons": [
            {"tag": python.tag, "path": str(python.path), "version": python.text}
            for python in job.pythons
        ],
        "outside": [str(path) for path in job.shape.outside],
        "made_folders": list(dict.fromkeys(made)),
    }
    (stage / INSTALL_FILE).write_text(json.dumps(raw, indent=1) + "\n", encoding="utf-8")


def _made_before(root: Path) -> list[str]:
    """Return the folders that were made for an installation, outermost first."""
    try:
        raw = json.loads((root / INSTALL_FILE).read_text(encoding="utf-8"))
        return [folder for folder in raw["made_folders"] if isinstance(folder, str)]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _missing_folders(folders: Sequence[Path]) -> list[str]:
    """Return the folders that have to be made, outermost first."""
    missing: dict[str, None] = {}
    for folder in folders:
        chain = [at for at in (folder, *folder.parents) if not at.exists()]
        missing.update(dict.fromkeys(str(at) for at in reversed(chain)))
    return list(missing)


@contextlib.contextmanager
def _staged(root: Path) -> Iterator[Path]:
    """Give a folder beside the root; whatever is left of it in the end is removed."""
    root.parent.mkdir(parents=True, exist_ok=True)
    stage = root.with_name(f".{root.name}-{os.getpid()}-{secrets.token_hex(3)}")
    stage.mkdir()
    try:
        yield stage
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _swap(stage: Path, root: Path) -> None:
    """Put the new folder in the place of the old one; where that fails the old one stays."""
    old = stage.with_name(stage.name + "-old")
    if root.exists():
        root.rename(old)
    try:
        stage.rename(root)
    except OSError:
        if old.exists():
            old.rename(root)
        raise
    shutil.rmtree(old, ignore_errors=True)


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except PermissionError as error:
        raise HostError(
            f"{error.filename or path} is closed to us: {error.strerror}",
            hint=f"check its permissions, or {_IN_USE}"
            if os.name == "nt"
            else "check its permissions",
        ) from error
    except ImageWriteFailed:
        raise
    except OSError as error:
        raise write_failed(path, error) from error
