"""How messages and pixels travel: ZeroMQ sockets and rings of shared memory."""
