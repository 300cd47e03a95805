"""A session may be idle for as long as it likes: nothing of ours counts that time, and TCP asks whether the peer lives.

The timers of HAProxy are set so short here that each would have ended the session meanwhile, were it one of those that
end sessions.
"""

import asyncio
import os
import socket
import time

import psycopg

from tests.lab.beside import beside
from tests.lab.sockets import KEEPALIVE, Address, timer
from trunkline.lab.balancer import Balancer

KEEPALIVE_S = 1
SHORT = {
    "timeouts": {
        "connect_s": 0.5,
        "queue_s": 1.0,
        "keepalive_idle_s": KEEPALIVE_S,
        "keepalive_interval_s": KEEPALIVE_S,
        "keepalive_count": 2,
        "user_timeout_s": 2.0,
    },
    "hold": {"timeout_s": 1.0},
}
IDLE_S = 8.0
"""Longer than any of them, and than the 5 s that the inspection of the first bytes may last beyond the hold."""

POLL_S = 0.2

Session = psycopg.AsyncConnection[tuple[object, ...]]


async def test_idle_sessions_live_and_both_ends_of_each_are_asked_for(balancer: Balancer) -> None:
    with beside(balancer, **SHORT) as hasty:
        await asyncio.to_thread(hasty.wait_written)
        await asyncio.gather(assert_lives_idle(hasty, "primary"), assert_lives_idle(hasty, "replicas"))


async def assert_lives_idle(balancer: Balancer, service: str) -> None:
    async with await psycopg.AsyncConnection.connect(balancer.conninfo(service), autocommit=True) as session:
        backend = await backend_of(session)
        ends = await ends_at_haproxy(balancer, service, session)
        until = time.monotonic() + IDLE_S
        while time.monotonic() < until:
            await asyncio.sleep(POLL_S)  # first of all: what the last answer left to be acknowledged
            for own, peer in ends:
                found = timer(own, peer)
                assert found is not None, f"the {service} session has ended at {own}"
                assert (found.kind, found.left_s <= KEEPALIVE_S) == (KEEPALIVE, True)
        assert await backend_of(session) == backend


async def backend_of(session: Session) -> object:
    row = await (await session.execute("select pg_backend_pid()")).fetchone()
    return row and row[0]


async def ends_at_haproxy(balancer: Balancer, service: str, session: Session) -> list[tuple[Address, Address]]:
    """The addresses of HAProxy and of its peer, towards the client and towards PostgreSQL."""
    with socket.socket(fileno=os.dup(session.fileno())) as own:
        client = own.getsockname()[:2]
    row = await (
        await session.execute(
            "select host(inet_client_addr()), inet_client_port(), host(inet_server_addr()), inet_server_port()"
        )
    ).fetchone()
    assert row is not None
    via, server = (str(row[0]), int(str(row[1]))), (str(row[2]), int(str(row[3])))
    return [(balancer.address(service), client), (via, server)]
