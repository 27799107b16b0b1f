"""Resolve's menu entry, Workspace > Scripts > Kwaflux: finds the adapter and starts it.

Copied into Resolve's Scripts/Utility folder by ``kwaflux install resolve``. A script that the menu
runs has no ``__file__``, so the folders that the installation may have used are searched.
"""

import os
import sys

_MODULES = "Fusion/Modules/Kwaflux"
_FOLDERS = (
    ("KWAFLUX_RESOLVE_DIR", ""),
    ("APPDATA", "Blackmagic Design/DaVinci Resolve/Support/" + _MODULES),
    ("PROGRAMDATA", "Blackmagic Design/DaVinci Resolve/" + _MODULES),
    ("HOME", "Library/Application Support/Blackmagic Design/DaVinci Resolve/" + _MODULES),
    ("HOME", ".local/share/DaVinciResolve/" + _MODULES),
)


def _start(names):  # type: ignore[no-untyped-def]
    if sys.version_info < (3, 10):
        print("Kwaflux needs Python 3.10; Resolve runs Python %d.%d." % sys.version_info[:2])
        return
    roots = [os.path.join(os.environ.get(name, ""), tail) for name, tail in _FOLDERS]
    found = [root for root in roots if os.path.isdir(os.path.join(root, "kwaflux_resolve"))]
    # At the end, so that the packages of Resolve's Python come first.
    sys.path.extend(root for root in found[:1] if root not in sys.path)
    try:
        from kwaflux_resolve.entry_points import menu
    except ImportError as error:
        print("Kwaflux is not installed here (%s). In a terminal: kwaflux install resolve" % error)
        return
    menu(names)


_start(globals())  # type: ignore[no-untyped-call]
