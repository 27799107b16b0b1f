"""Frame numbers: sequences, ranges, neighbors, timecode."""
