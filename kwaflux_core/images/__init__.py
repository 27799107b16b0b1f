"""Images in memory and in files."""
