"""A thousand members come and go, each under a name of its own, while clients come and go: nobody notices."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from contract_subjects import Postgres
from supervised import STARTUP, free_ports

from trunkline.adapters.haproxy_binary import ask
from trunkline.adapters.process_table import family
from trunkline.adapters.runtime_socket import RuntimeSocket
from trunkline.agent.configuration import Sources, configure
from trunkline.agent.directory import prepare
from trunkline.agent.keeper import SAFE_REMOVAL, Keeper, Place
from trunkline.config.settings import Settings
from trunkline.lab.binaries import Binary, find_haproxies
from trunkline.model.cluster import ClusterView, Member, Role
from trunkline.model.desired import HostFacts
from trunkline.plan import members
from trunkline.plan.paths import run_paths
from trunkline.testing.fake_cluster import FakeCluster

pytestmark = [pytest.mark.haproxy, pytest.mark.slow]

TURNS, AT_ONCE = 50, 10
"""Each turn ten members leave and ten others come: a thousand changes."""

CLIENTS = 20
STAY_S, REST_S = 0.2, 0.01
IDLE_S = 0.5
WARM_TURNS = 15
FLAT_KIB = 2048
PATIENCE_S = 20.0
"""Against hanging."""


class Clients:
    """Twenty that come to the replicas, stay for a moment and leave, again and again. `lost`: who was sent away."""

    def __init__(self, port: int) -> None:
        self.served, self.lost = 0, list[str]()
        self._port = port

    async def come_and_go(self) -> None:
        while True:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
                writer.write(STARTUP)
                async with asyncio.timeout(STAY_S):
                    self.lost.append(f"was told {await reader.read(64)!r}")
            except TimeoutError:
                self.served += 1
                writer.close()
            except OSError as error:
                self.lost.append(str(error))
            await asyncio.sleep(REST_S)


@asynccontextmanager
async def running(*works: Callable[[], Coroutine[object, object, object]]) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(work()) for work in works]
    try:
        yield
        assert not [task for task in tasks if task.done()]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def view(cluster: FakeCluster, turn: int) -> ClusterView:
    """The three, and ten replicas of this turn, which all live where pg2 does."""
    names = [f"m{turn * AT_ONCE + number}" for number in range(AT_ONCE)]
    places = {**{name: name for name in cluster.stories}, **dict.fromkeys(names, "pg2")}
    stories = {name: cluster.stories[place] for name, place in places.items()}
    return ClusterView(
        scope=cluster.scope,
        members=tuple(
            Member(
                name=name, host=story.host, port=story.port, api_url=cluster.apis[places[name]].url, role=Role.UNKNOWN
            )
            for name, story in stories.items()
        ),
    )


def rss_kib(pid: int) -> int:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1])


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            if is_so():
                return
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("haproxy", find_haproxies(), ids=lambda it: "haproxy-" + ".".join(map(str, it.version[:2])))
async def test_a_thousand_changes(
    haproxy: Binary,
    directory: Path,
    cluster: FakeCluster,
    postgres: dict[str, Postgres],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(members, "IDLE_S", IDLE_S)
    ports = free_ports(3)
    binds = [{"bind": [f"127.0.0.1:{port}"]} for port in ports]
    settings = Settings.model_validate(
        {
            "clusters": [
                {"patroni": list(cluster.urls), "services": dict(zip(("primary", "replicas"), binds, strict=False))}
            ],
            "stats": binds[2],
            "agent": {"enabled": False},
        }
    )
    prepare(directory / "run", is_shared=False)
    paths = run_paths(directory / "run", settings)
    host = HostFacts(file_limit=4096, haproxy_version=(haproxy.version[0], haproxy.version[1]))
    keeper = Keeper(Place(directory=directory / "run", paths=paths, binary=ask(haproxy.path), host=host))

    async def turn_to(turn: int) -> None:
        sources = Sources(settings=settings, clusters=(view(cluster, turn),), host=host)
        await keeper.apply(configure(sources, paths))

    clients, sizes = Clients(ports[1]), list[int]()
    try:
        await turn_to(0)
        async with running(keeper.keep, keeper.tend, *[clients.come_and_go] * CLIENTS):
            first = family(paths).workers[-1]
            for turn in range(1, TURNS + 1):
                await turn_to(turn)
                sizes.append(rss_kib(family(paths).workers[-1]))
            servers = [it.name for it in (await RuntimeSocket(paths.admin_socket).proxies())[1].servers]
            assert [name for name in servers if name == f"m{TURNS * AT_ONCE + 1}"]
        last = family(paths).workers[-1]
        assert not clients.lost
        assert clients.served > TURNS
        if haproxy.version >= SAFE_REMOVAL:
            assert last == first
        assert max(sizes) - sizes[WARM_TURNS] < FLAT_KIB
    finally:
        await keeper.stop(drain_timeout_s=0.1, at_once=asyncio.Event())
