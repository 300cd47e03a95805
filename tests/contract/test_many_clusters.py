"""One HAProxy with more clusters than are looked at each time: who has news is looked at, and nobody is forgotten."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.saying import said
from trunkline.adapters.runtime_socket import RuntimeSocket
from trunkline.agent.steering import Seen, Steered, Steering
from trunkline.agent.turns import AT_ONCE
from trunkline.agent.watching import Watcher
from trunkline.config.settings import Settings
from trunkline.model.cluster import ClusterView, Member, Role
from trunkline.model.desired import HostFacts
from trunkline.model.facts import MemberFacts
from trunkline.model.proxy import Health, ProcessInfo, ProxyState, ProxyView, ServerState
from trunkline.plan.balancer import desired_balancer
from trunkline.plan.paths import run_paths
from trunkline.testing.fake_haproxy import FakeHAProxy

CLUSTERS = 2 * AT_ONCE + 7
MEMBERS = ("pg1", "pg2")
PATIENCE_S = 30.0
SCOPES = [f"c{number:03}" for number in range(CLUSTERS)]


class Notes:
    """An `Observer`. `cycles`: the scopes that each one has seen."""

    def __init__(self) -> None:
        self.cycles: list[set[str]] = []
        self._now: set[str] = set()
        self._news = asyncio.Event()

    def saw(self, seen: Seen) -> None:
        self._now.add(seen.situation.scope)

    def cycled(self, seconds: float, problem: str) -> None:
        assert not problem
        self.cycles.append(self._now)
        self._now = set()
        self._news.set()

    async def until(self, is_so: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not is_so():
                self._news.clear()
                await self._news.wait()


class Knowing(Watcher):
    """Nobody is asked: pg1 has just said that it is the primary, and pg2 that it is not, unless all `is_silent`."""

    is_silent = False

    def facts(self, now: float) -> tuple[MemberFacts, ...]:
        if self.is_silent:
            return tuple(MemberFacts(name=name, server=name) for name in MEMBERS)
        return tuple(MemberFacts(name=name, server=name, rest=said(name, is_primary=name == "pg1")) for name in MEMBERS)


def view(*, held: tuple[tuple[str, int], ...] = ()) -> ProxyView:
    proxies = tuple(
        ProxyState(
            name=f"{scope}_postgres_{service}",
            frontend_status="OPEN",
            backend_status="UP",
            servers=tuple(
                ServerState(
                    proxy=f"{scope}_postgres_{service}",
                    name=name,
                    address="127.0.0.1:1",
                    health=Health.UP if (name == "pg1") is (service == "primary") else Health.DOWN,
                    sessions=0,
                    queued=0,
                )
                for name in MEMBERS
            ),
        )
        for scope in SCOPES
        for service in ("primary", "replicas")
    )
    return ProxyView(info=ProcessInfo(version="2.8.25", pid=1, uptime_s=1, maxconn=1), proxies=proxies, held=held)


def steered(directory: Path) -> tuple[Steered, ...]:
    """Watchers that watch nothing: who asks is no matter here."""
    clusters = [
        {
            "scope": scope,
            "patroni": [f"http://127.0.0.1:{10_000 + number}"],
            "services": {
                "primary": {"bind": [f"127.0.0.1:{20_000 + 2 * number}"]},
                "replicas": {"bind": [f"127.0.0.1:{20_001 + 2 * number}"]},
            },
        }
        for number, scope in enumerate(SCOPES)
    ]
    settings = Settings.model_validate({"clusters": clusters})
    members = tuple(
        Member(name=name, host="127.0.0.1", port=1, api_url="http://127.0.0.1:2", role=Role.UNKNOWN) for name in MEMBERS
    )
    views = tuple(ClusterView(scope=scope, members=members) for scope in SCOPES)
    host = HostFacts(file_limit=None, haproxy_version=(2, 8))
    services = desired_balancer(settings, views, host, run_paths(directory, settings)).services
    found = []
    for scope, chosen in zip(SCOPES, settings.clusters, strict=True):
        own = tuple(service for service in services if service.scope == scope)
        watcher = Knowing(chosen.api, lambda: None)
        watcher.follow((server, "http://127.0.0.1:2") for server in own[0].servers)
        found.append(Steered(scope=scope, services=own, watcher=watcher))
    return tuple(found)


@asynccontextmanager
async def steering(directory: Path) -> AsyncIterator[tuple[Steering, FakeHAProxy, Notes]]:
    notes = Notes()
    async with FakeHAProxy(directory / "admin.sock", view()) as haproxy:
        subject = Steering(RuntimeSocket(haproxy.path), None, notes, tuple)
        subject.steered = steered(directory)
        task = asyncio.create_task(subject.run())
        try:
            yield subject, haproxy, notes
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_everybody_has_his_turn_and_nobody_costs_the_others_theirs(directory: Path) -> None:
    async with steering(directory) as (_, haproxy, notes):
        await notes.until(lambda: set.union(set(), *notes.cycles) == set(SCOPES))
        assert len(notes.cycles) <= -(-CLUSTERS // AT_ONCE) + 1
        assert all(len(cycle) <= AT_ONCE for cycle in notes.cycles)
        assert haproxy.commands.count("show stat") == 1  # from which their numbers are known


async def test_who_has_news_is_looked_at_alone_and_at_once(directory: Path) -> None:
    async with steering(directory) as (subject, _, notes):
        await notes.until(lambda: len(notes.cycles) >= 1)
        for scope in (SCOPES[-1], SCOPES[0], SCOPES[AT_ONCE]):
            before = len(notes.cycles)
            subject.wake(scope)
            await notes.until(lambda before=before: len(notes.cycles) > before)  # type: ignore[misc]
            assert scope in notes.cycles[before]


async def test_news_of_all_is_news_of_each(directory: Path) -> None:
    async with steering(directory) as (subject, haproxy, notes):
        await notes.until(lambda: len(notes.cycles) >= 1)
        before = len(notes.cycles)
        subject.wake()
        await notes.until(lambda: len(notes.cycles) > before)
        assert notes.cycles[before] == set(SCOPES)
        assert haproxy.commands.count("show stat") == 2


@pytest.mark.parametrize("why", ["a burst", "somebody waits", "something is leased"])
async def test_who_is_not_at_rest_is_looked_at_each_time(directory: Path, why: str) -> None:
    restless = SCOPES[-1]
    async with steering(directory) as (subject, haproxy, notes):
        if why == "a burst":
            watcher = subject.steered[-1].watcher
            assert isinstance(watcher, Knowing)
            watcher.is_silent = True
            subject.wake(restless)
        elif why == "somebody waits":
            haproxy.view = view(held=((f"{restless}_postgres_primary", 1),))
        else:
            runtime = RuntimeSocket(haproxy.path)
            await runtime.renew(5000)
            await runtime.command("trunkline", "stick", f"{restless}_postgres_replicas/pg2", "drain")
        begun = len(notes.cycles)
        await notes.until(lambda: len(notes.cycles) >= begun + 4)
        if why == "something is leased":  # seen once, it is given back, since nothing asks for it
            assert restless in notes.cycles[begun] | notes.cycles[begun + 1]
        else:
            assert sum(restless in cycle for cycle in notes.cycles[begun:]) >= 3
