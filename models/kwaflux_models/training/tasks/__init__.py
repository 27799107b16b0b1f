"""The training tasks, one an effect: its samples, its network and the wanted result.

One module an effect, named like it, with an instance ``TASK``. A new trained effect adds a module
and a recipe; the loop, the pool and the command line need no change.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import cast

from kwaflux_core.errors import ModelError
from kwaflux_models.training.loop.task_api import Task

__all__ = ["find_task", "trainable_effects"]


def trainable_effects() -> list[str]:
    """Return the effects that have a task, by name."""
    return sorted(p.stem for p in Path(__file__).parent.glob("[a-z]*.py"))


def find_task(effect: str) -> Task:
    """Return an effect's task.

    Raises:
        ModelError: there is none of that name.
    """
    known = trainable_effects()
    if effect not in known:
        hint = f"trained are: {', '.join(known)}"
        raise ModelError(f"there is no training task for {effect!r}", hint=hint, effect=effect)
    module = importlib.import_module(f"{__name__}.{effect}")
    return cast("Task", module.TASK)
