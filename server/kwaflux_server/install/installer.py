"""The installer: stages an installation next to its folder, swaps it in, and removes it."""

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
    """Install and remove a host's adapter.

    Args:
        shape: The parts of the installation.
        pythons: The host's Pythons; each gets its wheels.
        environ: The environment.
        wheels: A folder of wheels; None uses pip's configured index.
        say: Called with a line of text for each step.
        is_dry: Whether to report the steps without doing them.
    """

    shape: Shape
    pythons: Sequence[HostPython]
    environ: Mapping[str, str]
    wheels: Path | None
    say: Callable[[str], None]
    is_dry: bool = False


def install(job: Installation) -> None:
    """Install, or update an installation; the result equals that of a first installation.

    Raises:
        HostError: No Python got its wheels, or files are in use.
        ImageWriteFailed: A folder is not writable, or the disk is full.
    """
    shape, verb = job.shape, "would put" if job.is_dry else "put"
    packages = ", ".join(shape.packages[:-1]) + f" and {shape.packages[-1]}"
    if job.is_dry:
        for python in job.pythons:
            job.say(f"would put wheels for {python.text} into {shape.root / WHEELS / python.tag}")
        job.say(f"would put {packages} into {shape.root}")
    else:
        new_folders = _missing_folders(
            [shape.root.parent, *(path.parent for path in shape.outside)]
        )
        with _writing(shape.root), _staged(shape.root) as stage:
            _fill(stage, job)
            _write_list(stage, job, made=[*_made_before(shape.root), *new_folders])
            _swap(stage, shape.root)
        job.say(f"put {packages} into {shape.root}")
    for target, source in shape.outside.items():
        if not job.is_dry:
            with _writing(target):
                target.parent.mkdir(parents=True, exist_ok=True)
                with atomic_path(target) as temporary:
                    shutil.copyfile(source, temporary)
        job.say(f"{verb} {target}")
    if shape.lines_in is not None:
        if not job.is_dry:
            put_block(shape.lines_in, shape.lines)
        job.say(f"{verb} {len(shape.lines) + 2} lines at the end of {shape.lines_in}")


def uninstall(shape: Shape, *, say: Callable[[str], None], is_dry: bool = False) -> bool:
    """Remove the installation; return whether there was one.

    Folders that ``install`` made are removed too, if they are empty.

    Raises:
        HostError: Files are in use.
    """
    verb, removed = "would remove" if is_dry else "removed", False
    folders = _made_before(shape.root)
    outside = [path for path in shape.outside if path.exists()]
    for path in (shape.root, *outside):
        if path.exists():
            removed = True
            if not is_dry:
                with _writing(path):
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
            say(f"{verb} {path}")
    if shape.lines_in is not None and has_block(shape.lines_in):
        removed = True
        if not is_dry:
            remove_block(shape.lines_in)
        say(f"{verb} our lines from {shape.lines_in}")
    if not is_dry:
        for folder in reversed(folders):
            with contextlib.suppress(OSError):
                Path(folder).rmdir()
    return removed


def _fill(stage: Path, job: Installation) -> None:
    for name in job.shape.packages:
        shutil.copytree(package_folder(name), stage / name, ignore=_IGNORED)
    for name, source in job.shape.beside.items():
        shutil.copyfile(source, stage / name)
    # importlib.metadata reads the version of a package from here.
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
    """Return the folders made by an installation, outermost first."""
    try:
        raw = json.loads((root / INSTALL_FILE).read_text(encoding="utf-8"))
        return [folder for folder in raw["made_folders"] if isinstance(folder, str)]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _missing_folders(folders: Sequence[Path]) -> list[str]:
    """Return the missing folders, outermost first."""
    missing: dict[str, None] = {}
    for folder in folders:
        chain = [at for at in (folder, *folder.parents) if not at.exists()]
        missing.update(dict.fromkeys(str(at) for at in reversed(chain)))
    return list(missing)


@contextlib.contextmanager
def _staged(root: Path) -> Iterator[Path]:
    """Yield a staging folder next to the root, and remove it at the end."""
    root.parent.mkdir(parents=True, exist_ok=True)
    stage = root.with_name(f".{root.name}-{os.getpid()}-{secrets.token_hex(3)}")
    stage.mkdir()
    try:
        yield stage
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _swap(stage: Path, root: Path) -> None:
    """Replace the old folder with the new one; on failure the old one stays."""
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
            f"no access to {error.filename or path}: {error.strerror}",
            hint=f"check its permissions, or {_IN_USE}"
            if os.name == "nt"
            else "check its permissions",
        ) from error
    except ImageWriteFailed:
        raise
    except OSError as error:
        raise write_failed(path, error) from error
