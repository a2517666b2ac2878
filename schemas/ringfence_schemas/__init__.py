"""The contract: every event as a typed structure, the topics, the refusal codes and their codecs."""
