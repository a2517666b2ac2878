"""Claims about Ringfence, each one checked; tests/README.md says where a new one goes."""
