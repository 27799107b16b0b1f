"""Put a run's weights into the package, and their hash into the card that names them.

Run as ``python -m kwaflux_models.training.loop.publish RUN_WEIGHTS``; the file's name says which
card it belongs to.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from kwaflux_core.errors import ModelError

__all__ = ["main", "publish"]

_PACKAGE_FOLDER = Path(__file__).parents[2]


def publish(weights: Path, *, models: Path = _PACKAGE_FOLDER) -> Path:
    """Copy weights into ``models/weights`` and write their SHA-256 into the card that names them.

    Args:
        weights: A file of a training run, named as a card names it.
        models: The package's folder, which holds ``effects/`` and ``weights/``.

    Returns:
        The card that was changed.

    Raises:
        ModelError: no card names such a file.
    """
    for card in sorted(models.glob("effects/*/card.json")):
        text = card.read_text("utf-8")
        for entry in json.loads(text).get("weights", []):
            if entry["file"] == weights.name:
                found = hashlib.sha256(weights.read_bytes()).hexdigest()
                shutil.copyfile(weights, models / "weights" / weights.name)
                card.write_text(text.replace(entry["sha256"], found), "utf-8")
                return card
    raise ModelError(f"no card names {weights.name}", hint="name the file as the card does")


def main(argv: Sequence[str]) -> int:
    """Publish the weights named on the command line."""
    for name in argv:
        card = publish(Path(name))
        sys.stdout.write(f"{Path(name).name} is in the package; {card} has its hash\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
