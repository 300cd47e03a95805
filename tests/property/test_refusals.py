"""With any one command refused for ever, every other service still converges: the agent's own cycle and executor, over
services whose worlds are anything, and a HAProxy that refuses one of the commands that it is given.
"""

import asyncio
import random
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from steering_world import World, any_world
from structlog.testing import capture_logs

from trunkline.adapters.runtime_socket import RuntimeSocket
from trunkline.agent.steering import Seen, Steered, Steering
from trunkline.agent.watching import Watcher
from trunkline.config.settings import ApiSettings
from trunkline.errors import RuntimeSocketError
from trunkline.model.command import Command, EndSessions, SetHealth, Stick, Unstick
from trunkline.model.desired import CheckTiming, Hold, Service, ServiceKind
from trunkline.model.facts import LeaderKey, Lease, MemberFacts, Sticky
from trunkline.model.proxy import ProxyState

CYCLES = 6
EXAMPLES = 150
PLACES = (
    ("one", "one_postgres_primary", ServiceKind.PRIMARY),
    ("one", "one_postgres_replicas", ServiceKind.REPLICAS),
    ("two", "two_postgres_primary", ServiceKind.PRIMARY),
    ("two", "two_postgres_replicas", ServiceKind.REPLICAS),
)


class Worlds(RuntimeSocket):
    """HAProxy with one proxy for each world; `refused`: a command that it does not take, `taken`: what it was given."""

    def __init__(self, worlds: dict[str, World], refused: str = "") -> None:
        super().__init__("nowhere")
        self.worlds, self.refused, self.given = dict(worlds), refused, list[str]()

    async def command(self, *tokens: str) -> str:
        line = " ".join(tokens)
        self.given.append(line)
        if line == self.refused:
            raise RuntimeSocketError("no")
        command = understood(tokens)
        self.worlds[command.proxy] = self.worlds[command.proxy].after([command])
        return ""

    async def proxies(self) -> tuple[ProxyState, ...]:
        return tuple(world.situation().state for _, world in sorted(self.worlds.items()))

    async def renew(self, milliseconds: int) -> Lease:
        situations = [world.situation() for world in self.worlds.values()]
        return Lease(pid=1, stuck=tuple(it for one in situations for it in one.stuck))

    async def renew_and_look(self, milliseconds: int) -> tuple[Lease, tuple[ProxyState, ...]]:
        return await self.renew(milliseconds), await self.proxies()


def understood(tokens: tuple[str, ...]) -> Command:
    match tokens:
        case ("set", "server", place, "health", word):
            proxy, server = place.split("/")
            return SetHealth(proxy=proxy, server=server, is_up=word == "up", reason="")
        case ("trunkline", "close", place):
            proxy, server = place.split("/")
            return SetHealth(proxy=proxy, server=server, is_up=False, reason="", is_gentle=True)
        case ("trunkline", "stick" | "unstick" as verb, place, what):
            proxy, server = place.split("/")
            kind = Stick if verb == "stick" else Unstick
            return kind(proxy=proxy, server=server, what=Sticky(what), reason="")
        case ("shutdown", "sessions", "server", place):
            proxy, server = place.split("/")
            return EndSessions(proxy=proxy, server=server, reason="")
    raise AssertionError(tokens)


class Told(Watcher):
    """Knows what it was told: the facts of a world."""

    def __init__(self, world: World) -> None:
        super().__init__(ApiSettings(), lambda: None)
        self._world = world

    def facts(self, now: float) -> tuple[MemberFacts, ...]:
        return self._world.facts

    def leader_key(self, now: float) -> LeaderKey | None:
        return self._world.key


class Nobody:
    """Listens to no cycle."""

    def saw(self, seen: Seen) -> None: ...

    def cycled(self, seconds: float, problem: str) -> None: ...


def service(scope: str, proxy: str, kind: ServiceKind) -> Service:
    return Service(
        kind=kind,
        scope=scope,
        proxy=proxy,
        binds=(),
        path="/primary",
        servers=(),
        timing=CheckTiming(
            interval_ms=250, fast_interval_ms=100, down_interval_ms=100, fall=3, rise=1, silence_timeout_ms=2000
        ),
        tls=None,
        authorization=None,
        hold=Hold(timeout_ms=0, unreached_timeout_ms=0, max_connections=0, refusal=""),
        server_maxconn=None,
    )


@st.composite
def several(draw: st.DrawFn) -> dict[str, World]:
    """Two clusters of two services; the services of one cluster rest on the same facts."""
    chance = draw(st.randoms(use_true_random=False))
    told = {scope: any_world(chance) for scope, _, _ in PLACES}
    return {
        proxy: replace(any_world(chance), proxy=proxy, kind=kind, facts=told[scope].facts, key=told[scope].key)
        for scope, proxy, kind in PLACES
    }


async def steered(worlds: dict[str, World], refused: str = "", cycles: int = CYCLES) -> Worlds:
    """What becomes of these when the agent has gone through some cycles."""
    haproxy = Worlds(worlds, refused)
    steering = Steering(haproxy, None, Nobody(), lambda: tuple(it for world in worlds.values() for it in world.asked))
    clusters: dict[str, list[tuple[str, ServiceKind]]] = {}
    for scope, proxy, kind in PLACES:
        clusters.setdefault(scope, []).append((proxy, kind))
    steering.steered = tuple(
        Steered(
            scope=scope,
            services=tuple(service(scope, proxy, kind) for proxy, kind in its),
            watcher=Told(worlds[its[0][0]]),
        )
        for scope, its in clusters.items()
    )
    for _ in range(cycles):
        await steering.cycle(set(clusters))
    return haproxy


@settings(max_examples=EXAMPLES, deadline=None, database=None)
@given(several(), st.randoms(use_true_random=False))
def test_every_other_service_converges(worlds: dict[str, World], chance: random.Random) -> None:
    free = asyncio.run(steered(worlds))
    if not free.given:
        return
    refused = chance.choice(free.given)
    bound = asyncio.run(steered(worlds, refused))
    of = next(proxy for _, proxy, _ in PLACES if f" {proxy}/" in refused)
    for proxy, world in free.worlds.items():
        if proxy != of:
            assert bound.worlds[proxy] == world, f"{proxy}, while {refused} is refused"


def test_a_refusal_is_reached_and_costs_its_own_service_alone() -> None:
    """The law above is no law about nothing."""
    chance, hindered = random.Random(7), 0
    for _ in range(60):
        worlds = {proxy: replace(any_world(chance), proxy=proxy, kind=kind) for _, proxy, kind in PLACES}
        free = asyncio.run(steered(worlds))
        for refused in dict.fromkeys(free.given):
            bound = asyncio.run(steered(worlds, refused))
            differing = {proxy for proxy in worlds if bound.worlds[proxy] != free.worlds[proxy]}
            assert all(f" {proxy}/" in refused for proxy in differing), (refused, differing)
            hindered += bool(differing)
    assert hindered > 20


def test_what_is_refused_for_ever_is_told_once_and_a_cycle_that_does_something_is_one_line() -> None:
    chance = random.Random(11)
    for _ in range(20):
        worlds = {proxy: replace(any_world(chance), proxy=proxy, kind=kind) for _, proxy, kind in PLACES}
        free = asyncio.run(steered(worlds))
        if not free.given:
            continue
        refused = chance.choice(free.given)
        with capture_logs() as told:
            asyncio.run(steered(worlds, refused, cycles=200))
        events = [line["event"] for line in told]
        assert events.count("HAProxy has refused a command") <= 1
        assert events.count("steered") <= CYCLES
