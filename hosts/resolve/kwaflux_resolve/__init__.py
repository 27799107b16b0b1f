"""Kwaflux in DaVinci Resolve: the adapter's place. It is not in this release.

Here will live the reading of clips from a timeline, their render by way of
``kwaflux_core.client``, the results as takes, a dialog built from the effects' cards and the
scripts for Resolve's menu. One module, ``host``, will hold Resolve's own objects; the others must
not. Nothing here may import another package of ours than ``kwaflux_core``, nor numpy or torch: the
adapter runs in a Python of the user's.

Until then Resolve meets Kwaflux through files: see ``docs/hosts/resolve.md``.
"""
