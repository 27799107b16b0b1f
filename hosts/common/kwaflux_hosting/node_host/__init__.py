"""Code for hosts with nodes (Nuke): a node's frames and its result files."""
