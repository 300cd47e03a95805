"""Members come and go without a reload: HAProxy gets the servers of its configuration one by one while it runs.

Owns what it did and what that needs to be remembered of: which servers are ours, and which of them are on their way
out; on disk before HAProxy is told, so that whoever goes on from here knows a departure from a person's hand. What is
to be done is `trunkline.plan.members`, in which words is `trunkline.render.members`.
"""

import asyncio
import json
import time
from dataclasses import replace
from pathlib import Path

import structlog

from trunkline.adapters.files import read_text, write_private
from trunkline.adapters.runtime_socket import RuntimeSocket
from trunkline.errors import RuntimeSocketError, TrunklineError
from trunkline.model.desired import Service
from trunkline.model.membership import Change, Departed, Join, Leave, Move, Remove, Rest, Return
from trunkline.plan.members import MOST_DEPARTED, MOVED_S, Crew, plan_members, surplus
from trunkline.render.members import commands

FILE = "servers.json"
VERSION = 1
MOST_ROUNDS = 5
"""One changes, one looks whether it has become so."""

TEND_S = 1.0
"""How often is looked whether the last session of a member that has left is gone: nobody tells."""

Place = tuple[str, str]
"""A proxy and a server of it."""

log = structlog.get_logger()


class Members:
    """The servers of one HAProxy, as we have put them there. `may_remove`: whether it can remove servers unharmed."""

    def __init__(self, runtime: RuntimeSocket, directory: Path, *, may_remove: bool) -> None:
        self.unsettled = asyncio.Event()
        """There is something that `tend` may have to do."""

        self._runtime = runtime
        self._path = directory / FILE
        self._may_remove = may_remove
        self._services: tuple[Service, ...] = ()
        self._ours: frozenset[Place] = frozenset()
        self._departed: dict[Place, Departed] = {}

    def __repr__(self) -> str:
        return f"Members({self._path}, departed={sorted(self._departed)})"

    @property
    def pause_s(self) -> float:
        """How long `tend` may be waited with."""
        return MOVED_S if self._departed.keys() & _places(self._services) else TEND_S

    def begin(self, services: tuple[Service, ...]) -> None:
        """HAProxy has read its configuration, and nothing else: it was started, or reloaded."""
        self._services, self._ours, self._departed = services, _places(services), {}
        self.unsettled.clear()
        self._save()

    def resume(self, services: tuple[Service, ...], others: frozenset[Place] = frozenset()) -> None:
        """HAProxy has these servers, and those of which the disk knows: somebody else was here before. `others`: more
        that came from a configuration of ours."""
        self._services = services
        self._load()
        self._ours |= _places(services) | others
        if self._departed:
            self.unsettled.set()
        self._save()

    async def adopt(self, services: tuple[Service, ...]) -> None:
        """Give HAProxy the servers of these services. Raises RuntimeSocketError where it does not take them; what it
        has taken stays, and a reload makes good the rest."""
        self.resume(services)
        undone = ""
        for _ in range(MOST_ROUNDS):
            changes = plan_members(await self._look(), may_remove=False)
            for change in changes:
                await self._perform(change)
            # Who has left rests when its last client has gone: one after the other, which `tend` sees to its end.
            lasting = [change for change in changes if not isinstance(change, Rest)]
            if not lasting:
                return
            undone = ", ".join(f"{type(change).__name__.lower()} {'/'.join(_place(change))}" for change in lasting)
        raise RuntimeSocketError(f"HAProxy has taken a change that it does not show: {undone}")

    async def tend(self) -> bool:
        """Look after those that have left or moved; whether only a reload removes those that have waited enough."""
        crew = await self._look()
        for change in plan_members(crew, may_remove=self._may_remove):
            await self._perform(change)
        return not self._may_remove and bool(surplus(crew))

    async def _look(self) -> Crew:
        now_s = time.time()
        proxies = {proxy.name: proxy for proxy in await self._runtime.proxies()}
        missing = sorted({service.proxy for service in self._services} - proxies.keys())
        if missing:
            raise RuntimeSocketError(f"HAProxy has no {', '.join(missing)}")
        placed = await self._runtime.placed()
        there = {(it.proxy, it.name): it for it in placed}
        busy = {(it.proxy, it.name) for proxy in proxies.values() for it in proxy.servers if it.sessions}
        wanted = _places(self._services)
        self._ours = frozenset(place for place in self._ours if place in wanted or place in there)
        self._departed = {
            place: replace(note, idle_since_s=None if place in busy else note.idle_since_s or now_s)
            for place, note in self._departed.items()
            if place in there and (place not in wanted or there[place].is_resting)
        }
        are_waiting = all(place not in wanted and there[place].is_in_maint for place in self._departed)
        if are_waiting and len(self._departed) <= MOST_DEPARTED:
            self.unsettled.clear()  # nothing else happens to them
        self._save()
        return Crew(
            services=self._services,
            proxies=proxies,
            placed=placed,
            ours=self._ours,
            departed=tuple(self._departed.values()),
            now_s=now_s,
            closed_by_agent=await self._runtime.closed_by_agent(),
        )

    async def _perform(self, change: Change) -> None:
        place = _place(change)
        if isinstance(change, Leave) or (isinstance(change, Move) and not change.is_resting):
            self._departed[place] = Departed(proxy=place[0], server=place[1], since_s=time.time())
            self.unsettled.set()
        if isinstance(change, Join):
            self._ours |= {place}
        self._save()
        await self._runtime.commands(commands(change))
        if isinstance(change, Return | Remove):
            self._departed.pop(place, None)
        if isinstance(change, Remove):
            self._ours -= {place}
            log.info("a member that has left is forgotten", service=place[0], server=place[1])
        self._save()

    def _load(self) -> None:
        try:
            raw = json.loads(read_text(self._path) or "")
            if raw["version"] != VERSION:
                return
            ours = frozenset((str(proxy), str(server)) for proxy, server in raw["ours"])
            departed = {
                (str(proxy), str(server)): Departed(proxy=str(proxy), server=str(server), since_s=float(since_s))
                for proxy, server, since_s in raw["departed"]
            }
        except (TrunklineError, ValueError, KeyError, TypeError, RecursionError):
            return  # it says nothing: what is not ours is left alone
        known = self._departed
        self._ours = ours
        self._departed = {place: known.get(place, note) for place, note in departed.items()}

    def _save(self) -> None:
        departed = [[it.proxy, it.server, it.since_s] for _, it in sorted(self._departed.items())]
        text = json.dumps({"version": VERSION, "ours": sorted(self._ours), "departed": departed}) + "\n"
        if text != read_text(self._path):
            write_private(self._path, text)


def _place(change: Change) -> Place:
    if isinstance(change, Join | Move | Return):
        return change.service.proxy, change.server.name
    return change.proxy, change.server


def _places(services: tuple[Service, ...]) -> frozenset[Place]:
    return frozenset((service.proxy, server.name) for service in services for server in service.servers)
