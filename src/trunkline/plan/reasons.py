"""Why one member is in or out of one service, in a sentence, and whether HAProxy and Patroni agree on it.

Pure. Patroni's side is the member's own answer to the very question that HAProxy asks; HAProxy's side is its server and
the last check of it. What a whole service or cluster is told is in `explain`.
"""

from dataclasses import dataclass, replace

from trunkline.config.settings import ReplicaServiceSettings, ServiceSettings
from trunkline.model.cluster import Member, MemberAnswer, Role
from trunkline.model.desired import CheckTiming, Service, ServiceKind
from trunkline.model.intent import Drain
from trunkline.model.proxy import Health, ServerState

REPLICAS = (Role.REPLICA, Role.SYNC_STANDBY, Role.QUORUM_STANDBY)
SYNCHRONOUS = (Role.SYNC_STANDBY, Role.QUORUM_STANDBY)

ROLES = {
    Role.PRIMARY: "is the primary",
    Role.STANDBY_LEADER: "leads the standby cluster, which takes no writes",
    Role.SYNC_STANDBY: "is a replica",
    Role.QUORUM_STANDBY: "is a replica",
    Role.REPLICA: "is a replica",
    Role.UNKNOWN: "has a role that Trunkline does not know",
}

BY_HAND = {Health.MAINT: "maint", Health.DRAIN: "drain"}
UNDERSTOOD = ("L7OK", "L7OKC", "L7STS", "L7RSP")
"""Codes of checks to which the member has answered yes or no."""

GONE = "the cluster does not list it any more"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One member in one service, from both sides.

    `member`: None where the cluster does not list it, or where nobody could say (`is_seen` false).
    `answer`: to `GET service.path`; None where there is none.
    `server`: None where HAProxy does not have it. `is_asked`: whether HAProxy answers and has this service.
    `is_closed_by_agent`: its server rests by the agent's hand, and no person's; `is_unchecked_by_agent`: so do its
    checks. `drain`: what people have asked for.
    """

    service: Service
    settings: ServiceSettings
    member: Member | None
    is_seen: bool
    answer: MemberAnswer | None
    server: ServerState | None
    is_asked: bool
    is_closed_by_agent: bool = False
    is_unchecked_by_agent: bool = False
    drain: Drain | None = None

    @property
    def is_unchecked_by_hand(self) -> bool:
        """A person has disabled its checks."""
        return self.server is not None and self.server.has_no_checks and not self.is_unchecked_by_agent


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is shown of a case; see `trunkline.model.status.MemberInService`."""

    qualifies: bool | None
    agrees: bool
    reason: str
    is_notable: bool


def judge(case: Case) -> Verdict:
    """Whether both sides agree, and why it is so."""
    verdict, server = _as_asked(case), case.server
    if server is None or not case.is_unchecked_by_hand:
        return verdict
    undo = f"`enable health {server.proxy}/{server.name}` ends that"
    return replace(verdict, reason=f"{verdict.reason}; its checks are disabled by hand ({undo})", is_notable=True)


def _as_asked(case: Case) -> Verdict:
    """With what people have asked for."""
    verdict, server = _judge(case), case.server
    if case.drain is None or server is None or case.is_closed_by_agent or server.health in BY_HAND:
        return verdict
    undone = ", but that is not done (`trunkline plan` says why)" if server.takes_sessions else ""
    reason = f"{case.drain.words}{undone}; {_it(verdict.reason)}"
    return replace(verdict, reason=reason, is_notable=True)


def _judge(case: Case) -> Verdict:
    may, told = patroni_says(case)
    server = case.server
    if server is None:
        missing = "HAProxy does not have it: its configuration is older than this member"
        is_missing = case.is_asked
        return Verdict(
            qualifies=may, agrees=not is_missing, reason=missing if is_missing else told, is_notable=is_missing
        )
    if case.is_closed_by_agent:
        why = case.drain.words if case.drain else "the agent gives it no new sessions (`trunkline plan` says why)"
        closed = f"{why}; {_it(told)}{_deadline(case, server)}"
        return Verdict(qualifies=may, agrees=True, reason=closed, is_notable=True)
    if case.member is None and case.is_seen and server.health in BY_HAND:
        return Verdict(qualifies=None, agrees=True, reason=f"{GONE}: it gets no new sessions", is_notable=False)
    if server.health in BY_HAND:
        asked = f", and {case.drain.words}" if case.drain else ""
        by_hand = f"set to {BY_HAND[server.health]} by hand{asked}; {_it(told)}{_deadline(case, server)}"
        return Verdict(qualifies=may, agrees=may is not True, reason=by_hand, is_notable=True)
    is_in = server.takes_sessions
    if may is None:
        words = _why_still_in(server, case.service.timing) if is_in else haproxy_says(server)
        is_notable = case.is_seen and (case.member is None or server.check_status not in UNDERSTOOD)
        return Verdict(qualifies=None, agrees=True, reason=f"{told}; {words}", is_notable=is_notable)
    if may == is_in:
        is_notable = not is_in and not is_ordinary(case)
        return Verdict(qualifies=may, agrees=True, reason=f"{told}{_deadline(case, server)}", is_notable=is_notable)
    words = _why_still_in(server, case.service.timing) if is_in else haproxy_says(server)
    return Verdict(qualifies=may, agrees=False, reason=f"{told}; yet {words}", is_notable=True)


def _it(told: str) -> str:
    """What Patroni says of a member, behind other words."""
    return told if told.startswith(("its ", "the ", "no ")) else f"it {told}"


def _deadline(case: Case, server: ServerState) -> str:
    """What becomes of sessions at a replica that gets no new ones. Since when a drain lasts, HAProxy does not say."""
    is_closed = server.health in (Health.NOLB, Health.DRAIN) and server.sessions > 0
    settings = case.settings
    if not is_closed or not isinstance(settings, ReplicaServiceSettings) or settings.drain_deadline_s is None:
        return ""
    left_s = int(settings.drain_deadline_s) - server.last_change_s
    after = f"after {duration(int(settings.drain_deadline_s))} without new ones"
    when = after if server.health is Health.DRAIN else f"in {duration(left_s)}" if left_s > 0 else "now"
    return f"; its sessions ({server.sessions}) are ended {when}, if another replica serves"


def is_ordinary(case: Case) -> bool:
    """Whether a member is out only because another port is for it."""
    if case.answer is None:
        return False
    answer, kind = case.answer, case.service.kind
    is_replica = answer.role in REPLICAS and answer.replay_location is not None
    if kind is ServiceKind.PRIMARY:
        return answer.status_code != 200 and (is_replica or answer.role is Role.STANDBY_LEADER)
    if answer.role.is_leader:
        return True
    is_of_other_kind = {ServiceKind.SYNC_REPLICAS: False, ServiceKind.ASYNC_REPLICAS: True}.get(kind)
    return is_replica and is_of_other_kind is not None and (answer.role in SYNCHRONOUS) == is_of_other_kind


def patroni_says(case: Case) -> tuple[bool | None, str]:
    """Whether the member may serve, judged as HAProxy's check does, and why."""
    if case.member is None:
        return None, GONE if case.is_seen else "no Patroni could be asked"
    if case.answer is None:
        return None, "its REST API gave us no answer"
    if case.service.kind is ServiceKind.PRIMARY:
        return _as_primary(case.answer, serves_standby_leader=case.service.serves_standby_leader)
    return _as_replica(case, case.member, case.answer)


def haproxy_says(server: ServerState) -> str:
    """Why HAProxy sends nobody there."""
    what = f"{server.check_description or server.check_status} {_ago(server.last_change_s)}"
    match server.check_status[:2]:
        case "":
            return "HAProxy does not ask it"
        case "IN" | "UN":
            return "HAProxy has not asked it yet"
        case "L4" | "SO":
            return f"HAProxy does not reach its REST API ({what})"
        case "L6":
            return f"HAProxy has no TLS with its REST API ({what})"
    if server.check_status == "L7TOUT":
        return f"its REST API does not answer HAProxy ({what})"
    if server.check_status == "L7OK":
        return "HAProxy waits for more good answers"
    return f"HAProxy's check says no ({what})"


def last_check(server: ServerState) -> str:
    """HAProxy's code for its last check, with the status that was answered."""
    code = "" if server.check_code is None else f" {server.check_code}"
    return f"{server.check_status}{code}"


def _as_primary(answer: MemberAnswer, *, serves_standby_leader: bool) -> tuple[bool, str]:
    if answer.accepts_writes:
        return True, "accepts writes"
    is_dead = answer.writes_location is None and answer.replay_location is None
    if answer.status_code != 200:
        return False, _dead(answer) if is_dead else ROLES[answer.role]
    if answer.role is Role.STANDBY_LEADER and serves_standby_leader:
        return True, "leads the standby cluster"
    if answer.role in REPLICAS:
        return False, "holds the leader lock, but its promotion has not ended"
    return False, f"holds the leader lock, but {_dead(answer)}"


def _dead(answer: MemberAnswer) -> str:
    return "its PostgreSQL answers no query" if answer.state == "unknown" else f"its PostgreSQL is {answer.state}"


def _as_replica(case: Case, member: Member, answer: MemberAnswer) -> tuple[bool, str]:
    if answer.role not in REPLICAS:
        return False, ROLES[answer.role]
    if answer.replay_location is None:
        return False, _dead(answer)
    if answer.status_code == 200:
        return True, "replays"
    return False, _why_refused(case, member, answer)


def _why_refused(case: Case, member: Member, answer: MemberAnswer) -> str:
    """Patroni refuses with a bare 503; which of its conditions it was is seen from the outside."""
    settings, kind = case.settings, case.service.kind
    if member.role.is_leader:
        return "holds the leader lock"
    if member.tags.get("noloadbalance") is True:
        return "asks for no load (tag noloadbalance)"
    if kind is ServiceKind.SYNC_REPLICAS and answer.role not in SYNCHRONOUS:
        return "is no synchronous replica"
    if kind is ServiceKind.ASYNC_REPLICAS and answer.role in SYNCHRONOUS:
        return "is a synchronous replica"
    if isinstance(settings, ReplicaServiceSettings):
        for tag, wanted in sorted(settings.tags.items()):
            if member.tags.get(tag) != wanted:
                return f"has another tag {tag} than {wanted!r}"
        limit = settings.lag_limit_bytes
        if limit is not None and member.lag_bytes is not None and member.lag_bytes > limit:
            return f"lags {size(member.lag_bytes)} behind, more than {size(limit)}"
        if limit is not None:
            return f"lags more than {size(limit)} behind"
    return f"is refused by its Patroni (status {answer.status_code}, {answer.state})"


def _why_still_in(server: ServerState, timing: CheckTiming) -> str:
    if server.check_status == "L7OK":
        return f"HAProxy's last check passed ({last_check(server)}), {timing.fall} bad ones in a row take it out"
    if server.check_status == "L7TOUT" or server.check_status.startswith("L4"):
        return f"HAProxy sends sessions there while it waits for the REST API ({last_check(server)})"
    if not server.check_status:
        return "HAProxy sends sessions there and checks nothing"
    return f"HAProxy sends sessions there until its check has failed {timing.fall} times ({last_check(server)})"


def _ago(seconds: int) -> str:
    return f"for {duration(seconds)}"


def duration(seconds: int) -> str:
    """In words that fit into a line: 45 s, 12 min, 3 h, 2 d."""
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"


def size(count: int) -> str:
    """Bytes in PostgreSQL's units."""
    for unit, length in (("GB", 1024**3), ("MB", 1024**2), ("kB", 1024)):
        if count >= length:
            return f"{count / length:.3g} {unit}" if count < 1000 * length else f"{count // length} {unit}"
    return f"{count} B"
