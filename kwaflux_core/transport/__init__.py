"""Transport of messages and pixels: ZeroMQ sockets and rings of shared memory."""
