"""The worker: one process a device, the only part of the server that imports torch.

``process`` talks to the gateway, ``engine`` leads tasks through reading, computing and writing,
``frames`` moves pixels between requests and plates, ``residency`` keeps networks warm.
"""
