"""`python -m benchmarks churn`: members come and go while clients do, without a reload and by one each.

One real HAProxy with our configuration in front of simulated members, twice: as `trunkline run` keeps it, and reloaded
at each change, as whoever writes its file from a template does. Owns the members, the clients and what is counted.
"""

import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import typer

from benchmarks.sheets import Sheet, finish, machine, megabytes, say, seconds
from benchmarks.usage import memory, process_of
from trunkline.adapters.haproxy_binary import ask
from trunkline.adapters.process_table import family
from trunkline.agent.configuration import Sources, configure, wanted_endpoints
from trunkline.agent.directory import prepare
from trunkline.agent.keeper import Keeper, Place
from trunkline.config.settings import Settings
from trunkline.errors import HAProxyError, LabError
from trunkline.lab.binaries import DEMO_HINT, Binary, find_haproxies
from trunkline.lab.ports import is_free
from trunkline.model.cluster import ClusterView, Member, Role
from trunkline.model.desired import HostFacts, Paths
from trunkline.plan.paths import run_paths
from trunkline.testing.fake_cluster import FakeCluster

OURS, RELOADED = "without a reload", "a reload each"
FIRST_PORT = 18_000
STARTUP = b"\0\0\0\x08\0\x03\0\0"
SHORT_S, LONG_S, REST_S = 0.2, 15.0, 0.01
SHORT_CLIENTS, LONG_CLIENTS = 20, 10
TURN_S = 1.0
FIRST_SESSION_TIMEOUT_S = 10.0
POLL_S = 0.002
MOST_UNSERVED = 0.1
CHECKED_API = "pg2"
"""Whose API the checks of all newcomers ask."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """What came of one of the two. `first_session_s`: from a change until the member that has come had a client, None
    where it had none. `workers`: of HAProxy after each turn, `pss`: the memory of all of them together."""

    name: str
    first_session_s: tuple[float | None, ...]
    served: int
    dropped: int
    workers: tuple[int, ...]
    pss: tuple[int, ...]
    pids: int


@dataclass(slots=True)
class Clients:
    """They come to the replicas' port, stay for a while and leave, again and again; `dropped`: who was sent away."""

    port: int
    served: int = 0
    dropped: list[str] = field(default_factory=list)

    async def come_and_go(self, stay_s: float, first_s: float) -> None:
        await asyncio.sleep(first_s)
        while True:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                writer.write(STARTUP)
                try:
                    async with asyncio.timeout(stay_s):
                        self.dropped.append(f"was told {await reader.read(64)!r}")
                except TimeoutError:
                    self.served += 1
                finally:
                    writer.close()
            except OSError as error:
                self.dropped.append(str(error))
            await asyncio.sleep(REST_S)


class Postgres:
    """A server that accepts and waits; `first_at`: when its first client came."""

    def __init__(self, host: str) -> None:
        self.place = (host, 0)
        self.first_at: float | None = None
        self._server: asyncio.Server | None = None

    async def listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, *self.place)
        self.place = self._server.sockets[0].getsockname()[:2]

    def close(self) -> None:
        """No new clients; those that are there stay until they leave."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.read(4096):
                self.first_at = self.first_at or time.monotonic()
        except ConnectionError:
            pass
        finally:
            writer.close()


def churn(
    turns: Annotated[
        int, typer.Option(min=5, metavar="N", help="In each of them one member comes, and the one before it leaves.")
    ] = 60,
    out_directory: Annotated[Path, typer.Option("--out", metavar="DIR", help="For results.json and tables.md.")] = Path(
        "bench-results/churn"
    ),
) -> None:
    """Members that come and go, each under a name of its own, while clients read: without a reload, and by one each.

    How soon a newcomer has its first client, how many clients were sent away, how many workers HAProxy is left with and
    how much memory they take. Thirty clients: twenty that stay for 0.2 s and ten that stay for 15 s.
    """
    found = find_haproxies()
    if not found:
        raise HAProxyError("no HAProxy found", hint=DEMO_HINT)
    about = machine(haproxy=str(found[0]), turns=turns, short_clients=SHORT_CLIENTS, long_clients=LONG_CLIENTS)
    say(f"{turns} turns of about {TURN_S:g} s for each of both, with HAProxy {found[0]}")
    sides: list[Side] = []
    for name in (OURS, RELOADED):
        with _said_into(out_directory / f"{name}.log"):
            sides.append(asyncio.run(_play(name, found[0], turns)))
    sheet = table(sides, found[0])
    finish(out_directory, [sheet], {"machine": about, "sides": sides}, why_broken(sides))


@contextmanager
def _said_into(log: Path) -> Iterator[None]:
    """What is said meanwhile, by HAProxy and about it, goes there: a line for each session."""
    log.parent.mkdir(parents=True, exist_ok=True)
    before = [os.dup(number) for number in (1, 2)]
    try:
        with log.open("wb") as file:
            for number in (1, 2):
                os.dup2(file.fileno(), number)
        yield
    finally:
        for number, known in zip((1, 2), before, strict=True):
            os.dup2(known, number)
            os.close(known)


async def _play(name: str, haproxy: Binary, turns: int) -> Side:
    with tempfile.TemporaryDirectory(prefix="churn-", dir="/tmp") as place:
        postgres = {member: Postgres("127.0.0.1") for member in ("pg1", "pg2", "pg3")}
        for server in postgres.values():
            await server.listen()
        async with FakeCluster(postgres={member: server.place for member, server in postgres.items()}) as cluster:
            try:
                return await _play_before(cluster, Path(place), name, haproxy, turns)
            finally:
                for server in postgres.values():
                    server.close()


async def _play_before(cluster: FakeCluster, place: Path, name: str, haproxy: Binary, turns: int) -> Side:
    settings, paths, host = _settings(cluster), run_paths(place, Settings()), _host(haproxy)
    prepare(place, is_shared=False)
    keeper = Keeper(Place(directory=place, paths=paths, binary=ask(haproxy.path), host=host))
    clients = Clients(wanted_endpoints(settings)[1].port)

    async def change_to(newcomer: tuple[str, Postgres] | None, *, by_reload: bool) -> None:
        sources = Sources(settings=settings, clusters=(_view(cluster, newcomer),), host=host)
        await keeper.apply(configure(sources, paths), is_asked_for=by_reload)

    first_session_s: list[float | None] = []
    workers: list[int] = []
    pss: list[int] = []
    pids: set[int] = set()
    try:
        await change_to(None, by_reload=False)
        async with _beside(keeper, clients):
            await asyncio.sleep(TURN_S)
            for turn in range(1, turns + 1):
                began = time.monotonic()
                newcomer = Postgres(f"127.30.{turn // 250}.{1 + turn % 250}")
                await newcomer.listen()
                await change_to((f"m{turn}", newcomer), by_reload=name == RELOADED)
                first_session_s.append(await _first_session(newcomer, began))
                await asyncio.sleep(max(0.0, began + TURN_S - time.monotonic()))
                now = family(paths).workers
                pids |= set(now)
                workers.append(len(now))
                pss.append(_pss(paths))
        return Side(
            name=name,
            first_session_s=tuple(first_session_s),
            served=clients.served,
            dropped=len(clients.dropped),
            workers=tuple(workers),
            pss=tuple(pss),
            pids=len(pids),
        )
    finally:
        await keeper.stop(drain_timeout_s=0.1, at_once=asyncio.Event())


@asynccontextmanager
async def _beside(keeper: Keeper, clients: Clients) -> AsyncIterator[None]:
    works: list[Coroutine[Any, Any, object]] = [keeper.keep(), keeper.tend()]
    for stay_s, crowd in ((SHORT_S, SHORT_CLIENTS), (LONG_S, LONG_CLIENTS)):
        works += [clients.come_and_go(stay_s, stay_s * number / crowd) for number in range(crowd)]
    tasks = [asyncio.create_task(work) for work in works]
    try:
        yield
        if any(task.done() for task in tasks):
            raise LabError("whoever keeps HAProxy, or a client, has ended")
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _first_session(newcomer: Postgres, since: float) -> float | None:
    while newcomer.first_at is None:
        if time.monotonic() - since > FIRST_SESSION_TIMEOUT_S:
            return None
        await asyncio.sleep(POLL_S)
    return newcomer.first_at - since


def _pss(paths: Paths) -> int:
    """Of the master and all workers; one that ends just now counts no more."""
    found = []
    for pid in family(paths).pids:
        try:
            found.append(memory(process_of(pid)).pss)
        except LabError:
            continue
    return sum(found)


def _settings(cluster: FakeCluster) -> Settings:
    ports = _free_ports()
    binds = [{"bind": [f"127.0.0.1:{next(ports)}"]} for _ in range(3)]
    return Settings.model_validate(
        {
            "clusters": [
                {
                    "patroni": list(cluster.urls),
                    "services": {"primary": binds[0], "replicas": {**binds[1], "slow_start_s": 0}},
                }
            ],
            "stats": binds[2],
            "agent": {"enabled": False},
        }
    )


def _free_ports() -> Iterator[int]:
    return (port for port in count(FIRST_PORT) if is_free("127.0.0.1", port))


def _host(haproxy: Binary) -> HostFacts:
    return HostFacts(file_limit=4096, haproxy_version=(haproxy.version[0], haproxy.version[1]))


def _view(cluster: FakeCluster, newcomer: tuple[str, Postgres] | None) -> ClusterView:
    places = {name: (story.host, story.port, cluster.apis[name].url) for name, story in cluster.stories.items()}
    if newcomer is not None:
        name, postgres = newcomer
        places[name] = (*postgres.place, cluster.apis[CHECKED_API].url)
    members = tuple(
        Member(name=name, host=host, port=port, api_url=url, role=Role.UNKNOWN)
        for name, (host, port, url) in places.items()
    )
    return ClusterView(scope=cluster.scope, members=members)


def table(sides: Sequence[Side], haproxy: object) -> Sheet:
    """Side by side."""
    known = [[it for it in side.first_session_s if it is not None] for side in sides]
    rows = (
        ("first client of a newcomer: median", *(seconds(median(some) if some else None) for some in known)),
        ("first client of a newcomer: worst", *(seconds(max(some, default=None)) for some in known)),
        ("newcomers that never had one", *(str(side.first_session_s.count(None)) for side in sides)),
        ("clients served", *(str(side.served) for side in sides)),
        ("clients sent away", *(str(side.dropped) for side in sides)),
        ("workers that HAProxy has had", *(str(side.pids) for side in sides)),
        ("workers at a time: most", *(str(max(side.workers)) for side in sides)),
        ("memory of all (PSS): first turn", *(megabytes(side.pss[0]) for side in sides)),
        ("memory of all (PSS): most", *(megabytes(max(side.pss)) for side in sides)),
        ("memory of all (PSS): last turn", *(megabytes(side.pss[-1]) for side in sides)),
    )
    turns = len(sides[0].first_session_s)
    title = f"{turns} members come and {turns - 1} leave, HAProxy {haproxy}"
    return Sheet(title=title, columns=tuple(side.name for side in sides), rows=rows)


def why_broken(sides: Sequence[Side]) -> str | None:
    """Why this run proves nothing: there were no reloads, no clients, or no newcomers."""
    for side in sides:
        turns = len(side.first_session_s)
        if side.name == RELOADED and side.pids < turns:
            return f"{turns} reloads have made {side.pids} workers"
        if side.served < turns:
            return f"in {turns} turns only {side.served} clients were served ({side.name})"
        if side.first_session_s.count(None) > MOST_UNSERVED * turns:
            return f"{side.first_session_s.count(None)} of {turns} newcomers never had a client ({side.name})"
    return None
