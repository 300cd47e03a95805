"""What the agent does and why, for a person to read: the object that `trunkline plan`, `status` and `explain` print.

Values only. Field names are the keys of `--json`: added to, never renamed.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberStance:
    """One member in one service. `stance`: of the posture table; `because`: the row as a sentence; `facts`: what it
    rests on, with ages. `takes_sessions`: HAProxy sends new sessions there now. `leased`: what is set under the lease.
    """

    member: str
    stance: str
    because: str
    facts: str
    takes_sessions: bool
    leased: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedCommand:
    """One command, as an operator would type it."""

    command: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ServicePlan:
    """One service: where everybody stands, and what would be done now, in this order."""

    scope: str
    service: str
    members: tuple[MemberStance, ...]
    commands: tuple[PlannedCommand, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentPlan:
    """What the agent that steers this HAProxy has decided last. `pid`: None where none answers, for the reason in
    `problem`; else `problem` says why it cannot steer, "" when it does. `age_s`: of what its decisions rest on."""

    pid: int | None
    age_s: float | None
    problem: str = ""
    services: tuple[ServicePlan, ...] = ()
