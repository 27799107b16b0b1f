"""The distribution as it is built and installed: hatchling's artifacts and bare environments.

Everything runs offline, outside this tree, with what the running environment has.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from importlib.metadata import distribution
from pathlib import Path

__all__ = [
    "LITTER",
    "REPOSITORY",
    "SHELVES",
    "bare_environment",
    "build",
    "copy_of_tree",
    "links_to",
    "run_in",
]

REPOSITORY = Path(__file__).resolve().parents[3]

SHELVES = {
    "kwaflux_core": ".",
    "kwaflux_models": "models",
    "kwaflux_server": "server",
    "kwaflux_hosting": "hosts/common",
    "kwaflux_nuke": "hosts/nuke",
    "kwaflux_resolve": "hosts/resolve",
}
"""The import packages, and the folder of the repository that each lies in."""

LITTER = ("__pycache__", "*.pyc", "*.tmp", ".*")
"""Patterns of names that lie in a tree and belong in no wheel."""


def build(tree: Path, *, kind: str, out: Path) -> Path:
    """Return what hatchling makes of a tree: a ``wheel``, ``wheel:editable`` or ``sdist``."""
    out.mkdir()
    command = ["-m", "hatchling", "build", "--target", kind, "--directory", str(out)]
    run_in(tree, [sys.executable, *command])
    (artifact,) = out.iterdir()
    return artifact


def copy_of_tree(out: Path) -> Path:
    """Return a copy of what a build reads, so that a test may change it."""
    out.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", ".gitignore"):
        shutil.copy2(REPOSITORY / name, out / name)
    for package, shelf in SHELVES.items():
        shutil.copytree(
            REPOSITORY / shelf / package,
            out / shelf / package,
            ignore=shutil.ignore_patterns(*LITTER),
        )
    return out


def run_in(folder: Path, command: list[str], *, status: int = 0) -> str:
    """Return what a program printed; it sees no ``PYTHON*`` variable, and must end as told."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        command, cwd=folder, env=environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == status, f"{command} failed:\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr if status else done.stdout


def bare_environment(folder: Path, *, site_packages_of: tuple[str, ...]) -> tuple[Path, Path]:
    """Return the interpreter and the site-packages of a new environment.

    It holds the distributions named, linked from the running environment, and nothing else; not
    even pip.
    """
    venv.create(folder, with_pip=False, symlinks=os.name != "nt")
    scripts = folder / ("Scripts" if os.name == "nt" else "bin")
    python = scripts / Path(sys.executable).name
    told = run_in(
        folder, [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    )
    site_packages = Path(told.strip())
    for name in site_packages_of:
        links_to(name, site_packages)
    return python, site_packages


def links_to(name: str, site_packages: Path) -> None:
    """Make a distribution of the running environment importable from another site-packages."""
    installed = distribution(name)
    for top in sorted({entry.parts[0] for entry in installed.files or ()} - {".."}):
        source = Path(str(installed.locate_file(top)))
        (site_packages / top).symlink_to(source, target_is_directory=source.is_dir())
