"""The command line: ``main`` is ``kwaflux``, each command is a module."""
