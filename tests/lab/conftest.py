"""One real cluster for all tests of this folder, healed before each, with each HAProxy that there is in front of it.

`lab`       the cluster, healthy, without a promise of a balancer
`balancer`  `trunkline run --no-agent` in front of it, a write through it has just succeeded; once per HAProxy
`steered`   the same with an agent
`measured`  takes a line of numbers for the end of the report
The cluster uses ports that nobody else uses, so a demo may run meanwhile.
"""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from trunkline.lab import Lab
from trunkline.lab.balancer import Balancer
from trunkline.lab.binaries import Binary, find_haproxies
from trunkline.lab.layout import plan_layout
from trunkline.lab.ports import free_offset

HERE = Path(__file__).parent
# A demo starts at 0, and its `--port-offset` goes up in thousands from there.
FIRST_OFFSET = 9_000
MEASURED = pytest.StashKey[list[str]]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever is in this folder needs the lab."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.lab)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """What was measured, also where everything has passed."""
    lines = config.stash.get(MEASURED, [])
    if lines:
        terminalreporter.section("measured")
        for line in lines:
            terminalreporter.write_line(line)


def _name(haproxy: Binary) -> str:
    return "haproxy-" + ".".join(map(str, haproxy.version[:2]))


@pytest.fixture
def port_offset() -> int:
    """An offset at which a whole lab has room at this moment."""
    return free_offset(plan_layout(Path("/tmp/lab"), port_offset=FIRST_OFFSET))


@pytest.fixture(scope="session")
def running_lab() -> Iterator[Lab]:
    """The cluster of this test run. Ask for `lab` instead: that one is healthy."""
    # Not pytest's directory: its path may be too long for unix sockets.
    root = Path(tempfile.mkdtemp(prefix="lab-", dir="/tmp"))
    offset = free_offset(plan_layout(root, port_offset=FIRST_OFFSET))
    lab = Lab.create(root, port_offset=offset)
    try:
        lab.start()
        lab.wait_healthy()
        yield lab
    finally:
        lab.stop(remove=True)
        root.rmdir()


@pytest.fixture
def lab(running_lab: Lab) -> Lab:
    """The cluster with everybody well, whatever the test before has done to it."""
    running_lab.heal()
    return running_lab


@pytest.fixture(scope="session", params=find_haproxies(), ids=_name)
def running_balancer(running_lab: Lab, request: pytest.FixtureRequest) -> Iterator[Balancer]:
    """One HAProxy after the other in front of the same cluster. Ask for `balancer` instead."""
    balancer = Balancer(running_lab, request.param)
    yield balancer
    balancer.stop()


@pytest.fixture(scope="session", params=find_haproxies(), ids=_name)
def running_steered(running_lab: Lab, request: pytest.FixtureRequest) -> Iterator[Balancer]:
    """The same with an agent, beside the other one. Ask for `steered` instead."""
    balancer = Balancer(running_lab, request.param, name="steered", host="127.0.0.3", has_agent=True)
    yield balancer
    balancer.stop()


@pytest.fixture
def steered(lab: Lab, running_steered: Balancer) -> Balancer:
    """The balancer with an agent, working."""
    running_steered.start()
    running_steered.wait_written()
    running_steered.wait_steered()
    return running_steered


@pytest.fixture
def balancer(lab: Lab, running_balancer: Balancer) -> Balancer:
    """The balancer, working; started anew if the test before has ended it."""
    running_balancer.start()
    running_balancer.wait_written()
    return running_balancer


@pytest.fixture
def measured(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Numbers of this test that are worth reading when it has passed, too."""
    lines = request.config.stash.setdefault(MEASURED, [])
    return lambda numbers: lines.append(f"{request.node.name}: {numbers}")


@pytest.fixture
def rounds(request: pytest.FixtureRequest) -> int:
    """How often each fault is repeated in a row."""
    return int(request.config.getoption("--rounds"))
