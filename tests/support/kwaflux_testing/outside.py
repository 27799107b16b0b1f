"""Effects of another distribution, as a studio would bring them: found by their entry points.

``install`` writes a distribution ``kw_test_effects`` into a folder; with that folder on
``PYTHONPATH`` a server has its effects, and no line of the product knows of them. They are what a
server's tests need and no real effect is: slow, deadly, broken, larger, reading other frames,
refusing bright ones.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["EFFECT_IDS", "install"]

_HEAD = """\
from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import torch
from torch.nn import functional as F

from kwaflux_models.rendering.effect_api import no_network


class _Effect:
    def build(self, weights):
        return no_network()

    def residual(self, network, pictures, values):
"""


@dataclass(frozen=True, slots=True)
class _Recipe:
    """How an effect differs from the plainest one: its code, its params, its card."""

    code: str
    params: tuple[Mapping[str, object], ...] = ()
    changes: Mapping[str, object] = field(default_factory=dict)


def _number(name: str, *, default: float, high: float) -> Mapping[str, object]:
    return {
        "name": name,
        "type": "double",
        "label": name.title(),
        "hint": "For tests.",
        "default": default,
        "range": [0.0, high],
    }


def _text(name: str) -> Mapping[str, object]:
    return {
        "name": name,
        "type": "string",
        "label": name.title(),
        "hint": "For tests.",
        "default": "",
    }


_SOFTEN = """
        picture = pictures.picture
        mean = F.avg_pool2d(F.pad(picture, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
        return (mean - picture) * float(values["strength"])
"""
_SLOW = """
        log = str(values["log"])
        if log:
            with Path(log).open("a", encoding="utf-8") as file:
                file.write(str(values["name"]) + "\\n")
        time.sleep(float(values["seconds"]))
        return torch.full_like(pictures.picture, 0.125)
"""
_DEADLY = """
        mark = str(values["mark"])
        if not mark or not Path(mark).exists():
            if mark:
                Path(mark).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return torch.full_like(pictures.picture, 0.125)
"""
_GAUGE = """
        return 0.1 * (pictures.measured.data - pictures.picture)

    def measure(self, network, samples, values):
        from kwaflux_models.rendering.effect_api import Measured

        level = float(samples.pictures.mean())
        is_bright = level > float(values["limit"])
        return Measured({"level": level}, refusal="too bright" if is_bright else "", data=level)
"""
_RECIPES: Mapping[str, _Recipe] = {
    "soften": _Recipe(
        _SOFTEN,
        (_number("strength", default=1.0, high=1.0),),
        {"halo_px": 4, "identity_when": {"strength": 0.0}},
    ),
    "slow": _Recipe(
        _SLOW, (_number("seconds", default=0.05, high=60.0), _text("log"), _text("name"))
    ),
    "deadly": _Recipe(_DEADLY, (_text("mark"),)),
    "poison": _Recipe("\n        return torch.full_like(pictures.picture, float('nan'))\n"),
    "clumsy": _Recipe("\n        raise RuntimeError('the effect fell over its own feet')\n"),
    "gauge": _Recipe(
        _GAUGE, (_number("limit", default=9.0, high=9.0),), changes={"measures": True}
    ),
    "twice": _Recipe(
        "\n        grown = F.interpolate(pictures.picture, scale_factor=2, mode='nearest')"
        "\n        return 0.25 * grown\n",
        changes={"scale": 2, "halo_px": 8},
    ),
    "around": _Recipe(
        "\n        return torch.stack(pictures.tiles).mean(dim=0) - pictures.picture\n",
        changes={"frames_before": 1, "frames_after": 1},
    ),
}

EFFECT_IDS: tuple[str, ...] = tuple(sorted(_RECIPES))
"""The ids of the effects that ``install`` brings."""


def _card(name: str, recipe: _Recipe) -> Mapping[str, object]:
    return {
        "id": name,
        "label": name.title(),
        "grouping": "Tests/Odd",
        "version": "1.0",
        "help": "An effect from outside.",
        "for_what": "Tests.",
        "not_for": "Plates.",
        "params": list(recipe.params),
        "clips": [{"name": "Source"}],
        "identity_when": {},
        "scale": 1,
        "halo_px": 0,
        "align_px": 1,
        "working": {
            "colorspace": "Linear Rec.709 (sRGB)",
            "curve": "signed_log1p",
            "range": [-0.5, 8.0],
            "fade": 2.0,
        },
        "precisions": {"float32": 0.0},
        "tolerance": 0.0,
        "licence": "Apache-2.0",
        "limits": ["It is a test."],
        **recipe.changes,
    }


def install(folder: Path) -> Path:
    """Write the distribution into a folder that is, or will be, on the path; return the folder.

    Beside its effects it names one whose card cannot be read: it must cost the others nothing.
    """
    package = folder / "kw_test_effects"
    for name, recipe in _RECIPES.items():
        home = package / name
        home.mkdir(parents=True)
        (home / "__init__.py").touch()
        (home / "card.json").write_text(json.dumps(_card(name, recipe)), encoding="utf-8")
        (home / "effect.py").write_text(
            f"{_HEAD}{recipe.code.lstrip(chr(10))}\n\nEFFECT = _Effect()\n", encoding="utf-8"
        )
    damaged = package / "damaged"
    damaged.mkdir()
    (damaged / "__init__.py").touch()
    (damaged / "card.json").write_text('{"id": "damaged"', encoding="utf-8")
    (package / "__init__.py").touch()
    info = folder / "kw_test_effects-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: kw-test-effects\nVersion: 1.0\n", encoding="utf-8"
    )
    lines = [f"{name} = kw_test_effects.{name}" for name in (*EFFECT_IDS, "damaged")]
    (info / "entry_points.txt").write_text(
        "[kwaflux.effects]\n" + "\n".join(lines) + "\n", encoding="utf-8"
    )
    return folder
