"""Other methods, run on the same test set."""
