"""A pooler beside each PostgreSQL (`postgres_port`): sessions end there, and a role change ends them there."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from contract_subjects import Postgres, listening
from scraping import scraped
from supervised import Supervised, free_ports
from test_old_workers import ARRIVED_S, ENDED_S, OLD_SESSIONS, PRIMARY, receipts, reload, tells

from trunkline.testing.fake_cluster import FakeCluster

pytestmark = pytest.mark.haproxy
HOSTS = {"pg1": "127.0.0.11", "pg2": "127.0.0.12", "pg3": "127.0.0.13"}
"""The port is the same on each, so each needs an address of its own."""


@pytest.fixture
async def postgres() -> AsyncIterator[dict[str, Postgres]]:
    """Where Patroni says that PostgreSQL is: nobody shall come there."""
    async with listening({name: Postgres(host) for name, host in HOSTS.items()}) as servers:
        yield servers


@pytest.fixture
async def poolers() -> AsyncIterator[dict[str, Postgres]]:
    (port,) = free_ports(1)
    servers = {name: Postgres(host) for name, host in HOSTS.items()}
    for server in servers.values():
        server.address = (server.address[0], port)
    async with listening(servers):
        yield servers


async def arrival(run: Supervised, pooler: Postgres) -> asyncio.StreamReader:
    """A client of the primary's port that this pooler has seen."""
    reader, _ = await run.connect(run.ports[0])
    async with asyncio.timeout(ARRIVED_S):
        await pooler.clients.get()
    return reader


async def test_a_role_change_ends_sessions_at_the_pooler(
    run: Supervised, cluster: FakeCluster, postgres: dict[str, Postgres], poolers: dict[str, Postgres]
) -> None:
    """The old primary's pooler accepts as before, and so does its PostgreSQL."""
    run.settings["postgres_port"] = poolers["pg1"].address[1]
    await run.serve()
    await scraped(run)
    writings = [await arrival(run, poolers["pg1"]) for _ in range(2)]
    await reload(run, 1)
    writings.append(await arrival(run, poolers["pg1"]))
    await run.until(lambda: tells(run, OLD_SESSIONS, [2], **PRIMARY))

    cluster.promote("pg2")
    async with asyncio.timeout(ENDED_S):
        await asyncio.gather(*(reader.read() for reader in writings))
    await run.until(run.leads_to("pg2"))
    writing = await arrival(run, poolers["pg2"])
    await run.until(lambda: tells(run, "trunkline_role_changes_total", [1], **PRIMARY))
    (receipt,) = await receipts(run)
    assert (receipt["old"], receipt["new"], receipt["sessions_ended"]) == ("pg1", "pg2", len(writings))
    assert await tells(run, "trunkline_old_workers", [0])
    assert [it.server for it in await run.runtime.sessions() if it.backend == PRIMARY["service"]] == ["pg2"]
    assert not writing.at_eof()
    assert not [name for name, one in postgres.items() if not one.clients.empty()], "PostgreSQL's own port is nobody's"
    await run.stop()
