"""Find, start and reach the server from a host."""
