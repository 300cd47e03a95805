"""The receipt of one role change: what was seen when, what was done when, and what it meant for clients.

Values only; field names are the keys of `trunkline history --json` (docs/history.md): added to, never renamed.
Moments are seconds since the epoch (`at_s`).
"""

from dataclasses import dataclass
from enum import StrEnum

from trunkline.model.facts import LeaderKey, MemberFacts


class Sight(StrEnum):
    """What can be seen in a role change, in the order in which it is usual.

    LAST_GOOD: the old primary's last answer that passed the truth check. GAP_BEGAN: HAProxy sends nobody there any
    more. PORT_DEAD: the old primary's PostgreSQL port no longer answers. LOCK_LOST, LOCK_WON: of the leader key.
    PROMOTED: the query has run whose answer is the new primary's first that passes the truth check. SERVED: HAProxy
    sends sessions to it. HEALTHY: HAProxy's own check of it has passed.
    """

    LAST_GOOD = "last good answer"
    PORT_DEAD = "port dead"
    LOCK_LOST = "lock lost"
    GAP_BEGAN = "gap began"
    LOCK_WON = "lock won"
    PROMOTED = "promoted"
    SERVED = "served"
    HEALTHY = "first healthy check"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """One thing that was seen of a member."""

    at_s: float
    what: Sight
    member: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """One command that was performed, or refused (`refusal` in HAProxy's words)."""

    at_s: float
    command: str
    reason: str
    refusal: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """One role change of the primary of one service.

    `old`, `new`: Patroni's names, None where there was none before. `timeline_before`, `timeline_after`: PostgreSQL's.
    `is_planned`: whether the old primary was seen shutting down in order. `sessions_ended`: sessions to a server that
    was no longer the primary, in any worker. `held`: clients that had to wait, `longest_wait_s`: of them. `gap_s`: how
    long nobody was served here. `blind_s`: the longest while in it in which the agent did not look, so that moments
    after it may be late by as much; 0 where it looked all the time.
    """

    scope: str
    service: str
    old: str | None
    new: str
    began_at_s: float
    ended_at_s: float
    is_planned: bool
    timeline_before: int | None = None
    timeline_after: int | None = None
    gap_s: float = 0.0
    sessions_ended: int = 0
    held: int = 0
    longest_wait_s: float = 0.0
    blind_s: float = 0.0
    sightings: tuple[Sighting, ...] = ()
    deeds: tuple[Deed, ...] = ()

    def moment(self, what: Sight) -> float | None:
        """When this was seen, if it was."""
        return next((it.at_s for it in self.sightings if it.what is what), None)

    @property
    def reroute_s(self) -> float | None:
        """From the promotion to the first session that HAProxy would have sent there; None where one was not seen."""
        promoted_s, served_s = self.moment(Sight.PROMOTED), self.moment(Sight.SERVED)
        return None if promoted_s is None or served_s is None else max(0.0, served_s - promoted_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Glimpse:
    """What one cycle of the agent has seen and done for the primary of one cluster: what receipts are made of.

    `at_s`: of the cycle, seconds since the epoch; ages in facts count back from it. `serving`: members that HAProxy
    sends new sessions to, by their Patroni names; `healthy`: those of them that HAProxy's own check has passed.
    `deeds`: performed or refused in this cycle. `ended`: sessions that are gone from servers which must not have them;
    `left`: those that are still there. `held`: clients that wait now; `released`: those that have waited, and wait no
    more since the cycle before; `longest_wait_s`: of both.
    """

    at_s: float
    serving: tuple[str, ...]
    healthy: tuple[str, ...]
    members: tuple[MemberFacts, ...]
    leader_key: LeaderKey | None
    deeds: tuple[Deed, ...] = ()
    ended: int = 0
    left: int = 0
    held: int = 0
    released: int = 0
    longest_wait_s: float = 0.0
