"""Send a test chart through a host and report what changed pixels."""
