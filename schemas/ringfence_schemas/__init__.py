"""The contract: every event as a typed struct, the topics they travel on, the refusal codes, and the codecs between text and value."""
