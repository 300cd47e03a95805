"""One agent in front of many clusters: what has happened to one of them is not forgotten, whatever comes between."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from tests.saying import said
from trunkline.agent.steering import Seen, Steered, Steering
from trunkline.agent.watching import Watcher
from trunkline.config.settings import ApiSettings
from trunkline.errors import RuntimeSocketError
from trunkline.model.desired import CheckTiming, Hold, Service, ServiceKind
from trunkline.model.facts import Lease, MemberFacts, Sticky, Stuck
from trunkline.model.intent import Asked, Drain
from trunkline.model.proxy import Health, ProxyState, ServerState
from trunkline.plan.pace import BURST, ENDLESS_BURST_S, WATCHFUL

CLUSTERS = 100
NEWS = "c70"
SWEEPS = 60
KINDS = (ServiceKind.PRIMARY, ServiceKind.REPLICAS)


class Told(Watcher):
    """Knows what it is told."""

    primary = "pg1"

    def __init__(self) -> None:
        super().__init__(ApiSettings(), lambda: None)

    def facts(self, now: float) -> tuple[MemberFacts, ...]:
        names = ("pg1", "pg2")
        return tuple(MemberFacts(name=it, server=it, rest=said(it, is_primary=it == self.primary)) for it in names)


class HAProxy:
    """Takes commands, or none: `is_silent`, or those in `refused`. `first_id`: of its proxies; `pid`: of its worker."""

    def __init__(self) -> None:
        self.pid, self.first_id, self.is_silent = 1, 2, False
        self.stuck: tuple[Stuck, ...] = ()
        self.refused: set[str] = set()
        self.commands: list[str] = []
        self.up = {proxy(it, kind): {"pg1"} if kind is KINDS[0] else {"pg2"} for it in scopes() for kind in KINDS}

    async def renew(self, milliseconds: int) -> Lease:
        self._speak()
        return Lease(pid=self.pid, stuck=self.stuck)

    async def proxies(self) -> tuple[ProxyState, ...]:
        self._speak()
        return tuple(self._state(number, name) for number, name in enumerate(self.up))

    async def renew_and_look(self, milliseconds: int) -> tuple[Lease, tuple[ProxyState, ...]]:
        return await self.renew(milliseconds), await self.proxies()

    async def some_proxies(self, ids: Iterable[int]) -> tuple[ProxyState, ...]:
        wanted = set(ids)
        return tuple(it for it in await self.proxies() if wanted & set(it.ids))

    async def command(self, *tokens: str) -> str:
        line = " ".join(tokens)
        if line in self.refused:
            raise RuntimeSocketError("HAProxy gave no answer within 1 s")
        self.commands.append(line)
        return ""

    def _speak(self) -> None:
        if self.is_silent:
            raise RuntimeSocketError("HAProxy gave no answer within 1 s")

    def _state(self, number: int, name: str) -> ProxyState:
        healths = {it: Health.UP if it in self.up[name] else Health.DOWN for it in ("pg1", "pg2")}
        servers = (
            ServerState(proxy=name, name=it, address="", queued=0, sessions=0, health=health)
            for it, health in healths.items()
        )
        return ProxyState(name=name, servers=tuple(servers), ids=(self.first_id + number,))


class Notes:
    """Which clusters were looked at."""

    def __init__(self) -> None:
        self.looked: set[str] = set()

    def saw(self, seen: Seen) -> None:
        self.looked.add(seen.situation.scope)

    def cycled(self, seconds: float, problem: str) -> None: ...


class Fleet:
    """An agent in front of all of them, at rest; cycle by cycle."""

    def __init__(self, asked: Callable[[], tuple[Asked, ...]] = tuple) -> None:
        self.haproxy, self.notes = HAProxy(), Notes()
        self.steering = Steering(self.haproxy, None, self.notes, asked)  # type: ignore[arg-type]
        self.steering.steered = tuple(
            Steered(scope=it, services=tuple(service(it, kind) for kind in KINDS), watcher=Told()) for it in scopes()
        )

    @property
    def news(self) -> Steered:
        (found,) = (it for it in self.steering.steered if it.scope == NEWS)
        return found

    async def cycle(self) -> None:
        """As the task does it: what was changed is looked at again."""
        acted = await self.steering.cycle(self.steering.turns.due(self.steering.steered))
        if acted:
            await self.steering.cycle(acted | self.steering.turns.due(self.steering.steered))

    async def sweep(self) -> None:
        """Half a second later."""
        self.steering.turns.sweep()
        await self.cycle()

    async def settle(self) -> None:
        self.steering.wake()
        await self.cycle()

    async def sweeps_until(self, is_so: Callable[[], bool]) -> int:
        for number in range(1, SWEEPS):
            await self.sweep()
            if is_so():
                return number
        raise AssertionError("never")

    async def sweeps_until_looked_at(self) -> int:
        self.notes.looked.clear()
        return await self.sweeps_until(lambda: NEWS in self.notes.looked)


def scopes() -> tuple[str, ...]:
    return tuple(f"c{number}" for number in range(CLUSTERS))


def proxy(scope: str, kind: ServiceKind) -> str:
    return f"{scope}_{kind.value}"


def service(scope: str, kind: ServiceKind) -> Service:
    return Service(
        scope=scope,
        kind=kind,
        proxy=proxy(scope, kind),
        binds=(),
        servers=(),
        path="/",
        authorization=None,
        hold=Hold(timeout_ms=0, unreached_timeout_ms=0, max_connections=0, refusal=""),
        server_maxconn=None,
        timing=CheckTiming(
            interval_ms=250, fast_interval_ms=100, down_interval_ms=100, fall=3, rise=1, silence_timeout_ms=2000
        ),
        tls=None,
    )


async def test_news_of_a_cycle_that_failed_is_news() -> None:
    fleet = Fleet()
    await fleet.settle()
    fleet.haproxy.is_silent = True
    fleet.steering.wake(NEWS)
    await fleet.cycle()
    fleet.haproxy.is_silent = False
    assert await fleet.sweeps_until_looked_at() == 1


async def test_a_haproxy_with_other_numbers_and_the_same_pid_is_steered_again() -> None:
    fleet = Fleet()
    await fleet.settle()
    fleet.haproxy.first_id += 1000
    fleet.steering.wake(NEWS)
    await fleet.cycle()
    assert await fleet.sweeps_until_looked_at() == 1


async def test_after_a_reload_everybody_is_looked_at() -> None:
    drain = Asked(drain=Drain(scope=NEWS, member="pg2", who="ana", since=datetime.now(UTC)))
    fleet = Fleet(lambda: (drain,))
    await fleet.settle()
    place = proxy(NEWS, ServiceKind.REPLICAS)
    command = f"trunkline stick {place}/pg2 drain"
    assert command in fleet.haproxy.commands
    fleet.haproxy.stuck = (Stuck(proxy=place, server="pg2", what=Sticky.DRAIN),)
    await fleet.sweep()
    fleet.haproxy.commands.clear()
    fleet.haproxy.pid, fleet.haproxy.stuck = 2, ()
    assert await fleet.sweeps_until(lambda: command in fleet.haproxy.commands) == 1


async def test_what_was_refused_is_tried_again_at_once() -> None:
    fleet = Fleet()
    await fleet.settle()
    place = proxy(NEWS, ServiceKind.PRIMARY)
    fence = {f"trunkline close {place}/pg1", f"set server {place}/pg1 health down"}
    assert isinstance(fleet.news.watcher, Told)
    fleet.news.watcher.primary, fleet.haproxy.up[place] = "pg2", {"pg1", "pg2"}
    fleet.haproxy.refused = fence
    fleet.steering.wake(NEWS)
    await fleet.cycle()
    fleet.haproxy.refused = set()
    assert await fleet.sweeps_until(lambda: bool(fence & set(fleet.haproxy.commands))) == 1


async def test_a_burst_ends_although_nobody_becomes_the_primary() -> None:
    """And does not begin anew."""
    fleet = Fleet()
    assert isinstance(fleet.news.watcher, Told)
    fleet.news.watcher.primary, fleet.haproxy.up[proxy(NEWS, ServiceKind.PRIMARY)] = "", set()
    await fleet.steering.cycle({NEWS})
    assert fleet.news.watcher.pace is BURST
    fleet.steering._flux_since[NEWS] -= ENDLESS_BURST_S
    for _ in range(3):
        await fleet.steering.cycle({NEWS})
        assert fleet.news.watcher.pace is WATCHFUL
