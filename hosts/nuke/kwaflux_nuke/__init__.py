"""Kwaflux in Nuke: the adapter's place. It is not in this release.

Here will live a node whose knobs are built from the effects' cards, its render by way of
``kwaflux_core.client``, a panel and the plug-in's own ``init.py`` and ``menu.py``. One module,
``host``, will import ``nuke``; the others must not. Nothing here may import another package of
ours than ``kwaflux_core``, nor numpy or torch: the adapter runs in Nuke's own Python.

Until then Nuke meets Kwaflux through files: see ``docs/hosts/nuke.md``.
"""
