"""Checkpoints that a user owns, run through spandrel's architectures.

This folder has no card: each checkpoint that was added (``kwaflux models add``) has one of its own
in the user's models folder, and the code here serves them all.
"""
