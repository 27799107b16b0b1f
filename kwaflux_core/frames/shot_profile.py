"""The shot profile: what effects estimated of each shot of a clip, as a document.

A profile is JSON that a person can read, edit and keep beside the results. The estimates of a shot
hold for each of its frames, so that a frame is the same alone, in a range and in a later run.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TypeAlias, cast

from kwaflux_core.errors import RequestError
from kwaflux_core.frames.frame_range import FrameRange, format_frames
from kwaflux_core.frames.sequence import Sequence

__all__ = ["NO_PROFILE", "Record", "Shot", "ShotProfile", "profile_path"]

Record: TypeAlias = Mapping[str, object]
"""The estimate of one effect, as its ``to_record`` returns it: numbers, texts and lists."""

_VERSION = 1
_NOTHING: Mapping[str, Record] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Shot:
    """The estimates of one shot.

    Args:
        first: Its first frame.
        last: Its last frame.
        judged: The frames that the estimates were made on.
        effects: The estimate of each effect, under its id; ``id#2`` is the second of a flow.
    """

    first: int
    last: int
    judged: tuple[int, ...] = ()
    effects: Mapping[str, Record] = field(default_factory=lambda: _NOTHING)


@dataclass(frozen=True, slots=True)
class ShotProfile:
    """The estimates of the shots of a clip.

    Args:
        shots: The shots, in order.
        source: The clip, for the reader.
        flow: The flow, for the reader.
    """

    shots: tuple[Shot, ...] = ()
    source: str = ""
    flow: str = ""

    @classmethod
    def parse(cls, text: str) -> ShotProfile:
        """Read a profile.

        Raises:
            RequestError: The text is not a profile.
        """
        try:
            document = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise _invalid(f"is not JSON: {error}") from error
        if not isinstance(document, dict) or document.get("kwaflux_profile") != _VERSION:
            raise _invalid(f'has no "kwaflux_profile": {_VERSION}')
        shots = document.get("shots")
        if not isinstance(shots, list):
            raise _invalid('has no list "shots"')
        parsed = tuple(_shot(shot, f"shots[{index}]") for index, shot in enumerate(shots))
        return cls(parsed, str(document.get("source", "")), str(document.get("flow", "")))

    def to_text(self) -> str:
        """Return the profile as indented JSON."""
        document = {
            "kwaflux_profile": _VERSION,
            "source": self.source,
            "flow": self.flow,
            "shots": [
                {
                    "frames": format_frames(range(shot.first, shot.last + 1)),
                    "judged": format_frames(shot.judged),
                    "effects": {name: dict(record) for name, record in shot.effects.items()},
                }
                for shot in self.shots
            ],
        }
        return json.dumps(document, indent=1) + "\n"

    def shot_of(self, frame: int) -> Shot | None:
        """Return the shot of a frame; a profile of one shot holds for every frame."""
        for shot in self.shots:
            if shot.first <= frame <= shot.last:
                return shot
        return self.shots[0] if len(self.shots) == 1 else None

    def of_frame(self, frame: int) -> ShotProfile:
        """Return the profile with the shot of a frame only."""
        shot = self.shot_of(frame)
        return replace(self, shots=() if shot is None else (shot,))

    def with_shots(self, shots: tuple[Shot, ...]) -> ShotProfile:
        """Return the profile with other shots put in; of the same frames the given ones count."""
        kept = [
            shot
            for shot in self.shots
            if not any(new.first <= shot.last and shot.first <= new.last for new in shots)
        ]
        return replace(self, shots=tuple(sorted((*kept, *shots), key=lambda shot: shot.first)))


NO_PROFILE = ShotProfile()
"""A profile without any shot: every frame is judged by itself."""


def profile_path(target: str) -> str:
    """Return where the profile of results is kept: ``clean.profile.json`` of ``clean.####.exr``.

    Raises:
        RequestError: The target is no pattern.
    """
    sequence = Sequence.parse(target)
    return os.path.join(sequence.folder, f"{sequence.title or 'shot'}.profile.json")


def _shot(value: object, where: str) -> Shot:
    if not isinstance(value, dict):
        raise _invalid(f"{where} is not an object")
    frames = _frames(value.get("frames"), f"{where}.frames")
    if not frames:
        raise _invalid(f"{where}.frames is empty")
    judged = _frames(value.get("judged", ""), f"{where}.judged")
    effects = value.get("effects", {})
    if not isinstance(effects, dict) or not all(
        isinstance(each, dict) for each in effects.values()
    ):
        raise _invalid(f"{where}.effects is not an object of objects")
    return Shot(min(frames), max(frames), judged, cast("dict[str, Record]", effects))


def _frames(value: object, where: str) -> tuple[int, ...]:
    if not isinstance(value, str):
        raise _invalid(f'{where} is not a text such as "1001-1040"')
    try:
        return tuple(FrameRange.parse(value)) if value else ()
    except RequestError as error:
        raise _invalid(f"{where}: {error.message}") from error


def _invalid(why: str) -> RequestError:
    return RequestError(
        f"the shot profile {why}", hint="make a new one: kwaflux profile SOURCE --flow FLOW"
    )
