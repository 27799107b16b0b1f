"""Colorspaces by OpenColorIO."""
