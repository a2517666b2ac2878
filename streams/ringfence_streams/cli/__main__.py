"""`python -m ringfence_streams.cli` is `ringfence`."""

from ringfence_streams.cli.app import main

main()
