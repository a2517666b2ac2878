"""The command line, `ringfence`: one module per command, one table of them in `ringfence_streams.cli.app`."""

from ringfence_streams.cli.app import main

__all__ = ["main"]
