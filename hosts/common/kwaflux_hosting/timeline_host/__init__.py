"""Code for hosts with timelines (Resolve): clips, media, results on the timeline."""
