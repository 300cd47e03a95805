"""Options of the whole test suite."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--rewrite`: write what is said now into the scenario files, to be read in the diff."""
    parser.addoption("--rewrite", action="store_true", help="write scenario files anew from what is said now")
