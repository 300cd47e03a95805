"""One cluster, followed through its members' REST APIs: all are asked every few seconds, and one of them in turn twice
a second whether members have come or gone; kept in mind when they are silent.

Owns asking, the name server, and the log lines on who is reached; what answers mean is decided in `discovery`.
"""

import asyncio
import random
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from typing import NoReturn, Self

import structlog

from trunkline.adapters.patroni_rest import PatroniRest
from trunkline.adapters.resolver import resolve
from trunkline.agent import memory
from trunkline.agent.discovery import (
    Answers,
    Known,
    choose,
    heard_scope,
    judge_scope,
    key,
    merged,
    names_in,
    reachable_url,
    resolved,
    unresolved,
    with_addresses,
)
from trunkline.agent.trouble import SOME_REASONS, Trouble
from trunkline.config.settings import ClusterSettings, Settings
from trunkline.errors import PatroniError, WrongScopeError
from trunkline.model.cluster import ClusterView, Member

EVERY_S, CLUSTERS_PER_S = 3.0, 15.0
"""What changes here beside members changes on the order of a cluster's loop_wait, 10 s unless it is set; who leads is
HAProxy's own affair. One question a member costs its API less than half a millisecond. One of several hundred clusters
is asked less often: so many of them a second."""

GLANCE_S, GLANCES_PER_S = 0.5, 60.0
"""A member that has come shall be served within a second of being healthy. All clusters together have so many
glances a second: in one of hundreds it is known when it streams from another (`hint`), or a few seconds later."""

DEAF_S = 0.25
"""After a hint that has led to nothing the next is heard so much later, and twice as late each time, until a round has
come without one: whoever connects again and again to stream, and is no member, shall not cost everybody questions."""

SPREAD = 0.1
"""The rounds of many clusters shall not keep falling together."""

ODD_ANSWERS = 2
"""How many rounds without an answer make a line in the log; one alone may be a busy API."""

log = structlog.get_logger()


@dataclass(slots=True, kw_only=True)
class Silence:
    """Rounds without an answer, when they began, and why there is none."""

    rounds: int
    since_s: float
    why: str


class Following:
    """What is known of one cluster of the settings; `clusters`: how many are followed beside it, itself included."""

    def __init__(self, chosen: ClusterSettings, known: Known | None = None) -> None:
        self.chosen = chosen
        self.known = known
        self.clusters = 1
        self.problems: tuple[PatroniError, ...] = ()
        self._scope = chosen.scope
        self._silent: dict[str, Silence] = {}
        self._unreached: dict[str, Trouble] = {}
        self._unresolved = Trouble(
            "members without an address are left out", "every member has an address again", reasons=SOME_REASONS
        )
        self._foreign = Trouble(
            "an answer of another cluster is left out", "no answer is of another cluster any more", level="error"
        )
        self._is_waiting = False
        self._turn = 0
        self._hinted = asyncio.Event()
        self._deaf_s = 0.0
        self._hears_at = 0.0

    def __repr__(self) -> str:
        return f"Following({self.name}, known={self.known is not None}, silent={sorted(self._silent)})"

    @property
    def name(self) -> str:
        """What people call the cluster, as far as anybody knows."""
        known = self.known.view.scope if self.known else None
        return self.chosen.scope or known or ", ".join(self.chosen.patroni)

    @property
    def view(self) -> ClusterView | None:
        """The cluster with addresses in place of names; None as long as nobody has said anything."""
        return resolved(self.known) if self.known is not None else None

    async def follow(self, changed: Callable[[], None]) -> NoReturn:
        """Look again and again; `changed` is called when something new is known. Raises PatroniError for what no
        waiting cures while nothing is known: a member of another cluster, certificates that cannot be used."""
        was_hinted = False
        async with _Client(self.chosen) as client:
            while True:
                answers, is_new = await self._look(client)
                self._tell(answers)
                if is_new:
                    changed()
                self._be_deaf(in_vain=was_hinted and not is_new)
                was_hinted = await self._wait(client)

    def _be_deaf(self, *, in_vain: bool) -> None:
        self._deaf_s = min(max(DEAF_S, 2 * self._deaf_s), EVERY_S) if in_vain else 0.0
        self._hears_at = time.monotonic() + self._deaf_s

    async def _wait(self, client: "_Client") -> bool:
        """Until it is time to ask all of them: a hint has come, then true, or one of them has members that were not
        known."""
        loop = asyncio.get_running_loop()
        spread = random.uniform(1 - SPREAD, 1 + SPREAD)
        again_at, pause_s = loop.time() + spread * self._every_s, spread * self._glance_s
        while (left_s := again_at - loop.time()) > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(min(pause_s, left_s)):
                    await asyncio.sleep(self._hears_at - time.monotonic())
                    await self._hinted.wait()
                    self._hinted.clear()
                    return True
            if left_s > pause_s and await self._glance(client):
                break
        return False

    def hint(self) -> None:
        """There may be a member that is not known."""
        self._hinted.set()

    @property
    def _every_s(self) -> float:
        return max(EVERY_S, self.clusters / CLUSTERS_PER_S)

    @property
    def _glance_s(self) -> float:
        return max(GLANCE_S, self.clusters / GLANCES_PER_S)

    async def _glance(self, client: "_Client") -> bool:
        """Whether the next of the members, asked alone, lists others than are known."""
        known = self.known
        if known is None or not known.urls:
            return False
        self._turn = (self._turn + 1) % len(known.urls)
        url = known.urls[self._turn]
        if url in self._silent:
            return False
        try:
            view = await (await client.rest()).cluster(reachable_url(url, known.addresses))
        except PatroniError:
            return False
        expected = tuple(member for member in known.view.members if member.name not in known.departed)
        return bool(view.members) and _places(view.members) != _places(expected)

    async def look_once(self) -> None:
        """One round without a word; `problems` says who gave no answer."""
        async with _Client(self.chosen) as client:
            await self._look(client)

    async def _look(self, client: "_Client") -> tuple[Answers, bool]:
        """One round; what was said, and whether something new is known."""
        before = self.view
        answers = await self._ask(client)
        self.problems = tuple(answer for _, answer in sorted(answers.items()) if isinstance(answer, PatroniError))
        self._judge(answers)
        await self._learn(client, answers)
        return answers, self.view is not None and (before is None or lasting(before) != lasting(self.view))

    async def _ask(self, client: "_Client") -> Answers:
        addresses = self.known.addresses if self.known else {}
        urls = tuple(dict.fromkeys(self._listed + (self.known.urls if self.known else ())))
        try:
            rest = await client.rest()
        except PatroniError as error:
            if self.known is None:
                raise
            return dict.fromkeys(urls, error)
        answers = await asyncio.gather(*(_cluster(rest, reachable_url(url, addresses)) for url in urls))
        if not any(isinstance(answer, ClusterView) for answer in answers):
            await client.renew()  # a certificate may have been replaced
        return dict(zip(urls, answers, strict=True))

    def _judge(self, answers: Answers) -> None:
        """A wrong scope ends the start; later it is one member's answer that does not count."""
        self._scope = self._scope or heard_scope(answers, self._listed)
        try:
            judge_scope(answers, self._expected_scope)
        except WrongScopeError as error:
            if self.known is None:
                raise
            self._foreign.tell(error.message, cluster=self.name)
        else:
            self._foreign.tell("", cluster=self.name)

    @property
    def _listed(self) -> tuple[str, ...]:
        return tuple(map(key, self.chosen.patroni))

    @property
    def _expected_scope(self) -> str | None:
        return self._scope or (self.known.view.scope if self.known else None)

    async def _learn(self, client: "_Client", answers: Answers) -> None:
        chosen = choose(answers, self._expected_scope)
        if chosen is None:
            return
        url, view = chosen
        addresses = self.known.addresses if self.known else {}
        try:
            config = await (await client.rest()).config(reachable_url(url, addresses))
        except PatroniError as error:
            self.problems += (error,)
            if self.known is None:
                return  # sizes and times hang on it: the next round asks again
            config = self.known.view.config
        known = merged(self.known, replace(view, config=config), answers, now_s=time.monotonic())
        self.known = with_addresses(known, await self._look_up(names_in(known.view)))

    async def _look_up(self, names: tuple[str, ...]) -> Mapping[str, tuple[str, ...]]:
        timeout_s = self.chosen.api.timeout_s
        found = await asyncio.gather(*(resolve(name, timeout_s=timeout_s) for name in names))
        return {resolution.host: resolution.addresses for resolution in found}

    def _tell(self, answers: Answers) -> None:
        """One line when something begins, one when it ends."""
        if self.known is None:
            if not self._is_waiting:
                why = "; ".join(problem.message for problem in self.problems) or "it has no members yet"
                log.warning("waiting for the cluster to be reached", cluster=self.name, why=why)
            self._is_waiting = True
            return
        if self._is_waiting:
            log.info("the cluster is reached", cluster=self.name)
            self._is_waiting = False
        for url, answer in sorted(answers.items()):
            self._tell_of(url, answer)
        for url in self._silent.keys() - answers.keys():
            del self._silent[url]
        for url in self._unreached.keys() - answers.keys():
            del self._unreached[url]
        self._unresolved.tell(", ".join(unresolved(self.known)), cluster=self.name)

    def _tell_of(self, url: str, answer: ClusterView | PatroniError) -> None:
        silence = self._silent.get(url)
        if isinstance(answer, PatroniError):
            if silence is None:
                silence = self._silent[url] = Silence(rounds=0, since_s=time.monotonic(), why=answer.message)
            silence.rounds += 1
            if silence.rounds >= ODD_ANSWERS:
                self._unreached.setdefault(url, _unreached()).tell(answer.message, **self._who(url))
        elif silence is not None:
            del self._silent[url]
            if silence.rounds >= ODD_ANSWERS:
                after_s = round(time.monotonic() - silence.since_s)
                self._unreached.setdefault(url, _unreached()).tell("", **self._who(url), after=f"{after_s} s")

    def _who(self, url: str) -> dict[str, str]:
        members = self.known.view.members if self.known else ()
        name = next((member.name for member in members if key(member.api_url) == url), None)
        return {"cluster": self.name, "member": name} if name else {"cluster": self.name, "api": url}


def _unreached() -> Trouble:
    return Trouble("a member is not reached, going on without it", "a member is reached again")


def followings_for(
    settings: Settings, remembered: str, before: Mapping[ClusterSettings, Following]
) -> tuple[Following, ...]:
    """One for each cluster of the settings; those whose questions stay the same go on, the others begin with what is
    remembered of their cluster."""
    clusters = settings.clusters
    followings = tuple(before.get(it) or Following(it, memory.recalled(remembered, it)) for it in clusters)
    for following in followings:
        following.clusters = len(clusters)
    return followings


def hint(followings: Iterable[Following], scope: str) -> None:
    """This cluster may have a member that is not known."""
    for following in followings:
        if following.known is not None and following.known.view.scope == scope:
            following.hint()


class _Client:
    """Patroni's REST API with errors as values; `renew` has it read its certificates again."""

    def __init__(self, chosen: ClusterSettings) -> None:
        self._api = chosen.api
        self._stack = AsyncExitStack()
        self._rest: PatroniRest | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.renew()

    async def rest(self) -> PatroniRest:
        """The client of now. Raises PatroniError where certificates cannot be used."""
        if self._rest is None:
            self._rest = await self._stack.enter_async_context(PatroniRest(self._api))
        return self._rest

    async def renew(self) -> None:
        """Begin anew with the next question."""
        self._rest = None
        await self._stack.aclose()


async def _cluster(rest: PatroniRest, url: str) -> ClusterView | PatroniError:
    """`GET /cluster`, with the scope that an old Patroni does not say there."""
    try:
        view = await rest.cluster(url)
        return view if view.scope else replace(view, scope=(await rest.member(url)).scope)
    except PatroniError as error:
        return error


def lasting(view: ClusterView) -> tuple[object, ...]:
    """What the configuration may depend on."""
    return view.scope, _places(view.members), view.config, view.is_standby_cluster


def _places(members: Iterable[Member]) -> tuple[tuple[object, ...], ...]:
    """Who they are and where, in the order of their names."""
    return tuple(sorted((member.name, member.host, member.port, member.api_url) for member in members))
