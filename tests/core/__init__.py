"""Claims about the fold and its arithmetic."""
