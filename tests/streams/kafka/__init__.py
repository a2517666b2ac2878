"""Claims about the log over a real Kafka."""
