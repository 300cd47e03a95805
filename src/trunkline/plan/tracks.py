"""What was seen of each member and of the leader lock, in moments: kept from one cycle to the next for receipts.

Pure. A fact is seen in many cycles with a growing age; here it is one moment. What follows from moments is `receipts`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from trunkline.model.cluster import MemberAnswer
from trunkline.model.facts import LeaderKey, MemberFacts, PortFact, PortVerdict, RestFact
from trunkline.model.receipt import Glimpse, Sight, Sighting

SIGN_S = 60.0
"""A sign that is older than this when the gap begins is no part of the change."""

ONE_SERIES_S = 5.0
"""Probes of a port that are further apart say nothing about what was between them."""

SAME_S = 0.001
"""Moments that are closer are the same fact: its age is counted by another clock."""

IN_ORDER = frozenset({"stopping", "stopped", "restarting"})
"""States in which Patroni ends PostgreSQL, or has ended it, as somebody wished."""

QUERIED = 2 / 3
"""How far the query is from question to answer. Where those are far apart, Patroni logs in first, to a PostgreSQL that
has just started. Against a witness of 14 kills this was 9 ms off on average (31 at most)."""

DOWN = IN_ORDER | {"starting", "crashed", "start failed", "initdb failed"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """One member. All are moments, None where nothing of the kind was seen.

    `good_s`: its last answer that passed the truth check. `first_good_s`: when the query of the first of these in a
    row has run, where one before it did not pass; `before_s`: the last one of the row before. `bad_s`: the first
    answer, or silence, since `good_s`. `dead_s`: its port was first found dead; `gone_s`: the same, and not in order.
    `stopping_s`: it first said that it is stopped in order; `down_s`: that it is down, for whatever reason.
    """

    name: str
    server: str
    good_s: float | None = None
    first_good_s: float | None = None
    before_s: float | None = None
    bad_s: float | None = None
    probed_s: float | None = None
    dead_s: float | None = None
    gone_s: float | None = None
    stopping_s: float | None = None
    down_s: float | None = None
    timeline: int | None = None

    def forgiven(self) -> "Track":
        """It is the primary now: what was wrong with it before is over."""
        return replace(self, first_good_s=None, before_s=None, dead_s=None, gone_s=None, stopping_s=None, down_s=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """The leader lock. `read_s`: the moment of the last reading, None before there was one; `moves`: who has lost and
    won it since, as far as both readings were there to compare."""

    holder: str | None = None
    read_s: float | None = None
    moves: tuple[Sighting, ...] = ()


def tracked(tracks: Iterable[Track], glimpse: Glimpse, kept: Iterable[str | None]) -> tuple[Track, ...]:
    """The tracks with this glimpse in them. Members that are not in it are forgotten, unless they are to be `kept`."""
    known = {track.name: track for track in tracks}
    seen = {facts.name: facts for facts in glimpse.members}
    absent = {name: track for name, track in known.items() if name in set(kept) - seen.keys()}
    followed = {name: _followed(known.get(name), facts, glimpse.at_s) for name, facts in seen.items()}
    return tuple(track for _, track in sorted((absent | followed).items()))


def locked(lock: Lock, key: LeaderKey | None, at_s: float) -> Lock:
    """The lock with this reading of it. One that is older than another that is known changes nothing."""
    if key is None:
        return lock
    read_s = at_s - key.age_s
    if lock.read_s is None:
        return Lock(holder=key.holder, read_s=read_s)
    if read_s < lock.read_s and lock.read_s <= at_s:
        return lock
    moves: list[Sighting] = []
    if key.holder != lock.holder:
        if lock.holder is not None:
            moves.append(Sighting(at_s=read_s, what=Sight.LOCK_LOST, member=lock.holder))
        if key.holder is not None:
            moves.append(Sighting(at_s=read_s, what=Sight.LOCK_WON, member=key.holder))
    recent = (it for it in (*lock.moves, *moves) if it.at_s >= at_s - SIGN_S)
    return Lock(holder=key.holder, read_s=read_s, moves=tuple(recent))


def _followed(track: Track | None, facts: MemberFacts, at_s: float) -> Track:
    track = track or Track(name=facts.name, server=facts.server)
    if track.server != facts.server:
        track = replace(track, server=facts.server)
    if facts.rest is not None:
        track = _heard(track, facts.rest, at_s)
    return _probed(track, facts.port, at_s) if facts.port is not None else track


def _heard(track: Track, rest: RestFact, at_s: float) -> Track:
    """What its API has said by now."""
    answer, answered_s = rest.answer, at_s - rest.answered_s
    if answer is not None and answer.accepts_writes:
        return _passed(track, answer, rest, at_s)
    if track.bad_s is None:
        track = replace(track, bad_s=answered_s)
    if answer is None:
        return track
    if answer.state in IN_ORDER and track.stopping_s is None:
        track = replace(track, stopping_s=answered_s)
    if answer.state in DOWN and track.down_s is None:
        track = replace(track, down_s=answered_s)
    return track


def _passed(track: Track, answer: MemberAnswer, rest: RestFact, at_s: float) -> Track:
    """It was so when the query ran. An answer before this one, which no cycle has seen, may have said the same."""
    timeline = answer.timeline if answer.timeline is not None else track.timeline
    good_s = at_s - rest.answered_s
    if track.bad_s is None:
        return replace(track, good_s=good_s, timeline=timeline)
    return replace(
        track,
        good_s=good_s,
        first_good_s=min(good_s - (1 - QUERIED) * rest.took_s, at_s - rest.well_s),
        before_s=track.good_s,
        bad_s=None,
        timeline=timeline,
    )


def _probed(track: Track, port: PortFact, at_s: float) -> Track:
    """How its port was found. Silence counts from the question, anything else from the answer."""
    sent_s = at_s - port.age_s
    found_s = sent_s if port.verdict is PortVerdict.SILENT else sent_s + port.took_s
    if track.probed_s is not None and found_s - track.probed_s > ONE_SERIES_S:
        track = replace(track, dead_s=None, gone_s=None)
    elif track.probed_s is not None and found_s < track.probed_s + SAME_S:
        return track
    track = replace(track, probed_s=found_s)
    match port.verdict:
        case PortVerdict.ANSWERS:
            return replace(track, dead_s=None, gone_s=None)
        case PortVerdict.CLOSING:
            return track if track.dead_s is not None else replace(track, dead_s=found_s)
        case _:
            dead_s = found_s if track.dead_s is None else track.dead_s
            return replace(track, dead_s=dead_s, gone_s=found_s if track.gone_s is None else track.gone_s)
