"""Turn the steps of a coarse code back into gradients."""
