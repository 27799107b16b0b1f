"""Code shared by the adapters of all hosts. Imports no host, no numpy and no torch; Python 3.10.

- ``panel``: an effect's controls, made from its card.
- ``server_link``: the connection to the server, which is started when none runs.
- ``batch``: a range of frames, rendered by path or as bytes, and the index of the results.
- ``exchange_folder``: the temporary folder in which frames are exchanged.
- ``node_host``: support for hosts with nodes (Nuke).
- ``timeline_host``: support for hosts with clips (Resolve).
- ``roundtrip_check``: a test chart through the host, and a report of what changed.
- ``install_layout``: the folder of an installed adapter.

Importing ``panel`` and ``batch.file_patterns`` loads no compiled module. ``server_link`` and
``batch`` load pyzmq and msgpack when they are called, so a host starts without them.
"""
