"""Patroni hangs beyond its ttl, and PostgreSQL under it, which nobody tells, goes on to accept writes.

Another member is promoted meanwhile. Whatever the old one accepts from then on is lost: nothing that comes in through
the balancer may be among it, neither over new connections nor over one that has been open all the time.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import psycopg

from tests.lab.role_change import CLIENTS, GAP_TIMEOUT_S, PAUSE_S, leader_of, until
from trunkline.lab.balancer import Balancer
from trunkline.lab.load import INSERT, READ_ONLY, WRITTEN, looping_clients, prepare, watching

AFTERMATH_S = 1.0
RETURN_TIMEOUT_S = 60
SERVED_TIMEOUT_S = 10


async def test_it_gets_no_write_once_another_is_promoted(balancer: Balancer, measured: Callable[[str], None]) -> None:
    lab = balancer.lab
    old = lab.member(leader_of(lab))
    others = [member for member in lab.members.values() if member is not old]
    await prepare(balancer.conninfo())
    async with (
        watching([(member.place.host, member.conninfo()) for member in others]) as witness,
        one_session_that_writes(balancer) as writes,
        looping_clients(balancer.conninfo(), CLIENTS, pause_s=PAUSE_S) as load,
    ):
        frozen = time.monotonic()
        await asyncio.to_thread(lab.freeze_patroni, old.name)
        new, promoted = await witness.first_writable(but=old.place.host, after=frozen, deadline_s=GAP_TIMEOUT_S)
        await until(lambda: load.first_served_by(new, after=frozen) is not None, timeout_s=SERVED_TIMEOUT_S)
        # Without this the test would prove nothing: the old one is still there to be written to.
        assert await asyncio.to_thread(old.is_writable)
        await asyncio.sleep(AFTERMATH_S)
        await asyncio.to_thread(lab.thaw_patroni, old.name)
        await asyncio.to_thread(lab.wait_healthy, timeout_s=RETURN_TIMEOUT_S)

    first = load.first_served_by(new, after=frozen)
    last = max([attempt.ended for attempt in load.of(WRITTEN) if attempt.server == old.place.host] + writes)
    assert first is not None
    measured(
        f"promoted after {promoted - frozen:.2f} s, last write on the old {last - frozen:.2f} s, "
        f"first on the new {(first.ended - promoted) * 1000:.0f} ms after its promotion, {len(load.failures)} failed"
    )
    assert last < promoted
    assert load.of(READ_ONLY) == []
    assert {attempt.server for attempt in load.of(WRITTEN) if attempt.began > promoted} == {new}
    assert leader_of(lab) != old.name


@asynccontextmanager
async def one_session_that_writes(balancer: Balancer) -> AsyncIterator[list[float]]:
    """A session that stays open and writes as long as it may; when each of its writes had been accepted."""
    writes: list[float] = []
    async with await psycopg.AsyncConnection.connect(balancer.conninfo(), autocommit=True) as connection:

        async def write() -> None:
            while True:
                await connection.execute(INSERT)
                writes.append(time.monotonic())
                await asyncio.sleep(PAUSE_S)

        task = asyncio.create_task(write(), name="session that writes")
        try:
            yield writes
            # It was cut long ago; were it alive, it would end by this.
            assert task.done()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
