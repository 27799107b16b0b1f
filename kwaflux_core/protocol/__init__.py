"""The wire protocol: the messages (``messages``) and their bytes (``codec``).

``docs/protocol.md`` is the page for people; tests hold it against this code.
"""
