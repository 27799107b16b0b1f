"""Jobs: a request for a range of frames, fed to the scheduler a few frames at a time."""
