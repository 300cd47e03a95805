"""What was decided last, for whoever asks, and only then put into the words of `trunkline plan`."""

import os
import time

from trunkline.agent.steering import Seen
from trunkline.model.planned import AgentPlan
from trunkline.plan.dry_run import describe
from trunkline.wire.planned import write_agent_plan

STALE_S = 30.0
"""What no cycle has seen for so long is told no more: a service that is gone, or a HAProxy."""


class Decided:
    """Of one agent."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, str], Seen] = {}
        self._problem = "it has done nothing yet"

    def saw(self, seen: Seen) -> None:
        """One service in one cycle."""
        self._last[seen.situation.scope, seen.situation.state.name] = seen

    def cycled(self, problem: str) -> None:
        """A whole cycle."""
        self._problem = problem

    def plan(self, now_s: float) -> AgentPlan:
        """All of it, at this moment since the epoch."""
        recent = [seen for _, seen in sorted(self._last.items()) if now_s - seen.at_s < STALE_S]
        return AgentPlan(
            pid=os.getpid(),
            age_s=max((now_s - seen.at_s for seen in recent), default=None),
            problem=self._problem,
            services=tuple(describe(seen.situation) for seen in recent),
        )

    def text(self) -> bytes:
        """The same as JSON."""
        return write_agent_plan(self.plan(time.time()))
