"""What people type and read: ``main`` is ``kwaflux``, every command is a module of its own."""
