"""Effects: their cards, networks, weights, and the code that runs, trains and judges them.

``registry`` needs no torch; everything that computes does.
"""
