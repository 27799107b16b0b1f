"""Support for hosts with clips (Resolve): media, requests, and results on the timeline."""
