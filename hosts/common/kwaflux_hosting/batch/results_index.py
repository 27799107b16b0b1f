"""The JSON index beside results: the state, request and source of each frame."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Final, Literal, TypeAlias

from kwaflux_core.errors import FrameMissing, ImageUnreadable
from kwaflux_core.frames.sequence import Sequence
from kwaflux_core.images.atomic_write import atomic_path
from kwaflux_core.protocol.render_options import RenderOptions

__all__ = ["FrameRecord", "FrameStatus", "RenderRequest", "ResultsIndex", "file_key"]

FrameStatus: TypeAlias = Literal["ready", "attention", "stale", "failed", "missing"]
"""What a host shows of a frame: ``ready`` and ``attention`` have a result that may be shown,
``stale`` has one of another source or order, ``failed`` and ``missing`` have none."""

_SHOWN: Final[Mapping[str, FrameStatus]] = {"good": "ready", "attention": "attention"}
_FORMAT: Final = 2
_SUFFIX: Final = ".kwaflux.json"
_LOCK_S: Final = 5.0
_ABANDONED_S: Final = 30.0
_SAME_TIME_S: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderRequest:
    """Say what is asked for each frame: the flow and the options of its render."""

    flow: str
    options: RenderOptions = RenderOptions()

    @property
    def key(self) -> str:
        """A short text that is equal for equal orders."""
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameRecord:
    """Tell of one frame.

    Args:
        state: What came of it.
        order_key: Of the order it was made with.
        source_key: What the source was: a host's own hash, or ``file_key``.
        effects: Versions and weights of the effects, as text; empty where it is not known.
        size_bytes: Of the result's file.
        changed_s: When that file was last written, as the file system says.
        reason: Why it needs attention or failed, or what effects decided of it.
    """

    state: Literal["good", "attention", "failed"]
    order_key: str
    source_key: str = ""
    effects: str = ""
    size_bytes: int = 0
    changed_s: float = 0.0
    reason: str = ""

    def of_file(self, path: str) -> FrameRecord:
        """Return the entry with size and time of the file that stands there now."""
        try:
            found = os.stat(path)
        except OSError:
            return replace(self, size_bytes=0, changed_s=0.0)
        return replace(self, size_bytes=found.st_size, changed_s=found.st_mtime)

    def is_of_file(self, path: str) -> bool:
        """Tell whether the file that stands there is the one the entry tells of."""
        try:
            found = os.stat(path)
        except OSError:
            return False
        is_same_time = abs(found.st_mtime - self.changed_s) <= _SAME_TIME_S
        return found.st_size == self.size_bytes and is_same_time


@dataclass(slots=True)
class ResultsIndex:
    """Hold what is known of a pattern's frames. ``load`` it, ``note`` frames, ``save`` it.

    Thread: one at a time. Processes: any number may save to the same file.
    """

    path: str
    entries: dict[int, FrameRecord] = field(default_factory=dict)
    orders: dict[str, RenderRequest] = field(default_factory=dict)
    _noted: set[int] = field(default_factory=set, repr=False)

    @staticmethod
    def path_for(target: str) -> str:
        """Return where the record of a target lies: beside it, under the name before the number."""
        sequence = Sequence.parse(target)
        head = os.path.splitext(sequence.head)[0] if sequence.is_single else sequence.head
        return os.path.join(sequence.folder, (head.rstrip("._- ") or "kwaflux") + _SUFFIX)

    @classmethod
    def load(cls, target: str) -> ResultsIndex:
        """Return the record of a target pattern; an empty one where there is none or it is damaged.

        A damaged record costs a frame that is done again, and never a wrong one shown as ready.
        """
        path = cls.path_for(target)
        entries, orders = _read(path)
        return cls(path, entries, orders)

    def status(
        self,
        frame: int,
        target: str,
        *,
        order: RenderRequest,
        source_key: str = "",
        effects: str = "",
    ) -> FrameStatus:
        """Return what a host should show of a frame.

        Args:
            frame: Its number.
            target: The path of its result.
            order: What is asked for now.
            source_key: What the source is now; empty: not known, and not compared.
            effects: What the server's effects are now; empty: not known, and not compared.
        """
        entry = self.entries.get(frame)
        if entry is None:
            return "stale" if os.path.exists(target) else "missing"
        if not entry.is_of_file(target):
            if entry.state == "failed" and not os.path.exists(target):
                return "failed" if entry.order_key == order.key else "missing"
            return "stale" if os.path.exists(target) else "missing"
        is_same = entry.order_key == order.key and all(
            not now or not then or now == then
            for now, then in ((source_key, entry.source_key), (effects, entry.effects))
        )
        if not is_same:
            return "stale"
        return "stale" if entry.state == "failed" else _SHOWN[entry.state]

    def note(self, frame: int, entry: FrameRecord, *, order: RenderRequest) -> None:
        """Put down what came of a frame."""
        self.entries[frame] = entry
        self.orders[order.key] = order
        self._noted.add(frame)

    def save(self) -> None:
        """Write the file, together with what others wrote there meanwhile.

        Raises:
            ImageWriteFailed: The folder is closed to us or the disk is full.
        """
        with _locked(self.path):
            entries, orders = _read(self.path)
            entries.update({frame: self.entries[frame] for frame in self._noted})
            orders.update(self.orders)
            used = {entry.order_key for entry in entries.values()}
            orders = {key: order for key, order in orders.items() if key in used}
            with atomic_path(self.path) as temporary:
                temporary.write_text(_spelled(entries, orders), encoding="utf-8")
        self.entries, self.orders = entries, orders
        self._noted.clear()


def file_key(path: str) -> str:
    """Return what a source file is: a hash of its bytes.

    Raises:
        FrameMissing: There is no such file.
        ImageUnreadable: It cannot be opened.
    """
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except FileNotFoundError as error:
        raise FrameMissing(f"{path} does not exist", hint="render the plate again") from error
    except OSError as error:
        raise ImageUnreadable(f"{path} cannot be read: {error.strerror}") from error
    return digest.hexdigest()[:32]


def _read(path: str) -> tuple[dict[int, FrameRecord], dict[str, RenderRequest]]:
    try:
        with open(path, encoding="utf-8") as file:
            raw = json.load(file)
        if raw.get("format") != _FORMAT:
            return {}, {}
        entries = {int(frame): FrameRecord(**entry) for frame, entry in raw["frames"].items()}
        orders = {
            key: RenderRequest(flow=order["flow"], options=RenderOptions(**order["options"]))
            for key, order in raw["orders"].items()
        }
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}, {}
    return entries, orders


def _spelled(entries: Mapping[int, FrameRecord], orders: Mapping[str, RenderRequest]) -> str:
    raw = {
        "format": _FORMAT,
        "orders": {key: asdict(order) for key, order in sorted(orders.items())},
        "frames": {str(frame): asdict(entry) for frame, entry in sorted(entries.items())},
    }
    return json.dumps(raw, indent=1) + "\n"


@contextlib.contextmanager
def _locked(path: str) -> Iterator[None]:
    """Hold a lock file that works on every shared disk; one that was abandoned is taken over.

    After ``_LOCK_S`` we go on without it: a frame that is noted twice costs less than a hang.
    """
    lock = Path(path + ".lock")
    deadline_s = time.monotonic() + _LOCK_S
    is_ours = False
    while not is_ours and time.monotonic() < deadline_s:
        try:
            handle = os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
        except FileExistsError:
            with contextlib.suppress(OSError):
                if time.time() - lock.stat().st_mtime > _ABANDONED_S:
                    lock.unlink()
            time.sleep(0.02)
        except OSError:
            break  # the write itself will say why
        else:
            os.close(handle)  # nothing is written: a full disk must not keep the lock
            is_ours = True
    try:
        yield
    finally:
        if is_ours:
            with contextlib.suppress(OSError):
                lock.unlink()
