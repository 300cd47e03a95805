"""Workers that a reload has left behind, and their sessions: asked of the master beside the cycle, which never waits.

A master that is silent costs the knowledge about old workers, and nothing else.
"""

import asyncio
import time
from collections.abc import Callable, Collection
from dataclasses import replace

from trunkline.adapters.runtime_socket import MasterSocket
from trunkline.agent.trouble import Trouble
from trunkline.errors import RuntimeSocketError
from trunkline.model.facts import Workers
from trunkline.wire.runtime import parse_stat

REST_S, BUSY_S = 2.0, 0.1
"""Between two looks; while old workers have sessions there is one at each cycle, but not more often than that. When
another worker serves, there is one at once, and again until it has succeeded: during a reload the master is deaf."""


class OldWorkers:
    """`master`: None where there is no way to them; `changed` is called with the proxies of which sessions have come or
    gone there."""

    def __init__(self, master: MasterSocket | None, changed: Callable[[Collection[str]], None]) -> None:
        self._master = master
        self._changed = changed
        self._seen = Workers()
        self._looked_at = 0.0
        self._pid = 0
        self._told_at = time.monotonic()
        self._looking: asyncio.Task[None] | None = None
        self._trouble = Trouble("old workers cannot be looked after", "old workers are looked after again")

    def seen_beside(self, pid: int) -> Workers:
        """What was seen last, while this worker serves; begins another look where one is due. Without a master none are
        known."""
        if self._master is None:
            return Workers(beside=pid)
        now = time.monotonic()
        pause_s = BUSY_S if self._seen.sessions or self._seen.beside != pid else REST_S
        is_due = pid != self._pid or now - self._looked_at >= pause_s
        if is_due and (self._looking is None or self._looking.done()):
            self._pid, self._looked_at = pid, now
            self._looking = asyncio.create_task(self._look(self._master, pid), name="look at old workers")
        return self._seen

    def age_s(self, now: float) -> float | None:
        """Since the master has last told, where there is one to ask."""
        return now - self._told_at if self._master is not None else None

    async def _look(self, master: MasterSocket, pid: int) -> None:
        problem, before = "", self._seen
        try:
            self._seen = replace(await old_workers(master), beside=pid)
            self._told_at = time.monotonic()
        except RuntimeSocketError as error:
            problem = error.message
        self._trouble.tell(problem)
        if self._seen != before:
            self._changed({proxy for _, proxy, _, _ in set(self._seen.sessions) ^ set(before.sessions)})


async def old_workers(master: MasterSocket) -> Workers:
    """Workers that a reload has left behind, and how many sessions they have at which server."""
    pids = tuple(worker.pid for worker in await master.workers() if worker.is_old)
    sessions: list[tuple[int, str, str, int]] = []
    for pid in pids:
        for proxy in parse_stat(await master.command(f"@!{pid}", "show", "stat")):
            sessions += [(pid, proxy.name, it.name, it.sessions) for it in proxy.servers if it.sessions]
    return Workers(sessions=tuple(sorted(sessions)), pids=pids)
