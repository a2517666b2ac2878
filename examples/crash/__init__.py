"""A crash on real prices: ``python -m examples.crash``.

Four perpetuals follow the one-minute prices of 5 and 6 February 2026.  Tens of thousands of generated accounts trade
them, are called, answer or do not, and are liquidated.  Ringfence runs on its SQLite log in the same process and every
decision is its own.
At the end the journal is folded again and a report with plots is written.
"""
