"""Measurements of Ringfence, run with ``make bench``."""
