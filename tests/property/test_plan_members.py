"""Members come and go: HAProxy ends with the servers that it should have, from anywhere and after anything."""

import random
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from trunkline.model.desired import CheckTiming, Endpoint, Hold, Server, Service, ServiceKind
from trunkline.model.membership import Change, Departed, Join, Leave, Move, Placed, Remove, Rest, Return
from trunkline.model.proxy import Health, ProxyState, ServerState
from trunkline.plan.members import IDLE_S, MOST_DEPARTED, MOVED_S, Crew, plan_members, surplus

SEEDS = range(400)
ROUNDS = 6
PROXIES = {"postgres_primary": ServiceKind.PRIMARY, "postgres_replicas": ServiceKind.REPLICAS}
NAMES = [f"pg{number}" for number in range(1, 6)]

Place = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """One server of HAProxy."""

    postgres: Endpoint
    is_in_maint: bool = False
    is_drained: bool = False
    sessions: int = 0


@dataclass(slots=True)
class World:
    """HAProxy, and what is remembered of our own hand."""

    wanted: dict[str, Endpoint]
    machines: dict[Place, Machine]
    ours: set[Place]
    departed: dict[Place, Departed] = field(default_factory=dict)
    now_s: float = 1000.0

    @property
    def services(self) -> tuple[Service, ...]:
        servers = tuple(
            Server(name=name, member=name, postgres=place, api=place) for name, place in sorted(self.wanted.items())
        )
        return tuple(service(proxy, servers) for proxy in PROXIES)

    @property
    def crew(self) -> Crew:
        """As the shell gathers it: notes of what is gone, or is back in service, do not count."""
        wanted = {(proxy, name) for proxy in PROXIES for name in self.wanted}
        self.departed = {
            place: replace(
                note, idle_since_s=None if self.machines[place].sessions else note.idle_since_s or self.now_s
            )
            for place, note in self.departed.items()
            if place in self.machines and (place not in wanted or is_resting(self.machines[place]))
        }
        return Crew(
            services=self.services,
            proxies={proxy: ProxyState(name=proxy, servers=tuple(self._servers(proxy))) for proxy in PROXIES},
            placed=tuple(
                Placed(
                    proxy=proxy,
                    name=name,
                    postgres=it.postgres,
                    api=it.postgres,
                    is_in_maint=it.is_in_maint,
                    is_drained=it.is_drained,
                )
                for (proxy, name), it in self.machines.items()
            ),
            ours=frozenset(self.ours),
            departed=tuple(self.departed.values()),
            now_s=self.now_s,
        )

    def _servers(self, proxy: str) -> Iterable[ServerState]:
        for (of, name), it in self.machines.items():
            if of == proxy:
                yield ServerState(
                    proxy=proxy, name=name, address=str(it.postgres), health=Health.DOWN, sessions=it.sessions, queued=0
                )

    def do(self, change: Change) -> None:
        """What HAProxy does, and what is noted."""
        if isinstance(change, Join):
            place = change.service.proxy, change.server.name
            assert place not in self.machines
            self.ours.add(place)
            self.machines[place] = Machine(postgres=change.server.postgres)
            return
        place = (
            (change.service.proxy, change.server.name)
            if isinstance(change, Move | Return)
            else (change.proxy, change.server)
        )
        before = self.machines[place]
        match change:
            case Move(is_resting=is_resting, server=server):
                if not is_resting:
                    self.departed[place] = Departed(proxy=place[0], server=place[1], since_s=self.now_s)
                is_in_maint = before.is_in_maint or not is_resting
                self.machines[place] = replace(before, postgres=server.postgres, is_in_maint=is_in_maint)
            case Return():
                self.machines[place] = replace(before, is_in_maint=False, is_drained=False)
                self.departed.pop(place, None)
            case Leave():
                self.departed[place] = Departed(proxy=place[0], server=place[1], since_s=self.now_s)
                self.machines[place] = replace(before, is_drained=True)
            case Rest():
                assert before.sessions == 0
                self.machines[place] = replace(before, is_in_maint=True)
            case Remove():
                assert before.is_in_maint
                assert before.sessions == 0
                del self.machines[place], self.departed[place]
                self.ours.discard(place)

    def settle(self) -> None:
        """Go on until nothing is left to do, however much later."""
        for _ in range(ROUNDS):
            for change in plan_members(self.crew, may_remove=False):
                self.do(change)
            self.now_s += MOVED_S
        assert plan_members(self.crew, may_remove=False) == ()

    def copy(self) -> "World":
        return World(dict(self.wanted), dict(self.machines), set(self.ours), dict(self.departed), self.now_s)


def is_resting(machine: Machine) -> bool:
    return machine.is_in_maint or machine.is_drained


def service(proxy: str, servers: tuple[Server, ...]) -> Service:
    return Service(
        kind=PROXIES[proxy],
        scope="demo",
        proxy=proxy,
        binds=(Endpoint(address="*", port=5000),),
        path="/",
        servers=servers,
        timing=CheckTiming(interval_ms=1, fast_interval_ms=1, down_interval_ms=1, fall=3, rise=1, silence_timeout_ms=1),
        tls=None,
        authorization=None,
        hold=Hold(timeout_ms=1, unreached_timeout_ms=1, max_connections=1, refusal=""),
        server_maxconn=None,
    )


def any_world(chance: random.Random) -> World:
    wanted = {name: any_place(chance) for name in NAMES if chance.random() < 0.6}
    machines: dict[Place, Machine] = {}
    ours: set[Place] = set()
    departed: dict[Place, Departed] = {}
    for proxy in PROXIES:
        for name in NAMES:
            if chance.random() < 0.3:
                continue
            place = proxy, name
            state = chance.choice(["serves", "serves", "drained", "waits", "by hand"])
            machines[place] = Machine(
                postgres=any_place(chance),
                is_in_maint=state == "waits" or (state == "by hand" and chance.random() < 0.5),
                is_drained=state in ("drained", "by hand"),
                sessions=0 if state == "waits" else chance.choice([0, 2]),
            )
            if name in wanted or chance.random() < 0.8:
                ours.add(place)
            if state in ("drained", "waits") and place in ours:
                departed[place] = Departed(proxy=proxy, server=name, since_s=chance.choice([0.0, 1000.0]))
    return World(wanted, machines, ours, departed)


def any_place(chance: random.Random) -> Endpoint:
    return Endpoint(address=f"10.0.0.{chance.choice([1, 1, 2])}", port=5432)


def by_hand(world: World) -> dict[Place, tuple[bool, bool]]:
    return {
        place: (it.is_in_maint, it.is_drained)
        for place, it in world.machines.items()
        if is_resting(it) and place not in world.departed
    }


def test_it_ends_with_the_servers_that_there_should_be() -> None:
    for seed in SEEDS:
        world = any_world(random.Random(seed))
        hands, strangers = by_hand(world), world.machines.keys() - world.ours
        before = dict(world.machines)
        world.settle()
        for proxy in PROXIES:
            for name, postgres in world.wanted.items():
                machine = world.machines[proxy, name]
                assert machine.postgres == postgres
                assert is_resting(machine) == ((proxy, name) in hands)
        for place, (is_in_maint, is_drained) in hands.items():
            assert (world.machines[place].is_in_maint, world.machines[place].is_drained) == (is_in_maint, is_drained)
        for place in strangers - {(proxy, name) for proxy in PROXIES for name in world.wanted}:
            assert world.machines[place] == before[place]
        for place, machine in world.machines.items():
            if place in world.ours and place[1] not in world.wanted and place not in hands:
                assert machine.is_in_maint or machine.sessions


def test_whoever_goes_on_after_any_prefix_ends_there_too() -> None:
    for seed in SEEDS:
        world = any_world(random.Random(seed))
        changes = plan_members(world.crew, may_remove=False)
        whole = world.copy()
        whole.settle()
        for length in range(len(changes)):
            other = world.copy()
            for change in changes[:length]:
                other.do(change)
            other.settle()
            assert other.machines == whole.machines


def test_who_leaves_does_so_before_anybody_comes() -> None:
    """In each service: the same place under another name would be a second primary for a moment."""
    for seed in SEEDS:
        changes = plan_members(any_world(random.Random(seed)).crew, may_remove=True)
        kinds = [isinstance(change, Leave | Rest) for change in changes]
        assert kinds == sorted(kinds, reverse=True)


def test_the_first_that_left_goes_when_too_many_wait_and_all_have_waited() -> None:
    world = World({}, {}, set())
    for number in range(MOST_DEPARTED + 3):
        place = "postgres_primary", f"pg{number}"
        world.machines[place] = Machine(postgres=Endpoint(address="10.0.0.1", port=5432), is_in_maint=True)
        world.ours.add(place)
        world.departed[place] = Departed(proxy=place[0], server=place[1], since_s=float(number))
    assert surplus(world.crew) == ()
    world.now_s += IDLE_S - 0.1
    assert surplus(world.crew) == ()
    world.now_s += 0.2
    assert [it.server for it in surplus(world.crew)] == ["pg0", "pg1", "pg2"]
    assert plan_members(world.crew, may_remove=False) == ()
    busy = "postgres_primary", "pg0"
    world.machines[busy] = replace(world.machines[busy], sessions=1)
    for change in plan_members(world.crew, may_remove=True):
        world.do(change)
    assert sorted(world.machines.keys() & {("postgres_primary", f"pg{number}") for number in range(4)}) == [busy]


def test_a_member_that_an_agent_has_drained_leaves_like_any_other() -> None:
    """It is no person's hand, and what is under a lease ends with it: then it is drained anew, until it is without a
    session."""
    place = "postgres_replicas", "pg9"
    machine = Machine(postgres=Endpoint(address="10.0.0.1", port=5432), is_drained=True, sessions=2)
    world = World({}, {place: machine}, {place})
    assert plan_members(world.crew, may_remove=False) == ()
    (change,) = plan_members(replace(world.crew, closed_by_agent={place}), may_remove=False)
    assert change == Leave(proxy=place[0], server=place[1])
    world.do(change)
    assert plan_members(replace(world.crew, closed_by_agent={place}), may_remove=False) == ()
    world.machines[place] = replace(world.machines[place], is_drained=False)
    assert plan_members(world.crew, may_remove=False) == (change,)
    world.do(change)
    world.machines[place] = replace(world.machines[place], sessions=0)
    assert plan_members(world.crew, may_remove=False) == (Rest(proxy=place[0], server=place[1]),)
