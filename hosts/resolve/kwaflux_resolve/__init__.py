"""Kwaflux in DaVinci Resolve Studio: the clips of a timeline go out, and come back enhanced.

``host`` holds Resolve, ``api`` its names; ``clips`` says which frames are meant, ``color`` what
their numbers mean, ``render`` takes them out, ``back`` brings results in and takes them out again,
``shots`` leads a clip through all of it, ``dialog`` and ``console`` ask a person. Nothing here may
import another package of ours than ``kwaflux_core``, nor numpy or torch: it runs in a Python of the
user's.
"""
