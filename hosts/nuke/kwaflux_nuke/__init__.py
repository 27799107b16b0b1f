"""Kwaflux in Nuke: a Group node, its knobs, and the way of its frames to a server and back.

Read ``host`` first (the one module that imports ``nuke``), then ``node`` and ``enhance``.
"""
