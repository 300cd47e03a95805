"""Cancelling reaches the session that it is meant for, wherever the balancing has sent that."""

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import psycopg
import pytest

from trunkline.lab.balancer import Balancer
from trunkline.lab.binaries import find_binaries

TRIES = 10
SLEEP_S = 30
PATIENCE_S = 10.0
TERMINAL = (sys.executable, "-c", "import pty, sys; pty.spawn(sys.argv[1:])")
"""Runs a command in a terminal of its own, whose keys are what is written to it."""

CTRL_C = b"\x03"

Connection = psycopg.AsyncConnection[tuple[object, ...]]


@pytest.mark.parametrize("service", ["replicas", "primary"])
async def test_ctrl_c_in_psql(balancer: Balancer, service: str) -> None:
    binaries = find_binaries()
    servers = set()
    for _ in range(TRIES):
        process = await asyncio.create_subprocess_exec(
            *(*TERMINAL, binaries.postgres_bin_dir / "psql"),
            *("--no-psqlrc", "--pset=pager=off", "--tuples-only", "--no-align", "--dbname", balancer.conninfo(service)),
            *("--command", "select host(inet_server_addr())", "--command", f"select pg_sleep({SLEEP_S})"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=binaries.postgres_environment,
        )
        assert process.stdout is not None
        try:
            servers.add(await asyncio.wait_for(process.stdout.readline(), timeout=PATIENCE_S))
            await until_asleep(balancer, 1)
            words, _ = await asyncio.wait_for(process.communicate(CTRL_C), timeout=PATIENCE_S)
        finally:
            if process.returncode is None:
                process.kill()  # psql ends with its terminal
        assert b"canceling statement due to user request" in words
    assert len(servers) == (2 if service == "replicas" else 1)


@pytest.mark.parametrize("service", ["replicas", "primary"])
async def test_ten_at_once_through_libpq(balancer: Balancer, service: str) -> None:
    """`PQcancel`, which never encrypts, with whatever `sslmode` the session has."""
    ended = await cancelled(balancer, balancer.conninfo(service), lambda session: asyncio.to_thread(session.cancel))
    assert ended == [psycopg.errors.QueryCanceled] * TRIES


@pytest.mark.parametrize(("service", "sslmode"), [("replicas", "disable"), ("primary", "prefer")])
async def test_ten_at_once_through_the_newer_libpq(balancer: Balancer, service: str, sslmode: str) -> None:
    """libpq 17's `PQcancelStart` begins as any session does unless TLS is out of the question (docs/operating.md)."""
    conninfo = f"{balancer.conninfo(service)} sslmode={sslmode}"
    ended = await cancelled(balancer, conninfo, lambda session: session.cancel_safe())
    assert ended == [psycopg.errors.QueryCanceled] * TRIES


async def cancelled(balancer: Balancer, conninfo: str, cancel: Callable[[Connection], Awaitable[None]]) -> list[object]:
    """What ten sleeping sessions got when all of them were cancelled at once."""
    async with AsyncExitStack() as stack:
        sessions = [
            await stack.enter_async_context(await psycopg.AsyncConnection.connect(conninfo, autocommit=True))
            for _ in range(TRIES)
        ]
        sleeping = [asyncio.create_task(session.execute(f"select pg_sleep({SLEEP_S})")) for session in sessions]
        await until_asleep(balancer, TRIES)
        await asyncio.gather(*(cancel(session) for session in sessions))
        ended = await asyncio.wait_for(asyncio.gather(*sleeping, return_exceptions=True), timeout=PATIENCE_S)
    return [type(error) for error in ended]


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
