"""Sessions that exist live on through whatever is no role change: a jammed API, a DBA's broom, a full listen queue."""

import asyncio
import os
import signal
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager

import psycopg
import pytest

from tests.lab.role_change import leader_of
from trunkline.adapters.runtime_socket import RuntimeSocket
from trunkline.lab.balancer import Balancer
from trunkline.lab.load import READ, attempt_write
from trunkline.lab.member import Member

LASTS_S = 5.0
SILENT = 5
"""Patroni's API has five threads (patroni#3705)."""

SWEEPS = 10
SWEEP_S = 0.5
MANY = 400
"""More than PostgreSQL's listen queue holds, twice max_connections."""

LATE = 20
"""Clients that come through us meanwhile."""

Session = psycopg.AsyncConnection[tuple[object, ...]]


@asynccontextmanager
async def ordinary_session(balancer: Balancer) -> AsyncIterator[Session]:
    """Of a role that is nobody special, on the primary."""
    async with await psycopg.AsyncConnection.connect(balancer.conninfo(), autocommit=True) as admin:
        password = balancer.lab.made.passwords.superuser
        await admin.execute("drop role if exists ordinary")
        await admin.execute(psycopg.sql.SQL("create role ordinary login password {}").format(password))
    conninfo = psycopg.conninfo.make_conninfo(balancer.conninfo(), user="ordinary")
    async with await psycopg.AsyncConnection.connect(conninfo, autocommit=True) as session:
        yield session


async def backend_of(session: Session) -> object:
    """PostgreSQL's process behind it; raises where the session has ended."""
    row = await (await session.execute("select pg_backend_pid()")).fetchone()
    return row and row[0]


async def assert_answers_for(session: Session, seconds: float) -> None:
    """All that time, in less than a second each."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        await asyncio.wait_for(session.execute("select 1"), timeout=1)
        await asyncio.sleep(0.02)


def leader(balancer: Balancer) -> Member:
    return balancer.lab.member(leader_of(balancer.lab))


async def downs(balancer: Balancer) -> int:
    """How often HAProxy has taken the leader for gone."""
    view = await RuntimeSocket(balancer.admin_socket).view()
    proxy = view.proxy("postgres_primary")
    server = proxy.server(leader_of(balancer.lab)) if proxy else None
    assert server is not None
    assert server.takes_sessions
    return balancer.log.read_text(errors="replace").count(f"Server postgres_primary/{server.name} is DOWN, reason")


async def test_silent_connections_to_the_api_cut_nobody(balancer: Balancer) -> None:
    place, before = leader(balancer).place, await downs(balancer)
    async with ordinary_session(balancer) as session:
        with ExitStack() as silent:
            for _ in range(SILENT):
                silent.enter_context(socket.create_connection((place.host, place.api_port), timeout=5))
            jammed = await asyncio.to_thread(leader_is_silent, balancer, place.name)
            assert jammed, "five connections have not jammed the API, so this proves nothing"
            await assert_answers_for(session, LASTS_S - 1)
        await assert_answers_for(session, 2)
    assert await downs(balancer) == before


def leader_is_silent(balancer: Balancer, name: str) -> bool:
    return balancer.lab.member(name).ask("/primary", timeout_s=1).status == 0


async def test_the_end_of_every_session_of_the_superuser_cuts_nobody_else(balancer: Balancer) -> None:
    """Patroni's own sessions among them: an answer without `xlog` each time, and one odd answer is no verdict."""
    before = await downs(balancer)
    async with ordinary_session(balancer) as session:
        backend = await backend_of(session)
        for _ in range(SWEEPS):
            async with await psycopg.AsyncConnection.connect(leader(balancer).conninfo(), autocommit=True) as dba:
                await dba.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity "
                    "where usename = current_user and backend_type = 'client backend' and pid <> pg_backend_pid()"
                )
            await assert_answers_for(session, SWEEP_S)
        assert await backend_of(session) == backend
    assert await downs(balancer) == before


async def test_a_full_listen_queue_cuts_nobody(balancer: Balancer, measured: Callable[[str], None]) -> None:
    """The postmaster accepts nobody, and the kernel's queue is full: connects go unanswered. Sessions do not care, and
    a client whose connect fails is alone with that."""
    member, before = leader(balancer), await downs(balancer)
    postmaster = member.postmaster
    assert postmaster is not None
    async with ordinary_session(balancer) as session:
        with ExitStack() as queue:
            os.kill(postmaster.pid, signal.SIGSTOP)
            queue.callback(os.kill, postmaster.pid, signal.SIGCONT)
            for _ in range(MANY):
                client = queue.enter_context(socket.socket())
                client.setblocking(False)
                client.connect_ex((member.place.host, member.place.port))
            with pytest.raises(TimeoutError):
                socket.create_connection((member.place.host, member.place.port), timeout=0.5)
            late = [asyncio.create_task(attempt_write(balancer.conninfo(), READ)) for _ in range(LATE)]
            await assert_answers_for(session, LASTS_S)
        async with asyncio.timeout(30):
            outcomes = Counter(attempt.outcome for attempt in await asyncio.gather(*late))
        await assert_answers_for(session, 1)
    measured(f"connects during it: {dict(outcomes)}")
    assert await downs(balancer) == before
