"""The second opinion where the store is out of our reach: other members say who holds the leader lock.

Patroni reads the store anew for each `GET /cluster`, so an answer is as fresh as the question. Asked only when somebody
wants to know, since each question costs the store a read.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from typing import NoReturn

from trunkline.adapters.patroni_rest import PatroniRest
from trunkline.errors import PatroniError
from trunkline.model.cluster import ClusterView
from trunkline.model.facts import OTHER_MEMBERS, LeaderKey

DEADLINE_S = 0.5


class OtherMembers:
    """A `LeaderSource`; `urls` are those that may be asked now, through `rest` while there is one."""

    def __init__(self) -> None:
        self.urls: tuple[str, ...] = ()
        self.rest: PatroniRest | None = None
        self._known: tuple[LeaderKey, float] | None = None

    async def run(self, changed: Callable[[], None]) -> NoReturn:
        """There is nothing to keep: it is asked."""
        while True:
            await asyncio.Event().wait()

    def leader_key(self, now: float) -> LeaderKey | None:
        """What was said last."""
        if self._known is None:
            return None
        key, asked_at = self._known
        return replace(key, age_s=now - asked_at)

    def ages(self, now: float) -> tuple[tuple[str, float], ...]:
        """Since the last question that was answered."""
        return ((OTHER_MEMBERS, now - self._known[1]),) if self._known is not None else ()

    async def ask(self) -> LeaderKey | None:
        """The first answer of any member; the last known one where none gives any."""
        asked_at = time.monotonic()
        waiting = {asyncio.create_task(self._cluster(url)) for url in self.urls}
        try:
            while waiting:
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for view in [task.result() for task in done]:
                    if view is not None:
                        self._known = leader_key(view), asked_at
                        return self._known[0]
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        return None

    async def _cluster(self, url: str) -> ClusterView | None:
        if self.rest is None:
            return None
        try:
            async with asyncio.timeout(DEADLINE_S):
                return await self.rest.cluster(url)
        except (PatroniError, TimeoutError):
            return None


def leader_key(view: ClusterView) -> LeaderKey:
    """What `/cluster` says of the leader lock."""
    return LeaderKey(holder=view.leader.name if view.leader else None, age_s=0.0, source=OTHER_MEMBERS)
