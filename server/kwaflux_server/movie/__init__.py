"""Movies as numbered frames: indexed, decoded, converted to RGB in float.

PyAV is an extra and is imported only when a movie is opened. No module here imports torch.
"""
