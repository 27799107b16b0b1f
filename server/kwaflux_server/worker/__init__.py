"""The worker: one process per device, the only part of the server that imports torch.

``process`` exchanges messages with the gateway, ``engine`` reads, computes and writes tasks,
``frame_io`` moves pixels between requests and plates.
"""
