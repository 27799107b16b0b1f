"""The effects, one folder each."""
