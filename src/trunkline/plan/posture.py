"""The posture table: what a member's service may rest on when facts are stale, missing or contradict each other.

Pure. A row is a sentence for a person and a condition on facts; the first row that fits decides. The same rows are
printed (`trunkline plan --posture`), tested and followed. What a stance means for HAProxy is `steering`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from trunkline.model.cluster import MemberAnswer, Role
from trunkline.model.facts import OTHER_MEMBERS, LeaderKey, MemberFacts, PortVerdict, Sticky
from trunkline.model.intent import Drain
from trunkline.model.proxy import Health, ServerState, is_same_address

REST_FRESH_S = 3.0
"""So long the longest pause between two questions and the deadline of the next take: until then an answer counts."""

PORT_FRESH_S = 2.0
KEY_FRESH_S = 1.0
FENCE_BEFORE_S = 0.3
"""So long before the end of the leader key's lease a silent primary is out."""

CHECK_FRESH_S = 0.5
YOUNG_S = 0.25
"""An answer that is younger than this was given after HAProxy's last check: that has not known better."""

RUNNING = "running"
NO_LONGER = frozenset({"stopping", "stopped", "crashed", "start failed", "initdb failed"})
"""States of Patroni in which PostgreSQL does not serve, or soon will not."""


class Stance(StrEnum):
    """What a member may be to a service.

    SERVES: new sessions. KEPT: it stays as it is, whatever HAProxy's checks say. CLOSED: no new sessions, those that it
    has stay. OUT: no sessions. BARRED: no sessions, whatever HAProxy's checks say. CHECKS: as HAProxy's checks say.
    DRAINED: no new sessions, whatever HAProxy's checks say, those that it has stay: people have asked for it. BY_HAND:
    as a person has set it in HAProxy.
    """

    SERVES = "serves"
    KEPT = "kept"
    CLOSED = "closed"
    OUT = "out"
    BARRED = "barred"
    CHECKS = "checks"
    DRAINED = "drained"
    BY_HAND = "by hand"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One member in one service. `winner`: who passes the truth check best, None where nobody does (or where two do and
    nothing tells them apart); `rivals`: how many pass. `lag_limit_s`: how far a replica may be behind. `drain`:
    what people have asked for, and is not over."""

    facts: MemberFacts
    server: ServerState
    stuck: frozenset[Sticky]
    key: LeaderKey | None
    winner: str | None
    rivals: int
    lag_limit_s: float | None = None
    drain: Drain | None = None

    @property
    def answer(self) -> MemberAnswer | None:
        """What its API has said, where it is recent."""
        rest = self.facts.rest
        return rest.answer if rest is not None and rest.age_s <= REST_FRESH_S else None

    @property
    def passes(self) -> bool:
        """The truth check."""
        return self.answer is not None and self.answer.accepts_writes

    @property
    def passes_now(self) -> bool:
        """The truth check, so lately that HAProxy's own checks cannot know better."""
        return self.passes and self.facts.rest is not None and self.facts.rest.age_s <= YOUNG_S

    @property
    def is_elsewhere(self) -> bool:
        """What is known is of another address than the one that HAProxy sends sessions to."""
        return not is_same_address(self.facts.address, self.server.address)

    @property
    def is_silent(self) -> bool:
        """Its API was asked, and had no answer."""
        rest = self.facts.rest
        return rest is not None and rest.age_s <= REST_FRESH_S and rest.answer is None

    @property
    def port(self) -> PortVerdict | None:
        """How its PostgreSQL has answered, where that is recent. Silence takes its time to be found, and to be found
        again."""
        port = self.facts.port
        if port is None:
            return None
        found_s = port.took_s if port.verdict is PortVerdict.SILENT else 0.0
        return port.verdict if port.age_s <= PORT_FRESH_S + found_s else None

    @property
    def is_port_newer(self) -> bool:
        """Whether PostgreSQL was asked after its API had begun to say that all is well."""
        rest, port = self.facts.rest, self.facts.port
        return rest is not None and port is not None and port.age_s <= max(rest.answered_s, rest.well_s)

    @property
    def holds_key(self) -> bool:
        """The leader key is its own, and will be for a while."""
        key = self.key
        if key is None or key.age_s > KEY_FRESH_S or key.holder != self.facts.name:
            return False
        return key.remaining_s is None or key.remaining_s > FENCE_BEFORE_S

    @property
    def is_key_old(self) -> bool:
        """The leader key was read too long ago to count."""
        return self.key is not None and self.key.age_s > KEY_FRESH_S

    @property
    def is_key_hearsay(self) -> bool:
        """No store has told of the leader key, others have."""
        return self.key is not None and self.key.source == OTHER_MEMBERS

    @property
    def has_lost_key(self) -> bool:
        """The leader key is gone, another's, or will be gone at once."""
        key = self.key
        if key is None or key.age_s > KEY_FRESH_S:
            return False
        return not self.holds_key

    @property
    def is_key_anothers(self) -> bool:
        """The leader key names another, and it was read after this member has answered."""
        key, rest = self.key, self.facts.rest
        if key is None or rest is None or key.age_s > KEY_FRESH_S or key.holder in (None, self.facts.name):
            return False
        return key.age_s <= rest.answered_s

    @property
    def denies(self) -> bool:
        """It says itself that it is no primary."""
        answer = self.answer
        if answer is None or answer.accepts_writes:
            return False
        return answer.role not in (Role.PRIMARY, Role.UNKNOWN) or answer.state in NO_LONGER

    @property
    def is_running_replica(self) -> bool:
        """Its API has said so, of a PostgreSQL that it asks over a connection which it has had for long."""
        return self.answer is not None and self.answer.state == RUNNING and not self.passes

    @property
    def is_late(self) -> bool:
        """Its replay is further behind than settings allow."""
        if self.lag_limit_s is None or self.answer is None or self.facts.rest is None:
            return False
        return self.facts.rest.lag_s is not None and self.facts.rest.lag_s > self.lag_limit_s

    @property
    def is_odd(self) -> bool:
        """It answers, and neither passes nor denies."""
        return self.answer is not None and not self.passes and not self.denies

    @property
    def is_by_hand(self) -> bool:
        """A person has set maint or drain."""
        if self.server.health is Health.MAINT:
            return Sticky.MAINT not in self.stuck
        return self.server.health is Health.DRAIN and not self.stuck & {Sticky.DRAIN, Sticky.MAINT}

    @property
    def is_down(self) -> bool:
        """HAProxy has taken it out: suspended checks would keep nobody there."""
        return self.server.health is Health.DOWN

    @property
    def is_check_silent(self) -> bool:
        """HAProxy's own check has no answer from its API, whatever ours has."""
        silent_s = self.facts.check_silent_s
        return silent_s is not None and silent_s <= CHECK_FRESH_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """`when` and `then` are the two halves of a sentence; `fits` is the first half for the machine."""

    when: str
    then: str
    stance: Stance
    fits: Callable[[Case], bool]


def _is_dead(port: PortVerdict | None) -> bool:
    return port in (PortVerdict.REFUSED, PortVerdict.CLOSING)


def _may_be_kept(case: Case) -> bool:
    return case.is_silent and case.port is PortVerdict.ANSWERS


def _is_heard_by_us_alone(case: Case) -> bool:
    return case.answer is not None and case.is_check_silent


PRIMARY_ROWS = (
    Row(
        when="a person has set it to maint or drain",
        then="it is left alone",
        stance=Stance.BY_HAND,
        fits=lambda case: case.is_by_hand,
    ),
    Row(
        when="Patroni has it at another address than HAProxy",
        then="it is left to HAProxy's checks: what is known is not of the server that sessions would go to",
        stance=Stance.CHECKS,
        fits=lambda case: case.is_elsewhere,
    ),
    Row(
        when="it passes the truth check, but the leader key, read after that, names another",
        then="it is out at once and stays out: a primary that has not noticed that it was replaced",
        stance=Stance.BARRED,
        fits=lambda case: case.passes and case.is_key_anothers,
    ),
    Row(
        when="it passes the truth check, and so does another, which has the leader key or the newer timeline",
        then="it is out at once and stays out, and a warning is given",
        stance=Stance.BARRED,
        fits=lambda case: case.passes and case.rivals > 1 and case.winner is not None and not _is_winner(case),
    ),
    Row(
        when="it passes the truth check, and so does another, and nothing tells which of them is right",
        then="it is left to HAProxy, which gives sessions to neither while both pass, and a warning is given",
        stance=Stance.CHECKS,
        fits=lambda case: case.passes and case.winner is None,
    ),
    Row(
        when="it passes the truth check, but its PostgreSQL, asked after that, takes no connection",
        then="it gets no new sessions and keeps those it has",
        stance=Stance.CLOSED,
        fits=lambda case: case.passes and case.is_port_newer and case.port is not None and not _answers(case.port),
    ),
    Row(
        when="it passes the truth check, and HAProxy's own check had no answer",
        then="it serves, and its checks are suspended",
        stance=Stance.KEPT,
        fits=lambda case: case.passes and case.is_check_silent,
    ),
    Row(
        when="it passes the truth check and its port does not contradict, whatever the store says, even if it is gone",
        then="it serves",
        stance=Stance.SERVES,
        fits=lambda case: case.passes,
    ),
    Row(
        when="it answers that it is no primary, or that it stops",
        then="it is out at once",
        stance=Stance.OUT,
        fits=lambda case: case.denies,
    ),
    Row(
        when="it answers without a location to write to, and its PostgreSQL takes no connection",
        then="it is out at once; without the second half it would be one odd answer",
        stance=Stance.OUT,
        fits=lambda case: case.is_odd and _is_dead(case.port),
    ),
    Row(
        when="it answers oddly, and another passes the truth check",
        then="it is out at once",
        stance=Stance.OUT,
        fits=lambda case: case.is_odd and case.winner is not None,
    ),
    Row(
        when="its API is silent, and the leader key is gone, another's, or ends within 0.3 s",
        then="it is out before anything else is done, and stays out",
        stance=Stance.BARRED,
        fits=lambda case: case.is_silent and case.has_lost_key,
    ),
    Row(
        when="its API is silent, and another passes the truth check",
        then="it is out before anything else is done, and stays out",
        stance=Stance.BARRED,
        fits=lambda case: case.is_silent and case.winner is not None,
    ),
    Row(
        when="its API is silent, and its PostgreSQL refuses",
        then="it is out at once",
        stance=Stance.OUT,
        fits=lambda case: case.is_silent and _is_dead(case.port),
    ),
    Row(
        when="its API is silent, its PostgreSQL answers, the leader key is its own, and HAProxy has it down already",
        then="it is left to HAProxy's checks, and gets sessions again when it has answered",
        stance=Stance.CHECKS,
        fits=lambda case: _may_be_kept(case) and case.holds_key and case.is_down,
    ),
    Row(
        when="its API is silent, its PostgreSQL answers, and /cluster of others, for want of a store, says it leads",
        then="nobody is cut off: its checks are suspended for as long as that lasts",
        stance=Stance.KEPT,
        fits=lambda case: _may_be_kept(case) and case.holds_key and case.is_key_hearsay,
    ),
    Row(
        when="its API is silent, its PostgreSQL answers, and the leader key is its own",
        then="nobody is cut off: its checks are suspended for as long as that lasts",
        stance=Stance.KEPT,
        fits=lambda case: _may_be_kept(case) and case.holds_key,
    ),
    Row(
        when="its API and its PostgreSQL are silent",
        then="it gets no new sessions: a kernel may accept for a node that is frozen",
        stance=Stance.CLOSED,
        fits=lambda case: case.is_silent and case.port is PortVerdict.SILENT,
    ),
    Row(
        when="its API is silent, and the leader key was read more than 1 s ago",
        then="that is no key any more: it is left to HAProxy's checks",
        stance=Stance.CHECKS,
        fits=lambda case: case.is_silent and case.is_key_old,
    ),
    Row(
        when="nothing else is known",
        then="it is left to HAProxy's checks",
        stance=Stance.CHECKS,
        fits=lambda case: True,
    ),
)

BY_HAND_ROW, ELSEWHERE_ROW = PRIMARY_ROWS[:2]
REPLICA_ROWS = (
    BY_HAND_ROW,
    Row(
        when="people have asked for a drain of it (`trunkline drain`), and that is not over",
        then="it gets no new sessions and keeps those it has",
        stance=Stance.DRAINED,
        fits=lambda case: case.drain is not None,
    ),
    ELSEWHERE_ROW,
    Row(
        when="its API is silent, its PostgreSQL answers, and HAProxy has it down already",
        then="it is left to HAProxy's checks: it gets no sessions here, and nobody is cut off",
        stance=Stance.CHECKS,
        fits=lambda case: _may_be_kept(case) and case.is_down,
    ),
    Row(
        when="its API is silent, and its PostgreSQL answers",
        then="nobody is cut off: its checks are suspended for as long as that lasts",
        stance=Stance.KEPT,
        fits=_may_be_kept,
    ),
    Row(
        when="its API and its PostgreSQL are silent",
        then="it gets no new sessions: a kernel may accept for a node that is frozen",
        stance=Stance.CLOSED,
        fits=lambda case: case.is_silent and case.port is PortVerdict.SILENT,
    ),
    Row(
        when="it says that it runs, and its PostgreSQL takes no connection",
        then="it gets no new sessions and keeps those it has",
        stance=Stance.CLOSED,
        fits=lambda case: case.is_running_replica and case.port is not None and not _answers(case.port),
    ),
    Row(
        when="its replay is further behind than lag_limit_s",
        then="it gets no new sessions and keeps those it has",
        stance=Stance.CLOSED,
        fits=lambda case: case.is_late,
    ),
    Row(
        when="it answers, and HAProxy's own check had no answer",
        then="it stays as it is, and its checks are suspended",
        stance=Stance.KEPT,
        fits=lambda case: _is_heard_by_us_alone(case) and not _is_dead(case.port) and not case.is_down,
    ),
    Row(
        when="it answers, or nothing is known",
        then="it is left to HAProxy's checks, which ask Patroni about role, lag and tags",
        stance=Stance.CHECKS,
        fits=lambda case: True,
    ),
)


def _answers(port: PortVerdict) -> bool:
    return port is PortVerdict.ANSWERS


def _is_winner(case: Case) -> bool:
    return case.winner == case.facts.name


def row_for(case: Case, rows: tuple[Row, ...]) -> Row:
    """The first row that fits; the last one always does."""
    return next(row for row in rows if row.fits(case))
