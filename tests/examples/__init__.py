"""Claims about the programs in ``examples/``."""
