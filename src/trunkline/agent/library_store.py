"""The leader key as Patroni's own library tells it: Consul, ZooKeeper, Kubernetes and every other store that it knows.

The library blocks, and may hang: it has a thread of its own, which nobody waits for. Nothing is written, so rights to
read suffice (`trunkline.agent.patroni_library`, docs/adr/0010).
"""

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NoReturn

from trunkline.agent.patroni_library import Dcs, Opening, close_dcs, open_dcs, reason
from trunkline.agent.trouble import Trouble
from trunkline.model.facts import LeaderKey

LOOK_S = 0.4
"""Between two readings: a key that was read more than a second ago is none."""

NAME = "patroni.dcs"
PAUSE_S = 1.0
FRESH_S = 1.0
SILENT_S = 3.0
"""The library may try for long before it says that nobody answers, or for ever; whoever reads the log shall know."""


class LibraryStore:
    """A `LeaderSource`. `config`: a Patroni configuration that names the store."""

    def __init__(self, config: Path, scope: str, opening: Opening | None = None) -> None:
        self._config = config
        self._scope = scope
        self._open = opening or open_dcs
        self._known: LeaderKey | None = None
        self._known_at = time.monotonic()
        begins, ends = "the store cannot be asked, other members are", "the store answers again"
        self._trouble = Trouble(begins, ends, reasons=2, scope=scope)  # silence, and later why

    async def run(self, changed: Callable[[], None]) -> NoReturn:
        """Keep a thread that looks, and tell when it has nothing to say."""
        loop, is_over = asyncio.get_running_loop(), threading.Event()
        began = time.monotonic()
        arguments = (loop, is_over, changed)
        threading.Thread(target=self._look, args=arguments, name=NAME, daemon=True).start()
        try:
            while True:
                await asyncio.sleep(SILENT_S / 3)
                if time.monotonic() - max(began, self._known_at) > SILENT_S:
                    self._trouble.tell(f"no answer for {SILENT_S:.0f} s")
        finally:
            is_over.set()

    def leader_key(self, now: float) -> LeaderKey | None:
        """What was read last."""
        if self._known is None:
            return None
        return LeaderKey(holder=self._known.holder, age_s=now - self._known_at, source=self._known.source)

    def ages(self, now: float) -> tuple[tuple[str, float], ...]:
        """Since the last reading."""
        return ((NAME, now - self._known_at),)

    async def ask(self) -> LeaderKey | None:
        """The thread asks all the time; None where it has had no answer of late."""
        key = self.leader_key(time.monotonic())
        return key if key is not None and key.age_s <= FRESH_S else None

    def _look(self, loop: asyncio.AbstractEventLoop, is_over: threading.Event, changed: Callable[[], None]) -> None:
        dcs: Dcs | None = None
        while not is_over.is_set():
            try:
                dcs = dcs or self._open(self._config, self._scope)
                asked_at = time.monotonic()
                leader = dcs.get_cluster().leader
                holder = leader.name if leader is not None else None
                _tell(loop, is_over, partial(self._learn, holder or None, asked_at, changed))
                dcs.watch(None, LOOK_S)
            except Exception as problem:  # noqa: BLE001 (of a library, and of whatever store it speaks to)
                _tell(loop, is_over, partial(self._trouble.tell, reason(problem)))
                is_over.wait(PAUSE_S)
        if dcs is not None:
            with suppress(Exception):  # nobody is left who could be told
                close_dcs(dcs)

    def _learn(self, holder: str | None, asked_at: float, changed: Callable[[], None]) -> None:
        is_news = self._known is None or self._known.holder != holder
        self._known, self._known_at = LeaderKey(holder=holder, age_s=0.0, source=NAME), asked_at
        self._trouble.tell("")
        if is_news:
            changed()


def _tell(loop: asyncio.AbstractEventLoop, is_over: threading.Event, what: Callable[[], None]) -> None:
    """To the loop, unless nobody listens any more."""

    def if_still() -> None:
        if not is_over.is_set():
            what()

    try:
        loop.call_soon_threadsafe(if_still)
    except RuntimeError:  # the loop has ended
        is_over.set()
