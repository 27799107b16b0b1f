"""Kwaflux in every session of Nuke, a farm's too: where its packages lie, and nothing else."""

import os
import sys

# Behind all others: what Nuke and the studio bring wins.
_FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "packages")
if os.path.isdir(_FOLDER) and _FOLDER not in sys.path:
    sys.path.append(_FOLDER)
