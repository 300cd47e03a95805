"""Which sessions count as gone, from one cycle to the next: those that had to go, not those that have just left."""

import time
from dataclasses import replace

import pytest

from trunkline.agent.gone import RETRY_S, Gone
from trunkline.model.cluster import MemberAnswer, Role
from trunkline.model.command import EndSessions
from trunkline.model.desired import ServiceKind
from trunkline.model.facts import MemberFacts, PortFact, PortVerdict, RestFact, Situation, Sticky, Stuck, Workers
from trunkline.model.proxy import Health, ProxyState, ServerState
from trunkline.plan.steering import END_AGAIN_S

PID = 4711
P = "postgres_primary"
FIRST, SECOND = 71, 72
"""The workers before and after a reload."""

NO_RELOAD = Workers(beside=FIRST)
WELL = MemberAnswer(
    scope="demo",
    name="pg1",
    role=Role.PRIMARY,
    state="running",
    patroni_version="4.1.5",
    status_code=200,
    writes_location=4711,
)
DEMOTED = replace(WELL, role=Role.REPLICA, status_code=503, writes_location=None)
OURS = (Stuck(proxy="primary", server="pg1", what=Sticky.DRAIN),)


def situation(
    health: Health,
    sessions: int,
    verdict: PortVerdict | None = None,
    stuck: tuple[Stuck, ...] = (),
    answer: MemberAnswer = WELL,
) -> Situation:
    """pg1, whose API says that all is well; `verdict`: how its port was found just now."""
    server = ServerState(proxy="primary", name="pg1", address="", health=health, sessions=sessions, queued=0)
    port = PortFact(verdict=verdict, age_s=0.0) if verdict is not None else None
    rest = RestFact(answer=answer, age_s=0.02)
    return Situation(
        scope="demo",
        kind=ServiceKind.PRIMARY,
        state=ProxyState(name="primary", servers=(server,)),
        members=(MemberFacts(name="pg1", server="pg1", rest=rest, port=port),),
        stuck=stuck,
    )


@pytest.mark.parametrize(
    ("after", "counted"),
    [
        pytest.param(situation(Health.UP, 2), 0, id="it is served"),
        pytest.param(situation(Health.DOWN, 2), 3, id="it is out"),
        pytest.param(situation(Health.DRAIN, 2), 0, id="drained by hand"),
        pytest.param(situation(Health.DRAIN, 2, answer=DEMOTED), 3, id="it is being closed"),
        pytest.param(situation(Health.DRAIN, 2, PortVerdict.SILENT, OURS), 0, id="its PostgreSQL hangs"),
        pytest.param(situation(Health.DRAIN, 2, PortVerdict.REFUSED, OURS), 3, id="its PostgreSQL is dead"),
    ],
)
def test_of_three_that_are_gone(after: Situation, counted: int) -> None:
    gone = Gone()
    assert gone.count(situation(Health.UP, 5), PID) == 0
    assert gone.count(after, PID) == counted
    assert gone.count(after, PID) == 0


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


def test_an_old_worker_that_does_not_answer_is_asked_again_after_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    gone, behind = Gone(), Workers(sessions=((FIRST, P, "pg1", 2),), pids=(FIRST,), beside=SECOND)
    refused = [EndSessions(proxy=P, server="pg1", worker_pid=pid, reason="") for pid in (None, FIRST)]
    gone.told(cycle(Health.DOWN, 1, behind), (), refused)
    (ending,) = gone.endings(P, now)
    assert (ending.worker_pid, ending.sessions) == (FIRST, 2)
    assert END_AGAIN_S - ending.age_s == pytest.approx(RETRY_S)


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
