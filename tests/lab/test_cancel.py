"""Cancelling reaches the session that it is meant for, wherever the balancing has sent that."""

import asyncio
import signal
import subprocess
from contextlib import AsyncExitStack

import psycopg
import pytest

from trunkline.lab.balancer import Balancer
from trunkline.lab.binaries import find_binaries

TRIES = 10
SLEEP_S = 30
PATIENCE_S = 10.0


@pytest.mark.parametrize("service", ["replicas", "primary"])
async def test_ctrl_c_in_psql(balancer: Balancer, service: str) -> None:
    binaries = find_binaries()
    servers = set()
    for _ in range(TRIES):
        process = await asyncio.create_subprocess_exec(
            binaries.postgres_bin_dir / "psql",
            *("--no-psqlrc", "--tuples-only", "--no-align", "--dbname", balancer.conninfo(service)),
            *("--command", "select host(inet_server_addr())", "--command", f"select pg_sleep({SLEEP_S})"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=binaries.postgres_environment,
        )
        assert process.stdout is not None
        servers.add(await process.stdout.readline())
        await until_asleep(balancer, 1)
        process.send_signal(signal.SIGINT)
        _, words = await asyncio.wait_for(process.communicate(), timeout=PATIENCE_S)
        assert b"canceling statement due to user request" in words
    assert len(servers) == (2 if service == "replicas" else 1)


async def test_ten_at_once_through_libpq(balancer: Balancer) -> None:
    async with AsyncExitStack() as stack:
        sessions = [
            await stack.enter_async_context(
                await psycopg.AsyncConnection.connect(balancer.conninfo("replicas"), autocommit=True)
            )
            for _ in range(TRIES)
        ]
        sleeping = [asyncio.create_task(session.execute(f"select pg_sleep({SLEEP_S})")) for session in sessions]
        await until_asleep(balancer, TRIES)
        await asyncio.gather(*(asyncio.to_thread(session.cancel) for session in sessions))
        ended = await asyncio.wait_for(asyncio.gather(*sleeping, return_exceptions=True), timeout=PATIENCE_S)
    assert [type(error) for error in ended] == [psycopg.errors.QueryCanceled] * TRIES


async def until_asleep(balancer: Balancer, count: int) -> None:
    """Back when so many sessions sleep in all of the cluster; a cancel that comes before its statement is lost."""
    question = "select count(*) from pg_stat_activity where wait_event = 'PgSleep'"
    async with asyncio.timeout(PATIENCE_S):
        while True:
            seen = 0
            for member in balancer.lab.members.values():
                async with await psycopg.AsyncConnection.connect(member.conninfo(), autocommit=True) as session:
                    row = await (await session.execute(question)).fetchone()
                    seen += int(row[0]) if row else 0
            if seen >= count:
                return
            await asyncio.sleep(0.02)
