"""Whose turn it is: which clusters are looked at in the next cycle, and when the clock alone asks for one.

Who has news is looked at at once, everybody else in turn: each time, where there are up to `AT_ONCE`. What follows from
it is `steering`.
"""

import asyncio
import math
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Protocol

from trunkline.plan.pace import AT_REST, Pace
from trunkline.plan.posture import FENCE_BEFORE_S

CYCLE_S = 0.5
ROUNDING_S = 0.001
AT_ONCE = 15
"""So many clusters at rest are looked at each time the clock asks for a cycle; of more, so many in turn."""


class Watched(Protocol):
    """What is asked of whoever watches a cluster."""

    @property
    def pace(self) -> Pace:
        """How closely it looks."""

    def key_ends_s(self, now: float) -> float | None:
        """Seconds until the leader key ends, None where nobody knows."""


class Cluster(Protocol):
    """One of those that have their turns."""

    @property
    def scope(self) -> str:
        """Its name."""

    @property
    def watcher(self) -> Watched:
        """Who knows its facts."""


class Turns:
    """Of clusters that are handed in each time, in the order of their turns."""

    def __init__(self) -> None:
        self._woken = asyncio.Event()
        self._news: set[str] = set()
        self._swept_at = -math.inf
        self._turn = 0

    def wake(self, scopes: Iterable[str]) -> None:
        """There is news of them: the next cycle is now."""
        self.remember(scopes)
        self._woken.set()

    def remember(self, scopes: Iterable[str]) -> None:
        """They are looked at in the next cycle, whenever that is."""
        self._news.update(scopes)

    async def next(self, clusters: Sequence[Cluster]) -> None:
        """Back when there is news, or when the clock asks for a cycle."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._left_s(clusters)):
                await self._woken.wait()
        self._woken.clear()

    def due(self, clusters: Sequence[Cluster]) -> set[str]:
        """The clusters of the next cycle: who has news, who is about to lose its leader key, and when it is time for
        it, whoever is not at rest and those whose turn it is."""
        now = time.monotonic()
        due, self._news = self._news, set()
        for cluster in clusters:
            ends_s = cluster.watcher.key_ends_s(now)
            if ends_s is not None and ends_s <= FENCE_BEFORE_S:
                due.add(cluster.scope)
        if now >= self._swept_at + CYCLE_S - ROUNDING_S:
            self._swept_at = now
            due |= {cluster.scope for cluster in clusters if cluster.watcher.pace is not AT_REST}
            due |= self._in_turn(clusters)
        return due

    def sweep(self) -> None:
        """The clock asks for the next cycle at once."""
        self._swept_at = -math.inf

    def _in_turn(self, clusters: Sequence[Cluster]) -> set[str]:
        count = len(clusters)
        if count <= AT_ONCE:
            return {cluster.scope for cluster in clusters}
        turns = [(self._turn + number) % count for number in range(AT_ONCE)]
        self._turn = (self._turn + AT_ONCE) % count
        return {clusters[turn].scope for turn in turns}

    def _left_s(self, clusters: Sequence[Cluster]) -> float:
        """Until the clock alone asks for a cycle: the lease, or a leader key that is about to end."""
        now = time.monotonic()
        left_s = self._swept_at + CYCLE_S - now
        for cluster in clusters:
            ends_s = cluster.watcher.key_ends_s(now)
            if ends_s is not None and ends_s > FENCE_BEFORE_S:
                left_s = min(left_s, ends_s - FENCE_BEFORE_S + ROUNDING_S)
        return max(0.0, left_s)
