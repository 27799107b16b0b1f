"""Kwaflux in DaVinci Resolve Studio: clips of a timeline are rendered, enhanced and imported.

``host`` connects to Resolve, whose API is typed in ``resolve_api``. ``clips`` reads clips,
``render_frames`` renders them, ``import_results`` places the results by a class of ``placement``.
``entry_points`` and ``dialog`` are the user interfaces. The package imports ``kwaflux_core`` and
``kwaflux_hosting``, and neither numpy nor torch.
"""
