"""Sharpen a frame that is slightly out of focus."""
