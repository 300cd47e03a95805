"""What people have asked for and want to last: who, since when, until when, and why.

Values only. On disk it is `trunkline.agent.intents`, as text `trunkline.wire.intents`; what follows from it is decided
in `trunkline.plan.posture`. What was set in HAProxy without being asked for here was set by hand.
"""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain:
    """A member that shall get no new sessions on the replicas' services; those that it has stay.

    `member` is Patroni's name. `who`: a login name. `since`, `until`: with the time zone of whoever has asked; `until`:
    None for a drain that lasts until `trunkline ready`. `why`: one line, "" where nobody has said.
    """

    scope: str
    member: str
    who: str
    since: datetime
    until: datetime | None = None
    why: str = ""

    @property
    def words(self) -> str:
        """As it is told everywhere: "drained by ana until 14:30: kernel update"."""
        until = "" if self.until is None else f" until {_moment(self.until, self.since)}"
        return f"drained by {self.who}{until}" + (f": {self.why}" if self.why else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A drain at one moment. `remaining_s`: until it is over, None where it has no end."""

    drain: Drain
    remaining_s: float | None = None

    @property
    def is_in_force(self) -> bool:
        """Whether it is not over yet."""
        return self.remaining_s is None or self.remaining_s > 0


def asked(drain: Drain, now_s: float) -> Asked:
    """The drain as it is at this moment, in seconds since the epoch."""
    remaining_s = None if drain.until is None else drain.until.timestamp() - now_s
    return Asked(drain=drain, remaining_s=remaining_s)


def _moment(until: datetime, since: datetime) -> str:
    """With its date, where that is not the day on which it was asked for."""
    return f"{until:%H:%M}" if until.date() == since.date() else f"{until:%Y-%m-%d %H:%M}"
