"""Sessions that move on to a replica that has come back, a few at a time: who has been idle for longest is ended first.

Looks at sessions only where settings ask for it, and no more often than it may end one. What follows is
`trunkline.plan.replicas`.
"""

from collections.abc import Mapping

from trunkline.adapters.runtime_socket import RuntimeSocket
from trunkline.errors import RuntimeSocketError
from trunkline.model.command import Command
from trunkline.model.facts import Situation
from trunkline.plan.replicas import Quiet, ReplicaPolicy, quiet_since, rebalance

LOOK_S = 0.5
"""Looks follow each other no closer than this; then several sessions may end at once."""


class Rebalancing:
    """Of one HAProxy; kept from one cycle to the next."""

    def __init__(self, runtime: RuntimeSocket) -> None:
        self._runtime = runtime
        self._quiet: dict[str, Mapping[str, Quiet]] = {}
        self._next_at: dict[str, float] = {}

    async def due(self, situation: Situation, policy: ReplicaPolicy, now: float) -> tuple[Command, ...]:
        """What may end now, by the monotonic clock."""
        proxy = situation.state.name
        if policy.rebalance_per_s is None or now < self._next_at.get(proxy, now):
            return ()
        pause_s = max(LOOK_S, 1 / policy.rebalance_per_s)
        self._next_at[proxy] = now + pause_s
        try:
            sessions = [it for it in await self._runtime.sessions() if it.backend == proxy]
        except RuntimeSocketError:
            return ()
        self._quiet[proxy] = quiet_since(self._quiet.get(proxy, {}), sessions, now)
        most = max(1, round(pause_s * policy.rebalance_per_s))
        return rebalance(situation.state, policy, self._quiet[proxy], now, most).commands
