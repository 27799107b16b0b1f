"""Training pictures: their sources, and the drawing of crops."""
