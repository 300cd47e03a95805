"""What came of `trunkline drain` and `trunkline ready`, as HAProxy itself shows it. Values only."""

from dataclasses import dataclass

from trunkline.model.intent import Drain
from trunkline.model.proxy import Health


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The member that is meant. `services`: HAProxy's proxies for replicas. `is_listed`: the cluster has it, as far as
    anybody knows. `warnings`: what a drain of it would mean that somebody may not expect, in sentences."""

    scope: str
    member: str
    services: tuple[str, ...]
    is_listed: bool = True
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The member in one service. `is_leased`: drained under the agent's lease. `is_listed`: as of `Target`;
    else its server is on its way out."""

    service: str
    health: Health
    sessions: int
    takes_sessions: bool
    is_leased: bool
    is_listed: bool = True

    @property
    def is_by_hand(self) -> bool:
        """A person has set drain or maint."""
        return self.is_listed and not self.is_leased and self.health in (Health.DRAIN, Health.MAINT)

    @property
    def is_drained(self) -> bool:
        """It gets no new sessions, and will get none by a good check either."""
        return self.is_leased or self.health in (Health.DRAIN, Health.MAINT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """`drain`: what is asked for now, or was before `ready`; None where nobody had. `is_done`: HAProxy shows it.
    `problem`: why not, in words, and `hint` what to do."""

    target: Target
    drain: Drain | None
    places: tuple[Place, ...]
    problem: str = ""
    hint: str = ""

    @property
    def is_done(self) -> bool:
        """Whether HAProxy does what was asked for."""
        return not self.problem
