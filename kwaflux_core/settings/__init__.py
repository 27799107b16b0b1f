"""Settings of client and server, and the folders they live in."""
