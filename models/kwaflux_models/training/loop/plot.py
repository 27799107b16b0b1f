"""Draw how a training run went.

Knows matplotlib and the history's keys.
"""

from __future__ import annotations

import json
from pathlib import Path

from kwaflux_core.errors import ModelError

__all__ = ["write_plot"]

_TERMS = ("pixels", "gradient", "texture")


def write_plot(history: Path, picture: Path) -> None:
    """Plot the loss terms of a run over the patches seen.

    Raises:
        ModelError: matplotlib is not installed.
    """
    try:
        import matplotlib as mpl

        mpl.use("Agg")
        from matplotlib import pyplot as plt
    except ImportError as error:
        hint = "pip install 'kwaflux[train]'"
        raise ModelError("matplotlib, which draws the run, is missing", hint=hint) from error
    about = json.loads(history.read_text("utf-8"))
    rows = about["history"]
    figure, axes = plt.subplots(1, len(_TERMS), figsize=(4 * len(_TERMS), 3), layout="constrained")
    for index, (name, axis) in enumerate(zip(_TERMS, axes, strict=True)):
        axis.plot([row["patches"] for row in rows], [row["terms"][index] for row in rows], lw=1)
        axis.set(title=name, xlabel="patches", yscale="log")
    figure.suptitle(f"{about['effect']}: {about['patches']} patches in {about['minutes']} min")
    figure.savefig(picture, dpi=80)
    plt.close(figure)
