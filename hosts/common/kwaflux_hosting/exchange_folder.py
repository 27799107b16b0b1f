"""The temporary folder in which a host and the server exchange frames as EXR files.

The folder is removed after use, and so are folders whose process has died: each has an entry in the
user's state folder, locked for as long as the process lives. Nothing compiled is imported.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Final

from kwaflux_core.errors import ImageWriteFailed
from kwaflux_core.settings.user_dirs import user_data_dir

__all__ = ["ExchangeFolder", "check_room", "remove_abandoned"]

_PREFIX: Final = ".kwaflux-exchange-"
_MARK: Final = "exchange.json"


@dataclass(slots=True)
class ExchangeFolder:
    """Hold a folder for exchanged files; it and all in it are gone after ``remove``.

    Use it in a ``with`` block, or call ``remove``.
    """

    path: str
    is_kept: bool = False
    _entry: _Entry | None = field(default=None, repr=False)

    @classmethod
    def make(
        cls,
        beside: str = "",
        *,
        temporary_root: str = "",
        environ: Mapping[str, str] = os.environ,
    ) -> ExchangeFolder:
        """Make a folder beside the results, where the server sees it too, else a temporary one.

        Folders that a process left behind when it died are removed first.

        Args:
            beside: The results' folder, made if need be; empty, or closed to us: not there.
            temporary_root: Where else; empty: the system's temporary folder.
            environ: Where the user's state folder is.

        Raises:
            ImageWriteFailed: Neither place can be written.
        """
        remove_abandoned(environ)
        problem: OSError | None = None
        for root in (beside, temporary_root or tempfile.gettempdir()):
            if not root:
                continue
            token = secrets.token_hex(8)
            path = Path(root).absolute() / f"{_PREFIX}{token}"
            try:
                path.mkdir(parents=True)
                (path / _MARK).write_text(json.dumps({"token": token}), encoding="utf-8")
            except OSError as error:
                problem = error
                continue
            entry = _Entry.make(_entries(environ), path, token)
            return cls(str(path).replace("\\", "/"), _entry=entry)
        raise ImageWriteFailed(
            f"no folder for the frames could be made: {problem}",
            hint="free disk space, or choose another output folder",
        )

    def pattern(self, name: str) -> str:
        """Return the path of a file in it, or of a pattern (``plate.%04d.exr``)."""
        return f"{self.path}/{name}"

    def remove(self) -> None:
        """Remove it with all that is in it, unless ``is_kept``; once or more often."""
        if not self.is_kept:
            shutil.rmtree(self.path, ignore_errors=True)
        entry, self._entry = self._entry, None
        if entry is not None:
            entry.remove()

    def __enter__(self) -> ExchangeFolder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.remove()


def remove_abandoned(environ: Mapping[str, str] = os.environ) -> int:
    """Remove the exchange folders whose process has died; return how many.

    Args:
        environ: Where the user's state folder is.
    """
    count = 0
    with contextlib.suppress(OSError):
        for path in sorted(_entries(environ).glob("*.json")):
            entry = _Entry.of_dead_process(path)
            if entry is not None:
                count += entry.remove_folder()
                entry.remove()
    return count


def check_room(folder: str, *, needed_bytes: int) -> None:
    """Refuse to begin where the disk has too little room for all frames.

    Raises:
        ImageWriteFailed: It has too little; a folder that is not there yet counts as its parent.
    """
    at = Path(folder)
    while not at.exists() and at != at.parent:
        at = at.parent
    free_bytes = shutil.disk_usage(at).free
    if free_bytes < needed_bytes:
        raise ImageWriteFailed(
            f"{folder} has {free_bytes / 1e9:.1f} GB free, and the frames need about "
            f"{needed_bytes / 1e9:.1f} GB",
            hint="free disk space, or choose another output folder",
            path=folder,
        )


@dataclass(slots=True)
class _Entry:
    """A file that names a folder, locked while the process that made the folder lives."""

    path: Path
    file: IO[str]

    @classmethod
    def make(cls, entries: Path, folder: Path, token: str) -> _Entry | None:
        """Write an entry and lock it; None where the state folder cannot be written."""
        try:
            entries.mkdir(parents=True, exist_ok=True, mode=0o700)
            path = entries / f"{token}.json"
            file = path.open("x", encoding="utf-8")
        except OSError:
            return None
        entry = cls(path, file)
        if not _lock(file):
            entry.remove()
            return None
        file.write(json.dumps({"folder": str(folder), "token": token}))
        file.flush()
        return entry

    @classmethod
    def of_dead_process(cls, path: Path) -> _Entry | None:
        """Return an entry that nobody holds any more, now held by us; None if somebody does."""
        try:
            file = path.open("r+", encoding="utf-8")
        except OSError:
            return None
        if _lock(file):
            return cls(path, file)
        file.close()
        return None

    def remove_folder(self) -> bool:
        """Remove the folder that the entry names, if its mark says the same; tell whether."""
        try:
            self.file.seek(0)
            said = json.loads(self.file.read())
            folder = Path(said["folder"])
            mark = json.loads((folder / _MARK).read_text(encoding="utf-8"))
            if folder.name != _PREFIX + said["token"] or mark["token"] != said["token"]:
                return False
        except (OSError, ValueError, KeyError, TypeError):
            return False
        shutil.rmtree(folder, ignore_errors=True)
        return True

    def remove(self) -> None:
        """Let the entry go and remove it."""
        if sys.platform == "win32":  # an open file cannot be removed there
            self.file.close()
        with contextlib.suppress(OSError):
            self.path.unlink()
        self.file.close()


def _entries(environ: Mapping[str, str]) -> Path:
    return user_data_dir(environ, platform=sys.platform) / "exchange"


def _lock(file: IO[str]) -> bool:
    """Lock a file until it is closed or the process ends; tell whether it was free."""
    try:
        if sys.platform == "win32":
            import msvcrt

            # A byte far behind the text: what is locked cannot be read there.
            file.seek(1 << 20)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            file.seek(0)
        else:
            import fcntl

            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
