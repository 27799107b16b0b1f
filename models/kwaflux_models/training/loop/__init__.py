"""The training loop: recipe, batches, losses, publishing."""
