"""Claims about the wire contract."""
