"""The installed effects, presets, user's models and LoRAs."""
