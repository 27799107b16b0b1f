"""Remove sensor and codec noise from one frame."""
