"""Kwaflux in Nuke: a Group node, its knobs, and the render of its frames.

Read ``nuke_api`` first (the one module that imports ``nuke``), then ``node`` and ``enhance``.
"""
