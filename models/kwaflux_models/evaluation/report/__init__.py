"""Scores as a page, as plots, in cards; the targets they are held against."""
