"""Flows, cards, params and presets."""
