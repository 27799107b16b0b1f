"""What the adapters of all hosts share: panels, the way to a server, work, places and records.

Owns no host: nothing here imports one, nor numpy or torch, and all of it reads in Python 3.10. It
is made of these modules, which an adapter is thin on top of:

- ``panel``: what a person can set, from the descriptors of the server's effects.
- ``link``: the way to a server, which is started when none runs.
- ``work``: one enhancement of a frame range, followed from a thread of its own.
- ``hop``: names and places of the files that travel, and the record of what is done.
- ``check``, ``chart``, ``bundle``: what a road does to a chart, and what support is told.
- ``frame_by_frame``, ``places``: what a host of nodes needs beside, that renders frame by frame.
- ``clip_work``, ``footage``, ``clip_color``, ``made``: what a host of clips needs: clips led out
  and back, their frames, their colors, the record of what was brought back.
- ``desk``, ``wish``, ``form``, ``stepper``, ``command_line``: how a person asks such a host, in a
  window or without one.
- ``outside``, ``put_back``, ``read_back``, ``follow``, ``road``: how to reach a host, to leave its
  state as it was, to trust no answer of it, and to wait for it.
- ``layout``: how an installed adapter lies in a host's folder.

``panel`` and ``hop`` touch no compiled module; ``link`` and ``work`` do when they are called, not
when they are imported, so that a host starts whatever is installed in its Python.
"""
