"""The facts of one cluster: who was asked what and when, and what came of it.

One task a member asks its REST API, one its PostgreSQL port, one the store, each at the pace that `plan.pace` chose;
none waits for another, so that a source that hangs costs only itself. Nothing is decided here.
"""

import asyncio
import math
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import NoReturn

from trunkline.adapters.patroni_rest import PatroniRest
from trunkline.adapters.postgres_port import is_awake, outlast, probe
from trunkline.agent.asking import ask_api
from trunkline.agent.lag import Lags
from trunkline.agent.leader import LeaderSource, Preferring
from trunkline.agent.other_members import OtherMembers
from trunkline.agent.pauses import Pauses
from trunkline.agent.tasks import Tasks
from trunkline.agent.watched import Member, facts_of, gist, unless_overtaken, well_since
from trunkline.config.settings import ApiSettings
from trunkline.model.cluster import MemberAnswer
from trunkline.model.desired import Server
from trunkline.model.facts import LeaderKey, MemberFacts, PortFact, PortVerdict, RestFact
from trunkline.plan.pace import AT_REST, Pace, rest_pause_s, shared

ANSWER_TIMEOUT_S = 1.0
SLOW_S = 0.25
"""Who has always answered, and has not for so long, may be frozen: its port is asked, too."""

PORT_TIMEOUT_S = 0.5
FRESH_ENOUGH_S = 0.2
SOON_S, SOON_PACE_S = 2.0, 0.05
OUTLAST_S = 25.0
"""A connection that waits for PostgreSQL's end is renewed so often: authentication_timeout is 60 s by default."""

OUTLAST_PAUSE_S = 1.0
KNOCK_TIMEOUT_S, KNOCK_PAUSE_S = 1.0, 2.0
KNOCKS_PER_S = 100.0
"""All members of all clusters together, with new sessions at each of them."""

PATIENCE = 0.8
SPREAD = 0.1
"""A question comes by up to this part earlier, so that those of many members do not keep falling together."""


def _nobody_cares() -> None: ...


class Watcher:
    """The facts of one cluster. `changed` is called when one of them has become another, `met` when somebody streams
    from a member who is none of the members that are watched."""

    def __init__(
        self,
        api: ApiSettings,
        changed: Callable[[], None],
        source: LeaderSource | None = None,
        met: Callable[[], None] = _nobody_cares,
    ) -> None:
        self._others = OtherMembers()
        self.source: LeaderSource = Preferring(source, self._others) if source else self._others
        self.pace = self._own_pace = AT_REST
        self._crowd = (1, 0)
        self.hinted_at = -math.inf
        self._api = api.model_copy(update={"timeout_s": min(ANSWER_TIMEOUT_S, api.timeout_s)})
        self._changed = changed
        self._met = met
        self._members: dict[str, Member] = {}
        self._tasks = Tasks()
        self._pauses = Pauses()
        self._served = asyncio.Event()
        self._rest: PatroniRest | None = None
        self._lags = Lags()

    async def run(self) -> NoReturn:
        """Ask for as long as the task lives."""
        async with PatroniRest(self._api) as rest, self._tasks:
            self._rest = self._others.rest = rest
            try:
                for name in self._members:
                    self._begin(name)
                self._tasks.start("watch the store", partial(self.source.run, self._has_news))
                self._tasks.start("ask for the leader key", self._ask_key)
                while True:
                    await self._tasks.until(asyncio.Event())
            finally:
                self._rest = self._others.rest = None

    def follow(self, members: Iterable[tuple[Server, str]]) -> None:
        """Watch these from now on, each with the URL of its API; what is known of the others is forgotten."""
        wanted = {server.member: (server, url) for server, url in members}
        for name in self._members.keys() - wanted.keys():
            self._forget(name)
        for name, (server, url) in wanted.items():
            known = self._members.get(name)
            if known is not None and (known.server, known.api_url) == (server, url):
                continue
            self._forget(name)
            self._members[name] = Member(server=server, api_url=url)
            if self._rest is not None:
                self._begin(name)
        self._others.urls = tuple(url for _, url in wanted.values())

    @property
    def members(self) -> tuple[str, ...]:
        """Those that are watched."""
        return tuple(sorted(self._members))

    def set_pace(self, pace: Pace) -> None:
        """Ask at this pace from now on; a quicker one takes effect at once."""
        is_quicker = pace.rest_s < self.pace.rest_s
        if self.pace.port_s is None:
            for member in self._members.values():
                member.port_answered_at = time.monotonic()
        if pace is not self.pace:
            self.pace = pace
            self._share()
        if is_quicker:
            self.hurry()

    def share(self, *, clusters: int, members: int) -> None:
        """It is one of so many clusters of this agent, which have so many members together."""
        self._crowd = clusters, members
        self._share()

    def _share(self) -> None:
        clusters, members = self._crowd
        self._own_pace = shared(self.pace, clusters=clusters, members=members)

    def hurry(self) -> None:
        """Ask all members at once."""
        self._pauses.end_all()

    def hint(self) -> None:
        """Something has said that there is news."""
        self.hinted_at = time.monotonic()
        self.hurry()

    def stay_with(self, server: str | None) -> None:
        """The primary that HAProxy serves now: its end is to be known at once."""
        for member in self._members.values():
            is_served = member.server.name == server
            if is_served and not member.is_served:
                self._served.set()
            member.is_served = is_served

    def came(self, server: str) -> None:
        """HAProxy has sent new sessions there: if they found nobody, somebody has to notice."""
        for member in self._members.values():
            if member.server.name == server:
                member.came.set()

    def check_was_silent(self, server: str) -> None:
        """HAProxy has told that a check of its own had no answer."""
        for member in self._members.values():
            if member.server.name == server:
                member.check_silent_at = time.monotonic()

    def check_has_passed(self, server: str) -> None:
        """HAProxy has told that a check of its own has found the primary here: whoever was asked before that, and has
        denied it, is asked again before it counts."""
        for member in self._members.values():
            if member.server.name == server:
                member.check_passed_at = time.monotonic()
                member.rest = unless_overtaken(member.rest, member.rest_at, member.check_passed_at)

    def facts(self, now: float) -> tuple[MemberFacts, ...]:
        """Everything that is known, with its age at this moment of the monotonic clock."""
        return tuple(facts_of(name, member, now) for name, member in sorted(self._members.items()))

    def leader_key(self, now: float) -> LeaderKey | None:
        """The leader key, where anybody could tell."""
        return self.source.leader_key(now)

    def source_ages(self, now: float) -> Mapping[tuple[str, str], float]:
        """By source and member ("" for none): since the last question that had an answer. Ports only while asked."""
        ages = {(f"leader key ({name})", ""): age_s for name, age_s in self.source.ages(now)}
        ages |= {("rest", name): now - member.rest_answered_at for name, member in self._members.items()}
        if self.pace.port_s is not None:
            ages |= {("port", name): now - member.port_answered_at for name, member in self._members.items()}
        return ages

    def key_ends_s(self, now: float) -> float | None:
        """Seconds until the lease behind the leader key ends, where its store tells."""
        key = self.source.leader_key(now) if self.source is not self._others else None
        return key.remaining_s if key is not None else None

    def _begin(self, name: str) -> None:
        eternals = self._ask_rest, self._ask_port, self._knock, self._stay
        for task, eternal in zip(_tasks_of(name), eternals, strict=True):
            self._tasks.start(task, partial(eternal, self._members[name]))

    def _forget(self, name: str) -> None:
        self._members.pop(name, None)
        self._lags.forget(name)
        self._tasks.drop(*_tasks_of(name))

    async def _ask_rest(self, member: Member) -> NoReturn:
        while True:
            asked_at = time.monotonic()
            with self._impatient(member):
                before, member.rest = member.rest, await ask_api(self._rest, member) if self._rest else None
            if member.rest is not None:
                lag_s = self._lag_s(member, member.rest)
                member.rest = replace(member.rest, took_s=time.monotonic() - asked_at, lag_s=lag_s)
                if member.rest.answer is not None:
                    member.rest_answered_at = asked_at
                    self._look_for_strangers(member, member.rest.answer)
            member.rest_at = asked_at
            member.rest = unless_overtaken(member.rest, asked_at, member.check_passed_at)
            member.well_since = well_since(member)
            if gist(before) != gist(member.rest):
                self._changed()
            member.spread = random.uniform(1 - SPREAD, 1)
            await self._pauses.pause(asked_at, lambda: self._rest_pause_s(member))

    def _look_for_strangers(self, member: Member, answer: MemberAnswer) -> None:
        """A member that has come is mostly seen here first. Who is no member is told of once."""
        strangers = answer.streaming - self._members.keys()
        if strangers - member.strangers:
            self._met()
        member.strangers = strangers

    @contextmanager
    def _impatient(self, member: Member) -> Iterator[None]:
        """An answer that is late is a hint, if the one before was in time: once, not as long as it lasts."""
        if member.rest is None or member.rest.answer is None or member.rest.took_s >= SLOW_S:
            yield
            return
        slow = asyncio.get_running_loop().call_later(SLOW_S, self._has_news)
        try:
            yield
        finally:
            slow.cancel()

    def _has_news(self) -> None:
        self.hint()
        self._changed()

    def _rest_pause_s(self, member: Member) -> float:
        key = self.source.leader_key(time.monotonic())
        name, pace = member.server.member, self._own_pace
        return member.spread * rest_pause_s(pace, name, key, may_be_primary=member.may_be_primary)

    def _lag_s(self, member: Member, fact: RestFact) -> float | None:
        if fact.answer is None:
            return None
        return self._lags.lag_s(member.server.member, fact.answer, time.monotonic(), time.time())

    async def _ask_port(self, member: Member) -> NoReturn:
        postgres = member.server.postgres
        while True:
            asked_at = time.monotonic()
            if self._own_pace.port_s is not None:
                verdict = await probe(postgres.address, postgres.port, timeout_s=PORT_TIMEOUT_S)
                took_s = time.monotonic() - asked_at
                before = member.port.verdict if member.port else None
                member.port, member.port_at = PortFact(verdict=verdict, age_s=0.0, took_s=took_s), asked_at
                if verdict is not PortVerdict.SILENT:
                    member.port_answered_at = asked_at
                if verdict is not before:
                    self._changed()
            await self._pauses.pause(asked_at, lambda: self._own_pace.port_s)

    async def _knock(self, member: Member) -> NoReturn:
        """Where new sessions have come: is anybody there to take them? A postmaster that hangs leaves the sessions that
        there are alone, and its API sees nothing of it."""
        postgres = member.server.postgres
        while True:
            await member.came.wait()
            member.came.clear()
            if not await is_awake(postgres.address, postgres.port, timeout_s=KNOCK_TIMEOUT_S):
                self._has_news()
            await asyncio.sleep(max(KNOCK_PAUSE_S, self._crowd[1] / KNOCKS_PER_S))

    async def _stay(self, member: Member) -> NoReturn:
        """While it is served, a connection to it that ends when PostgreSQL does, or its authentication_timeout."""
        postgres = member.server.postgres
        patience_s = OUTLAST_S
        while True:
            while not member.is_served:
                self._served.clear()
                await self._served.wait()
                patience_s = OUTLAST_S
            began = time.monotonic()
            try:
                has_ended = await outlast(postgres.address, postgres.port, for_s=patience_s)
            except OSError:
                has_ended = False
                self.hint()
            if has_ended:
                patience_s = max(OUTLAST_PAUSE_S, PATIENCE * (time.monotonic() - began))
                self.hint()
                self._changed()
            await asyncio.sleep(max(0.0, began + OUTLAST_PAUSE_S - time.monotonic()))

    async def _ask_key(self) -> NoReturn:
        while True:
            asked_at = time.monotonic()
            if self._own_pace.key_s is not None:
                before = self.source.leader_key(asked_at)
                if before is None or before.age_s > min(FRESH_ENOUGH_S, self._key_pace() or FRESH_ENOUGH_S):
                    now = await self.source.ask()
                    if (before.holder if before else None) != (now.holder if now else None):
                        self._changed()
            await self._pauses.pause(asked_at, self._key_pace)

    def _key_pace(self) -> float | None:
        """More often while the lease behind the key may end soon: it is known no better than it is asked for."""
        key = self.source.leader_key(time.monotonic())
        if self._own_pace.key_s is None or key is None or key.remaining_s is None or key.remaining_s > SOON_S:
            return self._own_pace.key_s
        return min(self._own_pace.key_s, SOON_PACE_S)


def _tasks_of(member: str) -> tuple[str, str, str, str]:
    return f"ask {member}", f"probe {member}", f"knock at {member}", f"stay with {member}"
