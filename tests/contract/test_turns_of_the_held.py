"""Clients that were held are let in one after the other: the first at once, the last within a tenth of a second."""

import asyncio
import time

import pytest
from contract_subjects import Postgres
from supervised import Supervised

from trunkline.testing.fake_cluster import FakeCluster

pytestmark = pytest.mark.haproxy
FEW, MANY = 12, 80
TURN_S, ALL_TURNS_S = 0.004, 0.1
HALF = 0.5
"""Of the time that the turns take by rights: who all came together took a few milliseconds here."""

MOST_S = 1.5
"""For all of them, on a machine that has other things to do."""


async def arrivals(run: Supervised, cluster: FakeCluster, postgres: dict[str, Postgres], clients: int) -> list[float]:
    """When each of them has reached the new primary, in seconds after the first."""
    cluster.leader = None
    await run.until(run.leads_to())
    for _ in range(clients):
        await run.connect(run.ports[0])

    async def all_are_held() -> bool:
        return (await run.runtime.renew(1)).held == (("postgres_primary", clients),)

    await run.until(all_are_held)
    cluster.promote("pg2")
    came = []
    async with asyncio.timeout(10):
        for _ in range(clients):
            await postgres["pg2"].clients.get()
            came.append(time.monotonic())
    return [at - came[0] for at in came]


@pytest.mark.parametrize("clients", [FEW, MANY])
async def test_one_after_the_other(
    run: Supervised, cluster: FakeCluster, postgres: dict[str, Postgres], clients: int
) -> None:
    run.write({"agent": {"enabled": False}})
    await run.serve()
    after = await arrivals(run, cluster, postgres, clients)
    by_rights_s = min(ALL_TURNS_S, (clients - 1) * TURN_S)
    assert HALF * by_rights_s < after[-1] < MOST_S
    assert postgres["pg2"].clients.empty()
    await run.stop()
