"""``kwaflux bench``: speed, memory and exactness, as ratios within one run.

Absolute seconds on a shared machine mean little, so every row is a ratio of two quantities measured
alternately. No test asserts these numbers.
"""
