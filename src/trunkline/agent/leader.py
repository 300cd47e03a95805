"""Who can tell the holder of the leader key, and whom to believe when one of two cannot."""

import asyncio
from collections.abc import Callable
from typing import NoReturn, Protocol

from trunkline.model.facts import LeaderKey
from trunkline.plan.posture import KEY_FRESH_S


class LeaderSource(Protocol):
    """One way to the leader key."""

    async def run(self, changed: Callable[[], None]) -> NoReturn:
        """Keep knowing it."""

    def leader_key(self, now: float) -> LeaderKey | None:
        """As it is known at this moment of the monotonic clock; None where nobody could tell."""

    async def ask(self) -> LeaderKey | None:
        """A question right now, with a deadline of its own."""

    def ages(self, now: float) -> tuple[tuple[str, float], ...]:
        """Its name, and since when it was not heard; nothing where it was never asked."""


class Preferring:
    """A `LeaderSource`: `first`, and `second` while `first` has nothing fresh to say."""

    def __init__(self, first: LeaderSource, second: LeaderSource) -> None:
        self._first = first
        self._second = second

    async def run(self, changed: Callable[[], None]) -> NoReturn:
        """Both."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._first.run(changed))
            tasks.create_task(self._second.run(changed))
        raise AssertionError("neither ever ends")

    def leader_key(self, now: float) -> LeaderKey | None:
        """What the first says, unless it is stale and the second's is not."""
        first, second = self._first.leader_key(now), self._second.leader_key(now)
        if first is None or (first.age_s > KEY_FRESH_S and second is not None and second.age_s < first.age_s):
            return second
        return first

    async def ask(self) -> LeaderKey | None:
        """The first one; the second where it does not know."""
        return await self._first.ask() or await self._second.ask()

    def ages(self, now: float) -> tuple[tuple[str, float], ...]:
        """Of both."""
        return (*self._first.ages(now), *self._second.ages(now))
