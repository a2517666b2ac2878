"""Measurements of Ringfence, run with ``make bench``.

Speed is measured here and asserted nowhere: a test that fails on a busy machine teaches its readers to ignore it.
Every figure is a median of repeated runs, stands beside a peer measured in the same run, and is printed with the
conditions it was measured under.
"""
