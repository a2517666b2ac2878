"""Kafka transactions measured on a real broker: ``python -m benchmarks.transactions``.

Four small experiments behind docs/adr/0014-no-kafka-transactions.md: what survives kill -9 (``kills``), whether a
process that was declared dead can still commit (``zombies``), what a transaction costs (``costs``), and how long a
dead one holds up its readers (``hanging``).
"""
