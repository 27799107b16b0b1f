"""The effect that changes nothing: it measures the road there and back."""
