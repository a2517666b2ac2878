"""The motion: logs, shards and the command line that carry events into the fold and out again."""
