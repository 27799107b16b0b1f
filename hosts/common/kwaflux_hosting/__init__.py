"""Code shared by the adapters of all hosts. Imports no host, no numpy and no torch; Python 3.10.

- ``panel``: an effect's controls, made from its card.
- ``server_link``: find the server, or start it; whether it sees our disk.
- ``batch``: render a range of frames, by path or as bytes, and index the results.
- ``exchange_folder``: the temporary folder in which frames are exchanged.
- ``node_host``: what a host of nodes (Nuke) needs beside that.
- ``timeline_host``: what a host of clips (Resolve) needs beside that.
- ``roundtrip_check``: send a test chart through the host and report what changed.
- ``install_layout``: the folder of an installed adapter.

Importing ``panel`` and ``batch.file_patterns`` loads no compiled module. ``server_link`` and
``batch`` load pyzmq and msgpack when they are called: a host starts whatever its Python has.
"""
