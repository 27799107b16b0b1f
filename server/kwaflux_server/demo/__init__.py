"""``kwaflux demo``: a real photograph, a degraded plate, a real server, and the score."""
