"""Folders and files of the demonstration; files of others are never overwritten."""

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
    """The files of a sequence, such as ``plate.1001.exr``, in one folder."""

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
    """The paths that the demonstration writes to.

    Args:
        out: The output folder.
        temporary: A folder for temporary files, removed at the end.
    """

    out: Path
    temporary: Path

    @classmethod
    def claimed(cls, out: Path, *, temporary: str) -> Folders:
        """Make the folder, or take one of an earlier demonstration and remove its results.

        Args:
            out: The folder: missing, empty, or of an earlier demonstration.
            temporary: Name of the folder for temporary files, inside ``out``.

        Raises:
            ImageWriteFailed: It holds other files, or cannot be made.
        """
        folders = cls(out.absolute(), out.absolute() / temporary)
        marker = folders.out / _MARKER
        try:
            folders.out.mkdir(parents=True, exist_ok=True)
            if any(folders.out.iterdir()) and not marker.is_file():
                raise ImageWriteFailed(
                    f"{out} contains files that the demo did not write",
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
        """The movie that the camera recorded."""
        return self.out / "plate.mp4"

    @property
    def picture(self) -> Path:
        """The before-and-after picture."""
        return self.out / "before_after.png"

    @property
    def plate(self) -> Sequence:
        """The degraded plate."""
        return Sequence(self.out / "plate", "plate")

    @property
    def clean(self) -> Sequence:
        """The clean plate."""
        return Sequence(self.out / "clean", "clean")

    @property
    def enhanced(self) -> Sequence:
        """The result of the first run."""
        return Sequence(self.out / "enhanced", "plate")

    @property
    def repeated(self) -> Sequence:
        """The result of the second run."""
        return Sequence(self.temporary, "plate")
