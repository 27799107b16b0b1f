"""Metrics: what a picture's quality is measured with."""
