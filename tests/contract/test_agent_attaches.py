"""An agent beside real HAProxies: alone, as a child, killed, and stopped; what is by hand stays by hand."""

import asyncio
import os
import signal
import socket
import sys
from functools import partial

import pytest
from agent_process import agent_beside
from contract_subjects import Postgres
from supervised import Supervised

from trunkline.adapters.files import read_text
from trunkline.agent.steering import LEASE_MS
from trunkline.model.facts import Sticky
from trunkline.model.proxy import Health
from trunkline.testing.fake_cluster import FakeCluster

pytestmark = pytest.mark.haproxy
WITHOUT = {"agent": {"enabled": False}}
FLIPS = 8


def agent_pid(run: Supervised) -> int:
    return int((read_text(run.directory / "agent.lock") or "0").strip() or 0)


async def test_alone_it_steers_a_haproxy_that_somebody_else_runs(run: Supervised, cluster: FakeCluster) -> None:
    run.write(WITHOUT)
    await run.serve()
    async with agent_beside(run) as process:
        cluster.apis["pg1"].fall_silent()
        await run.said("trunkline stick postgres_primary/pg1 checks")
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
    await run.stop()


async def test_the_service_manager_is_told_that_it_is_ready_and_well(
    run: Supervised, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.write(WITHOUT)
    await run.serve()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(run.directory / "notify"))
        manager.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(run.directory / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "300000")
        said = list[bytes]()
        async with agent_beside(run) as process, asyncio.timeout(20):
            while said.count(b"WATCHDOG=1") < 3:
                said.append(await asyncio.get_running_loop().sock_recv(manager, 1000))
            process.send_signal(signal.SIGTERM)
            while said[-1] != b"STOPPING=1":
                said.append(await asyncio.get_running_loop().sock_recv(manager, 1000))
    assert b"READY=1\nSTATUS=steering HAProxy" in said
    await run.stop()


async def test_a_child_is_started_again_and_ends_with_its_parent(run: Supervised, cluster: FakeCluster) -> None:
    await run.serve()
    await run.said("steering HAProxy")
    first = agent_pid(run)
    os.kill(first, signal.SIGKILL)
    await run.said("steering HAProxy", 2)
    second = agent_pid(run)
    assert second != first
    run.process.kill()
    await run.process.wait()
    await run.until(lambda: not is_running(second))
    assert run.family.master is not None


async def test_two_agents_never_steer_the_same(run: Supervised) -> None:
    await run.serve()
    await run.said("steering HAProxy")
    async with asyncio.timeout(20):
        words = (sys.executable, "-m", "trunkline", "agent", "--config", run.config, "--dir", run.directory)
        with run.new_log() as log:
            second = await asyncio.create_subprocess_exec(*words, stdout=log, stderr=log)
        await run.said("another agent steers this HAProxy")
        second.send_signal(signal.SIGTERM)
        assert await second.wait() == 0


async def test_what_is_set_by_hand_is_left_alone(run: Supervised, cluster: FakeCluster) -> None:
    await run.serve()
    await run.said("steering HAProxy")
    await run.runtime.command("set", "server", "postgres_primary/pg1", "state", "drain")
    cluster.promote("pg2")
    await run.until(run.leads_to("pg2"))
    cluster.promote("pg1")
    await run.until(run.leads_to())
    await asyncio.sleep(1.5)  # two cycles and the length of a lease: nothing comes, which nobody announces
    view = await run.runtime.view()
    proxy = view.proxy("postgres_primary")
    server = proxy.server("pg1") if proxy else None
    assert server is not None
    assert server.health is Health.DRAIN
    assert (await run.runtime.lease()).stuck == ()


async def test_what_haproxy_has_just_found_out_is_not_undone_by_an_older_answer(
    run: Supervised, cluster: FakeCluster
) -> None:
    """Alone, the agent is told of no check: it sees in HAProxy's servers that one has passed."""
    run.write(WITHOUT)
    await run.serve()
    async with agent_beside(run):
        for new in ("pg2", "pg1") * FLIPS:
            fall = f"trunkline close postgres_primary/{new}"
            before = run.words.count(fall)
            cluster.promote(new)
            await run.until(run.leads_to(new))
            await asyncio.sleep(0.3)  # some cycles, in which nothing must come that nobody announces
            assert run.words.count(fall) == before
    await run.stop()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
async def test_what_it_had_set_is_undone_when_it_is_lost(
    run: Supervised, cluster: FakeCluster, number: signal.Signals
) -> None:
    """An API that is silent for HAProxy and for us, while PostgreSQL answers and the others say that it leads."""
    run.write(WITHOUT)
    await run.serve()
    async with agent_beside(run) as agent:
        cluster.apis["pg1"].fall_silent()
        await run.until(partial(is_kept, run))
        assert await run.leads_to("pg1")()
        agent.send_signal(number)
        async with asyncio.timeout(LEASE_MS / 1000 + 0.5):
            await run.until(partial(is_kept, run, wanted=False))
    assert await run.leads_to("pg1")()


async def is_kept(run: Supervised, *, wanted: bool = True) -> bool:
    kept = [(it.proxy, it.server) for it in (await run.runtime.lease()).stuck if it.what is Sticky.CHECKS]
    return (("postgres_primary", "pg1") in kept) is wanted


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_sessions_at_a_replica_that_lags_end_with_its_deadline(
    run: Supervised, cluster: FakeCluster, postgres: dict[str, Postgres]
) -> None:
    replicas = {"bind": [f"127.0.0.1:{run.ports[1]}"], "lag_limit": 1000, "drain_deadline_s": 1.5}
    run.write({"services": {"primary": {"bind": [f"127.0.0.1:{run.ports[0]}"]}, "replicas": replicas}})
    await run.serve()
    await run.said("steering HAProxy")
    readers = [await run.connect(run.ports[1]) for _ in range(4)]
    async with asyncio.timeout(20):
        for name in ("pg2", "pg2", "pg3", "pg3"):
            await postgres[name].clients.get()
    cluster.stories["pg2"].lag_bytes = 5000
    began = asyncio.get_running_loop().time()
    ends = [asyncio.create_task(reader.read()) for reader, _ in readers]
    async with asyncio.timeout(20):
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    assert asyncio.get_running_loop().time() - began > 1.0  # HAProxy counts whole seconds since a server is NOLB
    await run.said("shutdown sessions server postgres_replicas/pg2")
    await asyncio.wait(ends, timeout=1.0)
    assert sum(task.done() for task in ends) == 2
    for task in ends:
        task.cancel()
    await asyncio.gather(*ends, return_exceptions=True)


async def test_a_replica_that_comes_back_gets_its_share_of_idle_sessions_little_by_little(
    run: Supervised, cluster: FakeCluster, postgres: dict[str, Postgres]
) -> None:
    replicas = {"bind": [f"127.0.0.1:{run.ports[1]}"], "lag_limit": 1000}
    replicas |= {"rebalance_per_minute": 120, "rebalance_idle_s": 1}
    run.write({"services": {"primary": {"bind": [f"127.0.0.1:{run.ports[0]}"]}, "replicas": replicas}})
    cluster.stories["pg3"].lag_bytes = 5000
    await run.serve()
    await run.said("steering HAProxy")
    readers = [await run.connect(run.ports[1]) for _ in range(8)]
    async with asyncio.timeout(20):
        for _ in readers:
            await postgres["pg2"].clients.get()
    ends = [asyncio.create_task(reader.read()) for reader, _ in readers]
    await asyncio.sleep(2)  # nobody else takes any: nothing comes, which nobody announces
    assert not any(task.done() for task in ends)
    cluster.stories["pg3"].lag_bytes = 0
    await run.said("shutdown session 0x", 3)
    await asyncio.sleep(2)  # 5 where 2.5 are its share: that is near enough
    assert sum(task.done() for task in ends) == 3
    for task in ends:
        task.cancel()
    await asyncio.gather(*ends, return_exceptions=True)
    await run.stop()


@pytest.mark.parametrize("ends", [True, False], ids=["end", "stay"])
async def test_read_sessions_of_a_replica_that_is_promoted(
    ends: bool, run: Supervised, cluster: FakeCluster, postgres: dict[str, Postgres]
) -> None:
    replicas = {"bind": [f"127.0.0.1:{run.ports[1]}"], "end_sessions_on_promotion": ends}
    run.write({"services": {"primary": {"bind": [f"127.0.0.1:{run.ports[0]}"]}, "replicas": replicas}})
    await run.serve()
    await run.said("steering HAProxy")
    readers = [await run.connect(run.ports[1]) for _ in range(4)]
    async with asyncio.timeout(20):
        for name in ("pg2", "pg2", "pg3", "pg3"):
            await postgres[name].clients.get()
    over = [asyncio.create_task(reader.read()) for reader, _ in readers]
    cluster.promote("pg2")
    await run.until(run.leads_to("pg2"))
    if ends:
        await run.said("shutdown sessions server postgres_replicas/pg2")
        await run.until(lambda: sum(task.done() for task in over) == 2)
    await asyncio.sleep(1)  # nothing else comes, which nobody announces
    assert sum(task.done() for task in over) == (2 if ends else 0)
    for task in over:
        task.cancel()
    await asyncio.gather(*over, return_exceptions=True)
    await run.stop()


async def test_a_replica_that_lags_for_longer_than_settings_allow_gets_nobody_new(
    run: Supervised, cluster: FakeCluster, postgres: dict[str, Postgres]
) -> None:
    replicas = {"bind": [f"127.0.0.1:{run.ports[1]}"], "lag_limit_s": 1.5, "slow_start_s": 0}
    run.write({"services": {"primary": {"bind": [f"127.0.0.1:{run.ports[0]}"]}, "replicas": replicas}})
    cluster.stories["pg3"].replayed_s_ago = 3600.0  # an idle hour, and nothing to replay
    await run.serve()
    await run.said("steering HAProxy")
    story = cluster.stories["pg2"]
    story.lag_bytes, story.replayed_s_ago = 5000, 60.0
    await run.said("trunkline stick postgres_replicas/pg2 drain")
    for _ in range(6):
        await run.connect(run.ports[1])
    async with asyncio.timeout(20):
        for _ in range(6):
            await postgres["pg3"].clients.get()
    assert postgres["pg2"].clients.empty()
    story.lag_bytes = 0
    await run.said("trunkline unstick postgres_replicas/pg2 drain")
    assert "stick postgres_replicas/pg3" not in run.words
    await run.stop()
