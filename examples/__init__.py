"""Programs that show Ringfence at work, each run with ``python -m examples.<name>``."""
