"""What is installed: effects, presets, a user's models and LoRAs."""
