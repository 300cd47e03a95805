"""From the facts of one moment to an ordered plan of commands for one service, each with its reason.

Pure: the same situation gives the same plan, and it compares with what HAProxy itself says, never with what was asked
of it before. Closings stand before openings, so that no prefix of a plan lets a second member take writes, and nothing
is planned that is already so. Why a member has its stance is `posture`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from trunkline.model.command import Command, EndSessions, Plan, SetHealth, Stick, Unstick
from trunkline.model.desired import ServiceKind
from trunkline.model.facts import MemberFacts, Situation, Sticky
from trunkline.model.intent import Drain
from trunkline.model.proxy import Health, ServerState
from trunkline.plan.posture import PRIMARY_ROWS, REPLICA_ROWS, Case, Row, Stance, row_for
from trunkline.wire.names import to_haproxy

END_AGAIN_S = 5.0
"""HAProxy is told again to end sessions that are still there after so long."""

SUSPENDED_AT_LEAST_S = 1.0
"""So long checks stay suspended once they are: a check that still fails would suspend them again with the next one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """One member: its case, and the row that decided."""

    case: Case
    row: Row

    @property
    def stance(self) -> Stance:
        """What it may be to the service."""
        return self.row.stance

    @property
    def name(self) -> str:
        """Patroni's name of it."""
        return self.case.facts.name

    @property
    def because(self) -> str:
        """The row as a sentence; where people have asked for it, with who and why."""
        drain = self.case.drain if self.stance is Stance.DRAINED else None
        return f"{drain.words if drain is not None else self.row.when}; {self.row.then}"

    @property
    def reason(self) -> str:
        """The same with the member's name."""
        return f"{self.name}: {self.because}"


def steer(situation: Situation) -> Plan:
    """What is to be done about one service now."""
    judgements = judge_members(situation)
    closings = sorted(
        (command for judgement in judgements for command in _closings(situation, judgement)), key=_urgency
    )
    fences = [*_departed(situation, judgements), *_old_workers(situation, judgements)]
    suspensions = [command for judgement in judgements for command in _suspensions(judgement)]
    openings = _openings(situation, judgements, _open_still(situation, closings))
    precautions = [command for judgement in judgements for command in _precautions(judgement)]
    return Plan(
        commands=(*closings, *fences, *suspensions, *openings, *precautions),
        warnings=tuple(_warnings(situation.kind, judgements)),
    )


def judge_members(situation: Situation) -> tuple[Judgement, ...]:
    """Every member that HAProxy has a server for, by name."""
    cases = [_case(situation, facts, server) for facts, server in _pairs(situation)]
    rivals = [case for case in cases if case.passes]
    winner = _winner([case for case in rivals if not case.is_key_anothers])
    rows = PRIMARY_ROWS if situation.kind is ServiceKind.PRIMARY else REPLICA_ROWS
    judged = (
        Case(
            facts=case.facts,
            server=case.server,
            stuck=case.stuck,
            key=case.key,
            winner=winner,
            rivals=len(rivals),
            lag_limit_s=case.lag_limit_s,
            drain=case.drain,
        )
        for case in cases
    )
    return tuple(Judgement(case=case, row=row_for(case, rows)) for case in judged)


def _pairs(situation: Situation) -> Iterator[tuple[MemberFacts, ServerState]]:
    known = {it.server for it in situation.members}
    unknown = {it.server for it in situation.stuck if it.server not in known}  # what is leased there is given back
    members = (*situation.members, *(MemberFacts(name=server, server=server) for server in unknown))
    for facts in sorted(members, key=lambda it: it.name):
        server = situation.state.server(facts.server)
        if server is not None:
            yield facts, server


def _case(situation: Situation, facts: MemberFacts, server: ServerState) -> Case:
    return Case(
        facts=facts,
        server=server,
        stuck=frozenset(it.what for it in situation.stuck if it.server == server.name),
        key=situation.leader_key,
        winner=None,
        rivals=0,
        lag_limit_s=situation.lag_limit_s,
        drain=_drain(situation, facts),
    )


def _drain(situation: Situation, facts: MemberFacts) -> Drain | None:
    """What people have asked for; of who is no member any more it goes on, and does not begin."""
    if facts not in situation.members and not situation.has_stuck(facts.server, Sticky.DRAIN):
        return None
    in_force = (it.drain for it in situation.asked if it.is_in_force)
    return next((drain for drain in in_force if to_haproxy(drain.member) == facts.server), None)


def _winner(passing: list[Case]) -> str | None:
    if len(passing) < 2:
        return passing[0].facts.name if passing else None
    holders = [case for case in passing if case.holds_key]
    if holders:
        return holders[0].facts.name
    timelines = sorted((case.answer.timeline or 0 if case.answer else 0, case.facts.name) for case in passing)
    return timelines[-1][1] if timelines[-1][0] > timelines[-2][0] else None


def _closings(situation: Situation, judgement: Judgement) -> Iterator[Command]:
    """What takes sessions away: it comes first, the hardest before the others (`_urgency`)."""
    server, reason = judgement.case.server, judgement.reason
    is_primary = situation.kind is ServiceKind.PRIMARY
    match judgement.stance:
        case Stance.OUT | Stance.BARRED:
            if server.takes_sessions or server.health in (Health.NOLB, Health.DRAIN):
                is_gentle = server.takes_sessions and judgement.stance is Stance.OUT
                yield SetHealth(proxy=server.proxy, server=server.name, is_up=False, reason=reason, is_gentle=is_gentle)
            elif is_primary and _has_sessions_to_end(situation, server.name, server.sessions):
                yield EndSessions(proxy=server.proxy, server=server.name, reason=reason)
            if judgement.stance is Stance.BARRED and Sticky.CHECKS not in judgement.case.stuck:
                yield Stick(proxy=server.proxy, server=server.name, what=Sticky.CHECKS, reason=reason)
        case Stance.CLOSED | Stance.DRAINED:
            if server.takes_sessions:
                yield Stick(proxy=server.proxy, server=server.name, what=Sticky.DRAIN, reason=reason)


def _has_sessions_to_end(situation: Situation, server: str, count: int, worker_pid: int | None = None) -> bool:
    """Whether there are any, and HAProxy was not told just now."""
    told = (it for it in situation.endings if (it.server, it.worker_pid) == (server, worker_pid))
    return count > 0 and all(it.age_s >= END_AGAIN_S or count > it.sessions for it in told)


def _urgency(command: Command) -> int:
    """A refusal ends a plan, so what is milder shall not stand in the way of what has to be."""
    match command:
        case SetHealth():
            return 0
        case Stick(what=Sticky.CHECKS):
            return 2
        case Stick():
            return 1
        case _:
            return 3


def _open_still(situation: Situation, closings: list[Command]) -> frozenset[str]:
    """Servers that take sessions when all closings are done."""
    closed = {it.server for it in closings if isinstance(it, SetHealth | Stick)}
    return frozenset(
        server.name
        for server in situation.state.servers
        if server.takes_sessions and not server.is_backup and server.name not in closed
    )


def _suspensions(judgement: Judgement) -> Iterator[Command]:
    """Checks that are suspended, or are on again: neither lets anybody in or out by itself."""
    server, stuck, reason = judgement.case.server, judgement.case.stuck, judgement.reason
    if judgement.stance is Stance.KEPT:
        if server.health in (Health.UP, Health.NOLB):  # suspended, it would be NO_CHECK
            yield Stick(proxy=server.proxy, server=server.name, what=Sticky.CHECKS, reason=reason)
    elif judgement.stance in (Stance.OUT, Stance.BY_HAND, Stance.DRAINED) and Sticky.CHECKS in stuck:
        yield Unstick(proxy=server.proxy, server=server.name, what=Sticky.CHECKS, reason=reason)


def _openings(situation: Situation, judgements: tuple[Judgement, ...], open_still: frozenset[str]) -> Iterator[Command]:
    """What lets sessions in, or may: it comes when all closings are done, and never makes a second primary."""
    is_primary, taking = situation.kind is ServiceKind.PRIMARY, set(open_still)
    for judgement in sorted(judgements, key=lambda it: (it.stance not in (Stance.SERVES, Stance.KEPT), it.name)):
        server, stuck, reason = judgement.case.server, judgement.case.stuck, judgement.reason
        stance = judgement.stance
        if stance in (Stance.BY_HAND, Stance.BARRED, Stance.CLOSED, Stance.DRAINED):
            continue
        is_alone = not is_primary or taking <= {server.name}
        for what in (it for it in (Sticky.MAINT, Sticky.DRAIN) if it in stuck):
            if server.health is Health.DRAIN and stance is not Stance.OUT:
                if is_alone:
                    taking.add(server.name)
                else:
                    yield SetHealth(proxy=server.proxy, server=server.name, is_up=False, reason=reason)
            yield Unstick(proxy=server.proxy, server=server.name, what=what, reason=reason)
        may_open = stance in (Stance.SERVES, Stance.KEPT) and judgement.case.passes_now
        is_down = server.health is Health.DOWN or (server.health is Health.MAINT and Sticky.MAINT in stuck)
        if is_primary and is_alone and may_open and is_down:
            taking.add(server.name)
            yield SetHealth(proxy=server.proxy, server=server.name, is_up=True, reason=reason)
        if Sticky.CHECKS in stuck and (
            stance is Stance.CHECKS or (stance is Stance.SERVES and _is_long_enough(situation, judgement))
        ):
            yield Unstick(proxy=server.proxy, server=server.name, what=Sticky.CHECKS, reason=reason)


def _precautions(judgement: Judgement) -> Iterator[Command]:
    """Who shall get nobody new, and takes nobody now, is closed before a check lets it in.

    It may be refused: `show stat` does not tell that a person has drained a server which is down.
    """
    server, stuck = judgement.case.server, judgement.case.stuck
    is_open = server.takes_sessions or server.health is Health.DRAIN
    if judgement.stance is Stance.DRAINED and not is_open and not stuck & {Sticky.DRAIN, Sticky.MAINT}:
        what, reason = Sticky.DRAIN, judgement.reason
        yield Stick(proxy=server.proxy, server=server.name, what=what, reason=reason, is_precaution=True)


def _is_long_enough(situation: Situation, judgement: Judgement) -> bool:
    server = judgement.case.server.name
    ages = [it.age_s for it in situation.stuck if it.server == server and it.what is Sticky.CHECKS]
    return all(age_s >= SUSPENDED_AT_LEAST_S for age_s in ages)


def _departed(situation: Situation, judgements: tuple[Judgement, ...]) -> Iterator[Command]:
    """Sessions that a member which has left may end in peace, unless another is the primary."""
    known = {judgement.case.server.name for judgement in judgements}
    has_winner = any(judgement.case.winner is not None for judgement in judgements)
    if situation.kind is not ServiceKind.PRIMARY or not has_winner:
        return
    for server in situation.state.servers:
        is_stranger = not server.is_backup and server.name not in known
        if is_stranger and not server.takes_sessions and _has_sessions_to_end(situation, server.name, server.sessions):
            why = f"{server.name} is no member any more, and another is the primary"
            yield EndSessions(proxy=server.proxy, server=server.name, reason=why)


def _old_workers(situation: Situation, judgements: tuple[Judgement, ...]) -> Iterator[Command]:
    """Sessions that a reload has left behind at a server which must not have them: no check ends those."""
    if situation.kind is not ServiceKind.PRIMARY:
        return
    stances = {judgement.case.server.name: judgement for judgement in judgements}
    has_winner = any(judgement.case.winner is not None for judgement in judgements)
    for pid, proxy, server, count in situation.workers.sessions:
        judgement = stances.get(server)
        is_out = _is_out_of_old_workers(judgement) if judgement else has_winner
        if proxy == situation.state.name and is_out and _has_sessions_to_end(situation, server, count, pid):
            why = judgement.reason if judgement else f"{server} is no member, and another is the primary"
            yield EndSessions(proxy=proxy, server=server, worker_pid=pid, reason=why)


def _is_out_of_old_workers(judgement: Judgement) -> bool:
    """Where HAProxy's checks or a person decide, nobody does for an old worker: there another primary is enough."""
    case, stance = judgement.case, judgement.stance
    if stance in (Stance.CHECKS, Stance.BY_HAND):
        is_another = case.winner not in (None, judgement.name)
        return is_another or (case.winner is not None and case.is_elsewhere)
    return stance in (Stance.OUT, Stance.BARRED)


def _warnings(kind: ServiceKind, judgements: tuple[Judgement, ...]) -> Iterator[str]:
    if kind is not ServiceKind.PRIMARY:
        return
    passing = [judgement for judgement in judgements if judgement.case.passes]
    if len(passing) > 1:
        claims = ", ".join(f"{it.name} (timeline {it.case.answer.timeline})" for it in passing if it.case.answer)
        yield f"several members claim to be the primary: {claims}"
