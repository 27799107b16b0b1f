"""Movies as numbered frames: found, decoded, led to red, green and blue in float.

Only ``reader`` and ``siting`` use PyAV, and import it when a movie is opened: it is an extra. No
module here imports torch.
"""
