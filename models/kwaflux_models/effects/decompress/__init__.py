"""Undo what a codec did to a frame."""
