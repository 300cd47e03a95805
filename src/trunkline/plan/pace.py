"""How closely to look: at rest, at a member that is silent, or at a picture that is about to change. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from trunkline.model.facts import LeaderKey
from trunkline.plan.posture import KEY_FRESH_S, Stance
from trunkline.plan.steering import Judgement

LONG_BURST_S, ENDLESS_BURST_S = 10.0, 60.0
ASIDE_S = 0.05
"""Who does not hold the leader key will not be the primary before it does: it is not asked more often than that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Seconds between two questions. `port_s`, `key_s`: None where they are not asked of our own accord."""

    name: str
    rest_s: float
    port_s: float | None
    key_s: float | None


AT_REST = Pace(name="rest", rest_s=1.0, port_s=None, key_s=None)
WATCHFUL = Pace(name="watchful", rest_s=0.25, port_s=0.5, key_s=0.25)
BURST = Pace(name="burst", rest_s=0.01, port_s=0.1, key_s=0.05)
LONG_BURST = Pace(name="long burst", rest_s=0.03, port_s=0.25, key_s=0.1)


def choose_pace(judgements: Sequence[Judgement], *, has_hint: bool, bursting_s: float) -> Pace:
    """`judgements`: of the primary's service; `has_hint`: something has just said that there is news; `bursting_s`:
    for how long the picture has been in flux."""
    is_served = any(it.case.winner == it.name and it.case.server.takes_sessions for it in judgements)
    is_kept = any(it.stance in (Stance.KEPT, Stance.CLOSED) for it in judgements)
    if has_hint or not (is_served or is_kept):
        if bursting_s > ENDLESS_BURST_S:
            return WATCHFUL
        return LONG_BURST if bursting_s > LONG_BURST_S else BURST
    has_silence = any(it.case.is_silent or it.case.is_odd or it.case.is_check_silent for it in judgements)
    return WATCHFUL if is_kept or has_silence else AT_REST


def rest_pause_s(pace: Pace, member: str, key: LeaderKey | None) -> float:
    """How long between two questions to this member's API: the members that matter in a burst are those that may be the
    primary, and of them the store tells. Where it does not, all are."""
    if key is None or key.age_s > KEY_FRESH_S or key.holder == member:
        return pace.rest_s
    return max(pace.rest_s, ASIDE_S)
