"""A small HAProxy for the laws of the planner: what each command does to its servers, and nothing else.

Values only, so that a law can go on from any point of a plan. What real ones do is `tests/contract`.
"""

import random
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from trunkline.model.cluster import MemberAnswer, Role
from trunkline.model.command import Command, EndSession, EndSessions, SetHealth, Stick, Unstick
from trunkline.model.desired import ServiceKind
from trunkline.model.facts import (
    OTHER_MEMBERS,
    Ending,
    LeaderKey,
    MemberFacts,
    PortFact,
    PortVerdict,
    RestFact,
    Situation,
    Sticky,
    Stuck,
    Workers,
)
from trunkline.model.intent import Asked, Drain
from trunkline.model.proxy import Health, ProxyState, ServerState

PROXY = "postgres_primary"
LONG_S = 10.0
SINCE = datetime(2026, 11, 27, 12, 30, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """One server. `noted`: what is leased of it; the rest was set by hand."""

    name: str
    address: str = ""
    is_up: bool = False
    is_suspended: bool = False
    is_drained: bool = False
    is_maint: bool = False
    sessions: int = 0
    noted: frozenset[Sticky] = frozenset()

    @property
    def health(self) -> Health:
        """As `show stat` has it."""
        if self.is_maint:
            return Health.MAINT
        if not self.is_up:
            return Health.DOWN
        if self.is_drained:
            return Health.DRAIN
        return Health.NO_CHECK if self.is_suspended else Health.UP

    @property
    def admits(self) -> bool:
        """Whether new sessions come here."""
        return self.health in (Health.UP, Health.NO_CHECK)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """HAProxy's side and the facts, which a plan does not change. `old`: sessions of old workers, (pid, server)."""

    machines: tuple[Machine, ...]
    facts: tuple[MemberFacts, ...]
    key: LeaderKey | None
    old: tuple[tuple[int, str, int], ...] = ()
    kind: ServiceKind = ServiceKind.PRIMARY
    endings: tuple[Ending, ...] = ()
    lag_limit_s: float | None = None
    asked: tuple[Asked, ...] = ()
    proxy: str = PROXY

    def situation(self) -> Situation:
        """What the planner sees of it."""
        backup = ServerState(
            proxy=self.proxy, name="hold", address="", health=Health.NO_CHECK, sessions=0, queued=0, is_backup=True
        )
        servers = tuple(
            ServerState(
                proxy=self.proxy, name=it.name, address=it.address, health=it.health, sessions=it.sessions, queued=0
            )
            for it in self.machines
        )
        return Situation(
            scope="demo",
            kind=self.kind,
            state=ProxyState(name=self.proxy, servers=(*servers, backup)),
            members=self.facts,
            stuck=tuple(
                Stuck(proxy=self.proxy, server=it.name, what=what, age_s=LONG_S)
                for it in self.machines
                for what in sorted(it.noted)
            ),
            leader_key=self.key,
            workers=Workers(sessions=tuple((pid, self.proxy, name, count) for pid, name, count in self.old)),
            endings=self.endings,
            lag_limit_s=self.lag_limit_s,
            asked=self.asked,
        )

    @property
    def writers(self) -> set[str]:
        """Who is given new sessions."""
        return {it.name for it in self.machines if it.admits}

    @property
    def drained(self) -> set[str]:
        """Who shall get nobody new, and is a member."""
        asked = {it.drain.member for it in self.asked if it.is_in_force} & {it.name for it in self.facts}
        return {it.name for it in self.machines if it.name in asked}

    @property
    def by_hand(self) -> set[str]:
        """What people have set, as far as `show stat` shows it: a server that is drained and down is DOWN there."""
        maint = {it.name for it in self.machines if it.is_maint and Sticky.MAINT not in it.noted}
        ours = frozenset({Sticky.MAINT, Sticky.DRAIN})
        return maint | {it.name for it in self.machines if it.health is Health.DRAIN and not it.noted & ours}

    def after(self, commands: Iterable[Command]) -> "World":
        """The world in which these were done."""
        world = self
        for command in commands:
            world = _after(world, command)
        return world

    def reloaded(self) -> "World":
        """A new worker: nobody is up, nothing is noted, and the sessions of the old one stay with it."""
        old = (*self.old, *((99, it.name, it.sessions) for it in self.machines if it.sessions))
        return replace(self, machines=tuple(Machine(name=it.name, address=it.address) for it in self.machines), old=old)


def _after(world: World, command: Command) -> World:
    if isinstance(command, EndSessions) and command.worker_pid is not None:
        gone = (command.worker_pid, command.server)
        return replace(world, old=tuple(it for it in world.old if it[:2] != gone))
    machines = tuple(_done(it, command) if it.name == command.server else it for it in world.machines)
    return replace(world, machines=machines)


def _done(machine: Machine, command: Command) -> Machine:
    match command:
        case SetHealth(is_up=True):
            return replace(machine, is_up=True)
        case SetHealth():
            return replace(machine, is_up=False, sessions=0)
        case EndSessions():
            return replace(machine, sessions=0)
        case EndSession():
            return replace(machine, sessions=max(0, machine.sessions - 1))
        case Stick(what=what) | Unstick(what=what):
            is_on = isinstance(command, Stick)
            noted = machine.noted | {what} if is_on else machine.noted - {what}
            field = {Sticky.CHECKS: "is_suspended", Sticky.DRAIN: "is_drained", Sticky.MAINT: "is_maint"}[what]
            changed = replace(machine, noted=noted, **{field: is_on})  # type: ignore[arg-type]
            return replace(changed, is_up=False) if what is Sticky.MAINT else changed


def any_world(chance: random.Random) -> World:
    """Facts that cross each other, and an HAProxy in any state that it can be in with at most one writer."""
    names = ["pg1", "pg2", "pg3"][: chance.choice([1, 2, 3, 3, 3])]
    has_writer = chance.random() < 0.7
    writer = chance.choice(names)
    machines = tuple(_any_machine(chance, name, may_write=has_writer and name == writer) for name in names)
    facts = tuple(_any_facts(chance, name) for name in names if chance.random() < 0.95)
    if chance.random() < 0.15:
        facts = tuple(_claiming(chance, it) for it in facts)
    key = None
    if chance.random() < 0.8:
        key = LeaderKey(
            holder=chance.choice([*names, *names, None, "gone"]),
            age_s=chance.choice([0.0, 0.01, 0.3, 0.9, 1.1, 5.0]),
            source="test",
            remaining_s=chance.choice([None, None, 0.0, 0.2, 0.31, 8.0]),
        )
        if key.remaining_s is None and key.age_s < 0.9:
            key = replace(key, source=OTHER_MEMBERS)
    old = tuple((7, name, chance.randint(1, 9)) for name in [*names, "gone"] if chance.random() < 0.2)
    kind = ServiceKind.PRIMARY if chance.random() < 0.7 else ServiceKind.REPLICAS
    lag_limit_s = chance.choice([None, 10.0])
    asked = tuple(any_drain(chance, name) for name in [*names, "gone"] if chance.random() < 0.25)
    return World(machines=machines, facts=facts, key=key, old=old, kind=kind, lag_limit_s=lag_limit_s, asked=asked)


def any_drain(chance: random.Random, member: str) -> Asked:
    """One that is over, or is not, or has no end."""
    remaining_s = chance.choice([None, 3600.0, 0.1, 0.0, -5.0])
    until = None if remaining_s is None else SINCE + timedelta(hours=2)
    drain = Drain(scope="demo", member=member, who="ana", since=SINCE, until=until, why=chance.choice(["", "kernel"]))
    return Asked(drain=drain, remaining_s=remaining_s)


def _any_machine(chance: random.Random, name: str, *, may_write: bool) -> Machine:
    noted = frozenset(what for what in Sticky if chance.random() < 0.2)
    is_drained = Sticky.DRAIN in noted or chance.random() < 0.1
    is_maint = Sticky.MAINT in noted or chance.random() < 0.05
    is_up = not is_maint and (may_write or (is_drained and chance.random() < 0.5))
    is_drained = is_drained and (is_up or Sticky.DRAIN in noted)  # a hand that `show stat` hides is nobody's case
    return Machine(
        name=name,
        address=chance.choice(["", "10.0.0.1:5432"]),
        is_up=is_up,
        is_suspended=Sticky.CHECKS in noted,
        is_drained=is_drained,
        is_maint=is_maint,
        sessions=chance.choice([0, 0, 3]),
        noted=noted,
    )


def _claiming(chance: random.Random, facts: MemberFacts) -> MemberFacts:
    """It says that it is the primary, whoever else does."""
    told = {"role": Role.PRIMARY, "state": "running", "status_code": 200, "writes_location": 1000}
    answer = replace(any_answer(chance, facts.name), **told)  # type: ignore[arg-type]
    age_s = chance.choice([0.0, 0.02, 0.6])
    return replace(facts, rest=RestFact(answer=answer, age_s=age_s, took_s=min(age_s, 0.002)))


def _any_facts(chance: random.Random, name: str) -> MemberFacts:
    took_s = chance.choice([0.0, 0.002, 0.5])
    rest = None
    if chance.random() < 0.9:
        answer = any_answer(chance, name) if chance.random() < 0.65 else None
        age_s, lag_s = took_s + chance.choice([0.0, 0.02, 0.6, 1.5, 4.0]), chance.choice([None, 0.0, 3.0, 30.0])
        well_s = chance.choice([0.0, age_s, age_s + 2.0]) if answer is not None and answer.accepts_writes else 0.0
        rest = RestFact(answer=answer, age_s=age_s, took_s=took_s, lag_s=lag_s, well_s=well_s)
    port = None
    if chance.random() < 0.7:
        age_s = chance.choice([0.0, 0.05, 1.0, 1.9, 3.0])
        port = PortFact(verdict=chance.choice(list(PortVerdict)), age_s=age_s, took_s=min(age_s, took_s))
    silent_s = chance.choice([None, None, 0.1, 0.4, 3.0])
    return MemberFacts(
        name=name,
        server=name,
        rest=rest,
        port=port,
        check_silent_s=silent_s,
        address=chance.choice(["", "10.0.0.1:5432", "10.0.0.1:5432", "10.0.0.2:5432"]),
    )


def any_answer(chance: random.Random, name: str) -> MemberAnswer:
    """What Patroni may say of itself, at any point of its life."""
    role, state, status, writes, replays = chance.choice(
        [
            (Role.PRIMARY, "running", 200, 1000, None),
            (Role.PRIMARY, "running", 200, 1000, None),
            (Role.REPLICA, "running", 503, None, 1000),
            (Role.REPLICA, "running", 200, None, 1000),
            (Role.PRIMARY, "unknown", 200, None, None),
            (Role.PRIMARY, "stopping", 200, None, None),
            (Role.PRIMARY, "running", 503, 1000, None),
            (Role.UNKNOWN, "starting", 503, None, None),
        ]
    )
    return MemberAnswer(
        scope="demo",
        name=name,
        role=role,
        state=state,
        patroni_version="4.1.5",
        status_code=status,
        timeline=chance.choice([1, 2, 2]),
        writes_location=writes,
        replay_location=replays,
    )
