"""What a person is told: the object that `trunkline status` shows and `--json` prints (docs/status.md).

Values only; they are decided in `trunkline.plan.explain`. Names of fields are the keys of the JSON: outsiders build on
them, so they are added to and never renamed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from trunkline.model.cluster import Role
from trunkline.model.desired import ServiceKind
from trunkline.model.planned import AgentPlan
from trunkline.model.proxy import Health


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberInService:
    """One member in one service: what HAProxy says, what Patroni says, and why.

    `health`: None where HAProxy does not have this server. `check`: HAProxy's last check, as "L7OK 200".
    `takes_sessions`: HAProxy sends new sessions here. `qualifies`: Patroni's own answer to the same question lets it
    serve; None where it gave none. `agrees`: the two do not contradict each other. `reason`: why in or out, a sentence.
    `is_notable`: somebody may want to look at it; a replica behind the write port is not.
    """

    service: str
    kind: ServiceKind
    health: Health | None
    check: str
    sessions: int
    queued: int
    takes_sessions: bool
    qualifies: bool | None
    agrees: bool
    reason: str
    is_notable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberStatus:
    """One member. `role`, `state`, `timeline`, `lag_bytes`, `tags`: what the cluster says of it (`GET /cluster`), or
    itself where it knows better. `lag_s`: how old the last transaction is that it has replayed, None where it is not
    behind or nobody can tell. `problem`: why its own API gave no answer, "" when it did."""

    name: str
    address: str
    api_url: str
    role: Role
    state: str
    timeline: int | None
    lag_bytes: int | None
    lag_s: float | None = None
    tags: Mapping[str, object] = field(default_factory=dict)
    problem: str = ""
    services: tuple[MemberInService, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceStatus:
    """One port. `is_open`: HAProxy listens. `members`: who gets new sessions. `held`: clients that wait for a server.
    `sentence`: what a client gets here."""

    service: str
    kind: ServiceKind
    listens: tuple[str, ...]
    is_open: bool
    members: tuple[str, ...]
    sessions: int
    queued: int
    held: int
    sentence: str
    is_notable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainStatus:
    """A drain that somebody has asked for and that is not over. `since`, `until`: ISO 8601 with the zone of whoever has
    asked; `until`: None for one without an end. `sentence`: all of it in words."""

    member: str
    who: str
    since: str
    until: str | None
    why: str
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterStatus:
    """One cluster. `leader`: as the cluster says. `problem`: why no API of it was of use, "" when one was.
    `is_primary_reachable`: a client of the primary's port gets the primary. `drains`: by member."""

    scope: str
    leader: str | None
    is_paused: bool
    is_standby_cluster: bool
    scheduled_switchover: str
    problem: str
    is_primary_reachable: bool
    members: tuple[MemberStatus, ...]
    services: tuple[ServiceStatus, ...]
    drains: tuple[DrainStatus, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OldSessions:
    """Sessions that a worker, left behind by a reload, still has at one server. No check ends them; the agent does."""

    pid: int
    service: str
    server: str
    sessions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HAProxyStatus:
    """The HAProxy that was asked. `problem`: why it gave no answer, "" when it did. `old_workers`: their pids."""

    socket: str
    version: str
    pid: int | None
    uptime_s: int | None
    problem: str
    old_workers: tuple[int, ...] = ()
    old_sessions: tuple[OldSessions, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Everything. `is_primary_reachable`: of every cluster that has a port for its primary. `drains_problem`: why what
    people have asked for cannot be read, "" when it can. `agent`: None where nobody has asked what it has decided."""

    is_primary_reachable: bool
    haproxy: HAProxyStatus
    clusters: tuple[ClusterStatus, ...]
    drains_problem: str = ""
    agent: AgentPlan | None = None
