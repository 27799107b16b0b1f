"""The effect that changes no pixel; it measures the transport of a frame."""
