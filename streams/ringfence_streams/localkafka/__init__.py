"""A real Apache Kafka on this machine: jars from a Maven repository on a Java that pip installed.

Nothing here is needed to run an engine: it is for development, demonstrations and tests.  The libraries it needs are
the extra ``kafka-local``, so `cli/kafka.py` imports what uses them only when a command needs it.
"""
