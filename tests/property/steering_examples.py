"""One example for each row of the posture table, and one for each promise of the agent: facts, and what follows.

Three members, pg1 the primary until now, unless an example says otherwise.
"""

from dataclasses import dataclass, field, replace
from datetime import timedelta

from steering_world import SINCE, Machine, World

from trunkline.model.cluster import MemberAnswer, Role
from trunkline.model.desired import ServiceKind
from trunkline.model.facts import OTHER_MEMBERS, Ending, LeaderKey, MemberFacts, PortFact, PortVerdict, RestFact, Sticky
from trunkline.model.intent import Asked, Drain
from trunkline.plan.posture import PRIMARY_ROWS, REPLICA_ROWS, Row

NAMES = ("pg1", "pg2", "pg3")
CHECKS = frozenset({Sticky.CHECKS})
DRAIN = frozenset({Sticky.DRAIN})


def answer(name: str, **told: object) -> MemberAnswer:
    """A replica's answer, unless told otherwise."""
    usual: dict[str, object] = {
        "scope": "demo",
        "name": name,
        "role": Role.REPLICA,
        "state": "running",
        "patroni_version": "4.1.5",
        "status_code": 503,
        "timeline": 1,
        "replay_location": 1000,
    }
    return MemberAnswer(**(usual | told))  # type: ignore[arg-type]


def writes(name: str, *, timeline: int = 1) -> MemberAnswer:
    """The answer of a member that takes writes."""
    told = {"role": Role.PRIMARY, "status_code": 200, "writes_location": 1000, "replay_location": None}
    return answer(name, timeline=timeline, **told)


def rest(said: MemberAnswer | None, age_s: float = 0.05, took_s: float = 0.002) -> RestFact:
    """What an API has said, or not."""
    return RestFact(answer=said, age_s=age_s, took_s=took_s)


def port(verdict: PortVerdict, age_s: float = 0.01) -> PortFact:
    """What a port has said."""
    return PortFact(verdict=verdict, age_s=age_s)


def of(name: str, said: RestFact | None, knocked: PortFact | None = None, silent_s: float | None = None) -> MemberFacts:
    """The facts of one member."""
    return MemberFacts(name=name, server=name, rest=said, port=knocked, check_silent_s=silent_s)


def key(holder: str | None, age_s: float = 0.02, remaining_s: float | None = None) -> LeaderKey:
    """The leader key."""
    return LeaderKey(holder=holder, age_s=age_s, source="test", remaining_s=remaining_s)


def drain(member: str = "pg1", remaining_s: float | None = None) -> Asked:
    """What somebody has asked for."""
    until = None if remaining_s is None else SINCE + timedelta(hours=2)
    asked = Drain(scope="demo", member=member, who="ana", since=SINCE, until=until, why="kernel update")
    return Asked(drain=asked, remaining_s=remaining_s)


REPLICA = {name: of(name, rest(answer(name))) for name in NAMES}
SERVING = Machine(name="pg1", is_up=True, sessions=5)
SILENT = rest(None, age_s=1.2, took_s=1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """`facts`, `machines`: those that differ from the usual; `row`: where pg1 is; `commands`: what follows."""

    name: str
    row: Row
    commands: tuple[str, ...]
    facts: tuple[MemberFacts, ...] = ()
    machines: tuple[Machine, ...] = (SERVING,)
    key: LeaderKey | None = field(default_factory=lambda: key("pg1"))
    old: tuple[tuple[int, str, int], ...] = ()
    kind: ServiceKind = ServiceKind.PRIMARY
    endings: tuple[Ending, ...] = ()
    lag_limit_s: float | None = None
    asked: tuple[Asked, ...] = ()

    @property
    def world(self) -> World:
        """All of it."""
        facts = REPLICA | {"pg1": of("pg1", rest(writes("pg1")))} | {it.name: it for it in self.facts}
        machines = {name: Machine(name=name) for name in NAMES} | {it.name: it for it in self.machines}
        return World(
            machines=tuple(machines.values()),
            facts=tuple(facts.values()),
            key=self.key,
            old=self.old,
            kind=self.kind,
            endings=self.endings,
            lag_limit_s=self.lag_limit_s,
            asked=self.asked,
        )


def _row(words: str, rows: tuple[Row, ...] = PRIMARY_ROWS) -> Row:
    (found,) = (row for row in rows if row.when.startswith(words))
    return found


P = "postgres_primary"
DOWN_1 = f"set server {P}/pg1 health down"
OUT_1 = f"trunkline close {P}/pg1"
UP_1 = f"set server {P}/pg1 health up"
UP_2 = f"set server {P}/pg2 health up"
BAR_1 = f"trunkline stick {P}/pg1 checks"
FREE_1 = f"trunkline unstick {P}/pg1 checks"
CLOSE_1 = f"trunkline stick {P}/pg1 drain"
HERE, THERE = "10.0.0.1:5432", "10.0.0.2:5432"

EXAMPLES = (
    Example(name="all is well", row=_row("it passes the truth check and its port"), commands=()),
    Example(
        name="the store is gone, REST and port agree",
        row=_row("it passes the truth check and its port"),
        key=None,
        commands=(),
    ),
    Example(
        name="no leader key, but a fresh answer: pause, failsafe_mode, a restored etcd",
        row=_row("it passes the truth check and its port"),
        key=key(None, age_s=0.9),
        facts=(of("pg1", rest(writes("pg1"), age_s=0.1)),),
        commands=(),
    ),
    Example(
        name="promoted",
        row=_row("it answers that it is no primary"),
        facts=(of("pg1", rest(answer("pg1"))), of("pg2", rest(writes("pg2", timeline=2)))),
        key=key("pg2"),
        old=((77, "pg1", 3), (77, "pg2", 1), (77, "pg9", 1)),
        commands=(
            OUT_1,
            f"@!77 shutdown session of each at {P}/pg1",
            f"@!77 shutdown session of each at {P}/pg9",
            UP_2,
        ),
    ),
    Example(
        name="stopping",
        row=_row("it answers that it is no primary"),
        facts=(of("pg1", rest(answer("pg1", role=Role.PRIMARY, state="stopping", status_code=200))),),
        commands=(OUT_1,),
    ),
    Example(
        name="it is down already, and has sessions still",
        row=_row("it answers that it is no primary"),
        facts=(of("pg1", rest(answer("pg1"))),),
        machines=(Machine(name="pg1", sessions=2),),
        commands=(f"shutdown sessions server {P}/pg1",),
    ),
    Example(
        name="set to drain by hand",
        row=_row("a person has set"),
        machines=(Machine(name="pg1", is_up=True, is_drained=True, sessions=5),),
        commands=(),
    ),
    Example(
        name="set to maint by hand while another is promoted",
        row=_row("a person has set"),
        machines=(Machine(name="pg1", is_maint=True),),
        facts=(of("pg1", rest(answer("pg1"))), of("pg2", rest(writes("pg2")))),
        key=key("pg2"),
        commands=(UP_2,),
    ),
    Example(
        name="thawed, and has not noticed",
        row=_row("it passes the truth check, but the leader key"),
        key=key("pg2", age_s=0.01),
        commands=(DOWN_1, BAR_1),
    ),
    Example(
        name="the key was read before it was promoted",
        row=_row("it passes the truth check and its port"),
        key=key("pg2", age_s=0.3),
        machines=(Machine(name="pg1"),),
        commands=(UP_1,),
    ),
    Example(
        name="the key was read while its answer was under way",
        row=_row("it passes the truth check and its port"),
        key=key("pg2", age_s=0.04),
        facts=(of("pg1", rest(writes("pg1"), age_s=0.05, took_s=0.03)),),
        commands=(),
    ),
    Example(
        name="two claim it, and the other has the newer timeline",
        row=_row("it passes the truth check, and so does another, which"),
        facts=(of("pg2", rest(writes("pg2", timeline=2))),),
        key=None,
        commands=(DOWN_1, BAR_1, UP_2),
    ),
    Example(
        name="two claim it, and the other has the leader key",
        row=_row("it passes the truth check, but the leader key"),
        facts=(of("pg1", rest(writes("pg1", timeline=2))), of("pg2", rest(writes("pg2", timeline=1)))),
        key=key("pg2"),
        commands=(DOWN_1, BAR_1, UP_2),
    ),
    Example(
        name="two claim it, and the other had the leader key a moment ago",
        row=_row("it passes the truth check, and so does another, which"),
        facts=(of("pg1", rest(writes("pg1", timeline=2))), of("pg2", rest(writes("pg2", timeline=1)))),
        key=key("pg2", age_s=0.5),
        commands=(DOWN_1, BAR_1, UP_2),
    ),
    Example(
        name="two claim it, and nothing tells them apart",
        row=_row("it passes the truth check, and so does another, and nothing"),
        facts=(of("pg2", rest(writes("pg2"))),),
        key=None,
        commands=(),
    ),
    Example(
        name="its API is well, its port is dead",
        row=_row("it passes the truth check, but its PostgreSQL"),
        facts=(of("pg1", rest(writes("pg1")), port(PortVerdict.REFUSED)),),
        commands=(CLOSE_1,),
    ),
    Example(
        name="its port is dead, and its API goes on to say that all is well",
        row=_row("it passes the truth check, but its PostgreSQL"),
        facts=(of("pg1", replace(rest(writes("pg1")), well_s=1.0), port(PortVerdict.REFUSED, age_s=0.4)),),
        machines=(replace(SERVING, is_drained=True, noted=DRAIN),),
        commands=(),
    ),
    Example(
        name="its port is silent, which is found out anew each second",
        row=_row("it passes the truth check, but its PostgreSQL"),
        facts=(
            of(
                "pg1",
                replace(rest(writes("pg1")), well_s=9.0),
                PortFact(verdict=PortVerdict.SILENT, age_s=2.1, took_s=1.0),
            ),
        ),
        machines=(replace(SERVING, is_drained=True, noted=DRAIN),),
        commands=(),
    ),
    Example(
        name="its port was dead before its API was well",
        row=_row("it passes the truth check and its port"),
        facts=(of("pg1", rest(writes("pg1")), port(PortVerdict.REFUSED, age_s=1.0)),),
        commands=(),
    ),
    Example(
        name="its port is well again",
        row=_row("it passes the truth check and its port"),
        facts=(of("pg1", rest(writes("pg1")), port(PortVerdict.ANSWERS)),),
        machines=(Machine(name="pg1", is_up=True, is_drained=True, noted=DRAIN),),
        commands=(f"trunkline unstick {P}/pg1 drain",),
    ),
    Example(
        name="only HAProxy has no answer of its API",
        row=_row("it passes the truth check, and HAProxy's own"),
        facts=(of("pg1", rest(writes("pg1")), silent_s=0.1),),
        commands=(BAR_1,),
    ),
    Example(
        name="HAProxy's checks may go on",
        row=_row("it passes the truth check and its port"),
        facts=(of("pg1", rest(writes("pg1")), silent_s=2.0),),
        machines=(replace(SERVING, is_suspended=True, noted=CHECKS),),
        commands=(FREE_1,),
    ),
    Example(
        name="killed: status 200 without xlog, and its port refuses",
        row=_row("it answers without a location"),
        facts=(
            of(
                "pg1",
                rest(answer("pg1", role=Role.PRIMARY, state="unknown", status_code=200)),
                port(PortVerdict.REFUSED),
            ),
        ),
        commands=(OUT_1,),
    ),
    Example(
        name="one odd answer",
        row=_row("nothing else"),
        facts=(of("pg1", rest(answer("pg1", role=Role.PRIMARY, state="unknown", status_code=200))),),
        commands=(),
    ),
    Example(
        name="one odd answer of an old primary",
        row=_row("it answers oddly"),
        facts=(
            of("pg1", rest(answer("pg1", role=Role.PRIMARY, state="unknown", status_code=200))),
            of("pg2", rest(writes("pg2"))),
        ),
        key=key("pg2"),
        commands=(OUT_1, UP_2),
    ),
    Example(
        name="its API is jammed, its port answers, the key is its own",
        row=_row("its API is silent, its PostgreSQL answers, and the leader key is its own"),
        facts=(of("pg1", SILENT, port(PortVerdict.ANSWERS)),),
        commands=(BAR_1,),
    ),
    Example(
        name="the same, and other members tell so, for no store can be asked",
        row=_row("its API is silent, its PostgreSQL answers, and /cluster of others"),
        facts=(of("pg1", SILENT, port(PortVerdict.ANSWERS)),),
        key=replace(key("pg1"), source=OTHER_MEMBERS),
        commands=(BAR_1,),
    ),
    Example(
        name="and that goes on",
        row=_row("its API is silent, its PostgreSQL answers, and the leader key is its own"),
        facts=(of("pg1", SILENT, port(PortVerdict.ANSWERS)),),
        machines=(replace(SERVING, is_suspended=True, noted=CHECKS),),
        key=key("pg1", age_s=0.9, remaining_s=0.31),
        commands=(),
    ),
    Example(
        name="nobody has said that it takes writes, so it is not let in",
        row=_row("its API is silent, its PostgreSQL answers, the leader key is its own, and HAProxy has it down"),
        facts=(of("pg1", SILENT, port(PortVerdict.ANSWERS)),),
        machines=(Machine(name="pg1"),),
        commands=(),
    ),
    Example(
        name="two were closed, and nothing is known of them any more",
        row=_row("nothing else"),
        facts=(of("pg1", None), of("pg2", None)),
        machines=tuple(Machine(name=name, is_up=True, is_drained=True, noted=DRAIN) for name in ("pg1", "pg2")),
        key=None,
        commands=(
            f"trunkline unstick {P}/pg1 drain",
            f"set server {P}/pg2 health down",
            f"trunkline unstick {P}/pg2 drain",
        ),
    ),
    Example(
        name="the key was read more than a second ago",
        row=_row("its API is silent, and the leader key was read more"),
        facts=(of("pg1", SILENT, port(PortVerdict.ANSWERS)),),
        machines=(replace(SERVING, is_suspended=True, noted=CHECKS),),
        key=key("pg1", age_s=1.01),
        commands=(FREE_1,),
    ),
    Example(
        name="its port was asked too long ago",
        row=_row("nothing else"),
        facts=(of("pg1", SILENT, port(PortVerdict.ANSWERS, age_s=2.1)),),
        commands=(),
    ),
    Example(
        name="the key will end at once",
        row=_row("its API is silent, and the leader key is gone"),
        facts=(of("pg1", SILENT, port(PortVerdict.ANSWERS)),),
        machines=(replace(SERVING, is_suspended=True, noted=CHECKS),),
        key=key("pg1", remaining_s=0.3),
        commands=(DOWN_1,),
    ),
    Example(
        name="the key is gone",
        row=_row("its API is silent, and the leader key is gone"),
        facts=(of("pg1", SILENT, port(PortVerdict.ANSWERS)),),
        key=key(None),
        commands=(DOWN_1, BAR_1),
    ),
    Example(
        name="the key is another's",
        row=_row("its API is silent, and the leader key is gone"),
        facts=(of("pg1", SILENT, port(PortVerdict.ANSWERS)),),
        key=key("pg2"),
        commands=(DOWN_1, BAR_1),
    ),
    Example(
        name="silent, and another takes writes",
        row=_row("its API is silent, and another"),
        facts=(of("pg1", SILENT, port(PortVerdict.ANSWERS)), of("pg2", rest(writes("pg2")))),
        key=None,
        commands=(DOWN_1, BAR_1, UP_2),
    ),
    Example(
        name="the node is lost",
        row=_row("its API is silent, and its PostgreSQL refuses"),
        facts=(of("pg1", SILENT, port(PortVerdict.REFUSED)),),
        commands=(OUT_1,),
    ),
    Example(
        name="the node is frozen",
        row=_row("its API and its PostgreSQL are silent"),
        facts=(of("pg1", SILENT, port(PortVerdict.SILENT)),),
        commands=(CLOSE_1,),
    ),
    Example(
        name="HAProxy has found it out of order after it was asked",
        row=_row("it passes the truth check and its port"),
        facts=(of("pg1", rest(writes("pg1"), age_s=0.26)),),
        machines=(Machine(name="pg1"),),
        commands=(),
    ),
    Example(
        name="asked as lately as a check",
        row=_row("it passes the truth check and its port"),
        facts=(of("pg1", rest(writes("pg1"), age_s=0.25)),),
        machines=(Machine(name="pg1"),),
        commands=(UP_1,),
    ),
    Example(
        name="its name has another address, and HAProxy still has the old one",
        row=_row("Patroni has it at another address"),
        facts=(replace(of("pg1", rest(writes("pg1"))), address=THERE),),
        machines=(Machine(name="pg1", address=HERE),),
        old=((77, "pg1", 3),),
        commands=(f"@!77 shutdown session of each at {P}/pg1",),
    ),
    Example(
        name="its name has another address, and something is leased of the old one",
        row=_row("Patroni has it at another address"),
        facts=(replace(of("pg1", SILENT, port(PortVerdict.ANSWERS)), address=THERE),),
        machines=(Machine(name="pg1", address=HERE, is_up=True, is_suspended=True, noted=CHECKS),),
        commands=(FREE_1,),
    ),
    Example(
        name="a member that is gone and was closed is given back, and is no second primary",
        row=_row("it passes the truth check and its port"),
        machines=(SERVING, Machine(name="pg9", is_up=True, is_drained=True, noted=DRAIN)),
        commands=(f"set server {P}/pg9 health down", f"trunkline unstick {P}/pg9 drain"),
    ),
    Example(
        name="nobody looks after the sessions that a reload has left at a member of which nothing is known",
        row=_row("nothing else"),
        facts=(of("pg1", None), of("pg2", rest(writes("pg2")))),
        key=key("pg2"),
        machines=(Machine(name="pg1"), Machine(name="pg2", is_up=True)),
        old=((77, "pg1", 3), (77, "pg2", 1)),
        commands=(f"@!77 shutdown session of each at {P}/pg1",),
    ),
    Example(
        name="nor after those at one that a person has drained",
        row=_row("a person has set"),
        facts=(of("pg1", rest(answer("pg1"))), of("pg2", rest(writes("pg2")))),
        key=key("pg2"),
        machines=(Machine(name="pg1", is_up=True, is_drained=True), Machine(name="pg2", is_up=True)),
        old=((77, "pg1", 3),),
        commands=(f"@!77 shutdown session of each at {P}/pg1",),
    ),
    Example(
        name="a reload in a jam has left its sessions behind: they stay",
        row=_row("its API is silent, its PostgreSQL answers, and the leader key is its own"),
        facts=(of("pg1", SILENT, port(PortVerdict.ANSWERS)),),
        old=((77, "pg1", 3),),
        commands=(BAR_1,),
    ),
    Example(
        name="two have to go, and the second one does not wait for what may be refused of the first",
        row=_row("its API is silent, and the leader key is gone"),
        facts=(of("pg1", SILENT, port(PortVerdict.ANSWERS)), of("pg2", rest(answer("pg2")))),
        machines=(SERVING, Machine(name="pg2", is_up=True)),
        key=key(None),
        commands=(DOWN_1, f"trunkline close {P}/pg2", BAR_1),
    ),
    Example(
        name="a replica whose postmaster hangs",
        row=_row("it says that it runs", REPLICA_ROWS),
        facts=(of("pg1", rest(answer("pg1")), port(PortVerdict.SILENT)),),
        kind=ServiceKind.REPLICAS,
        commands=(CLOSE_1,),
    ),
    Example(
        name="the port of the primary, which has no business with replicas",
        row=_row("it answers, or nothing", REPLICA_ROWS),
        facts=(of("pg1", rest(writes("pg1")), port(PortVerdict.SILENT)),),
        machines=(Machine(name="pg1"),),
        kind=ServiceKind.REPLICAS,
        commands=(),
    ),
    Example(
        name="a replica whose name has another address",
        row=_row("Patroni has it at another address", REPLICA_ROWS),
        facts=(replace(of("pg1", SILENT, port(PortVerdict.ANSWERS)), address=THERE),),
        machines=(Machine(name="pg1", address=HERE, is_up=True),),
        kind=ServiceKind.REPLICAS,
        commands=(),
    ),
    Example(
        name="a replica that people have asked to drain",
        row=_row("people have asked", REPLICA_ROWS),
        facts=(REPLICA["pg1"],),
        asked=(drain(remaining_s=60.0), drain("pg9")),
        kind=ServiceKind.REPLICAS,
        commands=(CLOSE_1,),
    ),
    Example(
        name="and it is drained",
        row=_row("people have asked", REPLICA_ROWS),
        facts=(REPLICA["pg1"],),
        machines=(replace(SERVING, is_drained=True, noted=DRAIN),),
        asked=(drain(remaining_s=60.0),),
        kind=ServiceKind.REPLICAS,
        commands=(),
    ),
    Example(
        name="and it is silent meanwhile: its sessions do not need its checks",
        row=_row("people have asked", REPLICA_ROWS),
        facts=(of("pg1", SILENT, port(PortVerdict.ANSWERS)),),
        machines=(replace(SERVING, is_drained=True, is_suspended=True, noted=DRAIN | CHECKS),),
        asked=(drain(),),
        kind=ServiceKind.REPLICAS,
        commands=(FREE_1,),
    ),
    Example(
        name="a replica to be drained that is down: it shall not come up for a moment",
        row=_row("people have asked", REPLICA_ROWS),
        facts=(REPLICA["pg1"],),
        machines=(Machine(name="pg1"), Machine(name="pg2", is_up=True, is_drained=True, noted=DRAIN)),
        asked=(drain(),),
        kind=ServiceKind.REPLICAS,
        commands=(f"trunkline unstick {P}/pg2 drain", CLOSE_1),
    ),
    Example(
        name="its drain is over",
        row=_row("it answers, or nothing", REPLICA_ROWS),
        facts=(REPLICA["pg1"],),
        machines=(replace(SERVING, is_drained=True, noted=DRAIN),),
        asked=(drain(remaining_s=0.0),),
        kind=ServiceKind.REPLICAS,
        commands=(f"trunkline unstick {P}/pg1 drain",),
    ),
    Example(
        name="drained by hand before somebody has asked for it",
        row=_row("a person has set", REPLICA_ROWS),
        facts=(REPLICA["pg1"],),
        machines=(replace(SERVING, is_drained=True),),
        asked=(drain(),),
        kind=ServiceKind.REPLICAS,
        commands=(),
    ),
    Example(
        name="the drain of a member that is the primary",
        row=_row("it passes the truth check and its port"),
        asked=(drain(),),
        commands=(),
    ),
    Example(
        name="a member that is drained has left, with sessions: they may end in peace",
        row=_row("it answers, or nothing", REPLICA_ROWS),
        facts=(REPLICA["pg1"],),
        machines=(SERVING, Machine(name="pg9", is_up=True, is_drained=True, noted=DRAIN, sessions=3)),
        asked=(drain("pg9"),),
        kind=ServiceKind.REPLICAS,
        commands=(),
    ),
    Example(
        name="its sessions were told to end, and their clients take their time",
        row=_row("it answers that it is no primary"),
        facts=(of("pg1", rest(answer("pg1"))),),
        machines=(Machine(name="pg1", sessions=5),),
        endings=(Ending(server="pg1", worker_pid=None, sessions=5, age_s=0.2),),
        commands=(),
    ),
    Example(
        name="there are more than when they were told to end",
        row=_row("it answers that it is no primary"),
        facts=(of("pg1", rest(answer("pg1"))),),
        machines=(Machine(name="pg1", sessions=6),),
        endings=(Ending(server="pg1", worker_pid=None, sessions=5, age_s=0.2),),
        commands=(f"shutdown sessions server {P}/pg1",),
    ),
    Example(
        name="they are still there five seconds later",
        row=_row("it answers that it is no primary"),
        facts=(of("pg1", rest(answer("pg1"))),),
        machines=(Machine(name="pg1", sessions=5),),
        endings=(Ending(server="pg1", worker_pid=None, sessions=5, age_s=5.0),),
        commands=(f"shutdown sessions server {P}/pg1",),
    ),
    Example(
        name="a member that has left has sessions, and another is the primary",
        row=_row("it answers that it is no primary"),
        facts=(of("pg1", rest(answer("pg1"))), of("pg2", rest(writes("pg2", timeline=2)))),
        machines=(
            Machine(name="pg1"),
            Machine(name="pg2", is_up=True),
            Machine(name="pg9", is_up=True, is_drained=True, sessions=3),
        ),
        key=key("pg2"),
        commands=(f"shutdown sessions server {P}/pg9",),
    ),
    Example(
        name="a member that has left has sessions, and there is no other primary",
        row=_row("it answers that it is no primary"),
        facts=(of("pg1", rest(answer("pg1"))),),
        machines=(Machine(name="pg1"), Machine(name="pg9", is_up=True, is_drained=True, sessions=3)),
        key=key(None),
        commands=(),
    ),
    Example(
        name="somebody who is not known yet takes sessions",
        row=_row("it passes the truth check and its port"),
        machines=(Machine(name="pg1"), Machine(name="pg9", is_up=True, sessions=3)),
        facts=(of("pg1", rest(writes("pg1"))),),
        commands=(),
    ),
    Example(
        name="its port has refused, and now it says that it stops",
        row=_row("it answers that it is no primary"),
        facts=(of("pg1", rest(answer("pg1"))),),
        machines=(Machine(name="pg1", is_up=True, sessions=5, is_drained=True, noted=DRAIN),),
        commands=(DOWN_1, f"trunkline unstick {P}/pg1 drain"),
    ),
    Example(name="nothing is known", row=_row("nothing else"), facts=(of("pg1", None),), key=None, commands=()),
    Example(
        name="what was last said is too old",
        row=_row("nothing else"),
        facts=(of("pg1", rest(answer("pg1"), age_s=3.1)),),
        commands=(),
    ),
    Example(
        name="another passes, but this one is in by HAProxy's word and nothing is known of it",
        row=_row("nothing else"),
        facts=(of("pg1", None), of("pg2", rest(writes("pg2")))),
        key=None,
        commands=(),
    ),
    Example(
        name="a replica that is set to drain by hand",
        row=_row("a person", REPLICA_ROWS),
        machines=(Machine(name="pg1", is_up=True, is_drained=True),),
        kind=ServiceKind.REPLICAS,
        commands=(),
    ),
    Example(
        name="a replica with a silent API",
        row=_row("its API is silent, and its PostgreSQL answers", REPLICA_ROWS),
        facts=(of("pg1", SILENT, port(PortVerdict.ANSWERS)),),
        kind=ServiceKind.REPLICAS,
        commands=(BAR_1,),
    ),
    Example(
        name="a primary with a silent API, behind the replicas' port: its checks go on there",
        row=_row("its API is silent, its PostgreSQL answers, and HAProxy has it down", REPLICA_ROWS),
        facts=(of("pg1", SILENT, port(PortVerdict.ANSWERS)),),
        machines=(Machine(name="pg1"),),
        kind=ServiceKind.REPLICAS,
        commands=(),
    ),
    Example(
        name="a primary that HAProxy alone cannot ask, behind the replicas' port",
        row=_row("it answers, or nothing", REPLICA_ROWS),
        facts=(of("pg1", rest(writes("pg1")), silent_s=0.1),),
        machines=(Machine(name="pg1"),),
        kind=ServiceKind.REPLICAS,
        commands=(),
    ),
    Example(
        name="a frozen replica",
        row=_row("its API and its PostgreSQL are silent", REPLICA_ROWS),
        facts=(of("pg1", SILENT, port(PortVerdict.SILENT)),),
        kind=ServiceKind.REPLICAS,
        commands=(CLOSE_1,),
    ),
    Example(
        name="a replica that HAProxy alone cannot ask",
        row=_row("it answers, and HAProxy's own", REPLICA_ROWS),
        facts=(of("pg1", rest(answer("pg1")), silent_s=0.1),),
        kind=ServiceKind.REPLICAS,
        commands=(BAR_1,),
    ),
    Example(
        name="a replica that lags more than settings allow",
        row=_row("its replay is further", REPLICA_ROWS),
        facts=(of("pg1", replace(rest(answer("pg1")), lag_s=5.1)),),
        kind=ServiceKind.REPLICAS,
        lag_limit_s=5.0,
        commands=(CLOSE_1,),
    ),
    Example(
        name="a replica that lags a little",
        row=_row("it answers, or nothing", REPLICA_ROWS),
        facts=(of("pg1", replace(rest(answer("pg1")), lag_s=4.9)),),
        kind=ServiceKind.REPLICAS,
        lag_limit_s=5.0,
        commands=(),
    ),
    Example(
        name="a replica of which nobody can tell how far it is behind",
        row=_row("it answers, or nothing", REPLICA_ROWS),
        facts=(of("pg1", rest(answer("pg1"))),),
        machines=(Machine(name="pg1", is_up=True, is_drained=True, noted=DRAIN),),
        kind=ServiceKind.REPLICAS,
        lag_limit_s=5.0,
        commands=(f"trunkline unstick {P}/pg1 drain",),
    ),
    Example(
        name="a replica that answers",
        row=_row("it answers, or nothing", REPLICA_ROWS),
        facts=(of("pg1", rest(answer("pg1"))),),
        machines=(Machine(name="pg1", is_up=True, is_drained=True, noted=DRAIN),),
        kind=ServiceKind.REPLICAS,
        commands=(f"trunkline unstick {P}/pg1 drain",),
    ),
)
