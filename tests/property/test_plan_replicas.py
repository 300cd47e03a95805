"""Whose sessions at a replica end, whatever is true of it and of the others."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from trunkline.model.cluster import MemberAnswer, Role
from trunkline.model.command import EndSession, EndSessions, words
from trunkline.model.desired import ServiceKind
from trunkline.model.facts import MemberFacts, PortFact, PortVerdict, RestFact, Situation, Workers
from trunkline.model.proxy import Health, ProxyState, ServerState, Session
from trunkline.plan.replicas import Quiet, ReplicaPolicy, closed_since, quiet_since, rebalance, steer_replicas

PROXY = "postgres_replicas"
NAMES = ("a", "b", "c")
NOW = 1000.0
OFF = ReplicaPolicy()
ON = ReplicaPolicy(drain_deadline_s=60, end_sessions_on_promotion=True, rebalance_per_s=2)


def answer(name: str, *, is_primary: bool) -> MemberAnswer:
    return MemberAnswer(
        scope="demo",
        name=name,
        role=Role.PRIMARY if is_primary else Role.REPLICA,
        state="running",
        patroni_version="4.1.5",
        status_code=200 if is_primary else 503,
        writes_location=1 if is_primary else None,
        replay_location=None if is_primary else 1,
    )


def server(name: str, health: Health, sessions: int, since_s: int = 0) -> ServerState:
    return ServerState(
        proxy=PROXY, name=name, address="", health=health, sessions=sessions, queued=0, last_change_s=since_s
    )


HOLD = replace(server("hold", Health.NO_CHECK, 0), is_backup=True)
servers = st.tuples(
    *(st.builds(server, st.just(name), st.sampled_from(list(Health)), st.integers(0, 50)) for name in NAMES)
)
rests = st.sampled_from([None, "silent", "replica", "primary"])
ports = st.sampled_from([None, *PortVerdict])


def facts(name: str, rest: str | None, port: PortVerdict | None) -> MemberFacts:
    said = answer(name, is_primary=rest == "primary") if rest in ("replica", "primary") else None
    return MemberFacts(
        name=name,
        server=name,
        rest=RestFact(answer=said, age_s=0.5) if rest else None,
        port=PortFact(verdict=port, age_s=0.1) if port else None,
    )


@st.composite
def situations(draw: st.DrawFn) -> Situation:
    old = draw(st.lists(st.tuples(st.just(99), st.just(PROXY), st.sampled_from(NAMES), st.integers(1, 9)), max_size=2))
    return Situation(
        scope="demo",
        kind=ServiceKind.REPLICAS,
        state=ProxyState(name=PROXY, servers=(*draw(servers), HOLD)),
        members=tuple(facts(name, draw(rests), draw(ports)) for name in NAMES),
        workers=Workers(sessions=tuple(sorted(set(old)))),
    )


ages = st.dictionaries(st.sampled_from(NAMES), st.floats(0, 200).map(lambda age: NOW - age))


@given(situations(), ages)
def test_nothing_ends_unless_asked_for(situation: Situation, since: dict[str, float]) -> None:
    assert steer_replicas(situation, OFF, since, NOW).commands == ()
    assert steer_replicas(replace(situation, kind=ServiceKind.PRIMARY), ON, since, NOW).commands == ()


@given(situations(), ages)
def test_who_ends_has_somewhere_to_go(situation: Situation, since: dict[str, float]) -> None:
    taking = {it.name for it in situation.state.servers if it.takes_sessions and not it.is_backup}
    by_name = {it.name: it for it in situation.members}
    plan = steer_replicas(situation, ON, since, NOW)
    assert plan == steer_replicas(situation, ON, since, NOW)
    for command in plan.commands:
        assert isinstance(command, EndSessions)
        assert command.server not in taking
        assert taking
        ended, member = situation.state.server(command.server), by_name[command.server]
        assert ended is not None
        if "promoted" in command.reason:
            assert ended.health is Health.DOWN
            assert member.rest is not None
            assert member.rest.answer is not None
            assert member.rest.answer.accepts_writes
        else:
            assert ended.health in (Health.NOLB, Health.DRAIN)
            assert since[command.server] <= NOW - 60
            is_silent = member.rest is not None and member.rest.answer is None
            assert not (is_silent and member.port and member.port.verdict in (PortVerdict.ANSWERS, PortVerdict.SILENT))


@given(situations(), ages)
def test_what_has_ended_is_not_ended_again(situation: Situation, since: dict[str, float]) -> None:
    gone = {it.server for it in steer_replicas(situation, ON, since, NOW).commands}
    done = tuple(replace(it, sessions=0) if it.name in gone else it for it in situation.state.servers)
    after = replace(situation, state=replace(situation.state, servers=done), workers=Workers())
    assert steer_replicas(after, ON, since, NOW).commands == ()


def scene(health: Health, *, other: Health = Health.UP, rest: str | None = "replica") -> Situation:
    return Situation(
        scope="demo",
        kind=ServiceKind.REPLICAS,
        state=ProxyState(name=PROXY, servers=(server("a", health, 7, since_s=61), server("b", other, 0), HOLD)),
        members=(facts("a", rest, PortVerdict.ANSWERS), facts("b", "replica", None)),
        workers=Workers(sessions=((99, PROXY, "a", 3), (99, "postgres_primary", "a", 1)), pids=(99,)),
    )


def told(situation: Situation, since: dict[str, float]) -> list[str]:
    return [words(it) for it in steer_replicas(situation, ON, since, NOW).commands]


ENDED = [f"shutdown sessions server {PROXY}/a", f"@!99 shutdown session of each at {PROXY}/a"]


def test_the_deadline() -> None:
    assert told(scene(Health.NOLB), {"a": NOW - 60}) == ENDED
    assert told(scene(Health.DRAIN), {"a": NOW - 60}) == ENDED
    assert told(scene(Health.NOLB), {"a": NOW - 59}) == []
    assert told(scene(Health.NOLB, other=Health.NOLB), {"a": NOW - 60}) == []
    assert told(scene(Health.NOLB, rest="silent"), {"a": NOW - 60}) == []


def test_a_promotion() -> None:
    assert told(scene(Health.DOWN, rest="primary"), {}) == ENDED
    assert told(scene(Health.DOWN, rest="replica"), {}) == []
    assert told(scene(Health.DOWN, rest="primary", other=Health.DOWN), {}) == []


def test_since_when() -> None:
    state = scene(Health.NOLB).state
    assert closed_since({}, state, NOW) == {"a": NOW - 61}
    assert closed_since({"a": 5.0, "b": 6.0}, state, NOW) == {"a": 5.0}
    assert closed_since({}, scene(Health.DRAIN).state, NOW) == {"a": NOW}
    assert closed_since({"a": 5.0}, scene(Health.UP).state, NOW) == {}


def session(number: int, at: str = "a", moved: int = 0) -> Session:
    return Session(
        session_id=f"0x{number:x}",
        frontend=PROXY,
        backend=PROXY,
        server=at,
        client=f"10.0.0.1:{number}",
        towards_server="",
        age_s=0,
        bytes_sent=moved,
    )


def test_a_session_is_quiet_until_it_moves_a_byte() -> None:
    first = quiet_since({}, [session(1), session(2)], 10)
    then = quiet_since(first, [session(1), session(2, moved=5), session(3)], 20)
    assert {key: it.at for key, it in then.items()} == {"0x1": 10, "0x2": 20, "0x3": 20}
    another = replace(session(1), client="10.0.0.9:1")
    assert quiet_since(then, [another], 30)["0x1"].at == 30


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 9), st.integers(0, 60))
def test_evened_out_and_no_further(full: int, empty: int, most: int, idle: int) -> None:
    state = ProxyState(name=PROXY, servers=(server("a", Health.UP, full), server("b", Health.UP, empty), HOLD))
    quiet = {f"0x{n:x}": Quiet(session=session(n), at=NOW - 60 - n if n < idle else NOW - 59) for n in range(full)}
    commands = rebalance(state, ON, quiet, NOW, most).commands
    assert len(commands) <= min(most, idle)
    assert rebalance(state, OFF, quiet, NOW, most).commands == ()
    assert rebalance(replace(state, servers=state.servers[:1]), ON, quiet, NOW, most).commands == ()
    share = (full + empty) / 2
    for command in commands:
        assert isinstance(command, EndSession)
        assert quiet[command.session_id].at <= NOW - 60
    if commands:
        assert full - len(commands) >= share
        ended = {it.session_id for it in commands if isinstance(it, EndSession)}
        spared = [it.at for key, it in quiet.items() if key not in ended]
        assert all(quiet[key].at <= at for key in ended for at in spared)
    if full - empty < 2 * 3:
        assert commands == ()
