"""Sessions that reloads have left behind: a role change ends those of the old primary, and only those, and counts them.

No check ends a session of an old worker, so what is seen here is the agent's fence alone.
"""

import asyncio
import json
import signal
from collections.abc import Awaitable, Callable

import pytest
from agent_process import agent_beside
from contract_subjects import Postgres
from scraping import fetched, scraped, value, values
from supervised import Supervised
from test_agent_attaches import WITHOUT
from test_drain import takes
from test_plan import said

from trunkline.testing.fake_cluster import FakeCluster

pytestmark = pytest.mark.haproxy
PRIMARY = {"service": "postgres_primary"}
OLD_SESSIONS = "trunkline_old_worker_sessions"
ENDED_S = 5.0
"""It takes the agent a cycle, and a busy machine some more."""
ARRIVED_S = 20.0
"""Against hanging."""

Reader = asyncio.StreamReader
RoleChange = Callable[[Supervised, FakeCluster], Awaitable[None]]


async def reload(run: Supervised, old_workers: int) -> None:
    """Back when another worker serves, and so many old ones are known of."""
    reloads = run.words.count("HAProxy reloaded")
    run.process.send_signal(signal.SIGHUP)
    await run.said("HAProxy reloaded", reloads + 1)
    await run.until(run.leads_to("pg1"))
    await run.until(lambda: tells(run, "trunkline_old_workers", [old_workers]))


async def tells(run: Supervised, name: str, expected: list[float], **labels: str) -> bool:
    """Whether every sample of this metric is as expected."""
    status, text = await fetched(run)
    return status == 200 and sorted(values(text, name, labels)) == expected


async def receipts(run: Supervised) -> list[dict[str, object]]:
    code, out, err = await said(run, "history", "--json")
    assert code == 0, err
    told: list[dict[str, object]] = json.loads(out)["receipts"]
    return told


async def read_sessions(run: Supervised, postgres: dict[str, Postgres]) -> list[Reader]:
    """One at each replica."""
    await run.until(takes(run, "pg2", "pg3"))
    readers = [(await run.connect(run.ports[1]))[0] for _ in range(2)]
    async with asyncio.timeout(ARRIVED_S):
        await asyncio.gather(*(postgres[name].clients.get() for name in ("pg2", "pg3")))
    return readers


async def demoted(run: Supervised, cluster: FakeCluster) -> None:
    """The old primary says that it is a replica, and its port accepts."""
    cluster.promote("pg2")


async def silent(run: Supervised, cluster: FakeCluster) -> None:
    """The old primary's API is silent, its port answers, and the leader key becomes another's."""
    cluster.apis["pg1"].fall_silent()
    await run.said("trunkline stick postgres_primary/pg1 checks")
    assert await tells(run, OLD_SESSIONS, [1, 1], **PRIMARY), "nobody is cut off by silence"
    cluster.promote("pg2")


async def keyless(run: Supervised, cluster: FakeCluster) -> None:
    """Nobody has the key for a while, the old primary is silent; then another has it."""
    cluster.apis["pg1"].fall_silent()
    await run.said("trunkline stick postgres_primary/pg1 checks")
    cluster.leader = None
    await run.until(lambda: tells(run, OLD_SESSIONS, [], **PRIMARY))
    cluster.promote("pg2")


@pytest.mark.parametrize("role_change", [demoted, silent, keyless])
async def test_a_role_change_ends_them(
    role_change: RoleChange, run: Supervised, cluster: FakeCluster, postgres: dict[str, Postgres]
) -> None:
    quick = {"bind": [f"127.0.0.1:{run.ports[1]}"], "slow_start_s": 0}
    run.settings["services"]["replicas"] = quick
    await run.serve()
    await scraped(run)
    readings = await read_sessions(run, postgres)
    writings = [(await run.session(postgres))[0]]
    for old_workers in (1, 2):
        await reload(run, old_workers)
        writings.append((await run.session(postgres))[0])
    await run.until(lambda: tells(run, OLD_SESSIONS, [1, 1], **PRIMARY))
    reading = [it for it in await old_sessions(run) if it[1].startswith("postgres_replicas/")]
    assert len(reading) == len(readings)
    assert value(await scraped(run), "trunkline_fenced_sessions_total", PRIMARY) == 0, "a reload ends nobody"
    assert not [reader for reader in (*readings, *writings) if reader.at_eof()]

    await role_change(run, cluster)
    async with asyncio.timeout(ENDED_S):
        await asyncio.gather(*(reader.read() for reader in writings))
    await run.until(run.leads_to("pg2"))
    writing, _ = await run.connect(run.ports[0])
    async with asyncio.timeout(ARRIVED_S):
        await postgres["pg2"].clients.get()
    await run.until(lambda: tells(run, OLD_SESSIONS, [], **PRIMARY))
    await run.until(lambda: tells(run, "trunkline_role_changes_total", [1], **PRIMARY))
    (receipt,) = await receipts(run)
    assert (receipt["old"], receipt["new"], receipt["sessions_ended"]) == ("pg1", "pg2", len(writings))
    assert value(await scraped(run), "trunkline_fenced_sessions_total", PRIMARY) == len(writings)

    assert not [reader for reader in (*readings, writing) if reader.at_eof()], "only those had to go"
    assert [it.server for it in await run.runtime.sessions() if it.backend == PRIMARY["service"]] == ["pg2"]
    assert await old_sessions(run) == reading
    await run.stop()


async def test_an_agent_that_lives_through_reloads_counts_the_same(
    run: Supervised, cluster: FakeCluster, postgres: dict[str, Postgres]
) -> None:
    """`trunkline run` begins its agent anew on SIGHUP; one beside the service manager's HAProxy sees both workers."""
    run.write(WITHOUT)
    await run.serve()
    async with agent_beside(run):
        writings = [(await run.session(postgres))[0]]
        for reloads in (1, 2, 3):
            run.process.send_signal(signal.SIGHUP)
            await run.said("HAProxy reloaded", reloads)
            await run.until(run.leads_to("pg1"))
            writings.append((await run.session(postgres))[0])
        cluster.promote("pg2")
        async with asyncio.timeout(ENDED_S):
            await asyncio.gather(*(reader.read() for reader in writings))
        await run.said("the primary has changed")
        (receipt,) = await receipts(run)
        assert (receipt["old"], receipt["new"], receipt["sessions_ended"]) == ("pg1", "pg2", len(writings))
        assert await old_sessions(run) == []
    await run.stop()


async def old_sessions(run: Supervised) -> list[tuple[int, str]]:
    """As `status` tells them: of which old worker, at which server; one each."""
    code, out, err = await said(run, "status", "--json")
    assert code == 0, err
    told = json.loads(out)["haproxy"]["old_sessions"]
    assert {it["sessions"] for it in told} <= {1}
    return [(it["pid"], f"{it['service']}/{it['server']}") for it in told]
