"""What the agent knows at one moment, every fact with its age: the only input of `trunkline.plan.steering`.

Values only; ages are seconds at the moment of the cycle, so that the same facts are the same decision whenever they
are. Who gathers them: `trunkline.agent.watching`. What each means: the posture table in `trunkline.plan.posture`.
"""

from dataclasses import dataclass
from enum import StrEnum

from trunkline.model.cluster import MemberAnswer


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
    answer in flight is never younger than what overtook it.
    """

    answer: MemberAnswer | None
    age_s: float
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PortFact:
    """The last probe of a member's PostgreSQL port; `age_s` since it was sent."""

    verdict: PortVerdict
    age_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberFacts:
    """One member. `name` is Patroni's; None where nothing was asked yet."""

    name: str
    rest: RestFact | None = None
    port: PortFact | None = None


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
    """Sessions of old workers, which no check ends any more: (pid, proxy, server, how many), sorted."""

    sessions: tuple[tuple[int, str, str, int], ...] = ()
    pids: tuple[int, ...] = ()


class Sticky(StrEnum):
    """What would outlive us in HAProxy, and therefore is leased: it is undone when we are no longer heard of.

    CHECKS: checks of the server are suspended. DRAIN: no new sessions. MAINT: out, without checks.
    """

    CHECKS = "checks"
    DRAIN = "drain"
    MAINT = "maint"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stuck:
    """One sticky thing that was set under our lease, as HAProxy itself remembers it."""

    proxy: str
    server: str
    what: Sticky


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """What HAProxy says at each renewal of the lease.

    `pid`: of the worker that answers; after a reload it is another, which knows of nothing stuck. `is_stopping`: a
    reload has left it behind. `held`: clients that wait, by proxy. `waited_ms`: the longest that one of them has waited
    by now, by proxy. `closed`: proxies whose ports refuse, because their hold has expired.
    """

    pid: int
    is_stopping: bool = False
    stuck: tuple[Stuck, ...] = ()
    held: tuple[tuple[str, int], ...] = ()
    waited_ms: tuple[tuple[str, int], ...] = ()
    closed: tuple[str, ...] = ()
