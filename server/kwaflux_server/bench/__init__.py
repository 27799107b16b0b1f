"""``kwaflux bench``: what the road costs, as ratios within one run.

A shared machine's seconds mean nothing by themselves, so every row divides by something measured
beside it, in turns. Nothing here is asserted in a test.
"""
