"""Each source of the agent is taken away while it runs: nobody is cut off or misrouted, and it is told, once when it
begins and once when it ends, in the log and in the metrics.

| source | here | elsewhere |
|---|---|---|
| REST of all members | `test_rest_of_all_members` | with nobody who tells the leader key: test_refuse_in_haproxy |
| the store (etcd) | `test_the_store` | the source alone: test_store; with a real cluster: lab/test_second_opinion |
| the store (Patroni's library) | | test_library_store |
| other members' `/cluster` | `test_what_other_members_say` | |
| HAProxy's reports of its checks | `test_reports_of_checks` | test_check_log, test_upkeep, unit/test_agent_hearing |
| HAProxy's admin socket | `test_the_admin_socket` | HAProxy itself: test_haproxy_process |
| HAProxy's counters | `test_the_counters` | what they hint at: property/test_plan_counters, here `test_a_hint` |
| HAProxy's master socket | `test_the_master_socket` | |
| PostgreSQL's port | `test_the_port` | frozen with the node: lab/test_failover |
| the operator | | by hand: test_agent_attaches, test_lease; what is asked for: test_drain, unit/test_agent_intents |
| the agent itself | | test_agent_struck, test_agent_attaches |
"""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import yaml
from agent_process import agent_beside
from contract_subjects import Postgres
from etcd_server import Etcd
from in_front import ask_behind, in_front
from scraping import values
from supervised import Supervised, free_ports

from trunkline.adapters.agent_page import METRICS, fetch
from trunkline.adapters.runtime_socket import RuntimeSocket
from trunkline.agent.steering import LEASE_MS
from trunkline.lab.binaries import find_binaries
from trunkline.plan.balancer import agent_metrics_name
from trunkline.plan.counters import STEADY_S
from trunkline.testing.fake_cluster import FakeCluster
from trunkline.testing.fake_patroni import Answer

pytestmark = [pytest.mark.haproxy, pytest.mark.slow]
KEY = "/service/demo/leader"
WITHOUT = {"agent": {"enabled": False}}
OLD_S = 3.0
"""An age that no source has while it tells."""

CLOSED = "trunkline stick postgres_primary/pg1 drain (pg1: it passes the truth check, but its PostgreSQL"
OPENED = "unstick postgres_primary/pg1 drain"
LONG_S = 3.0
"""HAProxy's checks alone would have cut somebody off long before."""


@asynccontextmanager
async def nobody_is_cut_off(run: Supervised, postgres: dict[str, Postgres]) -> AsyncIterator[None]:
    """A session of each port lives through it, and a new one finds its way afterwards."""
    writer, _ = await run.session(postgres)
    reader, _ = await run.connect(run.ports[1])
    over = [asyncio.create_task(stream.read()) for stream in (writer, reader)]
    try:
        yield
        assert not [task for task in over if task.done()], run.words
        await served(run, postgres)
    finally:
        for task in over:
            task.cancel()
        await asyncio.gather(*over, return_exceptions=True)


async def served(run: Supervised, postgres: dict[str, Postgres], name: str = "pg1") -> None:
    """A new session of the primary's port ends at this one."""
    for server in postgres.values():
        while not server.clients.empty():
            server.clients.get_nowait()
    await run.connect(run.ports[0])
    async with asyncio.timeout(20):
        await postgres[name].clients.get()


async def told_once(run: Supervised, begins: str, ends: str, times: int = 1) -> None:
    """Back when the end is told; each of the two lines is there so often, and no more."""
    await run.said(ends, times)
    assert (run.words.count(begins), run.words.count(ends)) == (times, times), run.words


async def grows_old(run: Supervised, source: str, **labels: str) -> None:
    """Back when the metrics say so."""
    await run.until(partial(is_older, run, source, OLD_S, labels))


async def is_young(run: Supervised, source: str, **labels: str) -> None:
    await run.until(lambda: is_older(run, source, OLD_S, labels, wanted=False))


async def is_older(run: Supervised, source: str, age_s: float, labels: dict[str, str], *, wanted: bool = True) -> bool:
    text = await fetch(run.agent_page, METRICS, timeout_s=2.0)
    found = values((text or b"").decode(), "trunkline_source_age_seconds", {"source": source, **labels})
    return bool(found) and all((it > age_s) is wanted for it in found)


@contextmanager
def away(path: str) -> Iterator[str]:
    """A socket that is not where it was; it answers where it is now."""
    elsewhere = f"{path}.away"
    Path(path).rename(elsewhere)
    try:
        yield elsewhere
    finally:
        Path(elsewhere).rename(path)


async def steered(run: Supervised, **settings: object) -> None:
    run.write(settings)
    await run.serve()
    await run.said("steering HAProxy")


@pytest.fixture
async def etcd(directory: Path) -> AsyncIterator[Etcd]:
    server = Etcd(find_binaries().etcd, directory, *free_ports(2))
    await server.start()
    await server.put(KEY, "pg1")
    yield server
    await server.end()


async def test_rest_of_all_members(
    run: Supervised, cluster: FakeCluster, postgres: dict[str, Postgres], etcd: Etcd
) -> None:
    """As long as PostgreSQL answers and the leader key stands, nobody's silence cuts anybody off."""
    await steered(run, dcs={"etcd": {"hosts": [etcd.url]}})
    async with nobody_is_cut_off(run, postgres):
        for api in cluster.apis.values():
            api.fall_silent()
        await run.said("trunkline stick postgres_primary/pg1 checks")
        await run.said("a member is not reached, going on without it", 3)
        await grows_old(run, "rest")
        await asyncio.sleep(LONG_S)  # nothing comes, which nobody announces
        assert await run.leads_to("pg1")()
        await served(run, postgres)
        for api in cluster.apis.values():
            api.speak()
        await is_young(run, "rest")
        await run.said("trunkline unstick postgres_primary/pg1 checks")
        await told_once(run, "a member is not reached, going on without it", "a member is reached again", 3)
    await run.stop()


async def test_the_store(run: Supervised, cluster: FakeCluster, postgres: dict[str, Postgres], etcd: Etcd) -> None:
    """Without it other members are asked, so a second source can be lost meanwhile."""
    await steered(run, dcs={"etcd": {"hosts": [etcd.url]}})
    async with nobody_is_cut_off(run, postgres):
        await is_young(run, "leader key (etcd)")
        await etcd.end()
        await run.said("the store cannot be asked, other members are")
        await grows_old(run, "leader key (etcd)")
        cluster.apis["pg1"].fall_silent()
        await run.said("trunkline stick postgres_primary/pg1 checks")
        await is_young(run, "leader key (other members)")
        cluster.apis["pg1"].speak()
        await run.said("trunkline unstick postgres_primary/pg1 checks")
        await etcd.start()
        await is_young(run, "leader key (etcd)")
        await told_once(run, "the store cannot be asked, other members are", "the store answers again")
    await run.stop()


async def test_what_other_members_say(run: Supervised, cluster: FakeCluster, postgres: dict[str, Postgres]) -> None:
    """`/cluster` alone fails, of all of them, while one of them is silent, so that the agent wants to know."""
    await steered(run)
    async with nobody_is_cut_off(run, postgres):
        cluster.apis["pg3"].fall_silent()
        await is_young(run, "leader key (other members)")
        for api in cluster.apis.values():
            api.answers["/cluster"] = Answer(body=b"", status=500)
        await grows_old(run, "leader key (other members)")
        await run.said("a member is not reached, going on without it", 3)
        await served(run, postgres)
        for api in cluster.apis.values():
            del api.answers["/cluster"]
            api.speak()
        await told_once(run, "a member is not reached, going on without it", "a member is reached again", 3)
    await run.stop()


async def test_reports_of_checks(run: Supervised, cluster: FakeCluster, postgres: dict[str, Postgres]) -> None:
    """A configuration that does not ask HAProxy for them, while an agent listens; then one that does."""
    await run_without_a_child(run)
    async with agent_beside(run, run.config):
        for name in ("pg2", "pg1"):
            cluster.promote(name)
            await run.until(run.leads_to(name))
            await served(run, postgres, name)
            await asyncio.sleep(1.0)  # two looks of the agent's, which nobody announces
        await run.said("HAProxy does not tell of its checks")
        await grows_old(run, "check log")
        run.write()
        run.process.send_signal(signal.SIGHUP)
        await run.said("HAProxy reloaded")
        await run.until(run.leads_to("pg1"))
        async with nobody_is_cut_off(run, postgres):
            cluster.stories["pg2"].tags["noloadbalance"] = True
            await run.said("HAProxy tells of its checks again")
            await is_young(run, "check log")
            await told_once(run, "HAProxy does not tell of its checks", "HAProxy tells of its checks again")
    await run.stop()


async def test_the_admin_socket(run: Supervised, cluster: FakeCluster, postgres: dict[str, Postgres]) -> None:
    """HAProxy goes on with its own checks."""
    await steered(run)
    async with nobody_is_cut_off(run, postgres):
        with away(run.paths.admin_socket):
            await run.said("HAProxy cannot be steered, its own checks go on")
            await grows_old(run, "HAProxy")
            await served(run, postgres)
        await is_young(run, "HAProxy")
        await told_once(run, "HAProxy cannot be steered, its own checks go on", "HAProxy is steered again")
    with away(run.paths.admin_socket) as elsewhere:
        await run.said("HAProxy cannot be steered, its own checks go on", 2)
        cluster.promote("pg2")
        await until_up(RuntimeSocket(elsewhere), run, "pg2")
        await served(run, postgres, "pg2")
    await run.said("HAProxy is steered again", 2)
    await run.stop()


async def until_up(runtime: RuntimeSocket, run: Supervised, name: str) -> None:
    async def is_so() -> bool:
        (proxy,) = (it for it in await runtime.proxies() if it.name == "postgres_primary")
        return {it.name for it in proxy.servers if it.takes_sessions and not it.is_backup} == {name}

    await run.until(is_so)


async def test_the_counters(run: Supervised, cluster: FakeCluster, postgres: dict[str, Postgres]) -> None:
    """HAProxy takes commands, and does not say how its servers are: what is leased is not renewed on a guess."""
    await run_without_a_child(run)
    async with counted(run) as deaf, agent_beside(run, run.config.with_name("agent.yml")):
        async with nobody_is_cut_off(run, postgres):
            deaf.set()
            await run.said("HAProxy cannot be steered, its own checks go on")
            await grows_old(run, "HAProxy")
            await served(run, postgres)
            deaf.clear()
            await is_young(run, "HAProxy")
            await told_once(run, "HAProxy cannot be steered, its own checks go on", "HAProxy is steered again")
        cluster.apis["pg3"].fall_silent()
        await run.until(partial(is_leased, run))
        deaf.set()
        async with asyncio.timeout(LEASE_MS / 1000 + 1.5):
            await run.until(partial(is_leased, run, wanted=False))
        await served(run, postgres)
    await run.stop()


async def is_leased(run: Supervised, *, wanted: bool = True) -> bool:
    return bool((await run.runtime.lease()).stuck) is wanted


async def test_the_master_socket(run: Supervised, cluster: FakeCluster, postgres: dict[str, Postgres]) -> None:
    """The way to old workers; nothing else waits for it."""
    await steered(run)
    async with nobody_is_cut_off(run, postgres):
        with away(str(run.paths.master_socket)):
            await run.said("old workers cannot be looked after")
            await grows_old(run, "master socket")
            await served(run, postgres)
        await is_young(run, "master socket")
        await told_once(run, "old workers cannot be looked after", "old workers are looked after again")
    with away(str(run.paths.master_socket)):
        await run.said("old workers cannot be looked after", 2)
        cluster.promote("pg2")
        await run.until(run.leads_to("pg2"))
        await served(run, postgres, "pg2")
    await run.stop()


async def test_the_port(run: Supervised, cluster: FakeCluster, postgres: dict[str, Postgres]) -> None:
    """It is asked while somebody is silent. Where it refuses, or is silent itself, sessions stay and who is new waits,
    although its API is well."""
    await steered(run)
    async with nobody_is_cut_off(run, postgres):
        cluster.apis["pg3"].fall_silent()
        await is_young(run, "port", member="pg1")
        postgres["pg1"].is_silent = True
        await run.said(CLOSED)
        waiting = asyncio.create_task(served(run, postgres))
        await grows_old(run, "port", member="pg1")
        assert await is_held(run)
        postgres["pg1"].is_silent = False
        await waiting
        await is_young(run, "port", member="pg1")
        postgres["pg1"].refuse()
        await run.said(CLOSED, 2)
        waiting = asyncio.create_task(served(run, postgres))
        await run.until(lambda: is_held(run))
        await asyncio.sleep(LONG_S)  # nothing comes, which nobody announces
        assert not waiting.done()
        await postgres["pg1"].start()
        await waiting
        assert all(postgres[name].clients.empty() for name in ("pg2", "pg3"))
        await told_once(run, CLOSED, OPENED, 2)  # a client is served before the log says so
    await run.stop()


async def test_a_postmaster_that_hangs(run: Supervised, cluster: FakeCluster, postgres: dict[str, Postgres]) -> None:
    """Its sessions go on and its API is well: what is seen of it is that new clients come, and nobody greets them."""
    await steered(run)
    async with nobody_is_cut_off(run, postgres):
        postgres["pg1"].is_silent = True
        await served(run, postgres)  # as far as HAProxy can know
        await run.said(CLOSED)
        waiting = asyncio.create_task(served(run, postgres))
        await run.until(lambda: is_held(run))
        await asyncio.sleep(LONG_S)  # nothing comes, which nobody announces
        assert not waiting.done()
        postgres["pg1"].is_silent = False
        await waiting
        await told_once(run, CLOSED, OPENED)
        postgres["pg1"].refuse()
        waiting = asyncio.create_task(served(run, postgres))
        await run.said(CLOSED, 2)
        await postgres["pg1"].start()
        await waiting
        await run.said(OPENED, 2)
        for name in ("pg2", "pg3"):
            postgres[name].is_silent = True
        for _ in range(4):  # at each of them, as far as HAProxy can know
            await run.connect(run.ports[1])
        for name in ("pg2", "pg3"):
            await run.said(f"trunkline stick postgres_replicas/{name} drain ({name}: it says that it runs")
        for name in ("pg2", "pg3"):
            postgres[name].is_silent = False
            await run.said(f"trunkline unstick postgres_replicas/{name} drain")
    await run.stop()


async def is_held(run: Supervised) -> bool:
    view = await run.view()
    return view is not None and view.held_at("postgres_primary") > 0


async def test_a_hint(run: Supervised, cluster: FakeCluster, postgres: dict[str, Postgres]) -> None:
    """The primary's sessions are gone at once: the members are asked in a burst."""
    await steered(run)
    clients = [await run.session(postgres) for _ in range(3)]
    await asyncio.sleep(STEADY_S + 1.0)
    asked = len(cluster.apis["pg2"].requests)
    await asyncio.sleep(1.0)  # at rest, HAProxy's own checks included
    at_rest, asked = len(cluster.apis["pg2"].requests) - asked, len(cluster.apis["pg2"].requests)
    for _, writer in clients:
        writer.close()
    await run.until(lambda: len(cluster.apis["pg2"].requests) - asked > at_rest + 30)
    assert at_rest < 30
    await run.stop()


async def run_without_a_child(run: Supervised) -> None:
    """Without a child that steers."""
    run.write(WITHOUT)
    await run.serve()


@asynccontextmanager
async def counted(run: Supervised) -> AsyncIterator[asyncio.Event]:
    """A socket in front of HAProxy's that hangs up at `show stat` while the event is set, and settings that name it."""
    deaf, path = asyncio.Event(), run.directory / "between.sock"

    async def answer(line: bytes) -> bytes:
        is_lost = deaf.is_set() and b"show stat" in line
        return b"" if is_lost else await ask_behind(run.paths.admin_socket, line)

    run.agent_page = agent_metrics_name(replace(run.paths, admin_socket=str(path)))
    haproxy = run.settings["haproxy"] | {"socket": str(path)}
    run.config.with_name("agent.yml").write_text(yaml.safe_dump(run.settings | {"haproxy": haproxy}))
    async with in_front(path, answer):
        yield deaf
