"""The leader key as etcd tells it: watched, so that its loss is known at once, and read whenever its age matters.

The watch alone proves nothing while it is silent, so the age of what is known is that of the last answer or event. The
lease behind the key is told in whole seconds, rounded down: `moment asked + seconds` is never after its end, and the
largest of several is as sharp as the pace of asking.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import NoReturn

from trunkline.adapters.etcd import EtcdClient
from trunkline.agent.trouble import Trouble
from trunkline.config.settings import StoreSettings
from trunkline.errors import StoreError
from trunkline.model.facts import LeaderKey
from trunkline.wire.etcd import Entry

QUESTION_TIMEOUT_S = 0.5
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 2.0
LOOK_S = 10.0
"""A watch whose etcd is gone without a word ends when a question beside it has no answer, asked so often."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What was known at the moment `at` of the monotonic clock, of this revision of the store; `ends_at`: the lease
    ends not before that."""

    holder: str | None
    lease: int
    at: float
    revision: int
    ends_at: float | None = None


class EtcdStore:
    """A `LeaderSource`: the key `leader` of this scope in Patroni's namespace."""

    def __init__(self, settings: StoreSettings, scope: str) -> None:
        if settings.etcd is None:
            raise ValueError("these settings name no etcd")
        self.name = "etcd"
        self._key = leader_path(settings.namespace, scope)
        self._client = EtcdClient(settings.etcd, timeout_s=QUESTION_TIMEOUT_S)
        self._is_open = False
        self._heard_at = time.monotonic()
        self._known: Known | None = None
        self._trouble = Trouble("the store cannot be asked, other members are", "the store answers again", scope=scope)

    async def run(self, changed: Callable[[], None]) -> NoReturn:
        """Watch for as long as the task lives; an etcd that is gone is waited for."""
        while True:
            try:
                async with self._client:
                    await self._watch_on(changed)
            except StoreError as problem:  # its certificates cannot be used
                self._trouble.tell(problem.message)
                await asyncio.sleep(LONGEST_PAUSE_S)

    def leader_key(self, now: float) -> LeaderKey | None:
        """What was said last."""
        known = self._known
        if known is None:
            return None
        left_s = None if known.ends_at is None else known.ends_at - now
        return LeaderKey(holder=known.holder, age_s=now - known.at, source=self.name, remaining_s=left_s)

    def ages(self, now: float) -> tuple[tuple[str, float], ...]:
        """Since the last answer or event."""
        return ((self.name, now - self._heard_at),)

    async def ask(self) -> LeaderKey | None:
        """The key, and what is left of its lease; None where etcd does not answer."""
        if not self._is_open:
            return None
        try:
            await self._read()
        except StoreError as problem:
            self._trouble.tell(problem.message)
            return None
        return self.leader_key(time.monotonic())

    async def _read(self) -> int:
        """Keeps what is so now; returns the store's revision."""
        asked_at = time.monotonic()
        reading = await self._client.read(self._key)
        self._learn(reading.entry, asked_at, reading.revision)
        if reading.entry is not None and reading.entry.lease:
            with suppress(StoreError):  # the key itself is what counts
                await self._ask_lease(reading.entry.lease)
        self._trouble.tell("")
        return reading.revision

    async def _ask_lease(self, lease: int) -> None:
        asked_at = time.monotonic()
        left_s = await self._client.lease_left_s(lease)
        known = self._known
        if known is not None and known.lease == lease:
            ends_at = max(asked_at + max(0, left_s), known.ends_at or asked_at)
            self._known = replace(known, ends_at=ends_at)

    def _learn(self, entry: Entry | None, at: float, revision: int) -> None:
        """Of two answers the one of the later revision counts, whichever came first."""
        self._heard_at = max(self._heard_at, at)
        before = self._known
        if before is not None and (revision, at) < (before.revision, before.at):
            return
        if entry is None:
            self._known = Known(holder=None, lease=0, at=at, revision=revision)
            return
        ends_at = before.ends_at if before is not None and before.lease == entry.lease else None
        self._known = Known(holder=entry.value, lease=entry.lease, at=at, revision=revision, ends_at=ends_at)

    async def _watch_on(self, changed: Callable[[], None]) -> NoReturn:
        self._is_open = True
        try:
            pause_s = FIRST_PAUSE_S
            while True:
                began = time.monotonic()
                try:
                    await self._watch(changed)
                except StoreError as problem:
                    self._trouble.tell(problem.message)
                pause_s = FIRST_PAUSE_S if time.monotonic() - began > LOOK_S else min(2 * pause_s, LONGEST_PAUSE_S)
                await asyncio.sleep(pause_s)
        finally:
            self._is_open = False

    async def _watch(self, changed: Callable[[], None]) -> None:
        """Until the stream ends. An etcd that was restored begins with lower revisions: what was known is no more."""
        before, self._known = self._known, None
        revision = await self._read()
        if before is None or (self._known is not None and self._known.holder != before.holder):
            changed()
        tasks = {asyncio.create_task(self._look()), asyncio.create_task(self._follow(revision + 1, changed))}
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(self, revision: int, changed: Callable[[], None]) -> None:
        async for news in self._client.watch(self._key, revision):
            if news.canceled:
                raise StoreError(f"{self._client.url} has ended the watch: {news.canceled}")
            for number, entry in news.changes:
                self._learn(entry, time.monotonic(), number)
            if news.changes:
                changed()

    async def _look(self) -> NoReturn:
        while True:
            await asyncio.sleep(LOOK_S)
            await self._read()


def leader_path(namespace: str, scope: str) -> str:
    """The key that Patroni keeps the leader lock in."""
    return f"/{namespace.strip('/')}/{scope}/leader" if namespace.strip("/") else f"/{scope}/leader"
