"""Degradations: sensor, codec, analog video, lens, motion."""
