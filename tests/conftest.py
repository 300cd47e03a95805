"""Options of the whole test suite. Laws have no deadline: how long an example takes says how busy the machine is."""

import pytest
from hypothesis import settings

settings.register_profile("shared machine", deadline=None)
settings.load_profile("shared machine")


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--rewrite`: write what is said now into the scenario files, to be read in the diff. `--rounds`: for a soak."""
    parser.addoption("--rewrite", action="store_true", help="write scenario files anew from what is said now")
    parser.addoption("--rounds", type=int, default=1, metavar="N", help="how often each fault is repeated in a row")
