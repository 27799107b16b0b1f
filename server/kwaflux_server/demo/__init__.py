"""``kwaflux demo``: a real photograph, a degraded plate, a real server, and the score.

Owns what the demonstration shows. Must not import torch: what renders is the server.
"""
