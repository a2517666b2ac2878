"""Claims about docker/: what can be proved about it without an engine that runs containers."""
