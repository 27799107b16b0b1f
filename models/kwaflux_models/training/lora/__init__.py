"""Train a LoRA from pairs of frames."""
