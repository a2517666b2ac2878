"""How property tests look for counterexamples: the same ones in every run, unless asked for a search."""

from hypothesis import settings

# A change is judged by what it changes, never by luck; a deadline would judge the machine instead.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile("search", max_examples=1000, deadline=None, print_blob=True)
settings.load_profile("repeatable")
