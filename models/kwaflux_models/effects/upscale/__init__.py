"""Enlarge a frame two or four times."""
