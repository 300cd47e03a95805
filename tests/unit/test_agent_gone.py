"""Which sessions count as ended: those that had to go, not those that have left a server which may keep them."""

import pytest

from trunkline.agent.gone import Gone
from trunkline.model.cluster import MemberAnswer, Role
from trunkline.model.desired import ServiceKind
from trunkline.model.facts import MemberFacts, PortFact, PortVerdict, RestFact, Situation, Sticky, Stuck
from trunkline.model.proxy import Health, ProxyState, ServerState

PID = 4711
WELL = MemberAnswer(
    scope="demo",
    name="pg1",
    role=Role.PRIMARY,
    state="running",
    patroni_version="4.1.5",
    status_code=200,
    writes_location=4711,
)
OURS = (Stuck(proxy="primary", server="pg1", what=Sticky.DRAIN),)


def situation(
    health: Health, sessions: int, verdict: PortVerdict | None = None, stuck: tuple[Stuck, ...] = ()
) -> Situation:
    """pg1, whose API says that all is well; `verdict`: how its port was found just now."""
    server = ServerState(proxy="primary", name="pg1", address="", health=health, sessions=sessions, queued=0)
    port = PortFact(verdict=verdict, age_s=0.0) if verdict is not None else None
    rest = RestFact(answer=WELL, age_s=0.02)
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
        pytest.param(situation(Health.DRAIN, 2, PortVerdict.SILENT, OURS), 0, id="its PostgreSQL hangs"),
        pytest.param(situation(Health.DRAIN, 2, PortVerdict.REFUSED, OURS), 3, id="its PostgreSQL is dead"),
    ],
)
def test_of_three_that_are_gone(after: Situation, counted: int) -> None:
    gone = Gone()
    assert gone.count(situation(Health.UP, 5), PID) == 0
    assert gone.count(after, PID) == counted
    assert gone.count(after, PID) == 0
