"""Rebuild the highlights above white that a display picture has lost."""
