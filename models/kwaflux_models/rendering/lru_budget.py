"""A memory budget that keeps the entries used last."""

from __future__ import annotations

from kwaflux_core.errors import ModelError, OutOfMemory, SettingsError

__all__ = ["Residency"]


class Residency:
    """Keep count of what is resident inside a budget, in least-recently-used order.

    It only counts: the caller loads what it touched and unloads what was evicted.

    Args:
        budget_bytes: What all residents may take together; at least 1.

    Raises:
        SettingsError: A budget below one byte.

    Thread: one at a time; it belongs to whoever loads.
    """

    def __init__(self, budget_bytes: int) -> None:
        if budget_bytes < 1:
            raise SettingsError(
                f"the memory budget for models is {budget_bytes} bytes", hint="give at least 1"
            )
        self._budget_bytes = budget_bytes
        self._sizes: dict[str, int] = {}  # from the longest unused to the one used last
        self._pins: dict[str, int] = {}
        self._spares: set[str] = set()

    @property
    def budget_bytes(self) -> int:
        """What all residents may take together."""
        return self._budget_bytes

    @property
    def used_bytes(self) -> int:
        """What all residents take together."""
        return sum(self._sizes.values())

    @property
    def resident(self) -> tuple[str, ...]:
        """The keys of all residents, from the longest unused to the one used last."""
        return tuple(self._sizes)

    def touch(self, key: str, size_bytes: int, *, is_spare: bool = False) -> list[str]:
        """Make ``key`` resident and the one used last; return what must be unloaded first.

        The longest unused go first, as few as make room; what is pinned stays. A resident may
        be touched with another size than before. Spares, which are quickly made anew, go before
        all others.

        Raises:
            OutOfMemory: It does not fit beside what is pinned. ``needed_bytes`` is the budget
                that would have been enough. Nothing changed.
            SettingsError: A negative size.
        """
        if size_bytes < 0:
            raise SettingsError(f"the size of {key!r} is {size_bytes} bytes", hint="give 0 or more")
        others = {other: size for other, size in self._sizes.items() if other != key}
        pinned_bytes = sum(size for other, size in others.items() if other in self._pins)
        needed_bytes = pinned_bytes + size_bytes
        if needed_bytes > self._budget_bytes:
            raise _too_large(key, size_bytes, pinned_bytes, self._budget_bytes)
        evicted: list[str] = []
        excess_bytes = sum(others.values()) + size_bytes - self._budget_bytes
        for other in sorted(others, key=lambda name: name not in self._spares):
            if excess_bytes <= 0:
                break
            if other not in self._pins and others[other]:
                evicted.append(other)
                excess_bytes -= others[other]
        for gone in evicted:
            del others[gone]
        self._spares -= {key, *evicted}
        if is_spare:
            self._spares.add(key)
        self._sizes = {**others, key: size_bytes}
        return evicted

    def pin(self, key: str) -> None:
        """Hold a resident in place while it is used. Pins count: each wants its ``unpin``.

        Raises:
            ModelError: It is not resident.
        """
        if key not in self._sizes:
            raise ModelError(f"{key!r} is used before it is resident", hint="touch it first")
        self._pins[key] = self._pins.get(key, 0) + 1

    def unpin(self, key: str) -> None:
        """Take one pin back.

        Raises:
            ModelError: It holds no pin.
        """
        count = self._pins.get(key, 0)
        if count == 0:
            raise ModelError(f"{key!r} is let go of more often than it was held")
        if count == 1:
            del self._pins[key]
        else:
            self._pins[key] = count - 1

    def forget(self, key: str) -> None:
        """Take a resident off the books, pinned or not, when it was unloaded or never loaded."""
        self._sizes.pop(key, None)
        self._pins.pop(key, None)
        self._spares.discard(key)


def _too_large(key: str, size_bytes: int, pinned_bytes: int, budget_bytes: int) -> OutOfMemory:
    beside = f" beside {pinned_bytes} bytes in use" if pinned_bytes else ""
    return OutOfMemory(
        f"{key!r} needs {size_bytes} bytes{beside}, the memory budget is {budget_bytes} bytes",
        hint="raise the memory budget, or use fewer effects in one flow",
        needed_bytes=size_bytes + pinned_bytes,
    )
