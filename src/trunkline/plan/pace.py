"""How closely to look: at rest, at a member that is silent, or at a picture that is about to change. Pure.

One cluster costs next to nothing; an agent of hundreds shares out what it may ask (docs/adr/0013).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from trunkline.model.desired import ServiceKind
from trunkline.model.facts import LeaderKey
from trunkline.plan.posture import KEY_FRESH_S, Stance
from trunkline.plan.steering import Judgement

LONG_BURST_S, ENDLESS_BURST_S = 10.0, 60.0
ASIDE_S = 0.05
"""Who does not hold the leader key will not be the primary before it does: it is not asked more often than that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Seconds between two questions: `rest_s` to an API, `primary_s` to that of the primary. `port_s`, `key_s`: None
    where they are not asked of our own accord."""

    name: str
    rest_s: float
    primary_s: float
    port_s: float | None
    key_s: float | None


AT_REST = Pace(name="rest", rest_s=1.5, primary_s=0.45, port_s=None, key_s=None)
WATCHFUL_PORT_S, WATCHFUL_KEY_S = 0.5, 0.25
WATCHFUL = Pace(name="watchful", rest_s=0.25, primary_s=0.25, port_s=WATCHFUL_PORT_S, key_s=WATCHFUL_KEY_S)
BURST = Pace(name="burst", rest_s=0.01, primary_s=0.01, port_s=0.1, key_s=0.05)
LONG_BURST = Pace(name="long burst", rest_s=0.03, primary_s=0.03, port_s=0.25, key_s=0.1)

AT_REST_PER_S = 900.0
"""So many questions a second all APIs of all clusters together are asked at rest: with more members, replicas are
asked less often."""

SELDOM_S = 1.9
"""Never less often than that: their answers would be stale before the next one that does not come in time
(`posture.REST_FRESH_S`)."""

MEMBERS_PER_BURST_S = 10_000.0
"""A burst of one cluster among a thousand members asks every 100 ms, one among up to 100 every 10 ms."""


def shared(pace: Pace, *, clusters: int, members: int) -> Pace:
    """The same pace for one of so many clusters, which have so many members together."""
    if pace is AT_REST:
        left_per_s = AT_REST_PER_S - clusters / pace.primary_s
        fair_s = (members - clusters) / left_per_s if left_per_s > 0 else SELDOM_S
        return replace(pace, rest_s=min(SELDOM_S, max(pace.rest_s, fair_s)))
    slower = max(1.0, min(WATCHFUL.rest_s, members / MEMBERS_PER_BURST_S) / pace.rest_s)
    return replace(
        pace,
        rest_s=pace.rest_s * slower,
        primary_s=pace.primary_s * slower,
        port_s=None if pace.port_s is None else max(pace.port_s, min(pace.port_s * slower, WATCHFUL_PORT_S)),
        key_s=None if pace.key_s is None else max(pace.key_s, min(pace.key_s * slower, WATCHFUL_KEY_S)),
    )


def is_in_flux(judgements: Sequence[Judgement], kind: ServiceKind, *, has_hint: bool) -> bool:
    """Whether a burst is wanted, for as long as it may last: something has just said that there is news, or there is
    nobody at the primary's port."""
    if has_hint or kind is not ServiceKind.PRIMARY:
        return has_hint
    is_served = any(it.case.winner == it.name and it.case.server.takes_sessions for it in judgements)
    return not (is_served or any(it.stance in (Stance.KEPT, Stance.CLOSED) for it in judgements))


def choose_pace(judgements: Sequence[Judgement], kind: ServiceKind, *, has_hint: bool, bursting_s: float) -> Pace:
    """`judgements`: of the primary's service, or of another where there is none; `has_hint`: something has just said
    that there is news; `bursting_s`: for how long the picture has been in flux."""
    if is_in_flux(judgements, kind, has_hint=has_hint):
        if bursting_s > ENDLESS_BURST_S:
            return WATCHFUL
        return LONG_BURST if bursting_s > LONG_BURST_S else BURST
    is_kept = any(it.stance in (Stance.KEPT, Stance.CLOSED) for it in judgements)
    has_silence = any(it.case.is_silent or it.case.is_odd or it.case.is_check_silent for it in judgements)
    return WATCHFUL if is_kept or has_silence else AT_REST


def rest_pause_s(pace: Pace, member: str, key: LeaderKey | None, *, may_be_primary: bool) -> float:
    """How long between two questions to this member's API. The members that matter in a burst are those that may become
    the primary, and of them the store tells: who has the leader key. Where it does not, all may."""
    if pace.key_s is None:
        return pace.primary_s if may_be_primary else pace.rest_s
    if key is None or key.age_s > KEY_FRESH_S or key.holder == member:
        return pace.primary_s
    return max(pace.rest_s, ASIDE_S)
