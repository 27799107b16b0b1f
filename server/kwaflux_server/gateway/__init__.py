"""The gateway: sockets, sessions, dispatch to workers."""
