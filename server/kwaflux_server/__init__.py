"""The server: a gateway without torch, a pure scheduler, one worker process for each device."""
