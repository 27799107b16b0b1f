"""Controls of a host's panel, made from the effects' cards."""
