"""The demonstration's folder: what lies where, and that nobody else's files are overwritten."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kwaflux_core.errors import ImageWriteFailed
from kwaflux_core.images.atomic_write import write_failed

__all__ = ["FIRST_FRAME", "Folders", "Sequence"]

FIRST_FRAME = 1001
_MARKER = ".kwaflux-demo"


@dataclass(frozen=True, slots=True)
class Sequence:
    """Name the files of a sequence: ``plate.1001.exr`` and so on in one folder."""

    folder: Path
    name: str

    @property
    def pattern(self) -> str:
        """The sequence as a user types it."""
        return str(self.folder / f"{self.name}.####.exr")

    def file(self, frame: int) -> Path:
        """Return the file of a frame."""
        return self.folder / f"{self.name}.{frame:04d}.exr"


@dataclass(frozen=True, slots=True)
class Folders:
    """Name everything the demonstration writes.

    Args:
        out: Where all of it lies.
        passing: A folder for what is removed at the end.
    """

    out: Path
    passing: Path

    @classmethod
    def claimed(cls, out: Path, *, passing: str) -> Folders:
        """Make the folder, or take one of an earlier demonstration and remove its results.

        Args:
            out: The folder; missing, empty, or of an earlier demonstration.
            passing: The name, in it, of the folder for what is removed at the end.

        Raises:
            ImageWriteFailed: Other files lie there, or the folder cannot be made.
        """
        folders = cls(out.absolute(), out.absolute() / passing)
        marker = folders.out / _MARKER
        try:
            folders.out.mkdir(parents=True, exist_ok=True)
            if any(folders.out.iterdir()) and not marker.is_file():
                raise ImageWriteFailed(
                    f"{out} holds files that are not of a demonstration",
                    hint="name an empty folder: kwaflux demo --out DIR",
                    path=str(out),
                )
            marker.touch()
            for sequence in (folders.plate, folders.clean, folders.enhanced, folders.repeated):
                sequence.folder.mkdir(exist_ok=True)
                for stale in sequence.folder.glob(f"{sequence.name}.*.exr"):
                    stale.unlink()
        except OSError as error:
            raise write_failed(out, error) from error
        return folders

    @property
    def movie(self) -> Path:
        """What the camera recorded."""
        return self.out / "plate.mp4"

    @property
    def picture(self) -> Path:
        """Before and after."""
        return self.out / "before_after.png"

    @property
    def plate(self) -> Sequence:
        """The degraded plate."""
        return Sequence(self.out / "plate", "plate")

    @property
    def clean(self) -> Sequence:
        """What the plate should have been."""
        return Sequence(self.out / "clean", "clean")

    @property
    def enhanced(self) -> Sequence:
        """What the first run made of the plate."""
        return Sequence(self.out / "enhanced", "plate")

    @property
    def repeated(self) -> Sequence:
        """What the second run made of it."""
        return Sequence(self.passing, "plate")
