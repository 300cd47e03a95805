"""`trunkline drain` and `ready` in front of real HAProxies: whatever happens to the agent or the worker, what people
have asked for is so, and what they did by hand stays."""

import asyncio
import json
import os
import signal
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from agent_process import agent_beside
from contract_subjects import Postgres
from supervised import Supervised
from test_agent_attaches import WITHOUT, agent_pid
from test_members import becomes, rests, story_of
from test_plan import said

from trunkline.adapters.files import read_text
from trunkline.agent.intents import intents_file
from trunkline.model.facts import Sticky
from trunkline.model.proxy import Health
from trunkline.testing.fake_cluster import FakeCluster

pytestmark = pytest.mark.haproxy
REPLICAS = "postgres_replicas"


def is_leased(run: Supervised, member: str, *, wanted: bool = True) -> Callable[[], Any]:
    """Whether it is drained under the lease, and shown so."""

    async def is_so() -> bool:
        stuck = (await run.runtime.lease()).stuck
        return ((REPLICAS, member, Sticky.DRAIN) in {(it.proxy, it.server, it.what) for it in stuck}) is wanted

    return is_so


def takes(run: Supervised, *members: str) -> Callable[[], Any]:
    """Whether new sessions of the replicas' port go to these, and to nobody else."""

    async def is_so() -> bool:
        view = await run.view()
        proxy = view.proxy(REPLICAS) if view else None
        servers = proxy.servers if proxy else ()
        return {one.name for one in servers if one.takes_sessions and not one.is_backup} == set(members)

    return is_so


async def reach(run: Supervised, postgres: dict[str, Postgres], *members: str, count: int = 6) -> None:
    """So many new clients of the replicas' port arrive, and at these members alone."""
    for one in postgres.values():
        while not one.clients.empty():
            one.clients.get_nowait()
    for _ in range(count):
        await run.connect(run.ports[1])
    await run.until(lambda: sum(one.clients.qsize() for one in postgres.values()) == count)
    assert {name for name, one in postgres.items() if not one.clients.empty()} == set(members)


async def test_a_drain_outlives_the_agent_and_the_worker(
    run: Supervised, cluster: FakeCluster, postgres: dict[str, Postgres]
) -> None:
    quick = {"bind": [f"127.0.0.1:{run.ports[1]}"], "slow_start_s": 0}
    run.settings["services"]["replicas"] = quick
    await run.serve()
    await run.said("steering HAProxy")
    await run.until(takes(run, "pg2", "pg3"))
    reader, _ = await run.connect(run.ports[1])
    other, _ = await run.connect(run.ports[1])
    async with asyncio.timeout(20):
        await postgres["pg2"].clients.get()
    over = [asyncio.create_task(it.read()) for it in (reader, other)]

    code, out, err = await said(run, "drain", "pg2", "--for", "2h", "--reason", "kernel  update")
    assert code == 0, err
    assert "pg2 is drained by " in out
    assert f": kernel update\n  {REPLICAS}: no new sessions, 1 left\n" in out
    await reach(run, postgres, "pg3")

    code, out, _ = await said(run, "status", "--json")
    told = json.loads(out)["clusters"][0]
    assert [(it["member"], it["why"]) for it in told["drains"]] == [("pg2", "kernel update")]
    (place,) = (s for m in told["members"] if m["name"] == "pg2" for s in m["services"] if s["service"] == REPLICAS)
    assert place["reason"].startswith("drained by ")
    assert (place["health"], place["agrees"], place["sessions"]) == ("DRAIN", True, 1)
    code, out, _ = await said(run, "explain", "pg2")
    assert "the agent: drained (under the lease: drain), since drained by " in out

    first = agent_pid(run)
    os.kill(first, signal.SIGKILL)
    await run.until(lambda: agent_pid(run) not in (0, first))
    await run.until(is_leased(run, "pg2"))
    await reach(run, postgres, "pg3")

    reloads = run.words.count("HAProxy reloaded")
    run.write({"stats": {"bind": [f"127.0.0.1:{run.ports[3]}"]}})
    run.process.send_signal(signal.SIGHUP)
    await run.said("HAProxy reloaded", reloads + 1)
    await run.until(is_leased(run, "pg2"))
    await run.until(takes(run, "pg3"))
    await reach(run, postgres, "pg3")
    assert not any(task.done() for task in over), "nobody was cut off"

    code, out, err = await said(run, "ready", "pg2")
    assert code == 0, err
    assert "pg2 was drained by " in out
    await run.until(takes(run, "pg2", "pg3"))
    await reach(run, postgres, "pg2", "pg3", count=20)  # the one that has fewer comes first
    code, out, _ = await said(run, "ready", "pg2")
    assert (code, out.splitlines()[0]) == (0, "nobody has asked for a drain of pg2")
    for task in over:
        task.cancel()
    await asyncio.gather(*over, return_exceptions=True)
    await run.stop()


async def test_without_an_agent_it_is_noted_and_done_when_one_comes(run: Supervised) -> None:
    run.write(WITHOUT)
    await run.serve()
    await run.until(takes(run, "pg2", "pg3"))
    code, _, err = await said(run, "drain", "pg2")
    assert code == 1
    assert "it is noted, and not done: no agent steers this HAProxy" in err
    assert await takes(run, "pg2", "pg3")()
    async with agent_beside(run) as agent:
        await run.until(takes(run, "pg3"))
        agent.send_signal(signal.SIGSTOP)
        await run.until(is_leased(run, "pg2", wanted=False))  # nothing sticks; how soon, test_agent_attaches says
        agent.send_signal(signal.SIGCONT)
        await run.until(takes(run, "pg3"))
        agent.send_signal(signal.SIGTERM)
        assert await agent.wait() == 0
        assert await is_leased(run, "pg2", wanted=False)()
    async with agent_beside(run):
        await run.until(takes(run, "pg3"))
    await run.stop()


async def test_what_was_set_by_hand_is_left_alone(run: Supervised) -> None:
    await run.serve()
    await run.said("steering HAProxy")
    await run.until(takes(run, "pg2", "pg3"))
    await run.runtime.command("set", "server", f"{REPLICAS}/pg3", "state", "drain")
    code, _, err = await said(run, "ready", "pg3")
    assert code == 1
    assert f"pg3 was drained or set to maint by hand in {REPLICAS}, which stays" in err
    code, out, err = await said(run, "drain", "pg3", "--for", "1h")
    assert code == 0, err
    assert "no new sessions, 0 left, set to drain by hand as well" in out
    code, _, err = await said(run, "ready", "pg3")
    assert code == 1
    view = await run.runtime.view()
    proxy = view.proxy(REPLICAS)
    server = proxy.server("pg3") if proxy else None
    assert server is not None
    assert server.health is Health.DRAIN
    assert (await run.runtime.lease()).stuck == ()


async def test_the_primary_and_the_last_replica(run: Supervised, cluster: FakeCluster) -> None:
    await run.serve()
    await run.said("steering HAProxy")
    await run.until(takes(run, "pg2", "pg3"))
    code, _, err = await said(run, "drain", "pg1", "--reason", "before a switchover")
    assert code == 0, err
    assert "pg1 is the primary, and its port is not affected" in err
    assert await run.leads_to("pg1")()
    code, _, err = await said(run, "drain", "pg3")
    assert (code, err) == (0, "")
    code, _, err = await said(run, "drain", "pg2")
    assert code == 0
    assert f"nobody else serves {REPLICAS}: the primary serves there as well" in err
    cluster.promote("pg2")
    await run.until(run.leads_to("pg2"))  # whom people have drained may be the primary
    await asyncio.sleep(1.0)  # some checks and cycles, in which nothing must come that nobody announces
    assert await takes(run)()
    code, _, _ = await said(run, "ready", "pg1")
    assert code == 0
    await run.until(takes(run, "pg1"))


async def test_it_ends_by_itself_and_a_damaged_store_changes_nothing(run: Supervised) -> None:
    await run.serve()
    await run.said("steering HAProxy")
    await run.until(takes(run, "pg2", "pg3"))
    store = intents_file(run.directory)
    code, _, err = await said(run, "drain", "nobody")
    assert code == 2
    assert "the members are pg1, pg2, pg3" in err
    assert not store.exists()

    assert (await said(run, "drain", "pg3"))[0] == 0
    kept = read_text(store)
    assert kept is not None
    store.write_text(kept[: len(kept) // 2])
    await run.said("what was asked for cannot be read, what is known of it stays")
    code, _, err = await said(run, "drain", "pg2")
    assert code == 1
    assert "it is damaged" in err
    code, out, _ = await said(run, "status", "--json")
    assert "it is damaged" in json.loads(out)["drains_problem"]
    assert await takes(run, "pg2")()
    store.write_text(kept)
    await run.said("what was asked for can be read again")
    assert run.words.count("what was asked for cannot be read") == 1

    code, _, err = await said(run, "drain", "pg3", "--for", "3s")  # takes the place of the first
    assert code == 0, err
    await run.said("a drain is over")
    await run.until(takes(run, "pg2", "pg3"))
    await run.until(partial(_is_quiet, run))


async def test_a_member_that_came_meanwhile_and_leaves_for_good(
    run: Supervised, cluster: FakeCluster, fourth: Postgres
) -> None:
    await run.serve()
    await run.said("steering HAProxy")
    await cluster.join(story_of(fourth))
    await becomes(run, REPLICAS, "pg4", Health.UP)
    code, _, err = await said(run, "drain", "pg4", "--reason", "to be replaced")
    assert code == 0, err
    await run.until(takes(run, "pg2", "pg3"))
    await cluster.leave("pg4")
    await rests(run, REPLICAS, "pg4", in_maint=True)
    code, out, _ = await said(run, "status")
    assert "to be replaced; the cluster does not list it" in " ".join(out.split())
    code, out, err = await said(run, "ready", "pg4")
    assert code == 0, err
    assert f"{REPLICAS}: MAINT, 0 sessions; the cluster does not list it any more" in out
    code, _, _ = await said(run, "ready", "pg4")
    assert code == 2


async def _is_quiet(run: Supervised) -> bool:
    return not (await run.runtime.lease()).stuck
