"""Render a frame through a flow."""
