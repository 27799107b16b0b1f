"""Enlarge a picture 4 times."""

from __future__ import annotations

from kwaflux_models.training.tasks._upscale import UpscaleTask

__all__ = ["TASK"]

TASK = UpscaleTask(4)
