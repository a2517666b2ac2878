"""Claims about logs, shards and the command line."""
