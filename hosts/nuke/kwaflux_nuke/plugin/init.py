"""Kwaflux in every session of Nuke, also on a farm: adds its packages to the path only."""

import os
import sys

_FOLDER = os.path.dirname(os.path.abspath(__file__))
if _FOLDER not in sys.path:
    sys.path.append(_FOLDER)  # behind all others: what Nuke and the studio bring wins
