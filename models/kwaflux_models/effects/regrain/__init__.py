"""Measure the grain that cleaning took away, and put fresh grain of the same kind back."""
