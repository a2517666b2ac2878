"""Brokers, connections and engines broken on purpose, on real ones: docs/guide/chaos.md."""
