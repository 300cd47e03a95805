"""The leader key as Patroni's own library tells it: Consul, ZooKeeper, Kubernetes and every other store that it knows.

The library blocks, and may hang: it has a thread of its own, which nobody waits for. It is opened as `patronictl` opens
it, which makes no session and no lease, so nothing is written and rights to read suffice (docs/adr/0010).
"""

import asyncio
import importlib
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, Protocol

import yaml

from trunkline.agent.trouble import Trouble
from trunkline.errors import StoreError
from trunkline.model.facts import LeaderKey

LOOK_S = 0.4
"""Between two readings: a key that was read more than a second ago is none."""

DEFAULTS = {"name": "trunkline", "ttl": 30, "loop_wait": 10, "retry_timeout": 10}
"""Patroni's own, of what a store's client wants to know."""

NAME = "patroni.dcs"
PAUSE_S = 2.0
FRESH_S = 1.0


class Dcs(Protocol):
    """What is used of `patroni.dcs.AbstractDCS`."""

    def get_cluster(self) -> Any:
        """The cluster as the store has it."""

    def watch(self, leader_version: Any, timeout: float) -> bool:
        """Back when something has changed, or after `timeout` seconds."""


Opening = Callable[[Path, str], Dcs]


class LibraryStore:
    """A `LeaderSource`. `config`: a Patroni configuration that names the store."""

    def __init__(self, config: Path, scope: str, opening: Opening | None = None) -> None:
        self._config = config
        self._scope = scope
        self._open = opening or open_dcs
        self._known: LeaderKey | None = None
        self._known_at = time.monotonic()
        self._trouble = Trouble("the store cannot be asked, other members are", "the store answers again", scope=scope)
        self._is_over = threading.Event()

    async def run(self, changed: Callable[[], None]) -> NoReturn:
        """Keep a thread that looks."""
        loop = asyncio.get_running_loop()
        self._is_over.clear()
        threading.Thread(target=self._look, args=(loop, changed), name="patroni.dcs", daemon=True).start()
        try:
            while True:
                await asyncio.Event().wait()
        finally:
            self._is_over.set()

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

    def _look(self, loop: asyncio.AbstractEventLoop, changed: Callable[[], None]) -> None:
        dcs: Dcs | None = None
        while not self._is_over.is_set():
            try:
                dcs = dcs or self._open(self._config, self._scope)
                asked_at = time.monotonic()
                leader = dcs.get_cluster().leader
                holder = leader.name if leader is not None else None
                self._tell(loop, partial(self._learn, holder or None, asked_at, changed))
                dcs.watch(None, LOOK_S)
            except Exception as problem:  # noqa: BLE001 (of a library, and of whatever store it speaks to)
                why = problem.message if isinstance(problem, StoreError) else f"{type(problem).__name__}: {problem}"
                self._tell(loop, partial(self._trouble.tell, why))
                self._is_over.wait(PAUSE_S)

    def _tell(self, loop: asyncio.AbstractEventLoop, what: Callable[[], None]) -> None:
        try:
            loop.call_soon_threadsafe(what)
        except RuntimeError:  # the loop has ended
            self._is_over.set()

    def _learn(self, holder: str | None, asked_at: float, changed: Callable[[], None]) -> None:
        is_news = self._known is None or self._known.holder != holder
        self._known, self._known_at = LeaderKey(holder=holder, age_s=0.0, source=NAME), asked_at
        self._trouble.tell("")
        if is_news:
            changed()


def open_dcs(config: Path, scope: str) -> Dcs:
    """The store of this Patroni configuration. Raises StoreError where the file or the library is of no use."""
    try:
        library = importlib.import_module("patroni.dcs")
    except ImportError:
        raise StoreError(
            "Patroni's library is not installed beside Trunkline", hint="pip install 'trunkline[dcs]'"
        ) from None
    try:
        settings = yaml.safe_load(config.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise StoreError(f"{config} cannot be read: {error}", hint="dcs.patroni_config names a patroni.yml") from None
    if not isinstance(settings, dict):
        raise StoreError(f"{config} is no Patroni configuration", hint="dcs.patroni_config names a patroni.yml")
    dcs: Dcs = library.get_dcs(DEFAULTS | settings | {"scope": scope, "patronictl": True})
    return dcs
