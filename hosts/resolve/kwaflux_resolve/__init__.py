"""Kwaflux in DaVinci Resolve Studio: the clips of a timeline go out, and come back enhanced.

``host`` holds Resolve, ``api`` its names; ``clips`` says what is meant and what it is, ``render``
takes it out, ``back`` brings results in and takes them out again, ``console`` and ``dialog`` ask a
person. Nothing here may import another package of ours than ``kwaflux_core``, nor numpy or torch.
"""
