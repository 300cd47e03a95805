"""What settings ask for beyond HAProxy's checks of a replicas' service: which sessions end, and why.

Pure. HAProxy's checks decide who gets new sessions, and a session at a replica lives on whatever becomes of it. Here
are the three exceptions, each off unless settings say otherwise: a replica that has had no new sessions for longer than
`drain_deadline_s`, a replica that was promoted, and a replica with far more than its share. None of them leaves a
session with nowhere to go: nothing ends unless another replica of the service takes sessions.

What cannot be known here is whether a session is in a transaction: HAProxy sees bytes, not statements.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from trunkline.model.command import Command, EndSession, EndSessions, Plan
from trunkline.model.desired import ServiceKind
from trunkline.model.facts import Situation
from trunkline.model.proxy import Health, ProxyState, ServerState, Session
from trunkline.plan.posture import Stance
from trunkline.plan.steering import Judgement, judge_members

CLOSED = (Health.NOLB, Health.DRAIN)
"""No new sessions, and those that it has stay."""

SILENT = (Stance.KEPT, Stance.CLOSED)
"""Stances of a member that does not answer (or lags): silence ends nobody's session."""

TOLERANCE = 0.25
LEAST_EXCESS = 2
"""Sessions above its share that a replica may have: a quarter of it, and two in any case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaPolicy:
    """`drain_deadline_s`: None keeps sessions for ever. `rebalance_per_s`: sessions that may end in a second, None for
    no rebalancing; `rebalance_idle_s`: only those that have moved no byte for so long. `lag_limit_s`: a replica that is
    further behind gets no new ones, None for any lag."""

    drain_deadline_s: float | None = None
    end_sessions_on_promotion: bool = False
    rebalance_per_s: float | None = None
    rebalance_idle_s: float = 60.0
    lag_limit_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Quiet:
    """A session as it was when it last moved a byte: `at`, in seconds of a clock that only goes forward."""

    session: Session
    at: float


def closed_since(before: Mapping[str, float], state: ProxyState, now: float) -> Mapping[str, float]:
    """By server, since when it has had no new sessions but keeps those it has; `before`: what this returned last.

    HAProxy itself remembers since when a server is NOLB, so a new agent knows it, too. For a drain 2.8 does not: it
    counts from when we first saw it, so that a deadline comes late and never early.
    """
    return {
        server.name: before.get(server.name, now - server.last_change_s if server.health is Health.NOLB else now)
        for server in state.servers
        if server.health in CLOSED and not server.is_backup
    }


def quiet_since(before: Mapping[str, Quiet], sessions: Iterable[Session], now: float) -> Mapping[str, Quiet]:
    """By session id, since when it has moved no byte; an id that was given to another client counts anew."""
    return {
        session.session_id: Quiet(session=session, at=before[session.session_id].at)
        if session.session_id in before and _moved(session) == _moved(before[session.session_id].session)
        else Quiet(session=session, at=now)
        for session in sessions
    }


def steer_replicas(situation: Situation, policy: ReplicaPolicy, since: Mapping[str, float], now: float) -> Plan:
    """Sessions that end for a deadline or a promotion; `since`: as `closed_since` has it at this `now`."""
    if situation.kind is ServiceKind.PRIMARY:
        return Plan()
    return Plan(
        commands=tuple(
            command
            for judgement in judge_members(situation)
            if _others_take(situation.state, judgement.case.server.name)
            for command in _ends(situation, judgement, _why_ended(judgement, policy, since, now))
        )
    )


def rebalance(state: ProxyState, policy: ReplicaPolicy, quiet: Mapping[str, Quiet], now: float, most: int) -> Plan:
    """At most `most` sessions of the replica that is furthest above its share, those idle for longest first."""
    taking = _taking(state)
    if policy.rebalance_per_s is None or len(taking) < 2 or most < 1:
        return Plan()
    share = sum(server.sessions for server in taking) / len(taking)
    fullest = max(taking, key=lambda server: (server.sessions, server.name))
    surplus = int(fullest.sessions - share - max(LEAST_EXCESS, TOLERANCE * share))
    if surplus < 1:
        return Plan()
    idle = _idle(fullest, quiet.values(), now - policy.rebalance_idle_s)
    reason = f"{fullest.name} has {fullest.sessions} sessions where {share:.0f} are its share; idle for longest"
    return Plan(
        commands=tuple(
            EndSession(proxy=fullest.proxy, server=fullest.name, session_id=it.session.session_id, reason=reason)
            for it in idle[: min(surplus, most)]
        )
    )


def _why_ended(judgement: Judgement, policy: ReplicaPolicy, since: Mapping[str, float], now: float) -> str | None:
    """Why sessions of this member may not live on, None where they may."""
    server, case = judgement.case.server, judgement.case
    if server.health in CLOSED and server.name in since and policy.drain_deadline_s is not None:
        is_over = now - since[server.name] >= policy.drain_deadline_s
        if is_over and (judgement.stance not in SILENT or case.is_late) and not case.is_silent:
            return f"{judgement.name} has had no new sessions for more than {policy.drain_deadline_s:g} s"
    is_promoted = case.passes and case.winner == judgement.name and not case.is_key_anothers
    if policy.end_sessions_on_promotion and is_promoted and server.health is Health.DOWN:
        return f"{judgement.name} was promoted"
    return None


def _ends(situation: Situation, judgement: Judgement, reason: str | None) -> Iterator[Command]:
    """In the worker that serves, then in those that a reload has left behind."""
    server = judgement.case.server
    if reason is None:
        return
    if server.sessions:
        yield EndSessions(proxy=server.proxy, server=server.name, reason=reason)
    for pid, proxy, name, count in situation.workers.sessions:
        if (proxy, name) == (server.proxy, server.name) and count:
            yield EndSessions(proxy=proxy, server=name, worker_pid=pid, reason=reason)


def _taking(state: ProxyState) -> Sequence[ServerState]:
    return [server for server in state.servers if server.takes_sessions and not server.is_backup]


def _others_take(state: ProxyState, name: str) -> bool:
    return any(server.name != name for server in _taking(state))


def _idle(server: ServerState, quiet: Iterable[Quiet], until: float) -> Sequence[Quiet]:
    here = [it for it in quiet if (it.session.backend, it.session.server) == (server.proxy, server.name)]
    return sorted((it for it in here if it.at <= until), key=lambda it: (it.at, it.session.session_id))


def _moved(session: Session) -> tuple[object, ...]:
    return session.client, session.backend, session.server, session.bytes_sent, session.bytes_received
