"""Kwaflux in Nuke: a Group node, its knobs, and how its frames reach the server.

Read ``nuke_api`` first (the one module that imports ``nuke``), then ``node`` and ``enhance``.
"""
