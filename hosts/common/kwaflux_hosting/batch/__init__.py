"""Render a range of frames through the server and index the results."""
