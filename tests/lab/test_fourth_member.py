"""A fourth member joins and leaves while clients read and write: it is served soon, and nobody notices."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import psycopg
import pytest

from tests.lab.test_cancel import until_asleep
from trunkline.adapters.runtime_socket import RuntimeSocket
from trunkline.lab.balancer import Balancer
from trunkline.lab.load import READ, WRITTEN, Load, looping_clients, prepare
from trunkline.lab.processes import wait_until

PATIENCE_S = 90.0
POLL_S = 0.02
CLIENTS = 4
PAUSE_S = 0.02
SERVED_WITHIN_S = 1.0
SLEEP_S = 30


@asynccontextmanager
async def fourth(balancer: Balancer) -> AsyncIterator[str]:
    """One more member for as long as the block lasts."""
    name = await asyncio.to_thread(balancer.lab.add_node)
    try:
        yield name
    finally:
        if name in balancer.lab.members:
            await asyncio.to_thread(balancer.lab.remove_node)


async def healthy_since(balancer: Balancer, name: str) -> float:
    """When it first answered that it is a replica that serves."""
    member = balancer.lab.member(name)
    assert await asyncio.to_thread(
        wait_until, lambda: member.ask("/replica").status == 200, timeout_s=PATIENCE_S, poll_s=POLL_S
    )
    return time.monotonic()


async def rests(balancer: Balancer, name: str) -> bool:
    placed = await RuntimeSocket(balancer.admin_socket).placed()
    return {it.is_in_maint for it in placed if it.name == name} == {True}


async def test_a_fourth_joins_and_leaves_under_load(steered: Balancer, measured: Callable[[str], None]) -> None:
    await prepare(steered.conninfo())
    before = await worker(steered)
    async with (
        looping_clients(steered.conninfo(), CLIENTS, pause_s=PAUSE_S) as writes,
        looping_clients(steered.conninfo("replicas"), CLIENTS, statement=READ, pause_s=PAUSE_S) as reads,
    ):
        async with fourth(steered) as name:
            healthy = await healthy_since(steered, name)
            host = steered.lab.member(name).place.host
            first = await first_served(reads, host)
            measured(f"served {first - healthy:.2f} s after it was healthy")
            assert first - healthy < SERVED_WITHIN_S
            await cancelled_on(steered, host)
            stopped = time.monotonic()
        gone = time.monotonic()
        async with asyncio.timeout(PATIENCE_S):
            while True:
                if await rests(steered, name):
                    break
                await asyncio.sleep(POLL_S)
        measured(f"in maintenance {time.monotonic() - stopped:.0f} s after it was stopped")
    assert [attempt for attempt in writes.attempts if attempt.outcome != WRITTEN] == []
    failed = [attempt for attempt in reads.attempts if attempt.outcome != WRITTEN]
    assert [attempt for attempt in failed if not stopped <= attempt.ended <= gone + PAUSE_S] == []
    assert len(failed) <= CLIENTS * 2, failed
    assert await worker(steered) == before


async def worker(balancer: Balancer) -> int:
    return (await RuntimeSocket(balancer.admin_socket).view()).info.pid


async def first_served(reads: Load, host: str) -> float:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            found = [attempt.ended for attempt in reads.attempts if attempt.server == host]
            if found:
                return found[0]
            await asyncio.sleep(POLL_S)


async def cancelled_on(balancer: Balancer, host: str) -> None:
    """A query of a session there is cancelled as anywhere else, though the balancing sends the request to anybody."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            async with await psycopg.AsyncConnection.connect(balancer.conninfo("replicas"), autocommit=True) as session:
                row = await (await session.execute(READ)).fetchone()
                if row and row[0] == host:
                    asleep = asyncio.create_task(session.execute(f"select pg_sleep({SLEEP_S})"))
                    await until_asleep(balancer, 1)
                    await asyncio.to_thread(session.cancel)
                    with pytest.raises(psycopg.errors.QueryCanceled):
                        await asleep
                    return
