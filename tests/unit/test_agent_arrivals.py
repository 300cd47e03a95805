"""Who was given sessions since the last look."""

from trunkline.agent.arrivals import Arrivals
from trunkline.model.proxy import Health, ProxyState, ServerState


def state(name: str, **totals: int) -> ProxyState:
    servers = [
        ServerState(
            proxy=name,
            name=server,
            address="",
            health=Health.UP,
            sessions=0,
            queued=0,
            total=total,
            is_backup=server == "hold",
        )
        for server, total in totals.items()
    ]
    return ProxyState(name=name, servers=tuple(servers))


def test_those_whose_counter_has_moved() -> None:
    arrivals = Arrivals()
    assert arrivals.since_last(state("primary", pg1=3, pg2=0, hold=9)) == ["pg1"]
    assert arrivals.since_last(state("primary", pg1=3, pg2=0, hold=10)) == []
    assert arrivals.since_last(state("replicas", pg1=0, pg2=4)) == ["pg2"]
    assert arrivals.since_last(state("primary", pg1=3, pg2=1)) == ["pg2"]


def test_a_new_worker_counts_anew() -> None:
    arrivals = Arrivals()
    arrivals.since_last(state("primary", pg1=700))
    assert arrivals.since_last(state("primary", pg1=0)) == []
    assert arrivals.since_last(state("primary", pg1=2)) == ["pg1"]
