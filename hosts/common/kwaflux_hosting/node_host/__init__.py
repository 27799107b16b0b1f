"""What a host of nodes (Nuke) adds: a node's frames, its result files."""
