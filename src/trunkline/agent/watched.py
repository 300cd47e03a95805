"""What is known of one member, and what of it is a fact for a decision. Asking is `watching`: nothing here waits."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from trunkline.model.desired import Server
from trunkline.model.facts import MemberFacts, PortFact, RestFact

HTTP_OK = 200
CHECK_MEMORY_S = 5.0


@dataclass(slots=True)
class Member:
    """What is known of one member, in moments of the monotonic clock."""

    server: Server
    api_url: str
    rest: RestFact | None = None
    rest_at: float = 0.0
    well_since: float | None = None
    rest_answered_at: float = field(default_factory=time.monotonic)
    port: PortFact | None = None
    port_at: float = 0.0
    port_answered_at: float = field(default_factory=time.monotonic)
    check_silent_at: float | None = None
    check_passed_at: float = 0.0
    is_served: bool = False
    came: asyncio.Event = field(default_factory=asyncio.Event)
    spread: float = 1.0
    strangers: frozenset[str] = frozenset()

    @property
    def may_be_primary(self) -> bool:
        """HAProxy serves it as that, or its API has said that it holds the leader lock."""
        answer = self.rest.answer if self.rest is not None else None
        return self.is_served or (answer is not None and answer.status_code == HTTP_OK)


def facts_of(name: str, member: Member, now: float) -> MemberFacts:
    """With ages at this moment of the monotonic clock."""
    silent_at = member.check_silent_at
    return MemberFacts(
        name=name,
        server=member.server.name,
        rest=replace(member.rest, age_s=now - member.rest_at, well_s=_well_s(member, now)) if member.rest else None,
        port=replace(member.port, age_s=now - member.port_at) if member.port else None,
        check_silent_s=now - silent_at if silent_at is not None and now - silent_at < CHECK_MEMORY_S else None,
        address=str(member.server.postgres),
    )


def well_since(member: Member) -> float | None:
    """Since when each of its answers has passed the truth check, None where the last one has not."""
    if member.rest is None or member.rest.answer is None or not member.rest.answer.accepts_writes:
        return None
    return member.well_since if member.well_since is not None else time.monotonic()


def _well_s(member: Member, now: float) -> float:
    return now - member.well_since if member.well_since is not None else 0.0


def unless_overtaken(fact: RestFact | None, asked_at: float, passed_at: float) -> RestFact | None:
    """What was said to a question of before `passed_at`, if it says that this is the primary, or says nothing."""
    if fact is None or fact.answer is None or fact.answer.accepts_writes or asked_at >= passed_at:
        return fact
    return None


def gist(fact: RestFact | None) -> Sequence[object]:
    """What of an answer may change a decision."""
    if fact is None or fact.answer is None:
        return (fact is None,)
    answer = fact.answer
    return answer.accepts_writes, answer.status_code, answer.role, answer.state, answer.timeline
