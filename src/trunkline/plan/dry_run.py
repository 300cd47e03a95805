"""A situation in words: where each member stands and why, and what would be done. Pure, and nothing is."""

from trunkline.model.command import words
from trunkline.model.facts import LeaderKey, MemberFacts, Situation
from trunkline.model.planned import MemberStance, PlannedCommand, ServicePlan
from trunkline.plan.steering import Judgement, judge_members, steer


def describe(situation: Situation) -> ServicePlan:
    """What the agent would make of it."""
    plan = steer(situation)
    return ServicePlan(
        scope=situation.scope,
        service=situation.state.name,
        members=tuple(_stance(judgement) for judgement in judge_members(situation)),
        commands=tuple(PlannedCommand(command=words(it), reason=it.reason) for it in plan.commands),
        warnings=plan.warnings,
    )


def _stance(judgement: Judgement) -> MemberStance:
    case = judgement.case
    return MemberStance(
        member=judgement.name,
        stance=judgement.stance.value,
        because=judgement.because,
        facts="; ".join(part for part in (_rest(case.facts), _port(case.facts), _key(case.key)) if part),
        takes_sessions=case.server.takes_sessions,
        leased=tuple(sorted(it.value for it in case.stuck)),
    )


def _rest(facts: MemberFacts) -> str:
    if facts.rest is None:
        return "its API was not asked, or has said nothing of use"
    answer, age = facts.rest.answer, _age(facts.rest.age_s)
    if answer is None:
        return f"its API was silent {age}: {facts.rest.why}" if facts.rest.why else f"its API was silent {age}"
    location = "with" if answer.writes_location is not None else "without"
    return f"its API said {answer.status_code}, {answer.role}, {answer.state}, {location} a location to write to, {age}"


def _port(facts: MemberFacts) -> str:
    return f"its PostgreSQL {facts.port.verdict}, {_age(facts.port.age_s)}" if facts.port is not None else ""


def _key(key: LeaderKey | None) -> str:
    if key is None:
        return "nobody could tell who holds the leader key"
    left = f", for {key.remaining_s:.1f} s more at least" if key.remaining_s is not None else ""
    return f"the leader key is {key.holder or 'nobody'}'s{left}, {_age(key.age_s)} by {key.source}"


def _age(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms ago" if seconds < 1 else f"{seconds:.1f} s ago"
