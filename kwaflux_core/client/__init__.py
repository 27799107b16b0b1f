"""The client: requests, jobs, pixel transfers."""
