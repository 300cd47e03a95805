"""What Patroni says of a cluster: members, roles, dynamic configuration.

Values only. Parsing is in `trunkline.wire.patroni`; fetching is in `trunkline.adapters.patroni_rest`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Role(StrEnum):
    """A member's role, in Patroni's words of 4.x; 3.0's `master` is read as PRIMARY."""

    PRIMARY = "primary"
    STANDBY_LEADER = "standby_leader"
    SYNC_STANDBY = "sync_standby"
    QUORUM_STANDBY = "quorum_standby"
    REPLICA = "replica"
    UNKNOWN = "unknown"

    @property
    def is_leader(self) -> bool:
        """Whether this role holds the leader lock: the primary, or the leader of a standby cluster."""
        return self in (Role.PRIMARY, Role.STANDBY_LEADER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One member as `GET /cluster` lists it: the DCS view, up to one HA loop old.

    `host`, `port`: where PostgreSQL listens. `api_url`: its REST API, e.g. `http://10.0.0.11:8008/patroni`.
    `state`: Patroni's word ("running", "streaming", "stopped", ...), kept as text since new ones appear.
    `lag_bytes`: None when Patroni says "unknown" or nothing.
    """

    name: str
    host: str
    port: int
    api_url: str
    role: Role = Role.UNKNOWN
    state: str = "unknown"
    timeline: int | None = None
    lag_bytes: int | None = None
    tags: Mapping[str, object] = field(default_factory=dict)
    proxy_url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduledSwitchover:
    """`scheduled_switchover` of `/cluster`: `at` is Patroni's ISO 8601 text; `to_member` may be left open."""

    at: str
    from_member: str | None = None
    to_member: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DynamicConfig:
    """What `GET /config` says that matters to a load balancer, with Patroni's own defaults where it says nothing.

    `ttl_s`, `loop_wait_s`: seconds. `max_connections` and the reserved ones are PostgreSQL's; Patroni lets
    `max_connections` be set in the dynamic configuration alone, so the value here is the one in force.
    """

    ttl_s: float = 30.0
    loop_wait_s: float = 10.0
    max_connections: int = 100
    superuser_reserved_connections: int = 3
    reserved_connections: int = 0
    is_standby_cluster: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterView:
    """One cluster as its members describe it; `members` sorted by name."""

    scope: str
    members: tuple[Member, ...]
    config: DynamicConfig = field(default_factory=DynamicConfig)
    is_paused: bool = False
    scheduled_switchover: ScheduledSwitchover | None = None

    @property
    def leader(self) -> Member | None:
        """The member that holds the leader lock according to the DCS, if any."""
        return next((member for member in self.members if member.role.is_leader), None)

    @property
    def is_standby_cluster(self) -> bool:
        """Whether no member of it takes writes: it follows another cluster."""
        return self.config.is_standby_cluster or any(m.role is Role.STANDBY_LEADER for m in self.members)


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberAnswer:
    """What one member's own REST API says of itself: `GET /patroni`, or the body of any role check.

    `status_code`: of the role check that was asked. `writes_location`: `xlog.location`, which is there only when a
    query just ran and the server is not in recovery. `replay_location`: `xlog.replayed_location` likewise in
    recovery. Together with the status code these are the truth check (docs/adr/0004). `replayed_at`: when the last
    transaction that it has replayed was committed, in seconds since the epoch. `streaming`: who streams from it, by the
    names that they give themselves: those of members, and of whatever else reads its WAL.
    """

    scope: str
    name: str
    role: Role
    state: str
    patroni_version: str
    status_code: int
    server_version: int | None = None
    timeline: int | None = None
    writes_location: int | None = None
    replay_location: int | None = None
    replayed_at: float | None = None
    streaming: frozenset[str] = frozenset()

    @property
    def accepts_writes(self) -> bool:
        """The truth check for the primary; it holds for an answer to `GET /primary` only."""
        return self.status_code == 200 and self.writes_location is not None
