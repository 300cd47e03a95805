"""What the agent knows at one moment, every fact with its age: the only input of `trunkline.plan.steering`.

Values only; ages are seconds at the moment of the cycle, so that the same facts are the same decision whenever they
are. Who gathers them: `trunkline.agent.watching`. What each means: the posture table in `trunkline.plan.posture`.
"""

from dataclasses import dataclass
from enum import StrEnum

from trunkline.model.cluster import MemberAnswer
from trunkline.model.desired import ServiceKind
from trunkline.model.intent import Asked
from trunkline.model.proxy import ProxyState


class PortVerdict(StrEnum):
    """How PostgreSQL's port took a startup packet.

    ANSWERS: with anything but 57P03, an authentication request or a refusal of the user included. CLOSING: 57P03, it
    starts up, shuts down or recovers. REFUSED: nobody listens. SILENT: no answer in time, from the kernel or after it.
    """

    ANSWERS = "answers"
    CLOSING = "closing"
    REFUSED = "refused"
    SILENT = "silent"


@dataclass(frozen=True, slots=True, kw_only=True)
class RestFact:
    """The last question to a member's REST API that has an outcome.

    `answer`: None where there was none, and `why` says why not. `age_s`: since the question was *sent*, so that an
    answer in flight is never younger than what overtook it; `took_s` later the answer was there. `lag_s`: how far its
    replay was behind then, 0 where it was not, None where nobody could tell. `well_s`: how long ago the first of the
    answers came that have passed the truth check ever since.
    """

    answer: MemberAnswer | None
    age_s: float
    why: str = ""
    took_s: float = 0.0
    lag_s: float | None = None
    well_s: float = 0.0

    @property
    def answered_s(self) -> float:
        """How long ago the answer came."""
        return self.age_s - self.took_s


@dataclass(frozen=True, slots=True, kw_only=True)
class PortFact:
    """The last probe of a member's PostgreSQL port that has an outcome; ages as with `RestFact`."""

    verdict: PortVerdict
    age_s: float
    took_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberFacts:
    """One member. `name` is Patroni's, `server` HAProxy's; None where nothing was asked yet.

    `address`: its PostgreSQL's, as "host:port"; "" where nobody cares. `check_silent_s`: how long ago a check of
    HAProxy's own had no answer from its API, where HAProxy has told so.
    """

    name: str
    server: str
    rest: RestFact | None = None
    port: PortFact | None = None
    check_silent_s: float | None = None
    address: str = ""


OTHER_MEMBERS = "other members"
"""The source of a leader key that no store has told: `GET /cluster` of whoever answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaderKey:
    """Who holds the leader lock, as the store says it or other members' `/cluster` do.

    `holder`: None where the store has no such key. `age_s`: since it was last known to be so. `remaining_s`: until the
    lease behind it ends unless it is renewed, where that can be read: never more than what is left.
    """

    holder: str | None
    age_s: float
    source: str
    remaining_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Workers:
    """Sessions of old workers, which no check ends any more: (pid, proxy, server, how many), sorted. `beside`: the
    worker that served when the master was asked, 0 where it was not: of what a later reload has left nothing is known.
    """

    sessions: tuple[tuple[int, str, str, int], ...] = ()
    pids: tuple[int, ...] = ()
    beside: int = 0


class Sticky(StrEnum):
    """What would outlive us in HAProxy, and therefore is leased: it is undone when we are no longer heard of.

    CHECKS: checks of the server are suspended. DRAIN: no new sessions. MAINT: out, without checks.
    """

    CHECKS = "checks"
    DRAIN = "drain"
    MAINT = "maint"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stuck:
    """One sticky thing that was set under our lease, as HAProxy itself remembers it; `age_s`: since we first saw it."""

    proxy: str
    server: str
    what: Sticky
    age_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """What HAProxy says at each renewal of the lease.

    `pid`: of the worker that answers; after a reload it is another, which knows of nothing stuck. `is_stopping`: a
    reload has left it behind. `held`: clients that wait, by proxy. `waited_ms`: the longest that one of them has waited
    by now, by proxy. `released`: (proxy, clients that have waited and wait no more since the renewal before, the
    longest wait of one of them in ms). `closed`: proxies whose ports refuse, because their hold has expired.
    """

    pid: int
    is_stopping: bool = False
    stuck: tuple[Stuck, ...] = ()
    held: tuple[tuple[str, int], ...] = ()
    waited_ms: tuple[tuple[str, int], ...] = ()
    released: tuple[tuple[str, int, int], ...] = ()
    closed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """HAProxy was told, so long ago, to end the sessions of a server; `sessions`: how many it had then.

    Their clients may take their time to hang up, and count as sessions until then; nothing passes any more.
    """

    server: str
    worker_pid: int | None
    sessions: int
    age_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """One service at one moment: everything that a decision about it may depend on.

    `state`: HAProxy's own backend. `stuck`: of this backend alone. `leader_key`: None where nobody could tell.
    `endings`: of late. `lag_limit_s`: a replica that is further behind gets no new sessions, None for any lag.
    `asked`: drains of members of this cluster, those that are over included.
    """

    scope: str
    kind: ServiceKind
    state: ProxyState
    members: tuple[MemberFacts, ...]
    stuck: tuple[Stuck, ...] = ()
    leader_key: LeaderKey | None = None
    workers: Workers = Workers()
    endings: tuple[Ending, ...] = ()
    lag_limit_s: float | None = None
    asked: tuple[Asked, ...] = ()

    def has_stuck(self, server: str, what: Sticky) -> bool:
        """Whether this was set under our lease."""
        return any(it.server == server and it.what is what for it in self.stuck)
