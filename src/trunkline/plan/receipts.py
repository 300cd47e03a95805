"""From what each cycle has seen to the receipt of a role change. Pure: `advance` is called with every cycle.

A change begins when the primary that was served is out, or another is served. It is over when one is served, healthy,
and a moment has passed in which late facts come in; or when the one that came is out again, which begins the next. The
same member back at once, with nothing seen to have happened to it, is no change. What was not seen is not in the
receipt: nothing is made up for an agent that came late. Moments come from the ages of facts (`tracks`), not of cycles.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from trunkline.model.receipt import Deed, Glimpse, Receipt, Sight, Sighting
from trunkline.plan.tracks import SIGN_S, Lock, Track, locked, tracked

SETTLED_S = 1.0
"""So long after the new primary is served late facts belong to the change."""

UNHEALTHY_S = 5.0
"""So long a new primary that is served is waited for until a check of HAProxy's own has passed, and until the sessions
of the old one are gone, which are in the receipt only once HAProxy no longer counts them."""

ODD_S = 1.0
"""A member that is back sooner, and was not seen down, has had no role change."""

LOOKED_S = 2.0
"""Cycles further apart than this have not looked in between."""

AT_ONCE_S = 0.3
"""A port may be found dead so long before the API says that this is in order; and HAProxy have somebody out so long
before, or after, the API no longer says that all is well."""

STEP_S = 1.0
"""A clock that is set back by more has made every moment before it meaningless."""

MOST_DEEDS = 200
ORDER = {what: number for number, what in enumerate(Sight)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """Deeds and what came of them, of one cycle or of many."""

    deeds: tuple[Deed, ...] = ()
    ended: int = 0
    released: int = 0
    held: int = 0
    longest_wait_s: float = 0.0

    def plus(self, glimpse: Glimpse) -> "Done":
        """With what another cycle has done."""
        return Done(
            deeds=(*self.deeds, *glimpse.deeds)[:MOST_DEEDS],
            ended=self.ended + glimpse.ended,
            released=self.released + glimpse.released,
            held=self.released + glimpse.released + glimpse.held,
            longest_wait_s=max(self.longest_wait_s, glimpse.longest_wait_s),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A role change that is under way. `old`: None where nobody was served when we began to look. `gap_s`: the moment
    from which nobody was served; `new`, `served_s`, `healthy_s`: who is served since, and how it went on;
    `promoted_s`: when it was promoted, and `before_s`: its last good answer before that, if it is the old one itself.
    `dead_s`, `good_s`: when the port of the old one was first found dead, and its last good answer when it was out.
    """

    old: str | None
    timeline: int | None = None
    began_s: float
    gap_s: float | None = None
    new: str | None = None
    served_s: float | None = None
    healthy_s: float | None = None
    promoted_s: float | None = None
    before_s: float | None = None
    dead_s: float | None = None
    good_s: float | None = None
    blind_s: float = 0.0
    done: Done = Done()


@dataclass(frozen=True, slots=True, kw_only=True)
class RecorderState:
    """What is kept from one cycle to the next; a new recorder knows `scope` and `service` alone.

    `primary`: who was served last, since `since_s`. `before`: the last cycle.
    """

    scope: str
    service: str
    primary: str | None = None
    since_s: float = 0.0
    change: Change | None = None
    before: Glimpse | None = None
    tracks: tuple[Track, ...] = ()
    lock: Lock = field(default=Lock())
    quiet: tuple[Deed, ...] = ()

    def track(self, name: str | None) -> Track | None:
        """What was seen of this member."""
        return next((track for track in self.tracks if track.name == name), None)


def advance(state: RecorderState, glimpse: Glimpse) -> tuple[RecorderState, Receipt | None]:
    """The next state, and the receipt of a change that is over with this glimpse."""
    if state.before is not None and glimpse.at_s < state.before.at_s - STEP_S:
        state = RecorderState(scope=state.scope, service=state.service, primary=state.primary)
    change = state.change
    kept = (state.primary, change.old, change.new) if change else (state.primary,)
    state = replace(
        state,
        tracks=tracked(state.tracks, glimpse, kept),
        lock=locked(state.lock, glimpse.leader_key, glimpse.at_s),
    )
    state, receipt = _changing(state, state.change, glimpse) if state.change else (_quiet(state, glimpse), None)
    return replace(state, before=glimpse), receipt


def resume(kept: Iterable[Receipt], scope: str, service: str) -> RecorderState:
    """The state of a recorder that begins now: whoever was primary in the last of these receipts is the one to compare
    with, and nobody has looked since."""
    last = next((it for it in reversed(tuple(kept)) if (it.scope, it.service) == (scope, service)), None)
    if last is None:
        return RecorderState(scope=scope, service=service)
    seen = Glimpse(at_s=last.ended_at_s, serving=(last.new,), healthy=(), members=(), leader_key=None)
    known = Track(name=last.new, server="", timeline=last.timeline_after)
    return RecorderState(
        scope=scope, service=service, primary=last.new, since_s=last.ended_at_s, before=seen, tracks=(known,)
    )


def _quiet(state: RecorderState, glimpse: Glimpse) -> RecorderState:
    """No change is under way: does one begin with this?"""
    if state.primary is None and glimpse.serving:
        return _served(state, glimpse.serving[0], glimpse.at_s)
    track = state.track(state.primary)
    if glimpse.serving == (state.primary,):
        recent = (deed for deed in (*state.quiet, *glimpse.deeds) if deed.at_s >= glimpse.at_s - SIGN_S)
        own = (
            deed for deed in recent if track is not None and f"{state.service}/{track.server}" in deed.command.split()
        )
        return replace(state, quiet=tuple(own)[-MOST_DEEDS:])
    change = Change(
        old=state.primary,
        timeline=track.timeline if track else None,
        began_s=glimpse.at_s,
        done=Done(deeds=state.quiet),
    )
    return replace(state, change=_gathered(state, change, glimpse), quiet=())


def _changing(state: RecorderState, change: Change, glimpse: Glimpse) -> tuple[RecorderState, Receipt | None]:
    """A change is under way: does it end with this?"""
    if change.new is not None and change.new not in glimpse.serving:
        state, receipt = _over(state, change)
        return _quiet(state, glimpse), receipt
    change = _gathered(state, change, glimpse)
    state = replace(state, change=change)
    if change.new is None and change.gap_s is None and change.old is not None and glimpse.serving == (change.old,):
        return replace(state, change=None, quiet=change.done.deeds), None  # a rival came and went
    if change.new is None or change.served_s is None or (glimpse.serving != (change.new,)):
        return state, None
    waited_s = glimpse.at_s - change.served_s
    is_complete = change.healthy_s is not None and not glimpse.left
    if waited_s < (SETTLED_S if is_complete else UNHEALTHY_S):
        return state, None
    return _over(state, change)


def _over(state: RecorderState, change: Change) -> tuple[RecorderState, Receipt | None]:
    """The change has ended: from now on the new primary is the one that is served."""
    new, served_s = change.new or "", change.served_s if change.served_s is not None else change.began_s
    receipt = _receipt(state, change, new, served_s) if _is_worth_telling(state, change, served_s) else None
    return _served(state, new, served_s), receipt


def _served(state: RecorderState, name: str, since_s: float) -> RecorderState:
    tracks = tuple(track.forgiven() if track.name == name else track for track in state.tracks)
    lock = replace(state.lock, moves=())
    return replace(state, primary=name, since_s=since_s, change=None, tracks=tracks, lock=lock, quiet=())


def _gathered(state: RecorderState, change: Change, glimpse: Glimpse) -> Change:
    """The change with everything that this cycle adds to it."""
    before = state.before
    blind_s = glimpse.at_s - before.at_s if before is not None else 0.0
    change = replace(
        change,
        blind_s=max(change.blind_s, blind_s if blind_s > LOOKED_S else 0.0),
        done=change.done.plus(glimpse),
    )
    old = state.track(change.old)
    if change.gap_s is None and change.old not in glimpse.serving:
        gap_s = _steered(state, change.old, glimpse, is_up=False) or glimpse.at_s
        change = replace(change, gap_s=gap_s, good_s=old.good_s if old is not None else None)
    if change.dead_s is None and old is not None:
        change = replace(change, dead_s=_recent(state, change, old.dead_s))
    came = _who_came(change, glimpse)
    if change.new is None and came is not None:
        change = replace(change, new=came, served_s=_steered(state, came, glimpse, is_up=True) or glimpse.at_s)
    if change.new is not None and change.promoted_s is None:
        change = _promoted(state, change, state.track(change.new))
    if change.new is not None and change.healthy_s is None and change.new in glimpse.healthy:
        change = replace(change, healthy_s=max(glimpse.at_s, change.served_s or 0.0))
    return change


def _promoted(state: RecorderState, change: Change, track: Track | None) -> Change:
    """The change with the promotion of the one that came, once it is seen: later odd answers are none. It was before it
    was served. Where it is the old one itself, it was well until the gap, and has been promoted in it."""
    first_s = _recent(state, change, track.first_good_s) if track is not None else None
    if track is None or first_s is None:
        return change
    if change.new == change.old and change.gap_s is not None:
        before_s = track.before_s if track.before_s is not None else -math.inf
        if first_s < change.gap_s - AT_ONCE_S or before_s > change.gap_s + AT_ONCE_S:
            return change
    served_s = change.served_s if change.served_s is not None else first_s
    return replace(change, promoted_s=min(first_s, served_s), before_s=track.before_s)


def _who_came(change: Change, glimpse: Glimpse) -> str | None:
    """Another than the old primary, or itself, once it was out. Two at once are nobody: HAProxy serves neither."""
    if len(glimpse.serving) != 1:
        return None
    name = glimpse.serving[0]
    return name if name != change.old or change.gap_s is not None else None


def _steered(state: RecorderState, name: str | None, glimpse: Glimpse, *, is_up: bool) -> float | None:
    """When a command of the cycle before has let this member in, or shut it out: earlier than it was seen."""
    track = state.track(name)
    if track is None or state.before is None:
        return None
    server = f"{state.service}/{track.server}"
    words = (f"set server {server} health up", f"trunkline unstick {server} drain")
    if not is_up:
        words = (f"set server {server} health down", f"trunkline stick {server} drain")
    did = [deed.at_s for deed in state.before.deeds if deed.command in words and not deed.refusal]
    return min(did[0], glimpse.at_s) if did else None


def _is_worth_telling(state: RecorderState, change: Change, served_s: float) -> bool:
    """Not where the same one is back at once and nothing was seen of it, nor where nobody was seen to be promoted."""
    if change.old is None:
        return change.promoted_s is not None
    if change.new != change.old or change.done.ended:
        return True
    track = state.track(change.old)
    was_down = track is not None and (change.dead_s is not None or _recent(state, change, track.down_s) is not None)
    return was_down or served_s - (change.gap_s or change.began_s) >= ODD_S


def _receipt(state: RecorderState, change: Change, new: str, served_s: float) -> Receipt:
    seen = sorted(_sightings(state, change, new, served_s), key=lambda it: (it.at_s, ORDER[it.what]))
    began_s = min(it.at_s for it in seen if it.what is not Sight.LAST_GOOD)
    began_s = began_s if change.gap_s is None else min(began_s, change.gap_s)
    old, track = state.track(change.old), state.track(new)
    return Receipt(
        scope=state.scope,
        service=state.service,
        old=change.old,
        new=new,
        began_at_s=began_s,
        ended_at_s=seen[-1].at_s,
        is_planned=old is not None and _is_planned(state, change, old),
        timeline_before=change.timeline,
        timeline_after=track.timeline if track is not None else None,
        gap_s=0.0 if change.gap_s is None else max(0.0, served_s - change.gap_s),
        sessions_ended=change.done.ended,
        held=change.done.held,
        longest_wait_s=change.done.longest_wait_s,
        blind_s=change.blind_s,
        sightings=tuple(seen),
        deeds=change.done.deeds,
    )


def _sightings(state: RecorderState, change: Change, new: str, served_s: float) -> Iterator[Sighting]:
    old = state.track(change.old)
    if old is not None:
        own_s = change.before_s if change.promoted_s is not None else change.good_s
        good_s = own_s if new == old.name else old.good_s
        if good_s is not None:
            yield Sighting(at_s=good_s, what=Sight.LAST_GOOD, member=old.name)
        if change.dead_s is not None:
            yield Sighting(at_s=change.dead_s, what=Sight.PORT_DEAD, member=old.name)
    if change.old is not None and change.gap_s is not None:
        yield Sighting(at_s=change.gap_s, what=Sight.GAP_BEGAN, member=change.old)
    yield from _lock_moves(state, change, new)
    if change.promoted_s is not None:
        yield Sighting(at_s=change.promoted_s, what=Sight.PROMOTED, member=new)
    yield Sighting(at_s=served_s, what=Sight.SERVED, member=new)
    if change.healthy_s is not None:
        yield Sighting(at_s=change.healthy_s, what=Sight.HEALTHY, member=new)


def _lock_moves(state: RecorderState, change: Change, new: str) -> Iterator[Sighting]:
    """The first loss of the old one, the last win of the new one."""
    moves = [it for it in state.lock.moves if _recent(state, change, it.at_s) is not None]
    lost = [it for it in moves if it.what is Sight.LOCK_LOST and it.member == change.old]
    won = [it for it in moves if it.what is Sight.LOCK_WON and it.member == new]
    yield from lost[:1]
    yield from won[-1:]


def _is_planned(state: RecorderState, change: Change, old: Track) -> bool:
    """It was seen to be stopped in order, and had not been gone before."""
    stopping_s, gone_s = _recent(state, change, old.stopping_s), _recent(state, change, old.gone_s)
    return stopping_s is not None and (gone_s is None or stopping_s <= gone_s + AT_ONCE_S)


def _recent(state: RecorderState, change: Change, at_s: float | None) -> float | None:
    """A moment that may belong to this change."""
    begin_s = max(state.since_s, change.began_s - SIGN_S)
    return at_s if at_s is not None and at_s >= begin_s else None
