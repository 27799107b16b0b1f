"""What a host of clips (Resolve) adds: clips, media, results in the timeline."""
