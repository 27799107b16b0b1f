"""The timeline marker that records an imported result."""

from __future__ import annotations

import contextlib
import json
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Final

from kwaflux_core.errors import HostError

__all__ = ["ResultMarker", "check_stays", "new_job", "read_markers"]

_MARK: Final = "kwaflux"
_FORMAT: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultMarker:
    """Tell what one job made; it is all that undoing needs.

    Args:
        job: The job's id, which begins with the time.
        mode: Which way it came back.
        item: The clip on the timeline that it was made for.
        made: The take's clip, the item on the new track, the comp's name, or the new files.
        before: The take that was shown before, or the files that were replaced.
        level: The data level of what was replaced.
    """

    job: str
    mode: str
    item: str
    made: str = ""
    before: str = ""
    level: str = ""

    @property
    def data(self) -> str:
        """The text that a marker carries."""
        return json.dumps({_MARK: _FORMAT, **asdict(self)}, separators=(",", ":"))


def read_markers(texts: Iterable[str]) -> list[ResultMarker]:
    """Return what the texts of markers tell, in the order of time; others' markers tell nothing.

    A marker of a newer version, which we could not undo, is passed over.
    """
    found = []
    for text in texts:
        if text.startswith(f'{{"{_MARK}":{_FORMAT},'):
            with contextlib.suppress(ValueError, TypeError):
                raw = json.loads(text)
                found.append(ResultMarker(**{name: raw[name] for name in raw if name != _MARK}))
    return sorted(found, key=lambda made: made.job)


def new_job() -> str:
    """Return the id of a job that begins now."""
    return time.strftime("kw%Y%m%d-%H%M%S-") + secrets.token_hex(2)


def check_stays(is_there: Callable[[], bool], *, save: Callable[[], None]) -> None:
    """Look for a result before and after the project is saved: a host may drop it in silence.

    Raises:
        HostError: It is not there, or the project was not saved.
    """
    for moment in ("", " after the project was saved"):
        if moment:
            save()
        if not is_there():
            raise HostError(
                f"the result was not found on the timeline{moment}",
                hint="run Kwaflux again; the frames are finished",
            )
