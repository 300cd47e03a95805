"""Which sessions count as gone, from one cycle to the next."""

from trunkline.agent.gone import Gone
from trunkline.model.desired import ServiceKind
from trunkline.model.facts import Situation, Workers
from trunkline.model.proxy import Health, ProxyState, ServerState

P = "postgres_primary"
FIRST, SECOND = 71, 72
"""The workers before and after a reload."""


NO_RELOAD = Workers(beside=FIRST)


def cycle(health: Health, sessions: int, workers: Workers = NO_RELOAD) -> Situation:
    """pg1 as the worker that serves has it, and what is known of old ones."""
    server = ServerState(proxy=P, name="pg1", address="", health=health, sessions=sessions, queued=0)
    state = ProxyState(name=P, servers=(server,))
    return Situation(scope="demo", kind=ServiceKind.PRIMARY, state=state, members=(), workers=workers)


def test_of_a_server_that_is_out() -> None:
    gone = Gone()
    assert gone.count(cycle(Health.UP, 3), FIRST) == 0
    assert gone.count(cycle(Health.UP, 2), FIRST) == 0, "who may be there may leave"
    assert gone.left(P) == 0
    assert gone.count(cycle(Health.DOWN, 1), FIRST) == 1
    assert gone.left(P) == 1
    assert gone.count(cycle(Health.DOWN, 0), FIRST) == 1
    assert gone.left(P) == 0


def test_a_reload_ends_nobody() -> None:
    """The new worker begins with every server down, and the master does not answer at once."""
    gone = Gone()
    gone.count(cycle(Health.UP, 2), FIRST)
    assert gone.count(cycle(Health.DOWN, 0), SECOND) == 0
    assert gone.count(cycle(Health.UP, 0), SECOND) == 0
    behind = Workers(sessions=((FIRST, P, "pg1", 2),), pids=(FIRST,), beside=SECOND)
    assert gone.count(cycle(Health.UP, 0, behind), SECOND) == 0
    assert gone.left(P) == 0
    assert gone.count(cycle(Health.DOWN, 0, behind), SECOND) == 0
    assert gone.left(P) == 2
    assert gone.count(cycle(Health.DOWN, 0, Workers(beside=SECOND)), SECOND) == 2
    assert gone.left(P) == 0
