"""Measurements over a real Kafka broker, run with ``make bench-kafka``.

One broker, one load, and every contestant in turn reads the same topics.  Speed is measured here and asserted
nowhere; what a contestant adds up is checked, so that nobody is fast by being wrong.
"""
