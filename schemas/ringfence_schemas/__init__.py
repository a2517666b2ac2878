"""The contract: every event as a typed struct, its topics, the refusal codes, and the codecs of text and value."""
