"""What a cluster's answers mean: who leads, and who is not well. Pure; asking is `trunkline.lab.cluster`."""

from collections.abc import Mapping
from dataclasses import dataclass

from trunkline.lab.api import Answer


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberHealth:
    """One member: Patroni's words for it, and whether a query just run there proves them."""

    name: str
    role: str = "unknown"
    state: str = "silent"
    timeline: int | None = None
    lag_bytes: int | None = None
    takes_writes: bool = False
    is_replaying: bool = False
    is_streaming: bool = False
    lists_as: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterHealth:
    """All members, sorted by name."""

    members: tuple[MemberHealth, ...]

    @property
    def leader(self) -> str | None:
        """The one that proves that it takes writes and holds the leader lock."""
        leaders = [m.name for m in self.members if m.takes_writes]
        return leaders[0] if len(leaders) == 1 else None

    @property
    def unwell(self) -> tuple[str, ...]:
        """Who is neither the leader nor streams from it on its timeline."""
        timeline = next((m.timeline for m in self.members if m.name == self.leader), None)
        return tuple(
            m.name
            for m in self.members
            if m.name != self.leader and not (m.is_replaying and m.is_streaming and m.timeline == timeline is not None)
        )

    @property
    def is_healthy(self) -> bool:
        """A leader, and everybody else streams from it."""
        return self.leader is not None and not self.unwell

    @property
    def in_words(self) -> str:
        """Everybody in one line."""
        return ", ".join(f"{m.name} {m.role} {m.lists_as or m.state}" for m in self.members)


def judge(answers: Mapping[str, Answer], listing: Answer) -> ClusterHealth:
    """From each member's own `GET /patroni` and one `GET /cluster`."""
    raw = listing.body.get("members")
    rows = {str(row.get("name")): row for row in raw if isinstance(row, dict)} if isinstance(raw, list) else {}
    return ClusterHealth(members=tuple(_member(name, answers[name], rows.get(name, {})) for name in sorted(answers)))


def _member(name: str, answer: Answer, row: Mapping[str, object]) -> MemberHealth:
    body = answer.body
    xlog = body.get("xlog")
    location = xlog if isinstance(xlog, dict) else {}
    listed_role = str(row.get("role", ""))
    return MemberHealth(
        name=name,
        role=str(body.get("role") or listed_role or "unknown"),
        state=str(body.get("state", "silent")),
        timeline=_number(body.get("timeline")),
        lag_bytes=_number(row.get("lag")),
        takes_writes="location" in location and listed_role in ("leader", "master", "primary", "standby_leader"),
        is_replaying="replayed_location" in location,
        is_streaming=body.get("replication_state") == "streaming",
        lists_as=str(row.get("state", "")),
    )


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
