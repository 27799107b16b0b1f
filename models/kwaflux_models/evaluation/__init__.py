"""Measure effects against clean pictures and against peers; never needed to render."""
