"""Training: pictures, degradations, tasks, the loop, LoRAs."""
