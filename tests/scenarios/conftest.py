"""The option that rewrites the scenarios' answers."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--golden`: write the answers into the scenarios instead of comparing them."""
    parser.addoption("--golden", action="store_true", help="rewrite the expected outcomes in tests/scenarios")
